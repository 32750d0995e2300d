"""A character model with an LSTM, a GRU or a plain network, beside PyTorch: `python -m tests.benchmarks.recurrent`.

Both train it eagerly, in one process and one thread, taking turns; what counts is the median of the ratios of their
processor times within a round. OPENBLAS_NUM_THREADS=1 has to be set outside.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim

CHARACTERS, FEATURES, WIDTH, STEPS, BATCH = 65, 64, 128, 64, 32
Step = Callable[[], float]


class Model(nn.Module):
    """Vectors of characters, a recurrent layer, and a score for each character that may follow."""

    def __init__(self, kind: str) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(CHARACTERS, FEATURES)).astype(np.float32)
        self.vectors = tn.tensor(vectors, requires_grad=True)
        self.memory = getattr(nn, kind)(FEATURES, WIDTH, rng=rng)
        self.scores = nn.Dense(WIDTH, CHARACTERS, rng=rng)

    def forward(self, characters: Any) -> Any:
        outputs, _ = self.memory(np.take(self.vectors, characters, axis=0))
        return self.scores(outputs).reshape(-1, CHARACTERS)


def text() -> tuple[Any, Any]:
    """Return characters, and those that follow."""
    rng = np.random.default_rng(1)
    return rng.integers(0, CHARACTERS, (BATCH, STEPS)), rng.integers(0, CHARACTERS, BATCH * STEPS)


def ours(kind: str) -> tuple[Step, Model]:
    """Return a training step of this library, and its model."""
    model = Model(kind)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    characters, following = text()

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.losses.cross_entropy(model(characters), following)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, model


def pytorch(kind: str, like: Model) -> Step:
    """Return the same step in PyTorch, with the weights of `like`."""
    import torch

    vectors = torch.nn.Embedding(CHARACTERS, FEATURES)
    memory = getattr(torch.nn, kind)(FEATURES, WIDTH, batch_first=True)
    scores = torch.nn.Linear(WIDTH, CHARACTERS)
    model = torch.nn.ModuleDict({"vectors": vectors, "memory": memory, "scores": scores})
    turned = {name: torch.from_numpy(array.T.copy()) for name, array in like.state_dict().items()}
    turned["vectors.weight"] = turned.pop("vectors").T
    model.load_state_dict(turned)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    characters, following = map(torch.from_numpy, text())

    def step() -> float:
        optimizer.zero_grad()
        logits = scores(memory(vectors(characters))[0]).reshape(-1, CHARACTERS)
        loss = torch.nn.functional.cross_entropy(logits, following)
        loss.backward()
        optimizer.step()
        return loss.detach().item()

    return step


def race(kind: str, rounds: int = 25) -> tuple[float, float]:
    """Return the milliseconds of a step of ours, and their ratio to PyTorch's."""
    step, model = ours(kind)
    other = pytorch(kind, model)
    for _ in range(3):
        np.testing.assert_allclose(step(), other(), rtol=1e-5)
    times = []
    for _ in range(rounds):
        start = time.process_time()
        step()
        middle = time.process_time()
        other()
        times.append((middle - start, (middle - start) / (time.process_time() - middle)))
    mine, ratios = zip(*times, strict=True)
    return 1e3 * statistics.median(mine), statistics.median(ratios)


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    for kind in ("LSTM", "GRU", "RNN"):
        print("{:<5} {:6.1f} ms, {:.2f} of PyTorch".format(kind, *race(kind)))
