"""PyTorch as an oracle for convolutions and pools: values, gradients and second derivatives in random settings."""

from functools import partial

import numpy as np
import pytest

import tinygrad_nn as tn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinygrad_nn[oracle]'")
F = torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore")  # what the oracle warns of is its own affair

SETTINGS = 450
"""So many of convolutions, as many of transposed ones, and half of it of each pool."""
RELATIVE = 1e-10


def to_torch(x):
    """Put the channels of (N, *space, C) second."""
    return torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)


def weights_to_torch(w):
    """Turn (*kernel, in, out) into (out, in, *kernel)."""
    return torch.tensor(np.moveaxis(w, (-1, -2), (0, 1)).copy(), requires_grad=True)


def from_torch(x):
    return np.moveaxis(x.detach().numpy(), 1, -1)


def weights_from_torch(w):
    return np.moveaxis(w.detach().numpy(), (0, 1), (-1, -2))


def as_it_is(x):
    return x.detach().numpy()


def assert_close(found, expected, what):
    assert found.shape == expected.shape, what
    scale = max(1e-30, np.abs(expected).max(initial=0.0))
    assert np.abs(found - expected).max(initial=0.0) <= RELATIVE * scale, what


def compare(ours, theirs, operands, there, back, what):
    """Compare the result, the gradients of a sum of its cubes, and those of a sum of their squares and cubes."""
    leaves = [tn.tensor(x, requires_grad=True) for x in operands]
    y = ours(*leaves)
    others = [turn(x) for turn, x in zip(there, operands, strict=True)]
    z = theirs(*others)
    assert_close(y.data, from_torch(z), f"{what}: value")
    first = tn.gradients((y * y * y).sum(), leaves, create_graph=True)
    first_there = torch.autograd.grad((z**3).sum(), others, create_graph=True)
    second = tn.gradients(
        sum(((g * g).sum() + (g * g * g).sum() for g in first), tn.tensor(np.zeros(()))), leaves
    )
    second_there = torch.autograd.grad(sum((g**2).sum() + (g**3).sum() for g in first_there), others)
    for k, turn in enumerate(back):
        assert_close(first[k].data, turn(first_there[k]), f"{what}: gradient of operand {k}")
        assert_close(second[k].data, turn(second_there[k]), f"{what}: second derivative of operand {k}")


def integers(rng, count, low, high):
    return tuple(rng.integers(low, high, count).tolist())


def draw(rng, transposed=False):
    """Return shapes and settings of a convolution, of which some are of no samples."""
    while True:
        rank = int(rng.integers(1, 4))
        several = partial(integers, rng, rank)
        kernel, stride, dilation, padding = several(1, 4), several(1, 4), several(1, 3), several(0, 3)
        space = several(1, (14, 9, 6)[rank - 1])
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        c, o = (int(n) for n in rng.integers(1, 4, 2))
        if rng.random() < 0.15:
            c, groups = 1, int(rng.integers(2, 5))
        extra = tuple(int(rng.integers(0, s)) for s in stride)
        samples = int(rng.choice([0, 1, 2, 3], p=[0.04, 0.32, 0.32, 0.32]))
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        ends = zip(space, kernel, stride, padding, dilation, extra, strict=True)
        if transposed:
            fits = all((n - 1) * s - 2 * p + d * (k - 1) + e > 0 for n, k, s, p, d, e in ends)
        else:
            fits = all(n + 2 * p - d * (k - 1) > 0 for n, k, s, p, d, e in ends)
        if fits:
            channels = (o if transposed else c) * groups
            x = rng.normal(size=(samples, *space, channels))
            w = rng.normal(size=(*kernel, c, o * groups))
            return x, w, settings, extra


@pytest.mark.parametrize("seed", range(SETTINGS))
def test_convolutions_are_those_of_pytorch(seed):
    rng = np.random.default_rng([1, seed])
    x, w, settings, _ = draw(rng)
    function = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
    bias = rng.normal(size=w.shape[-1])
    compare(
        lambda x, w, b: tn.conv(x, w, b, **settings),
        lambda x, w, b: function(x, w, b, **settings),
        [x, w, bias],
        [to_torch, weights_to_torch, lambda b: torch.tensor(b, requires_grad=True)],
        [from_torch, weights_from_torch, as_it_is],
        f"{x.shape} {w.shape} {settings}",
    )


@pytest.mark.parametrize("seed", range(SETTINGS))
def test_transposed_convolutions_are_those_of_pytorch(seed):
    rng = np.random.default_rng([2, seed])
    x, w, settings, extra = draw(rng, transposed=True)
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[x.ndim - 3]
    bias = rng.normal(size=w.shape[-2] * settings["groups"])
    compare(
        lambda x, w, b: tn.conv_transpose(x, w, b, output_padding=extra, **settings),
        lambda x, w, b: function(x, w, b, output_padding=extra, **settings),
        [x, w, bias],
        [to_torch, weights_to_torch, lambda b: torch.tensor(b, requires_grad=True)],
        [from_torch, weights_from_torch, as_it_is],
        f"{x.shape} {w.shape} {settings} output_padding={extra}",
    )


