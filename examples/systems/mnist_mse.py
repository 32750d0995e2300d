"""784-100-10 with sigmoids and half the squared error, with a hand-written gradient that has two faults.

The tutorial's outputs are s = sigmoid(y W2 + b2), normalised to p = s / sum(s), and its loss is sum((p -
t)^2) / 2N. Of the error at the second layer it keeps (p - t) / N * p * (1 - p).

(A) This leaves out the derivative of the normalisation, and has p where the derivative of the sigmoid needs
s. (B) It updates W2 in place before W2.T, a view of the same memory, has carried the error back to the first
layer.

`faithful` does both, and learns nevertheless; `correct` is plain autodiff. The library finds both faults by
itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

import tinygrad_nn as tn
from systems.report import Report
from tinygrad_nn import nn, optim
from tinygrad_nn.nn.init import constant, normal
from tinygrad_nn.testing import GradientMismatch, gradcheck

TITLE = "784-100-10, sigmoids, half squared error, 10,000 updates of 1,000 (79,510 parameters)"

RATE = 2.0
PUBLISHED = {100: (0.3829, 0.403673), 500: (0.7683, 0.164885), 1000: (0.8395, 0.118748),
             2000: (0.8760, 0.091742), 5000: (0.9084, 0.068861), 10_000: (0.9252, 0.057208)}  # fmt: skip
BANDS = {1000: ((0.82, 0.86), None), 10_000: ((0.914, 0.930), (0.053, 0.061))}
CORRECT_AFTER = 3000

Step = Callable[[nn.Sequential, Any, Any], None]
Curve = dict[int, tuple[float, float]]


def normalised(logits: Any) -> Any:
    """p = s / sum(s) with s = sigmoid(logits), of arrays and of Tensors."""
    s = tn.sigmoid(logits)
    return s / s.sum(axis=1, keepdims=True)


def half_squared_error(p: Any, targets: Any) -> Any:
    difference = p - targets
    return (difference * difference).sum() / (2 * len(targets))


@tn.kernel(
    lambda g, p, targets: g * (p - targets) / len(targets) * p * (1 - p),
    None,
    residuals={"p": normalised},
    method=False,
)
def hand_written_loss(logits: Any, targets: Any) -> Any:
    """The loss, with fault (A) as its derivative rule."""
    p = normalised(logits)
    return half_squared_error(p, targets), p


def network() -> nn.Sequential:
    options = {
        "init": normal(1.0),
        "bias_init": constant(0.1),
        "rng": np.random.default_rng(1),
        "dtype": np.float64,
    }
    model = nn.Sequential(nn.Dense(784, 100, **options), nn.Sigmoid(), nn.Dense(100, 10, **options))
    for name, parameter in zip(("W1", "b1", "W2", "b2"), model.parameters(), strict=True):
        parameter.name = name
    return model


def write(parameter: tn.Tensor, gradient: tn.Tensor) -> None:
    """Descend by writing into the array behind the library's back, as `W2 -= rate * dW2` does in NumPy."""
    parameter.data[...] -= RATE * gradient.data


def subtract(parameter: tn.Tensor, gradient: tn.Tensor) -> None:
    """Descend with the library's own in-place operator."""
    with tn.no_grad():
        parameter -= RATE * gradient


def faithful_step(model: nn.Sequential, x: Any, targets: Any, update: Any = write) -> None:
    """Fault (A) is the rule of the loss; fault (B), that W1 gets its gradient after W2 got its update."""
    loss = hand_written_loss(model(x), targets)
    for layer, last in ((model[2], False), (model[0], True)):
        parameters = layer.parameters()
        found = tn.gradients(loss, parameters, retain_graph=not last)
        for parameter, gradient in zip(parameters, found, strict=True):
            update(parameter, gradient)


def correct_step(optimizer: optim.Optimizer) -> Step:
    def step(model: nn.Sequential, x: Any, targets: Any) -> None:
        optimizer.zero_grad()
        half_squared_error(normalised(model(x)), targets).backward()
        optimizer.step()

    return step


def train(model: nn.Sequential, step: Step, data: tn.data.Mnist, updates: int) -> Curve:
    """Train; return accuracy and loss on the test set, means over ten slices, every hundred updates."""
    one_hot = np.eye(10)
    test_targets, start, curve = one_hot[data.y_test], time.perf_counter(), {}
    stream = tn.data.batches_with_replacement(data.x_train, data.y_train, size=1000, rng=1)
    for update, (x, labels) in zip(range(1, updates + 1), stream, strict=False):
        step(model, x, one_hot[labels])
        if update % 100 == 0:
            p = normalised(tn.train.predict(model, data.x_test))
            reached = tn.train.accuracy(p, data.y_test)
            slices = [
                half_squared_error(p[k : k + 1000], test_targets[k : k + 1000])
                for k in range(0, 10_000, 1000)
            ]
            curve[update] = (reached, float(np.mean(slices)))
            print("Time: %d, Accuracy: %f, Loss: %f" % (update, *curve[update]))  # noqa: UP031  the tutorial's line
    print(f"{updates} updates in {time.perf_counter() - start:.1f} s")
    return curve


