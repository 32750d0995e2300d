"""784-50-10 with gradients by finite differences, all of them, against autodiff.

Perturbing one weight changes one column of one layer, so a central difference does not need the whole forward
pass: of the first layer only the pre-activation of one hidden unit moves, by h times one pixel, and only in
the images in which that pixel is not blank. What is computed is still (loss(w + h) - loss(w - h)) / 2h for
every single weight; the terms that cannot change are left out of both losses, where they cancel.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import tinygrad_nn as tn
from systems.report import Report
from tinygrad_nn import nn, optim
from tinygrad_nn.nn.init import normal

TITLE = "784-50-10, finite differences of all 39,760 parameters, 100 updates in batches of 100"

H = 1e-4
TINY = 1e-7
Gradients = list[np.ndarray]


def network() -> nn.Sequential:
    rng = np.random.default_rng(0)
    sizes = {"init": normal(0.01), "rng": rng, "dtype": np.float64}
    return nn.Sequential(nn.Dense(784, 50, **sizes), nn.Sigmoid(), nn.Dense(50, 10, **sizes))


def loss_of(logits: tn.Tensor, labels: Any) -> tn.Tensor:
    """The tutorial's loss, -mean(log(p[label] + 1e-7))."""
    chosen = tn.softmax(logits)[np.arange(len(labels)), labels]
    return -np.log(chosen + TINY).mean()


def by_autodiff(model: nn.Sequential, x: Any, labels: Any) -> Gradients:
    return [g.data for g in tn.gradients(loss_of(model(x), labels), model.parameters())]


def by_differences(model: nn.Sequential, x: Any, labels: Any) -> Gradients:
    """Central differences of every parameter, as described above."""
    W1, b1, W2, b2 = (parameter.data for parameter in model.parameters())
    x = x.astype(np.float64)
    count = len(x)
    before = x @ W1 + b1
    hidden = tn.sigmoid(before)
    logits = hidden @ W2 + b2

    # a bias is the weight of an input that is always 1
    inputs = np.concatenate([x, np.ones((count, 1))], axis=1)
    image, pixel = np.nonzero(inputs)
    moved = H * inputs[image, pixel]
    first = np.empty((inputs.shape[1], W1.shape[1]))
    at, chosen = np.ascontiguousarray(logits[image].T), labels[image]
    for unit in range(W1.shape[1]):
        sides = []
        for sign in (1, -1):
            change = tn.sigmoid(before[image, unit] + sign * moved) - hidden[image, unit]
            sides.append(row_losses(at + W2[unit][:, None] * change, chosen))
        first[:, unit] = np.bincount(pixel, sides[0] - sides[1], minlength=len(first))

    units = np.concatenate([hidden, np.ones((count, 1))], axis=1)
    second = np.empty((units.shape[1], W2.shape[1]))
    spread, repeated = np.repeat(logits.T, units.shape[1], axis=1), np.repeat(labels, units.shape[1])
    for target in range(W2.shape[1]):
        sides = []
        for sign in (1, -1):
            changed = spread.copy()
            changed[target] += sign * H * units.ravel()
            sides.append(row_losses(changed, repeated))
        second[:, target] = (sides[0] - sides[1]).reshape(units.shape).sum(axis=0)

    first, second = first / (2 * H * count), second / (2 * H * count)
    return [first[:-1], first[-1], second[:-1], second[-1]]


