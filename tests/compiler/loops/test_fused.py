"""Fused loops: operands that vary over some axes alone, rows of every length, reshaped results, sums by the way."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.ops.arithmetic import product
from tinygrad_nn.ops.batch_norm import scaled_columns

pytest.importorskip("numba")

RNG = np.random.default_rng(0)


def calls_of(compiled):
    (program,) = compiled.programs
    return [line.split("(")[0].strip() for line in program.text.splitlines()[1:-1]]


def check_one_loop(f, *arrays, rtol=1e-12):
    """Compare with NumPy, and see that nothing but loops is left."""
    compiled = tn.compile(f, "numba")
    expected = f(*map(tn.as_tensor, arrays))
    for _ in range(2):
        results = compiled(*arrays)
        for got, want in zip(np.atleast_1d(results), np.atleast_1d(expected), strict=True):
            np.testing.assert_allclose(got.data, want.data, rtol=rtol, atol=rtol)
            assert got.dtype == want.dtype
    assert calls_of(compiled) == ["loops"]


@pytest.mark.parametrize("shape", [(1, 3), (5, 1), (100, 7), (33, 16), (4, 600), (2, 3, 5), (70, 3, 3)])
def test_rows_of_every_length_take_a_column_a_row_and_one_number(shape):
    x = RNG.normal(size=shape)
    column, row, one = RNG.normal(size=shape[-1]), RNG.normal(size=(*shape[:-1], 1)), RNG.normal(size=1)
    check_one_loop(lambda x, c: x * c + x, x, column)
    check_one_loop(lambda x, c, r, one: (x - c) * r + one * x, x, column, row, one)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 3), (1, 2), (1, 2, 3), (0, 1, 2)])
def test_an_operand_may_vary_along_leading_axes_and_the_last(axes):
    x = RNG.normal(size=(2, 3, 4, 5))
    part = RNG.normal(size=[1 if k in axes else n for k, n in enumerate(x.shape)])
    compiled = tn.compile(lambda x, part: x * part - 1, "numba")
    np.testing.assert_allclose(compiled(x, part).data, x * part - 1, rtol=1e-12)
    # Others have gaps in the middle, or come back after them.
    assert (calls_of(compiled) == ["loops"]) == (axes in [(1,), (2,), (1, 2), (1, 2, 3), (0, 1, 2)][1:])


@pytest.mark.parametrize("width", [3, 60, 700])
@pytest.mark.parametrize("group", [64, 100])
def test_a_group_of_many_rows_shares_a_column_a_matrix_and_a_number(group, width):
    x, part, row = (
        RNG.normal(size=(3, group, width)),
        RNG.normal(size=(3, 1, width)),
        RNG.normal(size=(3, 1, 1)),
    )
    c, other = RNG.normal(size=(3, 3, width)), RNG.normal(size=(3, group, 1))
    check_one_loop(lambda x, part, row, c: scaled_columns(x * part, c) + row, x, part, row, c)
    check_one_loop(lambda x, part, row: x * part + row, x, part, other)
    bias = tn.tensor(RNG.normal(size=width), requires_grad=True)

    def step(x, part):
        bias.grad = None
        ((x + bias) * part).sum().backward()

    tn.compile(step, "numba")(x, part)
    np.testing.assert_allclose(bias.grad, part.sum((0, 1)) * group, rtol=1e-10, atol=1e-10)


def test_what_a_mean_gives_back_is_read_where_it_is():
    x = RNG.normal(size=(3, 4, 5, 6))

    def f(x):
        return tn.grad(lambda x: (tn.relu(x).mean((1, 2)) * x[:, 0, 0]).sum())(x)

    np.testing.assert_allclose(tn.compile(f, "numba")(x).data, f(tn.tensor(x)).data, rtol=1e-12)


def test_a_mask_counts_as_ones_and_zeros_among_floats():
    x = RNG.normal(size=(40, 6)).astype(np.float32)
    check_one_loop(lambda x: (x > 0) * x + (x < 1), x, rtol=1e-6)
    check_one_loop(lambda x: np.maximum(x > 0, x), x, rtol=1e-6)


def test_infinities_behind_a_mask_of_relu_are_gone():
    x, g = np.array([[-1.0, 2.0, np.nan, 3.0]]), np.array([[np.inf, 2.0, 1.0, np.inf]])
    with np.errstate(invalid="ignore"):
        check_one_loop(lambda x, g: product(x > 0, g), x, g)


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (1, 3, 5, 6)])
def test_reshaped_results_stay_in_the_loop(shape):
    x, c = RNG.normal(size=shape), RNG.normal(size=(3, 6))
    check_one_loop(lambda x, c: tn.relu(scaled_columns(x.reshape(-1, 6), c).reshape(shape)) + x, x, c)
    check_one_loop(lambda x: (np.exp(x).reshape(-1) * 2).reshape(shape) - 1, x)


def test_one_matrix_of_columns_serves_each_matrix_of_a_stack():
    x, c = RNG.normal(size=(4, 5, 6)), RNG.normal(size=(4, 3, 6))
    check_one_loop(lambda x, c: tn.relu(scaled_columns(x, c)) * 2, x, c)
    check_one_loop(lambda x, c: scaled_columns(x, c) + x, x[:1], c[:1])


def test_a_matrix_that_is_computed_is_not_read_before_it_is_whole():
    x, c = RNG.normal(size=(2, 3, 6))
    check_one_loop(lambda x, c: scaled_columns(x, c * 2 + 1), x, c)
    check_one_loop(lambda x: scaled_columns(x + 1, x * 2), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 3), (100, 2), (333, 6), (64, 16), (5, 700), (3, 4, 5, 7), (9000, 9)])
def test_columns_are_summed_by_the_way(shape, dtype):
    x = (RNG.normal(size=shape) + 100).astype(dtype)
    bias = tn.tensor(RNG.normal(size=shape[-1]).astype(dtype), requires_grad=True)

    def step(x, g):
        bias.grad = None
        (tn.relu(x + bias) * g).sum().backward()
        return x[:1] * 2

    g = RNG.normal(size=shape).astype(dtype)
    compiled = tn.compile(step, "numba")
    compiled(x, g)
    got = np.array(bias.grad)
    assert not any("sum_to" in call for call in calls_of(compiled))
    np.testing.assert_allclose(got, g.reshape(-1, shape[-1]).sum(0, np.float64), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(("before", "after"), [((8, 3), (4, 6)), ((4, 6), (8, 3)), ((600, 4), (6, 100, 4))])
def test_columns_of_a_reshaped_result_are_summed_with_the_length_that_they_have(before, after):
    x, g = RNG.normal(size=before), RNG.normal(size=after)
    bias = tn.tensor(RNG.normal(size=before[-1]), requires_grad=True)

    def step(x, g):
        bias.grad = None
        (np.tanh((x + bias).reshape(after)) * g).sum().backward()

    step(x, g)
    expected = np.array(bias.grad)
    tn.compile(step, "numba")(x, g)
    np.testing.assert_allclose(bias.grad, expected, rtol=1e-10)


def test_sums_of_many_rows_keep_the_digits_of_float32():
    x = np.full((200_000, 3), 0.1, np.float32)
    bias = tn.tensor(np.ones(3, np.float32), requires_grad=True)

    def step(x):
        bias.grad = None
        ((x + bias) * x).sum().backward()

    tn.compile(step, "numba")(x)
    np.testing.assert_allclose(bias.grad, 200_000 * np.float32(0.1), rtol=2e-6)
