"""LayerNorm and RMSNorm: what they begin with, and which arrays they take."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import ShapeError


def test_norms_begin_with_ones_and_zeros_and_cast_plain_arrays():
    x = np.random.default_rng(0).normal(size=(2, 5, 4))
    for layer, function in ((nn.LayerNorm(4), tn.layer_norm), (nn.RMSNorm(4), tn.rms_norm)):
        np.testing.assert_array_equal(layer.weight.data, np.ones(4))
        assert layer(x).dtype == np.float32
        np.testing.assert_array_equal(layer(x).data, function(x.astype(np.float32)))
    assert nn.LayerNorm(4, dtype=np.float64)(x).dtype == np.float64
    assert [name for name, _ in nn.LayerNorm(4).named_parameters()] == ["weight", "bias"]
    assert [name for name, _ in nn.LayerNorm(4, bias=False).named_parameters()] == ["weight"]


def test_representations_of_norms_say_what_is_not_usual():
    layers = nn.LayerNorm(4), nn.LayerNorm(4, eps=0.1, bias=False), nn.RMSNorm(4), nn.RMSNorm(4, eps=0.1)
    assert [repr(layer) for layer in layers] == [
        "LayerNorm(4)",
        "LayerNorm(4, eps=0.1, bias=False)",
        "RMSNorm(4)",
        "RMSNorm(4, eps=0.1)",
    ]


@pytest.mark.parametrize("kind", [nn.LayerNorm, nn.RMSNorm])
def test_norms_refuse_other_widths(kind):
    with pytest.raises(ShapeError, match=r"hint   np\.moveaxis\(x, 1, -1\): features come last here"):
        nn.LayerNorm(4)(np.ones((2, 4, 3)))
    with pytest.raises(ShapeError, match=r"\(2, 3\) takes a weight of shape \(3,\), got \(4,\)"):
        kind(4)(np.ones((2, 3)))
    for features in (0, 2.0, True, (4,)):
        with pytest.raises(ValueError, match=f"{kind.__name__}: features is a positive integer"):
            kind(features)
