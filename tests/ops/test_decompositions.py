"""The logarithm of a determinant: of large matrices, and where some are singular."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import derive
from tinygrad_nn.errors import MatrixError


def test_the_gradient_of_cholesky_is_symmetric_and_a_step_along_it_stays_so():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3, 3))
    a = x @ x.mT + 2 * np.eye(3)
    g = rng.normal(size=a.shape)
    _, (gradient,) = derive(np.linalg.cholesky, a, cotangent=g)
    np.testing.assert_allclose(gradient, gradient.mT, rtol=1e-12)
    v = rng.normal(size=a.shape)
    v = v + v.mT
    h = 1e-6
    slope = (np.linalg.cholesky(a + h * v) - np.linalg.cholesky(a - h * v)) / (2 * h)
    assert np.sum(gradient * v) == pytest.approx(np.sum(g * slope), rel=1e-8)
    tn.testing.gradcheck(lambda x: np.linalg.cholesky((x + x.T) / 2), a[0], order=2)


def test_cholesky_reads_the_lower_triangle_as_numpy_does():
    y, (gradient,) = derive(lambda t: np.linalg.cholesky(t)[1, 0], [[4.0, 9.0], [1.0, 3.0]])
    assert y == 0.5
    np.testing.assert_allclose(gradient, [[-0.0625, 0.25], [0.25, 0]])


def test_the_determinant_of_a_large_matrix_has_a_logarithm():
    a = tn.tensor(np.eye(400) * 10.0, requires_grad=True)
    sign, logarithm = np.linalg.slogdet(a)
    assert (sign.item(), logarithm.item()) == (1.0, pytest.approx(400 * math.log(10)))
    logarithm.backward()
    np.testing.assert_allclose(a.grad, np.eye(400) / 10, atol=1e-15)
    assert np.linalg.slogdet(a).sign.item() == 1


def test_a_singular_matrix_without_a_cotangent_leaves_the_gradients_of_the_others():
    a = np.stack([np.eye(2) * 2, np.zeros((2, 2))])
    _, (g,) = derive(lambda t: np.linalg.slogdet(t).logabsdet[0], a)
    np.testing.assert_array_equal(g, [np.eye(2) / 2, np.zeros((2, 2))])
    with pytest.raises(MatrixError, match="slogdet: .* no gradient where a matrix is singular\n  hint"):
        derive(lambda t: np.linalg.slogdet(t)[1], a)
    with pytest.raises(MatrixError, match=r"slogdet: takes square matrices, got shape \(2, 3\)"):
        np.linalg.slogdet(tn.tensor(np.ones((2, 3))))
