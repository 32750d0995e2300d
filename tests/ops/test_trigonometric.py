"""Trigonometric functions at the ends of their domains."""

import math

import numpy as np
import pytest

from tests.support.derive import check

INF, NAN = math.inf, math.nan


@pytest.mark.case("H040")
def test_tanh_far_out_is_one_without_a_slope():
    check(np.tanh, [[1e3, -1e3]], [1, -1], [0, 0])


@pytest.mark.case("H041")
def test_inverses_outside_of_their_domain_have_no_slope():
    for function in (np.arccosh, np.arcsin, np.arccos):
        check(function, [[-2.0, -1.5]], [NAN, NAN], [NAN, NAN])
    check(np.arccosh, [0.5], NAN, NAN)


def test_arcsin_has_an_infinite_slope_at_its_ends():
    check(np.arcsin, [[1.0, -1.0]], [math.pi / 2, -math.pi / 2], [INF, INF])
