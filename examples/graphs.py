"""Every kind of picture this library draws; run it to write them all to docs/pictures.

    python examples/graphs.py

The DOT files are compared by a test, so that the pictures in the documentation are what the code draws today.
"""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, viz
from tinygrad_nn.settings.commands import run

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"


def expression():
    """Values and gradients in the boxes of a small expression; dashed arrows are the way back."""
    a = tn.tensor(2.0, requires_grad=True, name="a")
    b = tn.tensor(-3.0, requires_grad=True, name="b")
    c = tn.tensor(10.0, requires_grad=True, name="c")
    return ((a * b + c) * a).graph(grads=True, title="(a * b + c) * a")


def perceptron():
    """A loss, with the modules of its model around the ops."""
    model = nn.Sequential(nn.Dense(784, 128, rng=0), nn.ReLU(), nn.Dense(128, 10, rng=1))
    x, labels = np.zeros((32, 784), np.float32), np.zeros(32, np.int64)
    loss = nn.losses.cross_entropy(model(x), labels)
    return loss.graph(
        names={"x": x, "labels": labels}, values=False, title="A network for MNIST and its loss"
    )


class Block(nn.Module):
    """A residual block."""

    def __init__(self, seed):
        self.dense = nn.Dense(16, 16, rng=seed)

    def forward(self, x):
        return x + np.tanh(self.dense(x))


def blocks():
    """Forty blocks: what repeats is folded, and the picture says so."""
    model = nn.Sequential(nn.Dense(8, 16, rng=0), *[Block(k) for k in range(40)], nn.Dense(16, 3, rng=1))
    return model.graph(np.zeros((32, 8), np.float32), values=False, title="Forty residual blocks")


def backward_pass():
    """A function together with its whole backward pass: the derivative rules are ops like all others."""
    x = np.zeros((4, 3), np.float32)
    return viz.draw(
        tn.value_and_grad(lambda x: (np.tanh(x) * x).sum()), x, values=False, title="value_and_grad(f)"
    )


def training_step():
    """A whole training step: forward, backward and the updates of the parameters."""
    model = nn.Sequential(nn.Dense(4, 3, rng=0))
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)

    def step(x, labels):
        loss = nn.losses.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    x, labels = np.zeros((8, 4), np.float32), np.zeros(8, np.int64)
    return viz.draw(step, x, labels, values=False, title="A training step")


def not_a_number():
    """Where a NaN comes from."""
    x = tn.tensor([4.0, -1.0], requires_grad=True, name="x")
    with np.errstate(invalid="ignore"):
        return (np.sqrt(x) * 2).sum().graph(title="Where the NaN comes from")


def wrong_shape():
    """The way to an op that failed."""
    model = nn.Sequential(nn.Dense(784, 128, rng=0), nn.ReLU(), nn.Dense(100, 10, rng=1))
    try:
        model(tn.tensor(np.zeros((32, 784), np.float32), name="x"))
    except tn.errors.ShapeError as error:
        return viz.draw(error, values=False, title="A layer that does not fit")
    raise AssertionError("the shapes do not fit, and nothing was said")


def neurons():
    """Neurons and weights, on the way back: circles show how the loss changes with what comes in."""
    layers = [nn.Dense(2, 4, rng=0), nn.Tanh(), nn.Dense(4, 3, rng=3), nn.Tanh(), nn.Dense(3, 2, rng=1)]
    x, labels = tn.data.moons(8)
    title = "Two moons, with the gradients as far as the second layer"
    return viz.neurons(nn.Sequential(*layers), x, labels, nn.losses.cross_entropy, title=title)


def profile():
    """Where the time of a training step goes; it is another on each machine."""
    layers = [nn.Conv2d(1, 6, 5, padding=2, rng=0), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(6, 16, 5, rng=1), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Dense(400, 84, rng=2), nn.ReLU(), nn.Dense(84, 10, rng=3))
    optimizer = tn.optim.SGD(model.parameters(), lr=0.01)

    def step(x, labels):
        optimizer.zero_grad()
        loss = nn.losses.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    x, labels = np.random.default_rng(0).random((64, 28, 28, 1), np.float32), np.arange(64) % 10
    times = tn.profile(step, x, labels, calls=30).times()
    return viz.draw(times, depth=1, title="Where the time of a training step of LeNet goes")


# The step of the walk that the picture of neurons shows.
STEP = 7

# Those that are the same each time.
ALL = (expression, perceptron, blocks, backward_pass, training_step, not_a_number, wrong_shape)


def main():
    parser = argparse.ArgumentParser(description="Write every kind of picture that this library draws.")
    parser.add_argument("--folder", type=Path, default=PICTURES, help="where to (default: docs/pictures)")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for draw in ALL:
        picture = draw()
        for suffix in (".dot", ".svg"):
            print(picture.render(folder / (draw.__name__ + suffix)))
    print(neurons().render(folder / "neurons.svg", step=STEP))
    print(profile().render(folder / "profile.svg"))
    print(f"\n{perceptron()}\n\n{expression().explain()}")


if __name__ == "__main__":
    run(main)
