"""PyTorch as an oracle: every loss with its weights, values, gradients and second derivatives, in float64."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.nn import losses

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinygrad_nn[oracle]'")
F = torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore")

SHAPES = [(4, 3), (1, 5), (7, 2), (2, 3, 4), (3, 1, 2), (2, 2, 3, 5)]
"""Of logits here; in PyTorch the classes come second."""


def classes_second(x):
    return x.movedim(-1, 1).contiguous()


def ours(loss, x, v):
    """Return value, gradient, and the product of the Hessian and v."""
    leaf = tn.tensor(x, requires_grad=True)
    y = loss(leaf)
    total = (y * np.cos(np.arange(y.size)).reshape(y.shape)).sum()
    (g,) = tn.gradients(total, [leaf], create_graph=True)
    again = (g * v).sum()
    second = tn.gradients(again, [leaf])[0].data if again.requires_grad else np.zeros_like(x)
    return y.data, g.data, second


def theirs(loss, x, v):
    leaf = torch.tensor(x, requires_grad=True)
    y = loss(leaf)
    total = (y * torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)).sum()
    (g,) = torch.autograd.grad(total, leaf, create_graph=True)
    second = torch.zeros_like(leaf)
    if g.requires_grad:
        second = torch.autograd.grad((g * torch.tensor(v)).sum(), leaf, allow_unused=True)[0]
        second = torch.zeros_like(leaf) if second is None else second
    return tuple(part.detach().numpy(force=True) for part in (y, g, second))


def agree(here, there, x, rng):
    v = rng.normal(size=x.shape)
    for name, a, b in zip(
        ("value", "gradient", "second"), ours(here, x, v), theirs(there, x, v), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13, err_msg=name)


def weighted(each, reduction, sample_weight, counts=None):
    """Reduce PyTorch's losses as the weighted mean that is meant here."""
    if sample_weight is None:
        sample_weight = np.ones(tuple(each.shape))
    weights = torch.tensor(
        sample_weight.reshape(sample_weight.shape + (1,) * (each.ndim - sample_weight.ndim))
    )
    weights = weights.expand(each.shape)
    total = weights * each
    if reduction == "none":
        return total
    counts = weights if counts is None else weights * counts
    return total.sum() / (counts.sum() if reduction == "mean" else 1)


def draw_sample_weight(rng, shape):
    ndim = rng.integers(1, len(shape) + 1)
    w = rng.random(shape[:ndim])
    w[rng.random(w.shape) < 0.2] = 0
    w.flat[0] = 0.5
    return w


@pytest.mark.parametrize("seed", range(150))
def test_cross_entropy_and_nll_of_labels(seed):
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    classes = shape[-1]
    x, labels = 2 * rng.normal(size=shape), rng.integers(classes, size=shape[:-1])
    options, both = {}, {"reduction": ("mean", "sum", "none")[rng.integers(3)]}
    if rng.random() < 0.6:
        options["weight"] = weight = rng.random(classes) * (rng.random(classes) < 0.8)
        weight[labels.flat[0]] = 1.5
    if rng.random() < 0.5:
        both["ignore_index"] = int(rng.choice([-100, 0, classes - 1]))
        kept = labels.flat[0]
        labels[rng.random(labels.shape) < 0.3] = both["ignore_index"]
        labels.flat[0] = kept if kept != both["ignore_index"] else (both["ignore_index"] + 1) % classes
        if "weight" in options:
            options["weight"][labels.flat[0]] = 1.5
    smoothing = {"label_smoothing": float(rng.random() * 0.3)} if rng.random() < 0.5 else {}
    there = {name: torch.tensor(value) for name, value in options.items()}
    flipped = torch.tensor(labels)
    agree(
        lambda z: losses.cross_entropy(z, labels, **options, **both, **smoothing),
        lambda z: F.cross_entropy(classes_second(z), flipped, **there, **both, **smoothing),
        x,
        rng,
    )
    agree(
        lambda z: losses.nll(tn.log_softmax(z), labels, **options, **both),
        lambda z: F.nll_loss(classes_second(F.log_softmax(z, -1)), flipped, **there, **both),
        x,
        rng,
    )


