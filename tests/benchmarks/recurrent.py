"""A character model: vectors of characters, an LSTM or a GRU, and a score for each character that may follow."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tests.benchmarks.convolutions import jax_cross_entropy
from tests.benchmarks.network import Network
from tinygrad_nn import nn

CHARACTERS, FEATURES, WIDTH, BATCH = 65, 64, 128, 32
GATES = {"LSTM": 4, "GRU": 3}


class Model(nn.Module):
    def __init__(self, kind: str) -> None:
        rng = np.random.default_rng(0)
        self.vectors = nn.Embedding(CHARACTERS, FEATURES, rng=rng)
        self.memory = getattr(nn, kind)(FEATURES, WIDTH, rng=rng)
        self.scores = nn.Dense(WIDTH, CHARACTERS, rng=rng)

    def forward(self, characters: Any) -> Any:
        outputs, _ = self.memory(self.vectors(characters))
        return self.scores(outputs).reshape(-1, CHARACTERS)


def torch_model(kind: str) -> Any:
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vectors = torch.nn.Embedding(CHARACTERS, FEATURES)
            self.memory = getattr(torch.nn, kind)(FEATURES, WIDTH, batch_first=True)
            self.scores = torch.nn.Linear(WIDTH, CHARACTERS)

        def forward(self, characters: Any) -> Any:
            return self.scores(self.memory(self.vectors(characters))[0]).reshape(-1, CHARACTERS)

    return Model()


def jax_loss(kind: str, weights: Any, state: Any, characters: Any, following: Any) -> Any:
    import jax
    from jax import numpy as jnp

    w_ih, w_hh, b_ih, b_hh = (
        weights[f"memory.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )

    def lstm(carry: Any, inside: Any) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(inside + h @ w_hh + b_hh, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(carry: Any, inside: Any) -> Any:
        (h,) = carry
        r, z, n = jnp.split(inside, 3, axis=-1)
        r_, z_, n_ = jnp.split(h @ w_hh + b_hh, 3, axis=-1)
        z, n = jax.nn.sigmoid(z + z_), jnp.tanh(n + jax.nn.sigmoid(r + r_) * n_)
        h = (1 - z) * n + z * h
        return (h,), h

    # The products with the inputs are one, outside of the loop.
    inside = weights["vectors.weight"][characters.T] @ w_ih + b_ih
    zeros = jnp.zeros((characters.shape[0], WIDTH))
    cell, first = {"LSTM": (lstm, (zeros, zeros)), "GRU": (gru, (zeros,))}[kind]
    _, outputs = jax.lax.scan(cell, first, inside)
    logits = outputs.swapaxes(0, 1) @ weights["scores.weight"] + weights["scores.bias"]
    return jax_cross_entropy(logits.reshape(-1, CHARACTERS), following), state


def text(length: int) -> tuple[Any, Any]:
    """Return characters, and those that follow."""
    rng = np.random.default_rng(1)
    return rng.integers(0, CHARACTERS, (BATCH, length)), rng.integers(0, CHARACTERS, BATCH * length)


def network(kind: str, length: int = 64) -> Network:
    """Return a model of sequences of so many characters, trained by Adam."""

    def loss(module: Any, characters: Any, following: Any) -> Any:
        return nn.losses.cross_entropy(module(characters), following)

    def torch_loss(module: Any, characters: Any, following: Any) -> Any:
        import torch

        return torch.nn.functional.cross_entropy(module(characters), following)

    weights = GATES[kind] * WIDTH * (FEATURES + WIDTH) + WIDTH * CHARACTERS
    return Network(
        f"{kind}, {length} characters, width {WIDTH}, batch {BATCH}",
        partial(Model, kind),
        partial(text, length),
        loss,
        partial(torch_model, kind),
        torch_loss,
        partial(jax_loss, kind),
        3 * 2 * BATCH * length * weights,
        optimizer="adam",
        rate=1e-3,
    )


NETWORKS = (network("LSTM"), network("GRU"))
