"""Sliding windows as NumPy has them, with a gradient."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import TinygradError

sliding_window_view = np.lib.stride_tricks.sliding_window_view


def test_windows_are_numpys_and_their_gradient_counts_them():
    x = np.arange(12.0).reshape(3, 4)
    t = tn.tensor(x, requires_grad=True)
    y = sliding_window_view(t, (2, 2))
    np.testing.assert_array_equal(y.data, sliding_window_view(x, (2, 2)))
    y.sum().backward()
    np.testing.assert_array_equal(t.grad, [[1, 2, 2, 1], [2, 4, 4, 2], [1, 2, 2, 1]])


def test_a_running_mean_has_a_gradient_through_its_windows():
    function = lambda x: (sliding_window_view(x, 3, axis=0).mean(axis=-1) ** 3).sum()
    tn.testing.gradcheck(function, np.random.default_rng(0).normal(size=(6, 2)), order=2)


def test_what_numpy_refuses_is_refused_with_the_op_named():
    t = tn.tensor(np.ones((3, 4)), requires_grad=True)
    for arguments in [((4, 4),), ((2,),), (2, 5), (-1, 0)]:
        with pytest.raises(TinygradError, match="sliding_window_view"):
            sliding_window_view(t, *arguments)
