"""Norms: at zero, of an order, and those that are refused."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check
from tinygrad_nn.errors import MatrixError, NoGradientRule, ShapeError

INF = math.inf


@pytest.mark.case("H025")
@pytest.mark.parametrize("order", [None, 2, 3, 1, INF])
def test_norm_at_zero_has_the_smallest_subgradient(order):
    check(lambda x: np.linalg.norm(x, order), [np.zeros(2)], 0, [0, 0])


@pytest.mark.parametrize(
    "length",
    [
        np.linalg.norm,
        np.linalg.matrix_norm,
        lambda x: np.linalg.norm(x.reshape(-1), 3),
        lambda x: np.linalg.norm(x.reshape(-1), 1.5),
        lambda x: np.linalg.norm(x.reshape(-1), 1),
        lambda x: np.hypot(x[0, 0], x[1, 1]),
        lambda x: np.arctan2(x[0, 0], x[1, 1]),
    ],
    ids=["norm", "Frobenius", "cubic", "1.5", "1", "hypot", "arctan2"],
)
def test_a_length_of_zero_has_derivatives_of_zero_in_every_order(length):
    zero = np.zeros((2, 2))
    assert not tn.grad(length)(zero).data.any()
    assert not tn.hessian(length)(zero).data.any()
    assert not tn.jacobian(tn.hessian(length))(zero).data.any()


@pytest.mark.parametrize("order", [3, "spectral"])
def test_matrix_norms_without_a_rule_are_refused(order):
    with pytest.raises(NoGradientRule, match="'fro', 'nuc', 1, -1, 2, -2, inf, -inf"):
        np.linalg.norm(tn.tensor(np.eye(2), requires_grad=True), order)


@pytest.mark.parametrize("axis", [(), (0, 1, 2)])
@pytest.mark.parametrize("order", [None, 2])
def test_a_norm_is_of_vectors_or_matrices_as_in_numpy(axis, order):
    x = np.ones((2, 3, 4))
    with pytest.raises(ValueError, match="number of dimensions"):
        np.linalg.norm(x, order, axis)
    with pytest.raises(ShapeError, match=r"norm: .*\(2, 3, 4\)\n  hint   np\.linalg\.vector_norm\(t, axis="):
        np.linalg.norm(tn.tensor(x), order, axis)


@pytest.mark.parametrize(
    ("f", "share"),
    [(lambda t: np.linalg.norm(t, 2), 0.5), (lambda t: np.linalg.norm(t, -2), 0.5), (np.linalg.cond, 0)],
    ids=["2", "-2", "cond"],
)
def test_equal_singular_values_share_the_gradient_of_a_norm_evenly(f, share):
    np.testing.assert_allclose(tn.grad(f)(np.eye(2)), share * np.eye(2), atol=1e-15)


def test_equal_singular_values_have_no_curvature():
    with pytest.raises(MatrixError, match="equal eigenvalues or singular values"):
        tn.hessian(lambda t: np.linalg.norm(t, 2))(np.eye(2))


def test_norms_of_an_order_need_an_axis_beyond_matrices():
    x = tn.tensor(np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match=r"ord=1 is for vectors and matrices; shape \(2, 3, 4\) needs axis="):
        np.linalg.norm(x, 1)
    assert np.linalg.norm(x).item() == pytest.approx(np.sqrt(24))
