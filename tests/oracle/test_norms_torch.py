"""PyTorch as an oracle of normalisation, running extremes and resizing: random settings, second derivatives too."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.oracle.compare import TOLERANCE
from tinygrad_nn import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinygrad_nn[oracle]'")
F = torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore")  # what the oracle warns of is its own affair


def assert_close(found, expected, what):
    expected = np.asarray(expected)
    assert found.shape == expected.shape, what
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    assert float(np.abs(found - expected).max(initial=0)) <= TOLERANCE * scale, what


def compare(ours, theirs, arrays, rng, what):
    """Compare value, gradients, and the gradients of the gradients along random directions."""
    a = [tn.tensor(x, requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, z = ours(*a), theirs(*b)
    assert_close(y.data, z.detach(), f"value of {what}")
    g = rng.normal(size=y.shape)
    first = tn.gradients(y, a, cotangent=tn.as_tensor(g), create_graph=True)
    other = torch.autograd.grad(z, b, torch.tensor(g), create_graph=True, materialize_grads=True)
    for p, q in zip(first, other, strict=True):
        assert_close(p.data, q.detach(), f"gradient of {what}")
    directions = [rng.normal(size=p.shape) for p in first]
    s = sum(((p * d).sum() for p, d in zip(first, directions, strict=True)), tn.tensor(np.zeros(())))
    t = sum((q * torch.tensor(d)).sum() for q, d in zip(other, directions, strict=True))
    if not s.requires_grad:
        # Of a linear function there is no second derivative.
        assert not any(
            np.any(h.numpy())
            for h in (
                torch.autograd.grad(t, b, allow_unused=True, materialize_grads=True)
                if t.requires_grad
                else ()
            )
        ), what
        return
    second = torch.autograd.grad(t, b, allow_unused=True, materialize_grads=True)
    for p, q in zip(tn.gradients(s, a), second, strict=True):
        assert_close(p.data, q, f"second derivative of {what}")


def shape_of(rng, channels):
    rank = int(rng.integers(0, 4))
    return (int(rng.integers(2, 5)), *rng.integers(1, 5, rank).tolist(), channels)


def first(x):
    return torch.movedim(x, -1, 1)


def last(x):
    return torch.movedim(x, 1, -1)


@pytest.mark.parametrize("seed", range(120))
def test_batch_norm(seed):
    rng = np.random.default_rng(seed)
    channels, eps = int(rng.integers(1, 6)), float(rng.choice([1e-5, 1e-3, 0.1]))
    shape = shape_of(rng, channels)
    x = rng.normal(rng.normal(), rng.uniform(0.5, 3), shape)
    w, b, mean = rng.normal(size=(3, channels))
    var = rng.uniform(0.2, 3, channels)
    what = f"batch_norm {shape} eps={eps}"
    compare(
        lambda x, w, b: tn.batch_norm(x, w, b, eps=eps),
        lambda x, w, b: last(F.batch_norm(first(x), None, None, w, b, True, 0.1, eps)),
        [x, w, b],
        rng,
        what,
    )
    compare(
        lambda x, w, b: tn.batch_norm(x, w, b, mean, var, eps=eps),
        lambda x, w, b: last(
            F.batch_norm(first(x), torch.tensor(mean), torch.tensor(var), w, b, False, 0.1, eps)
        ),
        [x, w, b],
        rng,
        f"{what} with averages",
    )


@pytest.mark.parametrize("seed", range(40))
def test_running_averages_over_steps_and_both_modes(seed):
    rng = np.random.default_rng(seed)
    channels, momentum = int(rng.integers(1, 6)), float(rng.choice([0.1, 0.5, 0.0, 1.0]))
    shape = shape_of(rng, channels)
    layer = nn.BatchNorm(channels, momentum=momentum, dtype=np.float64)
    kind = {
        2: torch.nn.BatchNorm1d,
        3: torch.nn.BatchNorm1d,
        4: torch.nn.BatchNorm2d,
        5: torch.nn.BatchNorm3d,
    }
    oracle = kind[len(shape)](channels, momentum=momentum, dtype=torch.float64)
    for step in range(6):
        training = step != 3
        layer.train(training)
        oracle.train(training)
        x = rng.normal(step, 1 + step, shape)
        assert_close(layer(x).data, last(oracle(first(torch.tensor(x)))).detach(), f"step {step}")
        assert_close(layer.running_mean, oracle.running_mean, f"mean after step {step}")
        assert_close(layer.running_var, oracle.running_var, f"variance after step {step}")


@pytest.mark.parametrize("seed", range(120))
def test_group_norm(seed):
    rng = np.random.default_rng(seed)
    groups, size = rng.integers(1, 5, 2).tolist()
    # A group of one value has no variance.
    channels, eps = groups * (size + 1), float(rng.choice([1e-5, 1e-3, 0.1]))
    shape = shape_of(rng, channels)
    compare(
        lambda x, w, b: tn.group_norm(x, groups, w, b, eps=eps),
        lambda x, w, b: last(F.group_norm(first(x), groups, w, b, eps)),
        [rng.normal(1, 2, shape), rng.normal(size=channels), rng.normal(size=channels)],
        rng,
        f"group_norm {shape} groups={groups} eps={eps}",
    )


@pytest.mark.parametrize("seed", range(80))
def test_running_extremes_and_sums_of_exponentials(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, int(rng.integers(1, 4))).tolist())
    axis = int(rng.integers(-len(shape), len(shape)))
    # No ties: of these PyTorch takes the last.
    x = 3 * rng.normal(size=shape)
    for name, ours, theirs in (
        ("maximum", lambda x: np.maximum.accumulate(x, axis), lambda x: torch.cummax(x, axis).values),
        ("minimum", lambda x: np.minimum.accumulate(x, axis), lambda x: torch.cummin(x, axis).values),
        ("cumlogsumexp", lambda x: tn.cumlogsumexp(x, axis=axis), lambda x: torch.logcumsumexp(x, axis)),
    ):
        compare(ours, theirs, [x], rng, f"{name} {shape} axis={axis}")


def in_floating_point(n, m):
    """Tell whether PyTorch's nearest places, computed in float32, are the whole numbers."""
    k = np.arange(m)
    return np.array_equal(np.floor(np.float32(k) * (np.float32(n) / np.float32(m))).astype(int), k * n // m)


@pytest.mark.parametrize("seed", range(120))
def test_resize(seed):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    space, size = rng.integers(1, 7, (2, rank)).tolist()
    x = rng.normal(size=(int(rng.integers(1, 3)), *space, int(rng.integers(1, 4))))
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
    what = f"{space} to {size}"
    compare(
        lambda x: tn.resize(x, size, mode="linear"),
        lambda x: last(F.interpolate(first(x), size, mode=linear, align_corners=False)),
        [x],
        rng,
        f"linear {what}",
    )
    if all(map(in_floating_point, space, size)):
        compare(
            lambda x: tn.resize(x, size),
            lambda x: last(F.interpolate(first(x), size, mode="nearest")),
            [x],
            rng,
            f"nearest {what}",
        )


def test_nearly_all_nearest_places_are_compared():
    agree = [in_floating_point(n, m) for n in range(1, 7) for m in range(1, 7)]
    assert np.mean(agree) > 0.9


@pytest.mark.parametrize("seed", range(20))
def test_dropout_with_the_same_mask(seed):
    rng = np.random.default_rng(seed)
    x, p = rng.normal(size=(3, 4)), float(rng.uniform(0.05, 0.95))
    mask = torch.tensor(tn.keep_mask(x, p=p, rng=np.random.default_rng(seed)))
    assert set(np.unique(mask)) <= {0.0, 1 / (1 - p)}
    compare(
        lambda x: tn.dropout(x * x, p, rng=np.random.default_rng(seed)),
        lambda x: x * x * mask,
        [x],
        rng,
        f"p={p}",
    )