def row_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The loss of every column of logits, of shape (classes, columns)."""
    e = np.exp(logits - logits.max(axis=0))
    return -np.log(e[labels, np.arange(len(labels))] / e.sum(axis=0) + TINY)


def by_whole_passes(model: nn.Sequential, x: Any, labels: Any, places: list[tuple[int, int]]) -> np.ndarray:
    """Central differences of a few parameters by whole forward passes, to check the short cut."""
    found = []
    for which, place in places:
        values = model.parameters()[which].data.ravel()
        kept, sides = values[place], []
        for sign in (1, -1):
            values[place] = kept + sign * H
            with tn.no_grad():
                sides.append(loss_of(model(x), labels).item())
        values[place] = kept
        found.append((sides[0] - sides[1]) / (2 * H))
    return np.array(found)


def largest_relative_error(found: Gradients, wanted: Gradients) -> float:
    """The largest |a - b| / max(|a|, |b|) of entries that rounding of the losses does not drown."""
    a, b = (np.concatenate([g.ravel() for g in gradients]) for gradients in (found, wanted))
    size = np.maximum(np.abs(a), np.abs(b))
    counted = size > 1e-6
    return float(np.max(np.abs(a - b)[counted] / size[counted]))


def train(method: Any, batches: list[Any], data: tn.data.Mnist) -> dict[str, Any]:
    """Train by gradients from `method`; return the curves, the gradients' errors and the time they took."""
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    result: dict[str, Any] = {
        "loss": [],
        "train": [],
        "test": [],
        "seconds": 0.0,
        "error": [],
        "model": model,
    }
    for k, (x, labels) in enumerate(batches):
        start = time.perf_counter()
        gradients = method(model, x, labels)
        result["seconds"] += time.perf_counter() - start
        if method is not by_autodiff:
            result["error"].append(largest_relative_error(gradients, by_autodiff(model, x, labels)))
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        with tn.no_grad():
            result["loss"].append(loss_of(model(x), labels).item())
        for name, images, answers in (
            ("train", data.x_train, data.y_train),
            ("test", data.x_test, data.y_test),
        ):
            result[name].append(tn.train.accuracy(tn.train.predict(model, images), answers))
        if method is not by_autodiff:
            latest = [result[name][-1] for name in ("loss", "train", "test")]
            print("[iter={}] train_loss={:.6f}, train_acc={:.4f}, test_acc={:.4f}".format(k + 1, *latest))
    return result


def run(report: Report) -> None:
    data = tn.data.mnist()
    stream = tn.data.batches_with_replacement(data.x_train, data.y_train, size=100, rng=0)
    batches = [next(stream) for _ in range(3 if report.quick else 100)]
    numerical = train(by_differences, batches, data)
    autodiff = train(by_autodiff, batches, data)

    model, (x, labels) = network(), batches[0]
    rng = np.random.default_rng(1)
    places = [
        (which, int(rng.integers(p.size))) for which, p in enumerate(model.parameters()) for _ in range(100)
    ]
    start = time.perf_counter()
    whole = by_whole_passes(model, x, labels, places)
    whole_pass = (time.perf_counter() - start) / (2 * len(places))
    short = by_differences(model, x, labels)
    agreed = np.max(np.abs(whole - [short[which].ravel()[place] for which, place in places]))

    report.value("test accuracy after the last update", numerical["test"][-1], 0.84, band=(0.80, 0.88))
    report.value("the same with autodiff", autodiff["test"][-1], 0.84, band=(0.80, 0.88))
    error = max(numerical["error"])
    report.check("largest relative error of a gradient", error < 1e-4, f"{error:.1e}", "below 1e-4")
    apart = max(
        np.max(np.abs(np.subtract(numerical[name], autodiff[name]))) for name in ("loss", "train", "test")
    )
    report.check("largest distance of the curves", apart < 1e-3, f"{apart:.1e}", "below 1e-3")
    report.check("short cut against whole passes", agreed < 1e-9, f"{agreed:.1e}", "below 1e-9")
    report.time(f"{len(batches)} numerical gradients", numerical["seconds"], "75:00 min")
    report.time(f"{len(batches)} gradients by autodiff", autodiff["seconds"], "")
    ratio = numerical["seconds"] / autodiff["seconds"]
    report.value("cost ratio, with the short cut", ratio, digits=0)
    naive = whole_pass * 2 * sum(p.size for p in model.parameters())
    report.value("cost ratio, with 79,520 whole passes", naive * len(batches) / autodiff["seconds"], digits=0)
    report.note(
        "Every weight is perturbed on its own, both ways, in each update; one of the first layer\n"
        "moves one hidden unit in the images whose pixel is not blank, and only that is computed again."
    )
    draw(report, numerical, autodiff)


def draw(report: Report, numerical: dict[str, Any], autodiff: dict[str, Any]) -> None:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    updates = range(1, len(numerical["test"]) + 1)
    blue, red = tn.plot.COLORS[:2]
    for name, color in (("train", blue), ("test", red)):
        left.plot(
            updates, numerical[name], color=color, alpha=0.35, linewidth=5, label=f"{name}, differences"
        )
        left.plot(updates, autodiff[name], color=color, linewidth=1.2, label=f"{name}, autodiff")
    left.set(xlabel="update", ylabel="accuracy", ylim=(0, 1))
    left.legend(frameon=False, loc="lower right")
    right.semilogy(updates, numerical["error"], color=blue)
    right.set(xlabel="update", ylabel="largest relative error of the gradient")
    for ax in (left, right):
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    report.figure("accuracy", figure)
    report.figure("weights", tn.plot.weights(numerical["model"][0], columns=10).figure)
