"""Trainings on ranks, compared with the same ones in one process: `same.py FOLDER [alone]`.

Every rank writes the weights and the histories of all of them into the folder.
"""

import sys
from pathlib import Path

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(203, 20))
IMAGES = RNG.normal(size=(300, 8, 8, 1))
CLASSES = np.arange(300) % 4


def perceptron(dtype):
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Dense(20, 32, rng=rng, dtype=dtype), nn.Tanh(), nn.Dense(32, 4, rng=rng, dtype=dtype)
    )


def convolutional(dtype):
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, rng=rng, dtype=dtype),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dense(36, 4, rng=rng, dtype=dtype),
    )


def train(comm, make, x, dtype, epochs, compiled):
    """Return what a training ends with, by name."""
    model = make(dtype)
    history = tn.train.fit(
        model,
        nn.losses.cross_entropy,
        optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        tn.data.batches(x, CLASSES[: len(x)], size=32, rng=2),
        epochs=epochs,
        metrics=["accuracy"],
        progress=False,
        compile=compiled,
        comm=comm,
    )
    return model.state_dict() | {name: np.array(history[name]) for name in history if name != "seconds"}


def main(folder, alone):
    comm = None if alone else tn.parallel.world()
    found = {}
    for compiled in (False, True):
        for dtype in (np.float32, np.float64):
            name = f"{np.dtype(dtype)} {'compiled' if compiled else 'eager'}"
            found |= {
                f"perceptron {name} {key}": value
                for key, value in train(comm, perceptron, ROWS, dtype, 2, compiled).items()
            }
        # Ten batches an epoch.
        cnn = train(comm, convolutional, IMAGES, np.float64, 5, compiled)
        found |= {
            f"cnn float64 {'compiled' if compiled else 'eager'} {key}": value for key, value in cnn.items()
        }
    np.savez(folder / f"{'alone' if alone else comm.rank}.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] == ["alone"])
