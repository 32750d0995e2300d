"""Branches that are not taken: nothing flows through them, in no order."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive

INF = math.inf


@pytest.mark.case("H044")
def test_log_in_a_branch_that_is_not_taken():
    check(lambda x: np.where(x > 0, np.log(x), 0.0), [[0.0, -1.0, 1.0]], [0, 0, 0], [0, 0, 1])


DEAD_BRANCHES = {
    "sqrt": (np.sqrt, [0.0, -1.0]),
    "power": (lambda x: x**0.5, [0.0, -1.0]),
    "reciprocal": (lambda x: 1 / x, [0.0, -0.0]),
    "np.reciprocal": (np.reciprocal, [0.0, -0.0]),
    "arcsin": (np.arcsin, [1.0, -1.0, 2.0]),
    "arccos": (np.arccos, [1.0, -1.0, 2.0]),
    "log1p": (np.log1p, [-1.0, -2.0]),
    "log2": (np.log2, [0.0, -1.0]),
    "log10": (np.log10, [0.0, -1.0]),
    "arccosh": (np.arccosh, [1.0, 0.0, -2.0]),
    "arctanh": (np.arctanh, [1.0, -1.0, 2.0]),
    "cbrt": (np.cbrt, [0.0]),
    "exp": (np.exp, [1000.0]),
    "exp2": (np.exp2, [5000.0]),
    "expm1": (np.expm1, [1000.0]),
    "sinh": (np.sinh, [1000.0]),
    "cosh": (np.cosh, [1000.0]),
    "tan of an infinity": (np.tan, [INF]),
    "sin of an infinity": (np.sin, [INF]),
    "cos of an infinity": (np.cos, [INF]),
    "norm": (lambda x: np.linalg.norm(x[:, None], axis=1), [0.0, INF]),
    "std": (lambda x: np.std(np.stack([x, x]), axis=0), [1.0, INF]),
    "remainder": (lambda x: np.remainder(1.0, x), [0.0]),
    "arctan2": (lambda x: np.arctan2(x, x), [0.0]),
    "hypot": (lambda x: np.hypot(x, x), [0.0, INF]),
    "xlogy": (lambda x: tn.xlogy(1.0, x), [0.0, -1.0]),
}


@pytest.mark.case("H045")
@pytest.mark.parametrize("name", DEAD_BRANCHES)
def test_a_branch_that_is_not_taken_has_no_gradient(name):
    function, places = DEAD_BRANCHES[name]
    _, (g,) = derive(lambda x: np.where(np.zeros(x.shape, bool), function(x), 0.0), places)
    np.testing.assert_array_equal(g, np.zeros(len(places)))


NAN_AT_INFINITY = {"tan of an infinity", "norm", "std", "hypot"}
"""What has no second derivative there, as docs/deviations.md says."""


@pytest.mark.case("H045")
@pytest.mark.parametrize("name", [name for name in DEAD_BRANCHES if name != "tan of an infinity"])
def test_a_branch_that_is_not_taken_has_no_second_derivative(name):
    function, places = DEAD_BRANCHES[name]
    places = [place for place in places if math.isfinite(place) or name not in NAN_AT_INFINITY]
    x = tn.tensor(np.array(places), requires_grad=True)
    with np.errstate(all="ignore"):
        y = np.where(np.zeros(x.shape, bool), function(x), 0.0)
        first = tn.gradients(y.sum(), x, create_graph=True)
        np.testing.assert_array_equal(first.data, np.zeros(len(places)))
        second = tn.gradients(first.sum(), x)
    np.testing.assert_array_equal(second.data, np.zeros(len(places)))


def test_a_product_of_infinities_is_not_kept_out_of_a_branch_but_xlogy_is():
    x, y, slope = [0.0, -1.0, 2.0], [0, 0, 2 * math.log(2)], 1 + math.log(2)
    check(lambda x: np.where(x > 0, x * np.log(x), 0.0), [x], y, [math.nan, math.nan, slope])
    check(lambda x: np.where(x > 0, tn.xlogy(x, x), 0.0), [x], y, [0, 0, slope])
    check(lambda x: np.where(x > 0, tn.product(x, np.log(x)), 0.0), [x], y, [0, 0, slope])
    check(lambda x: np.where(x > 0, x * np.log(np.where(x > 0, x, 1.0)), 0.0), [x], y, [0, 0, slope])


def test_a_quotient_of_infinities_is_kept_out_of_a_branch():
    a = np.array([1.0, np.inf])
    check(lambda b: np.where(b > 0, a / b, 0.0), [[2.0, -1.0]], [0.5, 0], [-0.25, 0])
    check(lambda b: np.where(np.array([True, False]), a / b, 0.0), [[2.0, 3.0]], [0.5, 0], [-0.25, 0])


@pytest.mark.case("H046")
def test_where_gives_an_operand_that_stands_on_both_sides_all():
    check(lambda x: np.where(x > 0, x, x), [[-1.0, 0.0, 2.0]], [-1, 0, 2], [1, 1, 1])
