"""784-16-10 with Adam: `fit` and `evaluate`, ten epochs."""

from __future__ import annotations

import time

import numpy as np

import tinygrad_nn as tn
from systems.report import Report
from tinygrad_nn import nn, optim
from tinygrad_nn.nn.losses import cross_entropy

TITLE = "784-16-10, sigmoid, Adam, 10 epochs in batches of 1,000 (12,730 parameters)"

PUBLISHED = {1: (2.0619, 0.3990, 1.7701, 0.5962), 5: (0.9339, 0.8368, 0.8598, 0.8535),
             10: (0.5397, 0.8890, 0.5122, 0.8944)}  # fmt: skip
BANDS = {(10, "val_loss"): (0.48, 0.57), (10, "val_acc"): (0.885, 0.905)}


def run(report: Report) -> None:
    data = tn.data.mnist()
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Dense(784, 16, rng=rng), nn.Sigmoid(), nn.Dense(16, 10, rng=rng))
    print(model.summary((784,)))
    optimizer = optim.Adam(model.parameters(), lr=0.001, eps=1e-7)
    batches = tn.data.batches(data.x_train, data.y_train, size=1000, rng=rng)
    metrics = {"acc": tn.train.accuracy}
    start = time.perf_counter()
    history = tn.train.fit(
        model,
        cross_entropy,
        optimizer,
        batches,
        epochs=2 if report.quick else 10,
        validation=(data.x_test, data.y_test),
        metrics=metrics,
    )
    seconds = time.perf_counter() - start
    test = tn.train.evaluate(model, cross_entropy, (data.x_test, data.y_test), metrics=metrics)
    print(
        f"TEST loss: {test['loss']:.4f}\nTEST accuracy: {test['acc']:.4f}\nComputation time: {seconds:.3f} s"
    )
    for epoch, values in PUBLISHED.items():
        for name, value in zip(("loss", "acc", "val_loss", "val_acc"), values, strict=True):
            if epoch <= len(history):
                band = BANDS.get((epoch, name))
                report.value(f"epoch {epoch}, {name}", history[name][epoch - 1], value, band=band)
    report.time("training and validation", seconds, "2.40 s")
    draw(report, data, history)


def draw(report: Report, data: tn.data.Mnist, history: tn.train.History) -> None:
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(3, 3.3), layout="constrained")
    tn.plot.images(data.x_train[:1], ax=ax).set_title(f"label: {data.y_train[0]}")
    report.figure("digit", figure)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    history.plot("loss", "val_loss", ax=left)
    history.plot("acc", "val_acc", ax=right)
    report.figure("curves", figure)
