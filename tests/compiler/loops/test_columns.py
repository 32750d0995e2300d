"""Columns of matrices in compiled steps: moments and sums to the last digits, pieces of them, normalisation."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.ops.batch_norm import column_moments, column_products

pytest.importorskip("numba")

from tinygrad_nn.compiler.loops import columns

RNG = np.random.default_rng(0)

# Few and many rows and columns, lines of several rows with some left over, stacks, one row.
SHAPES = [(5, 3), (1000, 7), (257, 64), (3000, 40), (40, 9000), (1, 20), (3, 50, 6), (2, 3, 33, 4)]


def calls_of(compiled):
    (program,) = compiled.programs
    return [line.split("(")[0].strip() for line in program.text.splitlines()[1:-1]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_moments_and_products_are_right_to_the_last_digits(shape, dtype):
    a, b = (RNG.normal(size=(2, *shape)) * 3 + 40).astype(dtype)
    row = b[..., :1, :] * 0 + 39
    compiled = tn.compile(lambda a, b, c: (column_moments(a), column_products(a, b, c)), "numba")
    moments, products = (t.data for t in compiled(a, b, row))
    assert calls_of(compiled) == ["column_moments", "column_products"]
    x, y = a.astype(np.float64), b.astype(np.float64)
    digits = 3e-7 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(moments[..., 0, :], x.mean(-2), rtol=digits)
    np.testing.assert_allclose(moments[..., 1, :], x.var(-2), rtol=2e-5 if dtype == np.float32 else 1e-11)
    np.testing.assert_allclose(products[..., 0, :], (x * (y - 39)).sum(-2), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(products[..., 1, :], x.sum(-2), rtol=digits)
    assert moments.dtype == products.dtype == dtype


def test_float32_keeps_the_variance_of_numbers_that_are_far_from_zero_or_begin_with_others():
    x = (RNG.normal(size=(5000, 8)) + 10_000).astype(np.float32)
    x[:50] = 0
    moments = tn.compile(column_moments, "numba")(x).data
    np.testing.assert_allclose(moments, [x.mean(0, np.float64), x.astype(np.float64).var(0)], rtol=1e-6)
    same = np.full((700, 3), 0.1, np.float32)
    np.testing.assert_array_equal(tn.compile(column_moments, "numba")(same).data, [same[0], same[0] * 0])


def test_pieces_of_columns_are_parts_of_the_whole():
    rows, channels, chunk = 300, 40, 16
    a, b = RNG.normal(size=(2, rows * channels))
    c, whole, parts = RNG.normal(size=channels), *np.empty((2, 2 * channels))
    sizes = rows, channels, chunk, channels
    for run, given in (columns.column_moments, (a,)), (columns.column_products, (a, b, c)):
        run(0, 3, *given, whole, *sizes)
        for k in (2, 0, 1):
            run(k, k + 1, *given, parts, *sizes)
        np.testing.assert_allclose(parts, whole, rtol=1e-12)
    columns.column_sums(0, 3, a, whole, *sizes, 2)
    columns.column_sums(1, 3, a, parts, *sizes, 2)
    np.testing.assert_allclose(parts[chunk:channels], whole[chunk:channels], rtol=1e-12)


@pytest.mark.parametrize("channels", [19, 31, 32, 64, 300])
def test_results_are_the_same_to_the_bit_for_any_number_of_threads(channels):
    a, b = RNG.normal(size=(2, 3000, channels)).astype(np.float32)
    row = b[:1].copy()

    def f(a, b, row):
        # What batch_norm and its gradient are made of, and a sum.
        return column_moments(a), column_products(a, b, row), np.mean(a, axis=0)

    expected = [y.data for y in tn.compile(f, "numba", threads=1)(a, b, row)]
    compiled = tn.compile(f, "numba", threads=3)
    # It tries each number of threads some times.
    for _ in range(3):
        for got, want in zip(compiled(a, b, row), expected, strict=True):
            np.testing.assert_array_equal(got.data, want)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [0, 1, (0, 1), (1, 2), (2, 1), -2, (0, 2), (2, 3), None, -1, ()])
def test_sums_and_means_over_any_axes(axis, keepdims):
    x = RNG.normal(size=(3, 4, 5, 6)).astype(np.float32)

    def f(x):
        return x.sum(axis, keepdims=keepdims), x.mean(axis, keepdims=keepdims)

    for got, want in zip(tn.compile(f, "numba")(x), f(tn.tensor(x)), strict=True):
        np.testing.assert_allclose(got.data, want.data, rtol=1e-5, atol=1e-6)


def test_a_single_number_is_summed_over_the_axis_that_it_does_not_have():
    x = RNG.normal(size=(3, 4))
    for axis in (0, -1):
        got = tn.compile(lambda x, axis=axis: np.mean(np.sum(np.sum(x), axis=axis), axis=axis), "numba")(x)
        np.testing.assert_allclose(got.data, x.sum(), rtol=1e-12)


def test_a_sum_of_float32_in_float64_and_of_integers_is_that_of_numpy():
    x = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(tn.compile(lambda x: x.sum(1), "numba")(x).data, x.sum(1))
    y = tn.compile(lambda x: np.sum(x, axis=1, dtype=np.float64), "numba")(x.astype(np.float32)).data
    assert y.dtype == np.float64


@pytest.mark.parametrize("size", [50, 3000])
def test_what_a_product_gives_back_to_a_bias_is_summed(size):
    x, w = RNG.normal(size=(size, 4)), RNG.normal(size=(4, 5))
    bias = tn.tensor(np.zeros(4), requires_grad=True)

    def step(x):
        bias.grad = None
        (((x + bias) @ w) ** 2).sum().backward()

    step(x)
    expected = np.array(bias.grad)
    tn.compile(step, "numba")(x)
    np.testing.assert_allclose(bias.grad, expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("norm", "walks"),
    [
        (nn.BatchNorm(6), ["column_moments", "loops", "sum", "loops", "column_products", "loops"]),
        (nn.GroupNorm(2, 6), None),
    ],
    ids=["batch", "group"],
)
def test_norm_residual_and_relu_are_two_walks_there_and_two_back(norm, walks):
    x = RNG.normal(size=(4, 5, 3, 6)).astype(np.float32)
    parameters = list(norm.parameters())
    optimizer = tn.optim.SGD(parameters, lr=0.0)

    def step(x):
        optimizer.zero_grad()
        loss = (tn.relu(norm(x) + x) * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    state = {key: np.array(value) for key, value in norm.state_dict().items()}
    loss = step(x).data
    gradients = [np.array(p.grad) for p in parameters]
    after = {key: np.array(value) for key, value in norm.state_dict().items()}
    norm.load_state_dict(state)
    compiled = tn.compile(step, "numba")
    np.testing.assert_allclose(compiled(x).data, loss, rtol=1e-5)
    for p, want in zip(parameters, gradients, strict=True):
        np.testing.assert_allclose(p.grad, want, rtol=1e-4, atol=1e-5)
    for key, want in after.items():
        np.testing.assert_allclose(norm.state_dict()[key], want, rtol=1e-5, atol=1e-7)
    if walks is not None:
        names = [name.rstrip("_0123456789") for name in calls_of(compiled) if "=" not in name]
        assert [name for name in names if name != "prepare"] == walks


def test_joining_rows_is_part_of_the_loops():
    x, y = RNG.normal(size=(2, 3, 4, 5))

    def f(x, y):
        return np.concatenate([x * 2, y[:, :1] + 1, x[:, :0]], axis=1) * 3

    compiled = tn.compile(f, "numba")
    np.testing.assert_allclose(compiled(x, y).data, f(x, y), rtol=1e-12)
    assert "concatenate" not in calls_of(compiled)
