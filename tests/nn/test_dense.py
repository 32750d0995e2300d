"""Dense: which arrays it takes, and with what its parameters begin."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.nn import init


@pytest.mark.case("H152")
def test_dense_takes_vectors_and_empty_batches_and_names_a_wrong_width():
    layer = tn.nn.Dense(2, 3, rng=0)
    assert layer(np.ones(2, np.float32)).shape == (3,)
    empty = layer(np.ones((0, 2), np.float32))
    assert empty.shape == (0, 3)
    empty.sum().backward()
    assert not layer.weight.grad.any()
    with pytest.raises(tn.errors.ShapeError, match="2 features"):
        layer(np.ones((4, 5), np.float32))
    for widths in ((0, 3), (3, 0), (2.0, 3), (True, 2)):
        with pytest.raises(ValueError, match="features"):
            tn.nn.Dense(*widths)


def test_dense_uses_the_initialisers_that_it_is_given():
    layer = nn.Dense(*SHAPE, init=init.he_normal(), bias_init=init.constant(0.25), rng=3)
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(layer.weight.data, init.he_normal()(SHAPE, rng, np.float32))
    np.testing.assert_array_equal(layer.bias.data, np.full(SHAPE[1], 0.25, np.float32))
    default = nn.Dense(*SHAPE, rng=3)
    np.testing.assert_array_equal(
        default.weight.data, init.glorot_uniform()(SHAPE, np.random.default_rng(3), np.float32)
    )
    assert not default.bias.data.any()


SHAPE = (80, 120)
