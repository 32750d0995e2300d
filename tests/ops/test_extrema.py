"""maximum, minimum and clip: ties, bounds and NaN."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check

NAN = math.nan


@pytest.mark.case("H036")
@pytest.mark.parametrize("function", [np.maximum, np.minimum, np.fmax, np.fmin])
def test_ties_share_evenly_and_a_shared_operand_gets_all(function):
    check(function, [2.0, 2.0], 2, 0.5, 0.5)
    check(lambda x: function(x, x), [2.0], 2, 1)


@pytest.mark.case("H037")
def test_maximum_with_nan_gives_the_gradient_to_neither():
    check(np.maximum, [NAN, 1.0], NAN, 0, 0)
    check(np.fmax, [NAN, 1.0], 1, 0, 1)


@pytest.mark.parametrize("function", [np.maximum, np.minimum, np.fmax, np.fmin])
def test_of_two_nan_neither_gets_the_gradient(function):
    check(function, [NAN, NAN], NAN, 0, 0)


def test_clip_passes_at_its_bounds():
    check(lambda x: np.clip(x, 0, 1), [[-1.0, 0.0, 0.5, 1.0, 2.0]], [0, 0, 0.5, 1, 1], [0, 1, 1, 1, 0])
    x, low, high = np.array([-1.0, 0.5, 2.0]), np.zeros(3), np.ones(3)
    check(np.clip, [x, low, high], [0, 0.5, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1])
    assert np.clip(tn.tensor([1, 5]), 2, None).tolist() == [2, 5]
    assert tn.tensor([1.0, 5.0]).clip(max=2).tolist() == [1, 2]


def test_clip_gives_the_gradient_of_bounds_that_meet_or_cross_to_the_upper_one():
    check(np.clip, [0.0, 0.0, 0.0], 0, 0, 0, 1)
    check(np.clip, [0.0, 1.0, -1.0], -1, 0, 0, 1)
