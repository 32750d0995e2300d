"""784-625-10 against no hidden layer: 30,000 steps of plain gradient descent, with a plain loop."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import tinygrad_nn as tn
from systems.report import Report
from tinygrad_nn import nn, optim
from tinygrad_nn.nn.init import normal, zeros
from tinygrad_nn.nn.losses import cross_entropy

TITLE = "784-625-10 against 784-10, 30,000 steps in batches of 100 (496,885 and 7,850 parameters)"

Curve = dict[int, tuple[float, float]]


def train(model: nn.Module, x: Any, y: Any, steps: int) -> Curve:
    """Train; return accuracy and loss per image, of the batch just trained, every hundred steps."""
    optimizer = optim.SGD(model.parameters(), lr=0.001)
    curve = {}
    for step, (images, labels) in zip(
        range(steps), tn.data.batches_forever(x, y, size=100, rng=1), strict=False
    ):
        optimizer.zero_grad()
        loss = cross_entropy(model(images), labels, reduction="sum")
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            reached = tn.train.accuracy(tn.train.predict(model, images), labels)
            curve[step] = (reached, loss.item() / len(labels))
    return curve


def run(report: Report) -> None:
    data = tn.data.mnist()
    x, y = data.x_train[-55_000:], data.y_train[-55_000:]
    steps = 300 if report.quick else 30_000
    rng = np.random.default_rng(0)
    models = {
        "no hidden layer": nn.Sequential(nn.Dense(784, 10, init=zeros())),
        "hidden layer": nn.Sequential(
            nn.Dense(784, 625, init=normal(0.05), rng=rng),
            nn.Sigmoid(),
            nn.Dense(625, 10, init=normal(0.05), rng=rng),
        ),
    }
    published = {
        "no hidden layer": (0.940, 0.922, 0.005, "0:44 min"),
        "hidden layer": (0.970, 0.966, 0.004, "8:23 min"),
    }
    curves = {}
    for name, model in models.items():
        start = time.perf_counter()
        curves[name] = train(model, x, y, steps)
        seconds = time.perf_counter() - start
        train_acc = tn.train.accuracy(tn.train.predict(model, x), y)
        test_acc = tn.train.accuracy(tn.train.predict(model, data.x_test), data.y_test)
        print(f"{name}: train accuracy {train_acc:.4f}, test accuracy {test_acc:.4f}, {seconds:.1f} s")
        last, test, width, time_taken = published[name]
        latest = float(np.mean([reached for reached, _ in list(curves[name].values())[-10:]]))
        report.value(f"{name}, last ten training batches", latest, last)
        report.value(f"{name}, all training images", train_acc)
        report.value(f"{name}, test accuracy", test_acc, test, band=(test - width, test + width))
        report.time(f"{name}, {steps:,} steps", seconds, time_taken)
    draw(report, curves, models, data)


def draw(
    report: Report, curves: dict[str, Curve], models: dict[str, nn.Sequential], data: tn.data.Mnist
) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for k, (ax, label) in enumerate(zip(axes, ("training accuracy", "training loss"), strict=True)):
        for color, (name, curve) in zip(tn.plot.COLORS, curves.items(), strict=False):
            values = np.array([point[k] for point in curve.values()])
            ax.plot(list(curve), values, color=color, alpha=0.25, linewidth=0.8)
            width = min(10, len(values))
            smooth = np.convolve(values, np.ones(width) / width, mode="valid")
            ax.plot(list(curve)[width - 1 :], smooth, color=color, linewidth=1.8, label=name)
        ax.set(xlabel="step", ylabel=label)
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(0.8, 1.0)
    axes[1].set_ylim(bottom=0)
    axes[0].legend(frameon=False)
    report.figure("curves", figure)
    report.figure("weights", tn.plot.weights(models["no hidden layer"][0], columns=5).figure)
    guesses = tn.train.predict(models["hidden layer"], data.x_test).argmax(axis=1)
    wrong = np.flatnonzero(guesses != data.y_test)[:20]
    ax = tn.plot.images(data.x_test[wrong], labels=data.y_test[wrong], predictions=guesses[wrong], columns=5)
    report.figure("wrong", ax.figure)
