"""How the arrays of each kind of layer lie in PyTorch, one table for both directions.

A layer is looked up by its class, then an array by how its name begins; what is not here lies as it does in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.nn.module import Module
from tinygrad_nn.nn.recurrent import GRU, LSTM, RNN
from tinygrad_nn.primitives import Array


class Turn(NamedTuple):
    """From PyTorch's order of axes to ours, and back."""

    from_torch: Callable[[Array], Array]
    to_torch: Callable[[Array], Array]


AS_IT_IS = Turn(lambda a: a, lambda a: a)
MATRIX = Turn(np.transpose, np.transpose)
"""(out, in) there, (in, out) here."""

TURNS: Mapping[type[Module], Mapping[str, Turn]] = {
    Dense: {"weight": MATRIX},
    RNN: {"weight": MATRIX},
    GRU: {"weight": MATRIX},
    LSTM: {"weight": MATRIX},
}

CHANNELS: Mapping[type[Module], Callable[[Module], int]] = {}
"""Layers whose results have channels, on the first axis behind the batch in PyTorch, and how many."""


def turn_of(layer: Module, name: str) -> Turn:
    """Return how an array of a layer is turned."""
    kinds = next((TURNS[kind] for kind in type(layer).__mro__ if kind in TURNS), {})
    return next((turn for start, turn in kinds.items() if name.startswith(start)), AS_IT_IS)


def of_flattened(channels: int) -> Turn:
    """Return how the weight of a Dense is turned that reads flattened images: (channels, places) there, here places
    first.
    """

    def from_torch(a: Array) -> Array:
        rows = np.reshape(a.T, (channels, -1, a.shape[0]))
        return np.reshape(np.swapaxes(rows, 0, 1), (a.shape[1], a.shape[0]))

    def to_torch(a: Array) -> Array:
        rows = np.reshape(a, (-1, channels, a.shape[1]))
        return np.reshape(np.swapaxes(rows, 0, 1), a.shape).T

    return Turn(from_torch, to_torch)
