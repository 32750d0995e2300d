"""How layers lie in the files of Keras: what each wants of one layer there, one table for all classes.

A layer is looked up by its class. Keras names groups after its own classes, and numbers the arrays in them in the order
in which the layer made them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygrad_nn.interop.turns import of_kind
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
from tinygrad_nn.nn.embedding import Embedding
from tinygrad_nn.nn.module import Module
from tinygrad_nn.nn.normalisation import LayerNorm, RMSNorm
from tinygrad_nn.nn.recurrent import GRU, LSTM, RNN
from tinygrad_nn.primitives import Array, Shape

Arrays = Mapping[str, Array]


class Slot(NamedTuple):
    """What a layer here wants of one layer of Keras.

    Attributes:
        owner: its name and its representation, for errors.
        kind: what Keras calls such layers.
        wanted: the shapes of arrays by their paths in the layer.
        taken: from these arrays to ours by name.
    """

    owner: str
    kind: str
    wanted: dict[str, Shape]
    taken: Callable[[Arrays], dict[str, Array]]


Makes = Callable[[Any, set[str]], Iterator[Slot]]
"""From a layer, and what Keras calls the layers of a file, to what it wants of them."""


def _as_there(kind: str, *names: str) -> Makes:
    """Return the slot of layers whose arrays lie as they do in Keras, where they have these names here, in order."""

    def slots(layer: Module, kinds: set[str]) -> Iterator[Slot]:
        there = [name for name in names if getattr(layer, name) is not None]
        shapes = {f"vars/{k}": getattr(layer, name).shape for k, name in enumerate(there)}
        yield Slot("", kind, shapes, lambda a: {name: a[f"vars/{k}"] for k, name in enumerate(there)})

    return slots


def _convolution(layer: Conv1d | Conv2d | Conv3d, kinds: set[str]) -> Iterator[Slot]:
    """Yield the slot of a convolution, which may be one of each channel by itself."""
    (slot,) = _as_there(f"conv{layer.rank}d", "weight", "bias")(layer, kinds)
    apart = f"depthwise_conv{layer.rank}d"
    if layer.groups == layer.in_channels > 1 and apart in kinds:
        shape = layer.weight.shape
        each = (*layer.kernel_size, layer.in_channels, layer.out_channels // layer.in_channels)
        plain = slot.taken
        yield slot._replace(
            kind=apart,
            wanted=slot.wanted | {"vars/0": each},
            taken=lambda a: plain({**a, "vars/0": a["vars/0"].reshape(shape)}),
        )
    else:
        yield slot


_ROWS_OF_BIAS = {"gru": 2}
"""Layers whose biases of inputs and of states are apart."""


def _recurrent(kind: str) -> Makes:
    """Return the slots of a recurrent layer, one for each that it has on top of the other."""

    def slots(layer: RNN | LSTM, kinds: set[str]) -> Iterator[Slot]:
        rows = (_ROWS_OF_BIAS[kind],) if kind in _ROWS_OF_BIAS else ()
        for k in range(layer.num_layers):
            places = {f"l{k}": "cell/"}
            if layer.bidirectional:
                places = {f"l{k}": "forward_layer/cell/", f"l{k}_reverse": "backward_layer/cell/"}
            wanted: dict[str, Shape] = {}
            for ending, place in places.items():
                weights = [getattr(layer, f"weight_{kind}_{ending}") for kind in ("ih", "hh")]
                wanted |= {f"{place}vars/{j}": w.shape for j, w in enumerate(weights)}
                if layer.bias:
                    wanted[f"{place}vars/2"] = (*rows, weights[0].shape[1])
            yield Slot("", "bidirectional" if layer.bidirectional else kind, wanted, _gates(kind, places))

    return slots


def _gates(kind: str, places: Mapping[str, str]) -> Callable[[Arrays], dict[str, Array]]:
    def taken(a: Arrays) -> dict[str, Array]:
        ours: dict[str, Array] = {}
        for ending, place in places.items():
            arrays = [a[f"{place}vars/{j}"] for j in range(3) if f"{place}vars/{j}" in a]
            if kind == "gru":
                # z, r, h there and r, z, n here.
                parts = [np.split(x, 3, axis=-1) for x in arrays]
                arrays = [np.concatenate([r, z, n], axis=-1) for z, r, n in parts]
            names = ["weight_ih", "weight_hh"]
            if len(arrays) == 3:
                bias = arrays.pop()
                # One bias stands for the sum of both.
                arrays += [*bias] if bias.ndim == 2 else [bias, np.zeros_like(bias)]
                names += ["bias_ih", "bias_hh"]
            ours |= {f"{name}_{ending}": x for name, x in zip(names, arrays, strict=True)}
        return ours

    return taken


_HEADS = ("query_dense", "key_dense", "value_dense")


def _attention(layer: MultiheadAttention, kinds: set[str]) -> Iterator[Slot]:
    size, heads = layer.embed_dim, layer.num_heads
    each = heads, size // heads
    wanted: dict[str, Shape] = {f"{name}/vars/0": (size, *each) for name in _HEADS}
    wanted["output_dense/vars/0"] = (*each, size)
    if layer.bias:
        wanted |= {f"{name}/vars/1": each for name in _HEADS} | {"output_dense/vars/1": (size,)}

    def taken(a: Arrays) -> dict[str, Array]:
        weights = [a[f"{name}/vars/0"].reshape(size, size) for name in _HEADS]
        ours = {"in_proj_weight": np.concatenate(weights, axis=1)}
        ours["out_proj.weight"] = a["output_dense/vars/0"].reshape(size, size)
        if layer.bias:
            ours["in_proj_bias"] = np.concatenate([a[f"{name}/vars/1"].ravel() for name in _HEADS])
            ours["out_proj.bias"] = a["output_dense/vars/1"]
        return ours

    yield Slot("", "multi_head_attention", wanted, taken)


SLOTS: Mapping[type[Module], Makes] = {
    Dense: _as_there("dense", "weight", "bias"),
    **dict.fromkeys((Conv1d, Conv2d, Conv3d), _convolution),
    ConvTranspose1d: _as_there("conv1d_transpose", "weight", "bias"),
    ConvTranspose2d: _as_there("conv2d_transpose", "weight", "bias"),
    ConvTranspose3d: _as_there("conv3d_transpose", "weight", "bias"),
    BatchNorm: _as_there("batch_normalization", "weight", "bias", "running_mean", "running_var"),
    GroupNorm: _as_there("group_normalization", "weight", "bias"),
    LayerNorm: _as_there("layer_normalization", "weight", "bias"),
    RMSNorm: _as_there("rms_normalization", "weight"),
    Embedding: _as_there("embedding", "weight"),
    MultiheadAttention: _attention,
    RNN: _recurrent("simple_rnn"),
    GRU: _recurrent("gru"),
    LSTM: _recurrent("lstm"),
}


def slots_of(model: Module, kinds: set[str]) -> Iterator[tuple[str, Slot]]:
    """Yield what the layers of a model want, in their order, with their names."""
    inside = ""
    for path, layer in model.named_modules():
        makes = of_kind(SLOTS, layer)
        if makes is None or (inside and path.startswith(inside)):
            continue
        if isinstance(layer, MultiheadAttention):
            inside = f"{path}."
        shown = f"{path}: {repr(layer).partition(chr(10))[0]}".removeprefix(": ")
        for slot in makes(layer, kinds):
            yield path, slot._replace(owner=shown)
