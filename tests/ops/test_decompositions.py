"""The logarithm of a determinant: of large matrices, and where some are singular."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import derive
from tinygrad_nn.errors import MatrixError


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
