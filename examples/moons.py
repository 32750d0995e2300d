"""Two moons, told apart by a network with three hidden units.

Run it:  python examples/moons.py            (--hidden 20 --steps 2000 --seed 1 to play)
"""

import argparse

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.settings.commands import count, positive, run, seed


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small network to tell two moons apart.")
    parser.add_argument("--hidden", type=count, default=3, help="hidden units (default: 3)")
    parser.add_argument("--steps", type=count, default=2000, help="full-batch updates (default: 2000)")
    parser.add_argument("--lr", type=positive, default=1.0, help="learning rate (default: 1.0)")
    parser.add_argument("--seed", type=seed, default=0, help="seed of data and weights (default: 0)")
    args = parser.parse_args()

    x, y = tn.data.moons(200, noise=0.2, seed=args.seed)
    rng = np.random.default_rng(args.seed)
    model = nn.Sequential(nn.Dense(2, args.hidden, rng=rng), nn.Tanh(), nn.Dense(args.hidden, 2, rng=rng))
    optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

    for step in range(1, args.steps + 1):
        optimizer.zero_grad()
        loss = nn.losses.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if step % (args.steps // 10 or 1) == 0:
            print(f"step {step:5d}  loss {loss.item():.4f}  accuracy {accuracy(model, x, y):.3f}")

    print(f"training accuracy {accuracy(model, x, y):.2%}")


def accuracy(model, x, y) -> float:
    with tn.no_grad():
        return float(np.mean(model(x).data.argmax(axis=1) == y))


if __name__ == "__main__":
    run(main)
