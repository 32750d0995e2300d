"""Shapes, broadcasting, matrix products and indexing where gradient libraries go wrong."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import IndexingError, ShapeError


def test_H072_broadcasting_with_nothing():
    check(np.add, [np.zeros((0, 3)), np.ones((1, 3))], np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((1, 3)))
    check(
        np.multiply, [np.zeros((2, 0)), np.ones((1, 1))], np.zeros((2, 0)), np.zeros((2, 0)), np.zeros((1, 1))
    )


def test_H073_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(ShapeError, match=r"add.*\(2, 3\).*\(3, 2\)"):
        tn.tensor(np.zeros((2, 3))) + tn.tensor(np.zeros((3, 2)))


def test_H074_a_broadcast_view_has_a_full_gradient():
    base = np.array([[1.0], [2.0], [3.0]])
    x = tn.as_tensor(np.broadcast_to(base, (3, 2)), requires_grad=True)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, 2 * np.broadcast_to(base, (3, 2)))
    assert x.grad.flags.owndata
    np.testing.assert_array_equal(base, [[1], [2], [3]])


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
def test_H076_products_with_vectors(left, right, result):
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


@pytest.mark.parametrize(("left", "right"), [((5, 1, 2, 3), (7, 3, 4)), ((1, 2, 3), (5, 3, 4))])
def test_H077_batches_broadcast_and_gradients_come_home(left, right):
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=left), rng.normal(size=right)
    y, (da, db) = derive(np.matmul, a, b)
    np.testing.assert_allclose(y, a @ b)
    _, (ea, eb) = derive(lambda p, q: np.einsum("...ij,...jk->...ik", p, q), a, b)
    assert (da.shape, db.shape) == (left, right)
    np.testing.assert_allclose(da, ea, rtol=1e-12)
    np.testing.assert_allclose(db, eb, rtol=1e-12)


def test_H078_an_empty_inner_dimension():
    check(
        np.matmul, [np.zeros((2, 0)), np.zeros((0, 3))], np.zeros((2, 3)), np.zeros((2, 0)), np.zeros((0, 3))
    )


def test_H080_inner_dimensions_that_differ_are_named():
    with pytest.raises(ShapeError, match=r"matmul.*\(2, 3\) @ \(2, 3\)"):
        tn.tensor(np.zeros((2, 3))) @ tn.tensor(np.zeros((2, 3)))


def test_H081_a_matrix_times_itself():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    check(lambda t: t @ t, [x], x @ x, [[7, 11], [9, 13]])
    check(lambda t: t.T @ t, [x], x.T @ x, 2 * x @ np.ones((2, 2)))
    check(lambda t: t @ t.T, [x], x @ x.T, 2 * np.ones((2, 2)) @ x)


def test_H082_a_repeated_index_collects_its_gradients():
    check(lambda x: x[[0, 0, 1]], [np.zeros(3)], np.zeros(3), [2, 1, 0])
    check(lambda x: np.take(x, [0, 0, 1]), [np.zeros(3)], np.zeros(3), [2, 1, 0])
    indices = np.array([0, 0, 1])
    check(lambda x: np.take_along_axis(x, indices, axis=0), [np.zeros(3)], np.zeros(3), [2, 1, 0])


def test_H084_H092_item_assignment_is_refused_with_what_to_write_instead():
    x = tn.tensor(np.zeros(3), requires_grad=True)
    with pytest.raises(TypeError, match=r"np\.where"):
        x[[0, 0]] = 7.0
    with pytest.raises(TypeError, match=r"np\.where"):
        (x * 2)[0] = 1.0


INDICES = {
    "negative step": np.s_[::-2],
    "new axis": np.s_[..., None],
    "nothing": np.s_[1:1],
    "true": True,
    "false": False,
    "mask": np.array([[True, False, True], [False, True, True], [False] * 3, [True] * 3]),
    "row mask": np.array([True, False, False, True]),
    "slice and list": np.s_[1:3, [0, 0, 2]],
    "list and slice": np.s_[[3, 0, 3], ::-1],
    "two lists": ([0, 0, 3], [1, 1, 2]),
    "matrix of indices": np.array([[0, 1], [3, 3]]),
    "integer": 2,
    "negative integers": (-1, -2),
    "empty list": [],
    "lists apart": np.s_[[0, 1], None, [2, 2]],
}


@pytest.mark.parametrize("name", INDICES)
def test_H085_indexing_of_every_kind_scatters_to_the_same_place(name):
    index = INDICES[name]
    x = np.arange(12.0).reshape(4, 3)
    cotangent = np.random.default_rng(3).normal(size=x[index].shape)
    expected = np.zeros_like(x)
    np.add.at(expected, index, cotangent)
    check(lambda t: t[index], [x], x[index], expected, cotangent=cotangent)


def test_H086_wrong_indices_raise_as_in_numpy():
    x = tn.tensor(np.zeros((4, 3)), requires_grad=True)
    for index in (4, 1.5, [7], np.ones(3, bool), (0, 0, 0)):
        with pytest.raises(IndexError):
            x[index]
    with pytest.raises(IndexingError, match="take"):
        np.take(x, [9], axis=0)


def test_H088_reshapes_that_cannot_be():
    empty = tn.tensor(np.zeros((0, 3)), requires_grad=True)
    check(lambda x: x.reshape(-1), [np.zeros((0, 3))], np.zeros(0), np.zeros((0, 3)))
    for t, shape in ((empty, (-1, 0)), (tn.tensor(np.zeros(6)), (-1, -1)), (tn.tensor(np.zeros(6)), (4,))):
        with pytest.raises(ValueError, match="reshape"):
            t.reshape(*shape)


def test_H089_joining_and_splitting_unequal_parts():
    a, b, none = np.ones((2, 3)), np.ones((1, 3)), np.ones((0, 3))
    cotangent = np.arange(9.0).reshape(3, 3)
    check(
        lambda *xs: np.concatenate(xs, axis=-2),
        [a, none, b],
        np.ones((3, 3)),
        cotangent[:2],
        none,
        cotangent[2:],
        cotangent=cotangent,
    )
    check(lambda x: np.concatenate([x, x]), [[1.0]], [1, 1], [5], cotangent=[2, 3])
    check(lambda x: np.stack([x, x], axis=-1), [[1.0]], [[1, 1]], [5], cotangent=[[2, 3]])
    check(lambda x: np.split(x, [1, 1, 3], axis=-1)[2], [np.arange(4.0)], [1, 2], [0, 1, 1, 0])
    with pytest.raises(ShapeError, match="array_split"):
        np.split(tn.tensor(np.zeros(5), requires_grad=True), 2)
    parts = np.array_split(tn.tensor(np.arange(5.0), requires_grad=True), 2)
    assert [part.shape for part in parts] == [(3,), (2,)]


def test_H090_axes_that_do_not_fit():
    x = tn.tensor(np.zeros((2, 3)), requires_grad=True)
    with pytest.raises(ValueError, match="squeeze"):
        np.squeeze(x, axis=0)
    with pytest.raises(ValueError, match="expand_dims"):
        np.expand_dims(x, 5)
    for function in (np.sum, np.sort, np.median, np.flip, np.cumsum, np.diff, np.repeat):
        with pytest.raises(ValueError, match="out of bounds"):
            function(x, 2, axis=7) if function is np.repeat else function(x, axis=7)
