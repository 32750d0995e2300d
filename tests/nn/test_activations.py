"""Activation modules are their functions, in float32, with their parameters in the representation."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.graph.recorder import trace

X = np.linspace(-3, 3, 7, dtype=np.float32)
MODULES = {
    "Softplus()": (tn.nn.Softplus(), tn.softplus(X)),
    "LogSigmoid()": (tn.nn.LogSigmoid(), tn.log_sigmoid(X)),
    "SiLU()": (tn.nn.SiLU(), tn.silu(X)),
    "GELU()": (tn.nn.GELU(), tn.gelu(X)),
    'GELU(approximate="tanh")': (tn.nn.GELU("tanh"), tn.gelu_tanh(X)),
    "GELUTanh()": (tn.nn.GELUTanh(), tn.gelu_tanh(X)),
    "LeakyReLU(negative_slope=0.2)": (tn.nn.LeakyReLU(0.2), tn.leaky_relu(X, negative_slope=0.2)),
    "ELU(alpha=0.5)": (tn.nn.ELU(np.float64(0.5)), tn.elu(X, alpha=0.5)),
}


@pytest.mark.parametrize(
    ("module", "call"),
    [
        (tn.nn.Softmax(), "softmax(x)"),
        (tn.nn.Softmax(0), "softmax(x, axis=0)"),
        (tn.nn.LogSoftmax(), "log_softmax(x)"),
        (tn.nn.LeakyReLU(), "leaky_relu(x)"),
        (tn.nn.LeakyReLU(0.2), "leaky_relu(x, negative_slope=0.2)"),
        (tn.nn.ELU(), "elu(x)"),
    ],
)
def test_an_option_is_only_spelled_out_where_it_is_not_the_usual_one(module, call):
    graph, _ = trace(module, np.ones((2, 2), np.float32))
    assert call in str(graph)


@pytest.mark.parametrize("text", MODULES)
def test_an_activation_module_is_its_function(text):
    module, expected = MODULES[text]
    y = module(X)
    assert repr(module) == text
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.data, expected)
    assert module.parameters() == []


def test_an_approximation_of_gelu_that_there_is_not_is_refused():
    np.testing.assert_array_equal(tn.gelu(X, approximate="tanh"), tn.gelu_tanh(X))
    for call in (lambda: tn.gelu(X, approximate="erf"), lambda: tn.nn.GELU("erf")):
        with pytest.raises(tn.errors.SettingError, match='approximate is "none" or "tanh", got \'erf\''):
            call()
