"""Embedding: how its table begins, and what it takes."""

import numpy as np
import pytest

from tinygrad_nn import nn
from tinygrad_nn.errors import IndexingError
from tinygrad_nn.nn import init


def test_a_table_begins_with_normal_numbers_or_as_it_is_told():
    layer = nn.Embedding(50, 40, rng=3)
    np.testing.assert_array_equal(
        layer.weight.data, init.normal()((50, 40), np.random.default_rng(3), np.float32)
    )
    assert not nn.Embedding(2, 3, init=init.zeros()).weight.data.any()
    assert nn.Embedding(2, 3, dtype=np.float64).weight.dtype == np.float64


def test_rows_are_looked_up_and_get_their_gradients():
    layer = nn.Embedding(4, 2, rng=0)
    y = layer(np.array([[3, 0], [3, 3]]))
    np.testing.assert_array_equal(y.data, layer.weight.data[[[3, 0], [3, 3]]])
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad[:, 0], [1, 0, 0, 3])
    assert layer(np.zeros((0, 5), np.int64)).shape == (0, 5, 2)


def test_bad_sizes_and_ids_are_refused():
    for sizes in ((0, 2), (2, 0), (2.0, 2)):
        with pytest.raises(ValueError, match="Embedding: .* is a positive integer"):
            nn.Embedding(*sizes)
    with pytest.raises(IndexingError, match="id 4 at position 0"):
        nn.Embedding(4, 2)(np.array([4]))
