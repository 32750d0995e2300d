"""Products and inverses: vectors, batches, empty and singular matrices."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import MatrixError, ShapeError


@pytest.mark.case("H076")
@pytest.mark.parametrize(
    ("left", "right", "result"),
    [
        ((3,), (3,), ()),
        ((3,), (3, 4), (4,)),
        ((2, 3), (3,), (2,)),
        ((5, 2, 3), (3,), (5, 2)),
        ((3,), (5, 3, 4), (5, 4)),
    ],
)
def test_products_with_vectors_have_the_gradients_of_matrices_of_one_row(left, right, result):
    rng = np.random.default_rng(1)
    a, b, g = rng.normal(size=left), rng.normal(size=right), rng.normal(size=result)
    y, (da, db) = derive(np.matmul, a, b, cotangent=g)
    assert y.shape == result
    columns = b[:, None] if b.ndim == 1 else b
    rows = a[None] if a.ndim == 1 else a
    full = g[..., None] if b.ndim == 1 else g
    full = full[..., None, :] if a.ndim == 1 else full
    expected_a = full @ np.swapaxes(columns, -1, -2)
    expected_b = np.swapaxes(rows, -1, -2) @ full
    np.testing.assert_allclose(da, expected_a.reshape(-1, *left).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(db, expected_b.reshape(-1, *right).sum(axis=0), rtol=1e-12)


@pytest.mark.case("H077")
@pytest.mark.parametrize(("left", "right"), [((5, 1, 2, 3), (7, 3, 4)), ((1, 2, 3), (5, 3, 4))])
def test_batches_broadcast_and_gradients_come_home(left, right):
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=left), rng.normal(size=right)
    y, (da, db) = derive(np.matmul, a, b)
    np.testing.assert_allclose(y, a @ b)
    _, (ea, eb) = derive(lambda p, q: np.einsum("...ij,...jk->...ik", p, q), a, b)
    assert (da.shape, db.shape) == (left, right)
    np.testing.assert_allclose(da, ea, rtol=1e-12)
    np.testing.assert_allclose(db, eb, rtol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_long_stack_of_matrices_times_one_matrix_is_a_product_for_each(order):
    rng = np.random.default_rng(3)
    a = np.asarray(rng.normal(size=(16, 8, 32)), order=order)
    b, g = rng.normal(size=(32, 3)), rng.normal(size=(16, 8, 3))
    expected = np.stack([x @ b for x in a])
    y, (da, db) = derive(np.matmul, a, b, cotangent=g)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_allclose(da, g @ b.T, rtol=1e-12)
    np.testing.assert_allclose(db, np.einsum("nij,nik->jk", a, g), rtol=1e-10)


@pytest.mark.case("H078")
def test_a_product_over_an_empty_inner_dimension_is_zero():
    check(
        np.matmul, [np.zeros((2, 0)), np.zeros((0, 3))], np.zeros((2, 3)), np.zeros((2, 0)), np.zeros((0, 3))
    )


@pytest.mark.case("H081")
def test_a_matrix_times_itself_collects_both_gradients():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    check(lambda t: t @ t, [x], x @ x, [[7, 11], [9, 13]])
    check(lambda t: t.T @ t, [x], x.T @ x, 2 * x @ np.ones((2, 2)))
    check(lambda t: t @ t.T, [x], x @ x.T, 2 * np.ones((2, 2)) @ x)


def test_tensordot_names_the_axes_that_differ():
    a, b = tn.tensor(np.ones((2, 3))), np.ones((2, 3))
    with pytest.raises(
        ShapeError, match=r"tensordot: axes \(1,\) of \(2, 3\) and \(0,\) of \(2, 3\) have different lengths"
    ):
        np.tensordot(a, b, 1)


@pytest.mark.parametrize("function", [np.linalg.inv, np.linalg.det, np.linalg.cholesky])
def test_a_scalar_is_no_matrix(function):
    with pytest.raises(MatrixError, match=f"{function.__name__}: 0-dimensional array given"):
        function(tn.tensor(2.0))


@pytest.mark.parametrize(
    "call", [np.linalg.inv, lambda t: np.linalg.solve(t, np.ones(2))], ids=["inv", "solve"]
)
def test_a_singular_matrix_is_called_singular_and_raises_what_numpy_raises(call):
    singular = tn.tensor(np.ones((2, 2)), requires_grad=True)
    with pytest.raises(
        np.linalg.LinAlgError, match=r"(inv|solve): Singular matrix(.|\n)*np.eye\(2\)"
    ) as error:
        call(singular)
    assert isinstance(error.value, MatrixError)


@pytest.mark.parametrize("shape", [(), (2, 3, 3)])
def test_diag_takes_what_numpy_takes(shape):
    with pytest.raises(ValueError, match="1- or 2-d"):
        np.diag(np.zeros(shape))
    with pytest.raises(ShapeError, match=r"diag: takes a vector or a matrix, got shape .*\n.*np.diagonal"):
        np.diag(tn.tensor(np.zeros(shape), requires_grad=True))
