"""Softmax, normalisation and their gradients over rows: compiled they are what they are eagerly, at the ends too."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.compiler.works.rows import _rows_of_mask
from tinygrad_nn.ops.activation import softmax_back
from tinygrad_nn.ops.attention import softmax_of_some
from tinygrad_nn.ops.embedding import embedding
from tinygrad_nn.ops.indexing import HOLE, scatter
from tinygrad_nn.ops.normalisation import means_of_rows, standardized, standardized_back

EVERY = pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-5), (np.float64, 1e-12)])
WIDTHS = (1, 3, 16, 37, 130)


def check(f, arrays, digits, backend="numba", works=1):
    """Compare a compiled function with the eager one, and how many of its lines are calls of compiled works."""
    compiled = tn.compile(lambda *xs: f(*xs), backend)
    with np.errstate(all="ignore"):
        expected = f(*map(tn.as_tensor, arrays)).data
        for _ in range(2):
            np.testing.assert_allclose(compiled(*arrays).data, expected, rtol=digits, atol=digits)
    if backend == "numba":
        assert compiled.programs[0].text.count("(0, ") == works


def rows(width, dtype, seed=0):
    """Return rows with numbers, and rows with everything else that there is."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 12, width)).astype(dtype)
    x[0, 0, 0], x[0, 1, -1], x[0, 2, width // 2] = np.nan, np.inf, -np.inf
    x[0, 3], x[0, 4], x[0, 5, width // 2] = -np.inf, 0, 1e4
    x[0, 6] = 300 + 0.5 * x[0, 6]
    return x


@EVERY
@pytest.mark.parametrize("width", WIDTHS)
def test_softmax_and_its_gradient(dtype, digits, width):
    pytest.importorskip("numba")
    x, a = rows(width, dtype), rows(width, dtype, seed=1)
    check(tn.softmax, [x], digits)
    check(lambda x: tn.softmax(x, axis=2), [x], digits)
    check(softmax_back, [a, x], digits)
    check(softmax_back, [np.zeros_like(a), x], digits)


@EVERY
@pytest.mark.parametrize(
    "shape", [(12, 5), (2, 3, 12, 5), (2, 1, 12, 5), (2, 1, 1, 5), (1, 3, 12, 5), (5,), (2, 3, 1, 5)]
)
def test_softmax_of_some_under_masks_that_vary_along_some_axes(dtype, digits, shape):
    pytest.importorskip("numba")
    x = np.stack([rows(5, dtype, seed) for seed in range(3)], axis=1)
    mask = np.random.default_rng(0).random(shape) < 0.6
    mask.reshape(-1, shape[-1])[:2] &= len(shape) == 1
    check(softmax_of_some, [x, mask], digits)


def test_rows_of_masks_are_found_by_two_numbers_or_not_at_all():
    shape = (2, 3, 4, 5)
    numbers = np.arange(24).reshape(2, 3, 4)
    for mask in [(4, 5), (2, 1, 4, 5), (1, 3, 4, 5), (2, 1, 1, 5), (5,), (2, 3, 4, 5), (2, 3, 1, 5)]:
        inner, period = _rows_of_mask(mask, shape)
        lead = np.arange(np.prod(mask[:-1], dtype=int)).reshape(mask[:-1])
        np.testing.assert_array_equal(
            numbers // period * inner + numbers % inner, np.broadcast_to(lead, (2, 3, 4))
        )
    for mask in [(), (4, 1), (1, 3, 1, 5)]:
        assert _rows_of_mask(mask, shape) is None


def test_masks_that_vary_otherwise_are_left_to_numpy():
    pytest.importorskip("numba")
    x = np.arange(120.0).reshape(2, 3, 4, 5) % 7
    for mask in (True, x[0, 0, :, :1] > 1, x[:1, :, :1] > 2):
        check(softmax_of_some, [x, np.asarray(mask)], 1e-12, works=0)


@EVERY
@pytest.mark.parametrize("width", WIDTHS)
def test_normalised_rows_and_their_gradient(dtype, digits, width):
    pytest.importorskip("numba")
    x, a, s = (
        rows(width, dtype),
        rows(width, dtype, seed=1),
        np.random.default_rng(2).random((2, 12, 1)).astype(dtype),
    )
    x[0, 6] = 0
    check(lambda x: standardized(x, 0.1), [x], digits)
    s[1, 3], s[1, 4] = np.inf, np.nan
    a[1, 3:5] = 0
    check(standardized_back, [a, x, s], 10 * digits)


@EVERY
def test_what_rows_were_multiplied_by_is_kept_and_not_computed_again(dtype, digits):
    pytest.importorskip("numba")
    layer = tn.nn.LayerNorm(40, dtype=dtype)
    x, g = np.random.default_rng(0).normal(2, 3, size=(2, 6, 40)).astype(dtype)

    def gradient(x, g):
        return tn.grad(lambda x: (layer(x) * g).sum())(x)

    compiled = tn.compile(gradient, "numba")
    np.testing.assert_allclose(compiled(x, g).data, gradient(x, g).data, rtol=digits, atol=digits)
    text = compiled.programs[0].text
    assert (text.count("standardized("), text.count("standardized_back(")) == (1, 1)
    assert "mean" not in text


def test_half_precision_views_and_nothing_are_left_to_numpy(backend):
    x = np.random.default_rng(0).normal(size=(6, 4))
    for y in (x.astype(np.float16), x[:0], x[:, :0], x.T, np.arange(24).reshape(6, 4)):
        digits = 2e-3 if y.dtype == np.float16 else 1e-12
        check(lambda x: tn.softmax(x), [y], digits, "numpy")
        check(lambda x: tn.softmax(x * 1, axis=0), [y], digits, "numpy")
        compiled = tn.compile(
            lambda x: (tn.softmax(x), softmax_back(x, x), softmax_of_some(x, x > 0)), backend
        )
        for found, expected in zip(
            compiled(y), (tn.softmax(y), softmax_back(y, y), softmax_of_some(y, y > 0)), strict=True
        ):
            np.testing.assert_allclose(found.data, expected, rtol=digits, atol=digits)


@EVERY
@pytest.mark.parametrize("width", [2, 16, 37, 130])
def test_sums_means_and_extremes_of_rows(dtype, digits, width):
    pytest.importorskip("numba")
    x = rows(width, dtype)
    for f in (np.sum, np.mean, np.max, np.min):
        check(lambda x, f=f: f(x, axis=-1, keepdims=True), [x], digits)
        check(lambda x, f=f: f(x, axis=2), [x], digits)
    check(means_of_rows, [x], digits)


def test_other_reductions_are_left_to_numpy():
    pytest.importorskip("numba")
    x = np.random.default_rng(0).normal(size=(3, 5000))
    for y in (x, x[:, 0], x[:, :0], np.arange(6).reshape(2, 3)):
        check(lambda y: np.sum(y, axis=-1), [y], 1e-12, works=0)
        check(lambda y: np.sum(y, axis=0), [y], 1e-12, works=int(y is x))
    for reduced in (np.sum, np.mean, np.max, np.min):
        check(reduced, [x[:, :5].copy()], 1e-12, works=0)


def added(g, ids, shape):
    return scatter(g, ids, index=(HOLE,), shape=shape)


@EVERY
@pytest.mark.parametrize("ids_dtype", [np.int64, np.uint8, np.int32])
@pytest.mark.parametrize("shape", [(6, 5), (5, 2, 3), (5,), (7000, 20)])
def test_rows_are_added_where_integers_say_some_columns_at_a_time(dtype, digits, ids_dtype, shape):
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    ids = rng.integers(-5 if np.dtype(ids_dtype).kind == "i" else 0, 5, size=(4, 9)).astype(ids_dtype)
    g = rng.normal(size=(4, 9, *shape[1:])).astype(dtype)
    check(lambda g, ids: added(g, ids, shape), [g, ids], digits)


def test_many_rows_for_one_place_add_up_in_double_precision():
    pytest.importorskip("numba")
    g, ids = np.full((300_000, 2), 0.1, np.float32), np.zeros(300_000, int)
    total = tn.compile(lambda g, ids: added(g, ids, (1, 2)), "numba")(g, ids)
    np.testing.assert_allclose(total.data, 300_000 * np.float64(np.float32(0.1)), rtol=1e-7)


def test_places_that_are_not_there_are_refused_and_write_nothing(backend):
    compiled = tn.compile(lambda g, ids: added(g, ids, (3, 2)), backend)
    compiled(np.ones((2, 2)), np.array([0, 2]))
    for wrong in ([0, 3], [-4, 0]):
        with pytest.raises(IndexError):
            compiled(np.ones((2, 2)), np.array(wrong))
    np.testing.assert_array_equal(compiled(np.ones((2, 2)), np.array([-1, 2])).data, [[0, 0], [0, 0], [2, 2]])


@pytest.mark.parametrize(
    ("shape", "index", "ids"),
    [
        ((10_000, 9), (HOLE,), [[1, 2], [3, 9_999]]),
        ((3, 4), (slice(None), HOLE), [1, 3, 3]),
        ((0, 2), (HOLE,), []),
    ],
)
def test_large_tables_other_axes_and_nothing_are_left_to_numpy(shape, index, ids):
    pytest.importorskip("numba")
    ids = np.array(ids, int)
    g = np.ones(shape)[tuple(ids if part is HOLE else part for part in index)]
    check(lambda g, ids: scatter(g, ids, index=index, shape=shape), [g, ids], 1e-12, works=0)


@pytest.mark.parametrize("mask", [True, False])
def test_what_a_mask_picks_from_a_number_is_added_to_it(backend, mask):
    compiled = tn.compile(lambda g, mask: scatter(g, mask, index=(HOLE,), shape=()), backend)
    for _ in range(2):
        np.testing.assert_array_equal(compiled(np.full(int(mask), 3.0), np.array(mask)).data, 3.0 * mask)


def test_slices_are_written_into_zeros(backend):
    g = np.arange(6.0).reshape(3, 2)
    compiled = tn.compile(lambda g: scatter(g, index=(slice(None), slice(1, 3)), shape=(3, 4)), backend)
    for _ in range(2):
        np.testing.assert_array_equal(compiled(g).data, np.pad(g, ((0, 0), (1, 1))))


def test_ids_of_an_embedding_are_looked_at_on_every_call(backend):
    compiled = tn.compile(lambda weight, ids: embedding(weight, ids), backend)
    weight = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(compiled(weight, np.array([[2, 0]])).data, weight[[[2, 0]]])
    for wrong in ([[1, 3]], [[-1, 0]]):
        with pytest.raises(tn.errors.IndexingError, match="embedding: id"):
            compiled(weight, np.array(wrong))
