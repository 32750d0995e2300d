"""Activation modules are their functions, in float32, with their parameters in the representation."""

import numpy as np
import pytest

import tinygrad_nn as tn

X = np.linspace(-3, 3, 7, dtype=np.float32)
MODULES = {
    "Softplus()": (tn.nn.Softplus(), tn.softplus(X)),
    "LogSigmoid()": (tn.nn.LogSigmoid(), tn.log_sigmoid(X)),
    "SiLU()": (tn.nn.SiLU(), tn.silu(X)),
    "GELU()": (tn.nn.GELU(), tn.gelu(X)),
    "GELUTanh()": (tn.nn.GELUTanh(), tn.gelu_tanh(X)),
    "LeakyReLU(negative_slope=0.2)": (tn.nn.LeakyReLU(0.2), tn.leaky_relu(X, negative_slope=0.2)),
    "ELU(alpha=0.5)": (tn.nn.ELU(np.float64(0.5)), tn.elu(X, alpha=0.5)),
}


@pytest.mark.parametrize("text", MODULES)
def test_an_activation_module_is_its_function(text):
    module, expected = MODULES[text]
    y = module(X)
    assert repr(module) == text
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.data, expected)
    assert module.parameters() == []