@pytest.mark.parametrize("seed", range(60))
def test_padding_that_keeps_the_size_is_that_of_pytorch(seed):
    rng = np.random.default_rng([3, seed])
    rank = int(rng.integers(1, 4))
    kernel, dilation = rng.integers(1, 5, rank).tolist(), tuple(rng.integers(1, 3, rank).tolist())
    x, w = rng.normal(size=(2, *rng.integers(1, 8, rank), 2)), rng.normal(size=(*kernel, 2, 3))
    function = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    compare(
        lambda x, w: tn.conv(x, w, padding="same", dilation=dilation),
        lambda x, w: function(x, w, padding="same", dilation=dilation),
        [x, w],
        [to_torch, weights_to_torch],
        [from_torch, weights_from_torch],
        f"{x.shape} {w.shape} dilation={dilation}",
    )


def draw_pool(rng):
    while True:
        rank = int(rng.integers(1, 4))
        several = partial(integers, rng, rank)
        kernel, stride = several(1, 5), several(1, 4) if rng.random() < 0.7 else None
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        space = several(1, (16, 10, 7)[rank - 1])
        # PyTorch's three-dimensional pools take no batch of no samples, and no axis shorter than the window.
        samples = int(rng.choice([0, 1, 2], p=[0.04, 0.48, 0.48])) or int(rank == 3)
        if all(n + 2 * p * (rank < 3) >= k for n, p, k in zip(space, padding, kernel, strict=True)):
            return rng.normal(size=(samples, *space, int(rng.integers(1, 4)))), kernel, stride, padding


@pytest.mark.parametrize("seed", range(SETTINGS // 2))
def test_maximum_pools_are_those_of_pytorch(seed):
    rng = np.random.default_rng([4, seed])
    x, *settings = draw_pool(rng)
    if rng.random() < 0.5:
        # Of several largest elements the first gets the gradient.
        x = np.round(x)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[x.ndim - 3]
    compare(
        lambda x: tn.max_pool(x, *settings),
        lambda x: (
            function(x, *settings) if x.numel() else x.new_zeros(0, *empty_like(x, *settings)) + x.sum()
        ),
        [x],
        [to_torch],
        [from_torch],
        f"{x.shape} {settings}",
    )


def empty_like(x, kernel, stride, padding):
    stride = stride or kernel
    sizes = zip(x.shape[2:], kernel, stride, padding, strict=True)
    return (x.shape[1], *[(n + 2 * p - k) // s + 1 for n, k, s, p in sizes])


@pytest.mark.parametrize("seed", range(SETTINGS // 2))
def test_average_pools_are_those_of_pytorch(seed):
    rng = np.random.default_rng([5, seed])
    x, *settings = draw_pool(rng)
    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[x.ndim - 3]
    inclusive = bool(rng.integers(2))
    compare(
        lambda x: tn.avg_pool(x, *settings, count_include_pad=inclusive),
        lambda x: (
            function(x, *settings, count_include_pad=inclusive)
            if x.numel()
            else x.new_zeros(0, *empty_like(x, *settings)) + x.sum()
        ),
        [x],
        [to_torch],
        [from_torch],
        f"{x.shape} {settings} count_include_pad={inclusive}",
    )


@pytest.mark.parametrize("seed", range(60))
def test_sliding_windows_are_those_of_pytorch(seed):
    rng = np.random.default_rng([6, seed])
    x = rng.normal(size=tuple(rng.integers(3, 7, int(rng.integers(1, 4)))))
    axis, size = int(rng.integers(x.ndim)), int(rng.integers(1, 4))
    leaf, other = tn.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = np.lib.stride_tricks.sliding_window_view(leaf, size, axis), other.unfold(axis, size, 1)
    assert_close(y.data, as_it_is(z), "value")
    (y * y * y).sum().backward()
    (z**3).sum().backward()
    assert_close(leaf.grad, other.grad.numpy(), "gradient")


def test_of_nan_and_infinities_the_largest_is_that_of_pytorch():
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2))
    x[0, 1, 1] = np.nan
    x[1, 2:4, 2:4] = -np.inf
    x[1, 0, 0] = np.inf
    leaf, other = tn.tensor(x, requires_grad=True), to_torch(x)
    y, z = tn.max_pool(leaf, 2), F.max_pool2d(other, 2)
    np.testing.assert_array_equal(y.data, from_torch(z))
    g = np.random.default_rng(1).normal(size=y.shape)
    y.backward(g)
    z.backward(torch.tensor(np.moveaxis(g, -1, 1).copy()))
    np.testing.assert_array_equal(leaf.grad, from_torch(other.grad))