def run(report: Report, variants: list[str]) -> None:
    data = tn.data.mnist()
    find_fault_a(report, data)
    find_fault_b(report, data)
    curves: dict[str, Curve] = {}
    if "faithful" in variants:
        curves["faithful"] = timed(report, "faithful", faithful_step, data, 100 if report.quick else 10_000)
        for update, published in PUBLISHED.items():
            for k, name in enumerate(("accuracy", "loss")):
                if update in curves["faithful"]:
                    band = BANDS.get(update, (None, None))[k]
                    measured = curves["faithful"][update][k]
                    report.value(
                        f"{name} after update {update}", measured, published[k], band=band, digits=4 + 2 * k
                    )
    if "correct" in variants:
        updates = 100 if report.quick else CORRECT_AFTER
        model = network()
        step = correct_step(optim.SGD(model.parameters(), lr=RATE))
        curves["correct"] = timed(report, "correct", step, data, updates, model)
        report.value(
            f"correct gradient, accuracy after {updates}", curves["correct"][updates][0], band=(0.895, 0.92)
        )
        if "faithful" in curves:
            reached = curves["faithful"][updates][0]
            report.value(f"faulty gradient, accuracy after {updates}", reached, band=(0.875, 0.905))
    draw(report, data, curves)


def timed(report: Report, name: str, step: Step, data: Any, updates: int, model: Any = None) -> Curve:
    print(f"\n{name}:")
    start = time.perf_counter()
    curve = train(model or network(), step, data, updates)
    report.time(f"{name}, {updates:,} updates", time.perf_counter() - start, "")
    return curve


def find_fault_a(report: Report, data: tn.data.Mnist) -> None:
    """Let gradcheck look at the hand-written rule, and at the same loss differentiated by the library."""
    targets = np.eye(10)[data.y_train[:1]]
    logits = np.round(network()(data.x_train[:1]).data, 1)

    def hand_written(z: tn.Tensor) -> tn.Tensor:
        return hand_written_loss(z, targets)

    print("Fault (A): gradcheck of the hand-written rule")
    try:
        gradcheck(hand_written, logits)
    except GradientMismatch as mismatch:
        print("  " + str(mismatch).replace("\n", "\n  "))
        report.check("(A) gradcheck of the hand-written rule", True, "refused", "refused")
    else:
        report.check("(A) gradcheck of the hand-written rule", False, "passed", "refused")
    gradcheck(lambda z: half_squared_error(normalised(z), targets), logits)
    report.check("(A) gradcheck of the same loss by autodiff", True, "passed", "passed")

    x, targets = data.x_train[:1000], np.eye(10)[data.y_train[:1000]]
    z = tn.tensor(network()(x).data, requires_grad=True)
    right = tn.gradients(half_squared_error(normalised(z), targets), z).data
    wrong = tn.gradients(hand_written_loss(z, targets), z).data
    lengths = np.linalg.norm(right), np.linalg.norm(wrong)
    report.value(
        "(A) cosine of its delta2 with the right one", float(np.sum(right * wrong) / np.prod(lengths)), "0.47"
    )
    report.value("(A) length of its delta2 over the right one", float(lengths[1] / lengths[0]), "4.3")
    print(
        "  It reads (p - t)/N * p (1 - p). With e = (p - t)/N the right one is\n"
        "  s (1 - s) (e - sum(e p)) / sum(s): every output has a share in the sum that normalises, and the\n"
        "  sigmoid's derivative is of s, not of p."
    )


def find_fault_b(report: Report, data: tn.data.Mnist) -> None:
    """Let the mutation guard catch the in-place update, and measure what it does to the gradient of W1."""
    x, targets = data.x_train[:1000], np.eye(10)[data.y_train[:1000]]
    print("\nFault (B): the faithful step, writing into the array of W2, under tn.debug()")
    refused(report, "(B) W2 written in place, then a gradient of W1", tn.debug(), x, targets, write)
    print("\nFault (B): the same step with the library's in-place operator, which needs no guard")
    refused(report, "(B) W2 -= ..., then a gradient of W1", nullcontext(), x, targets, subtract)
    with tn.debug():
        model = network()
        correct_step(optim.SGD(model.parameters(), lr=RATE))(model, x, targets)
    report.check("(B) the correct step under tn.debug()", True, "passed", "passed")

    model = network()
    loss = hand_written_loss(model(x), targets)
    right = tn.gradients(loss, model[0].weight, retain_graph=True).data
    model[2].weight.data[...] -= RATE * tn.gradients(loss, model[2].weight, retain_graph=True).data
    wrong = tn.gradients(loss, model[0].weight).data
    apart = float(np.linalg.norm(wrong - right) / np.linalg.norm(right))
    report.value("(B) relative error it adds to the gradient of W1", apart)


def refused(report: Report, label: str, guard: Any, x: Any, targets: Any, update: Any) -> None:
    try:
        with guard:
            faithful_step(network(), x, targets, update)
    except tn.errors.StaleValue as stale:
        print("  " + str(stale).replace("\n", "\n  "))
        report.check(label, True, "refused", "refused")
    else:
        report.check(label, False, "passed", "refused")


def draw(report: Report, data: tn.data.Mnist, curves: dict[str, Curve]) -> None:
    import matplotlib.pyplot as plt

    ax = tn.plot.images(data.x_train[:20], labels=data.y_train[:20], columns=5)
    report.figure("digits", ax.figure)
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 6.4), layout="constrained", sharex=True)
    for color, (name, curve) in zip(tn.plot.COLORS, curves.items(), strict=False):
        for ax, k in ((above, 0), (below, 1)):
            ax.plot(
                list(curve), [point[k] for point in curve.values()], color=color, label=f"{name}, measured"
            )
    if "faithful" in curves:
        for ax, k in ((above, 0), (below, 1)):
            values = [point[k] for point in PUBLISHED.values()]
            ax.plot(list(PUBLISHED), values, "o", color="#222222", markersize=5, label="published")
    above.set_ylabel("test accuracy")
    below.set(xlabel="update", ylabel="test loss")
    above.legend(frameon=False, loc="lower right")
    for ax in (above, below):
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    report.figure("accuracy-loss", figure)
