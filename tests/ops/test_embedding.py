"""Embedding and one-hot rows: which ids they take, and gradients where many ids are the same."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import DtypeError, IndexingError, SettingError, ShapeError


def test_a_million_gradients_for_one_row_add_up_in_single_precision():
    weight = tn.tensor(np.zeros((3, 2), np.float32), requires_grad=True)
    tn.embedding(weight, np.ones(1_000_000, np.int64)).backward(np.full((1_000_000, 2), 0.1, np.float32))
    assert weight.grad.dtype == np.float32
    np.testing.assert_allclose(weight.grad, [[0, 0], [100_000, 100_000], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_ids_of_every_integer_dtype_and_layout_are_taken(dtype):
    weight, ids = np.arange(20.0).reshape(10, 2), np.arange(8, dtype=dtype).reshape(2, 4)
    for laid_out in (ids, ids.T, ids[:, ::-2], ids[0, 0]):
        np.testing.assert_array_equal(tn.embedding(weight, laid_out), weight[laid_out])
        np.testing.assert_array_equal(tn.one_hot(laid_out, 10), np.eye(10)[laid_out])


@pytest.mark.parametrize(
    ("function", "what"),
    [(lambda ids: tn.embedding(np.ones((4, 2)), ids), "rows"), (lambda ids: tn.one_hot(ids, 4), "classes")],
    ids=["embedding", "one_hot"],
)
def test_ids_out_of_range_are_refused_with_their_numbers(function, what):
    with pytest.raises(
        IndexingError, match=rf"id 4 at position 2 of ids of shape \(2, 2\).* 4 {what}.*0 to 3$"
    ):
        function(np.array([[0, 3], [4, 5]]))
    with pytest.raises(
        IndexingError, match=f"id -1 at position 1 .* 4 {what}.*\n  hint   ids are not counted"
    ):
        function(np.array([0, -1]))
    for wrong in (np.array([1.0]), np.array([True])):
        with pytest.raises(DtypeError, match=f"ids are integers, got dtype {wrong.dtype}\n.*astype"):
            function(wrong)


def test_tables_without_rows_and_counts_that_are_none_are_refused():
    with pytest.raises(IndexingError, match="id 0 .* outside of the 0 rows of the weight$"):
        tn.embedding(np.ones((0, 2)), np.array([0]))
    with pytest.raises(ShapeError, match=r"got shape \(\)"):
        tn.embedding(np.ones(()), np.array([0]))
    for count in (-1, 2.5):
        with pytest.raises(SettingError, match=f"num_classes is an integer from 0, got {count}"):
            tn.one_hot(np.array([0]), count)


def test_one_hot_has_the_dtype_that_is_asked_for():
    assert tn.one_hot(np.array([0, 2]), 3).dtype == np.float32
    np.testing.assert_array_equal(tn.one_hot(np.array([1]), 2, dtype=bool), [[False, True]])
    assert tn.one_hot(np.zeros((0, 2), int), 3).shape == (0, 2, 3)


def test_a_replay_looks_at_its_own_ids(backend):
    step = tn.value_and_grad(lambda weight, ids: (tn.embedding(weight, ids) ** 2).sum())
    compiled = tn.compile(step, backend)
    weight = np.random.default_rng(0).normal(size=(5, 2))
    for ids in ([0, 1, 1], [4, 4, 4], [2, 3, 0]):
        for found, expected in zip(compiled(weight, np.array(ids)), step(weight, np.array(ids)), strict=True):
            np.testing.assert_allclose(found.data, expected.data, rtol=1e-12)
    for wrong in (5, -1):
        with pytest.raises(IndexingError, match=f"id {wrong} at position 2"):
            compiled(weight, np.array([0, 1, wrong]))
