"""How the arrays of each kind of layer lie in PyTorch, one table for both directions.

A layer is looked up by its class, then an array by how its name begins; what is not here lies as it does in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tinygrad_nn.nn.attention import MultiheadAttention
from tinygrad_nn.nn.batch_norm import BatchNorm, GroupNorm
from tinygrad_nn.nn.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.nn.module import Module
from tinygrad_nn.nn.normalisation import LayerNorm, RMSNorm
from tinygrad_nn.nn.recurrent import GRU, LSTM, RNN
from tinygrad_nn.primitives import Array

T = TypeVar("T")


class Turn(NamedTuple):
    """From PyTorch's order of axes to ours, and back."""

    from_torch: Callable[[Array], Array]
    to_torch: Callable[[Array], Array]


AS_IT_IS = Turn(lambda a: a, lambda a: a)
MATRIX = Turn(np.transpose, np.transpose)
"""(out, in) there, (in, out) here."""
KERNEL = Turn(lambda a: np.moveaxis(a, (1, 0), (-2, -1)), lambda a: np.moveaxis(a, (-2, -1), (1, 0)))
"""(out, in // groups, *kernel) there, (*kernel, in // groups, out) here; of what a transposed one undoes, both."""

_CONVOLUTIONS = (Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)

TURNS: Mapping[type[Module], Mapping[str, Turn]] = {
    **{kind: {"weight": MATRIX} for kind in (Dense, RNN, GRU, LSTM)},
    **{kind: {"weight": KERNEL} for kind in _CONVOLUTIONS},
    MultiheadAttention: {"in_proj_weight": MATRIX},
}

CHANNELS: Mapping[type[Module], Callable[[Any], int]] = {
    **dict.fromkeys(_CONVOLUTIONS, lambda layer: layer.out_channels),
    **dict.fromkeys((BatchNorm, GroupNorm), lambda layer: layer.weight.size),
}
"""Layers whose results have channels, on the first axis behind the batch in PyTorch, and how many."""

FEATURES: Mapping[type[Module], tuple[str, ...]] = {
    Dense: ("weight",),
    LayerNorm: ("weight", "bias"),
    RMSNorm: ("weight",),
    BatchNorm: ("weight", "bias", "running_mean", "running_var"),
    GroupNorm: ("weight", "bias"),
}
"""Layers that know each feature of what they read, and which arrays have these on their first axis here."""


def of_kind(table: Mapping[type[Module], T], layer: object) -> T | None:
    """Return what a table has for the class of a layer, or for one that it is derived from."""
    return next((table[kind] for kind in type(layer).__mro__ if kind in table), None)


def turn_of(layer: Module, name: str) -> Turn:
    """Return how an array of a layer is turned."""
    kinds = of_kind(TURNS, layer) or {}
    return next((turn for start, turn in kinds.items() if name.startswith(start)), AS_IT_IS)


def of_flattened(turn: Turn, channels: int) -> Turn:
    """Return how an array is turned that has flattened images on its first axis: (channels, places) there, here places
    first.
    """

    def swapped(a: Array, *outer: int) -> Array:
        return np.reshape(np.swapaxes(np.reshape(a, (*outer, *a.shape[1:])), 0, 1), a.shape)

    return Turn(
        lambda a: swapped(turn.from_torch(a), channels, -1), lambda a: turn.to_torch(swapped(a, -1, channels))
    )
