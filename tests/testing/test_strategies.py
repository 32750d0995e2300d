"""The public strategies draw what they say, and Hypothesis stays optional."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_nn as tn
from tinygrad_nn.testing import strategies


@given(strategies.broadcastable(3))
def test_broadcastable_arrays_broadcast_in_the_engine(arrays):
    leaves = [tn.tensor(a, requires_grad=True) for a in arrays]
    y = leaves[0] + leaves[1] * leaves[2]
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(y.data, arrays[0] + arrays[1] * arrays[2])
    assert [t.grad.shape for t in leaves] == [a.shape for a in arrays]


@given(strategies.matmul_operands())
def test_matmul_operands_multiply_in_the_engine(pair):
    a, b = (tn.tensor(x, requires_grad=True) for x in pair)
    y = a @ b
    y.backward(np.ones(y.shape))
    assert (a.grad.shape, b.grad.shape) == (a.shape, b.shape)


@given(st.data())
def test_axes_indices_reshapes_and_layouts_fit_their_array(data):
    x = data.draw(strategies.arrays())
    t = tn.tensor(x, requires_grad=True)
    axis = data.draw(strategies.axes(x.ndim))
    np.testing.assert_allclose(np.sum(t, axis=axis).data, np.sum(x, axis=axis))
    index = data.draw(strategies.indices(x.shape))
    y = t[index]
    np.testing.assert_array_equal(y.data, x[index])
    y.backward(np.ones(y.shape))
    expected = np.zeros(x.shape)
    np.add.at(expected, index, 1.0)
    np.testing.assert_array_equal(t.grad, expected)
    assert t.reshape(data.draw(strategies.reshapes(x.shape))).size == x.size
    np.testing.assert_array_equal(tn.tensor(data.draw(strategies.layouts(x))).data, x)


@given(strategies.labels(5, 3))
def test_labels_are_taken_by_the_loss(labels):
    assert labels.shape == (5,)
    assert np.isfinite(tn.nn.losses.cross_entropy(np.zeros((5, 3)), labels).item())


def test_without_hypothesis_the_extra_is_named(monkeypatch):
    for name in ("hypothesis", "hypothesis.strategies"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'this check needs Hypothesis: pip install "tinygrad_nn\[test\]"'):
        strategies.axes(2)