@pytest.mark.parametrize("seed", range(100))
def test_cross_entropy_of_labels_with_sample_weights(seed):
    rng = np.random.default_rng(1000 + seed)
    shape = SHAPES[seed % len(SHAPES)]
    classes = shape[-1]
    x, labels = 2 * rng.normal(size=shape), rng.integers(classes, size=shape[:-1])
    sample_weight = draw_sample_weight(rng, shape[:-1])
    reduction = ("mean", "sum", "none")[seed % 3]
    options, both = {}, {}
    if rng.random() < 0.6:
        options["weight"] = rng.random(classes) + 0.1
    if rng.random() < 0.5:
        both["ignore_index"] = -1
        labels[rng.random(labels.shape) < 0.3] = -1
        labels.flat[0] = 0
    if rng.random() < 0.5:
        both["label_smoothing"] = float(rng.random() * 0.3)
    flipped = torch.tensor(labels)
    counts = torch.tensor((labels != -1) * (options["weight"][labels] if options else 1.0))
    agree(
        lambda z: losses.cross_entropy(
            z, labels, **options, **both, sample_weight=sample_weight, reduction=reduction
        ),
        lambda z: weighted(
            F.cross_entropy(
                classes_second(z),
                flipped,
                **{name: torch.tensor(value) for name, value in options.items()},
                **both,
                reduction="none",
            ),
            reduction,
            sample_weight,
            counts,
        ),
        x,
        rng,
    )


@pytest.mark.parametrize("seed", range(100))
def test_cross_entropy_and_kl_divergence_of_probabilities(seed):
    rng = np.random.default_rng(2000 + seed)
    shape = SHAPES[seed % len(SHAPES)]
    x, shares = 2 * rng.normal(size=shape), rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    reduction = ("mean", "sum", "none")[seed % 3]
    options = {"weight": rng.random(shape[-1])} if rng.random() < 0.6 else {}
    there = {name: torch.tensor(value) for name, value in options.items()}
    smoothing = {"label_smoothing": float(rng.random() * 0.3)} if rng.random() < 0.5 else {}
    targets = torch.tensor(shares)
    agree(
        lambda z: losses.cross_entropy(z, shares, reduction=reduction, **options, **smoothing),
        lambda z: F.cross_entropy(
            classes_second(z), classes_second(targets), reduction=reduction, **there, **smoothing
        ),
        x,
        rng,
    )
    sample_weight = draw_sample_weight(rng, shape[:-1]) if rng.random() < 0.5 else None
    agree(
        lambda z: losses.kl_divergence(z, shares, reduction=reduction, sample_weight=sample_weight),
        lambda z: weighted(
            F.kl_div(F.log_softmax(z, -1), targets, reduction="none").sum(-1), reduction, sample_weight
        ),
        x,
        rng,
    )


@pytest.mark.parametrize("seed", range(100))
def test_binary_cross_entropy(seed):
    rng = np.random.default_rng(3000 + seed)
    shape = [(5,), (4, 1), (3, 4), (2, 3, 2)][seed % 4]
    x, targets = 3 * rng.normal(size=shape), rng.choice([0.0, 1.0, 0.3], size=shape)
    reduction = ("mean", "sum", "none")[seed % 3]
    pos_weight = [None, np.array(2.5), 3 * rng.random(shape[-1])][rng.integers(3)]
    sample_weight = draw_sample_weight(rng, shape) if rng.random() < 0.5 else None
    t = torch.tensor(targets)
    agree(
        lambda z: losses.binary_cross_entropy(
            z, targets, reduction=reduction, pos_weight=pos_weight, sample_weight=sample_weight
        ),
        lambda z: weighted(
            F.binary_cross_entropy_with_logits(
                z, t, reduction="none", pos_weight=None if pos_weight is None else torch.tensor(pos_weight)
            ),
            reduction,
            sample_weight,
        ),
        x,
        rng,
    )
    p = rng.uniform(0.05, 0.95, size=shape)
    agree(
        lambda z: losses.binary_cross_entropy_probabilities(
            z, targets, reduction=reduction, sample_weight=sample_weight
        ),
        lambda z: weighted(F.binary_cross_entropy(z, t, reduction="none"), reduction, sample_weight),
        p,
        rng,
    )


@pytest.mark.parametrize("seed", range(100))
def test_losses_of_differences(seed):
    rng = np.random.default_rng(4000 + seed)
    shape = [(5,), (4, 1), (3, 4), (2, 3, 2)][seed % 4]
    x, targets = rng.normal(size=shape), rng.normal(size=shape)
    reduction = ("mean", "sum", "none")[seed % 3]
    sample_weight = draw_sample_weight(rng, shape) if rng.random() < 0.7 else None
    t = torch.tensor(targets)
    for here, there in (
        (losses.mse, F.mse_loss),
        (losses.mae, F.l1_loss),
        (losses.huber, F.huber_loss),
    ):
        agree(
            lambda z, here=here: here(z, targets, reduction=reduction, sample_weight=sample_weight),
            lambda z, there=there: weighted(there(z, t, reduction="none"), reduction, sample_weight),
            x,
            rng,
        )
