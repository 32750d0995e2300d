"""Determinants: derivatives of singular matrices, of batches, of every order that there is."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import derive


def test_det_of_a_singular_matrix_has_a_gradient():
    singular = np.array([[1.0, 2.0], [2.0, 4.0]])
    _, (g,) = derive(np.linalg.det, singular)
    np.testing.assert_allclose(g, [[4, -2], [-2, 1]], rtol=1e-12)
    _, (g,) = derive(np.linalg.det, np.zeros((3, 3)))
    np.testing.assert_array_equal(g, np.zeros((3, 3)))


def test_det_of_a_nearly_singular_matrix_has_the_gradient_of_its_cofactors():
    a = np.array([[1.0, 2.0], [2.0, 4.0 + 1e-9]])
    _, (g,) = derive(np.linalg.det, a)
    np.testing.assert_allclose(g, [[a[1, 1], -2], [-2, 1]], rtol=1e-12)


def of_rank(rank, *shape):
    rng = np.random.default_rng(len(shape) + rank)
    return rng.normal(size=(*shape[:-1], rank)) @ rng.normal(size=(*shape[:-2], rank, shape[-1]))


def laplace(a):
    """The determinant as a polynomial, expanded along the first row."""
    if not a.shape[-1]:
        return np.ones(a.shape[:-2], a.dtype)
    return sum(
        (-1) ** j * a[..., 0, j] * laplace(np.delete(a[..., 1:, :], j, -1)) for j in range(a.shape[-1])
    )


def change_of_cofactors(a, b):
    y = np.zeros(a.shape)
    for i, j in np.ndindex(a.shape[-2:]):
        minor = np.delete(np.delete(a + 1e-30j * b, i, -2), j, -1)
        y[..., i, j] = (-1) ** (i + j) * laplace(minor).imag / 1e-30
    return y


@pytest.mark.parametrize(
    "a",
    [
        *(of_rank(rank, n, n) for n, rank in [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (5, 3)]),
        of_rank(2, 2, 3, 3),
        np.stack([of_rank(3, 3, 3), of_rank(1, 3, 3)]),
        of_rank(2, 3, 3) + 1e-9 * np.eye(3),
        of_rank(4, 4, 4),
    ],
    ids=lambda a: f"{a.shape} of rank {np.linalg.matrix_rank(a)}",
)
def test_det_has_its_second_derivative_also_where_a_matrix_is_singular(a):
    direction = np.random.default_rng(0).normal(size=a.shape)
    gradient = tn.grad(lambda t: np.sum(np.linalg.det(t)))
    expected = change_of_cofactors(a, direction)
    np.testing.assert_allclose(tn.jvp(gradient, a, direction)[1].data, expected, rtol=1e-10, atol=1e-12)


def test_the_second_derivative_of_det_of_two_by_two_is_the_same_everywhere():
    expected = [[0, 0, 0, 1], [0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0]]
    for a in (np.zeros((2, 2)), np.ones((2, 2)), np.eye(2)):
        hessian = tn.hessian(np.linalg.det)(a).data
        np.testing.assert_allclose(hessian.reshape(4, 4), expected, atol=1e-15)


def test_the_third_derivative_of_det_is_nan_where_a_matrix_is_singular():
    a, b = np.stack([np.ones((3, 3)), np.zeros((3, 3)), 2 * np.eye(3)]), np.eye(3) * np.ones((3, 1, 1))

    def second(t):
        return tn.jvp(tn.grad(lambda x: np.sum(np.linalg.det(x))), t, b)[1]

    third = tn.jvp(second, a, b)[1].data
    assert np.isnan(third[:2]).all()
    np.testing.assert_allclose(third[2], 2 * np.eye(3), atol=1e-12)
