"""Compiled convolutions and their adjoints: as the eager ones, for all settings; the rest is left to NumPy."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.convolutions import calls, settings
from tinygrad_nn.ops import convolution_kernels as kernels
from tinygrad_nn.ops.windows import Window

pytest.importorskip("numba")


def check(op, operands, params, *, alone=True):
    """Compare an op with the eager one; it is `alone` where compiled code does it from flat arrays."""
    compiled = tn.compile(lambda *arrays: op(*arrays, **params), "numba")
    expected = op(*map(tn.tensor, operands), **params).data
    found = [compiled(*operands).data for _ in "123"][-1]
    assert found.dtype == expected.dtype
    atol = 20 * np.finfo(expected.dtype).eps * max(1, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=f"{params}")
    assert ("(0, " in compiled.programs[0].text) == alone


@pytest.mark.parametrize("seed", range(25))
def test_convolutions_and_their_adjoints_are_the_eager_ones(seed):
    rng = np.random.default_rng(seed)
    for call in calls(rng, *settings(rng), "fd"[seed % 2]):
        check(*call)


SAME = Window((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))


@pytest.mark.parametrize(
    ("x", "w", "window", "groups"),
    [
        ((2, 70, 60, 16), (3, 3, 16, 3), SAME, 1),
        ((1, 60, 50, 24), (3, 3, 1, 24), SAME, 24),
        ((2, 3, 4, 128), (3, 3, 128, 130), SAME, 1),
        ((1, 3, 3, 200), (3, 3, 200, 100), SAME._replace(stride=(2, 2)), 1),
        ((1, 1, 1, 3), (1, 1, 3, 2), Window((1, 1), (10, 9), ((5, 0), (0, 6)), (1, 1)), 1),
        ((2, 5, 4, 3), (1, 1, 3, 9), Window((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)), 1),
        ((2, 3, 3, 12), (1, 2, 12, 5), Window((1, 2), (1, 1), ((2, 0), (1, 3)), (1, 1)), 1),
    ],
    ids=[
        "bands",
        "bands of channels",
        "many weights",
        "stride",
        "far apart",
        "single places",
        "much padding",
    ],
)
def test_large_and_odd_sizes_are_as_the_eager_ones(x, w, window, groups):
    for call in calls(np.random.default_rng(0), x, w, window, groups, "d"):
        check(*call)


@pytest.mark.parametrize(
    ("x", "w", "dtype"),
    [
        ((1, 3, 3, 3, 2), (2, 2, 2, 2, 3), "d"),
        ((1, 4, 4, 2), (3, 3, 2, 3), "e"),
        ((0, 4, 4, 2), (3, 3, 2, 3), "d"),
    ],
    ids=["three axes", "half precision", "no samples"],
)
def test_what_compiled_code_does_not_know_is_left_to_numpy(x, w, dtype):
    rank = len(x) - 2
    window = Window(w[:-2], (1,) * rank, ((1, 0),) * rank, (1,) * rank)
    for call in calls(np.random.default_rng(0), x, w, window, 1, dtype):
        check(*call, alone=False)


def test_views_are_read_where_they_are_whole():
    x, w = np.random.default_rng(0).normal(size=(2, 2, 5, 5, 4)), np.ones((3, 3, 4, 4))

    def first(x):
        return kernels.convolution(x[0], w, window=SAME, groups=1)

    def turned(x):
        return kernels.convolution(np.swapaxes(x[0], 1, 2), w, window=SAME, groups=1)

    for function in (first, turned):
        np.testing.assert_allclose(tn.compile(function, "numba")(x).data, function(tn.tensor(x)).data)


def test_numbers_that_are_none_reach_what_they_lie_under():
    x, w = np.zeros((1, 6, 6, 2)), np.ones((3, 3, 2, 20))
    x[0, 0, 0, 1], x[0, 5, 5, 0] = np.nan, np.inf
    step = tn.compile(lambda x: kernels.convolution(x, w, window=SAME, groups=1), "numba")
    np.testing.assert_array_equal(step(x).data, kernels.convolution.function(x, w, window=SAME, groups=1))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_relu_is_taken_while_results_are_at_hand(bias, groups):
    x_shape, w_shape = (2, 5, 6, 6), (3, 3, 6 // groups, 6)
    (_, plain, params), (_, biased, _), *_ = calls(
        np.random.default_rng(0), x_shape, w_shape, SAME, groups, "d"
    )
    operands, op = (biased, kernels.biased_convolution) if bias else (plain, kernels.convolution)
    operands[0][0, 0, 0, 0] = np.nan

    def step(*operands):
        return tn.relu(op(*operands, **params))

    compiled = tn.compile(step, "numba")
    np.testing.assert_allclose(compiled(*operands).data, step(*map(tn.tensor, operands)).data, atol=1e-12)
    assert f"{op.name}_relu(0, " in compiled.programs[0].text


@pytest.mark.parametrize(
    "step",
    [
        lambda y: (tn.relu(y), y),
        lambda y: tn.relu(y) + y,
        lambda y: tn.relu(y[:1]),
        lambda y: (y.sum(), tn.relu(y)),
        lambda y: tn.relu(y * 2),
    ],
)
def test_relu_is_left_alone_where_something_else_reads_what_it_reads(step):
    (op, operands, params), *_ = calls(
        np.random.default_rng(0), (2, 5, 3), (2, 3, 4), Window((2,), (1,), ((1, 1),), (1,)), 1, "d"
    )
    both = lambda x, w: step(op(x, w, **params))
    compiled = tn.compile(both, "numba")
    expected, found = both(*map(tn.tensor, operands)), compiled(*operands)
    for a, b in zip(*(y if isinstance(y, tuple) else (y,) for y in (found, expected)), strict=True):
        np.testing.assert_allclose(a.data, b.data, atol=1e-12)
    assert "_relu(" not in compiled.programs[0].text
