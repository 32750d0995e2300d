"""Which layers read flattened images, whose features PyTorch has in another order: channels first."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from tinygrad_nn import context
from tinygrad_nn.context import SCOPE, no_grad
from tinygrad_nn.engine.tensor import Operand
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.interop.turns import CHANNELS, FEATURES, of_kind
from tinygrad_nn.nn import activations
from tinygrad_nn.nn.attention import MultiheadAttention
from tinygrad_nn.nn.batch_norm import GroupNorm
from tinygrad_nn.nn.containers import Flatten, Identity, Residual, Sequential
from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.nn.dropout import Dropout
from tinygrad_nn.nn.embedding import Embedding
from tinygrad_nn.nn.module import Module, in_mode
from tinygrad_nn.nn.pooling import GlobalAvgPool
from tinygrad_nn.nn.recurrent import GRU, LSTM, RNN
from tinygrad_nn.nn.windows import OverAxes
from tinygrad_nn.ops.shape import reshape, swapaxes, transpose
from tinygrad_nn.primitives import Array, Params, Primitive, Shape


class _Lies(NamedTuple):
    """How what goes from layer to layer lies in memory, beside PyTorch."""

    how: str
    channels: int = 0


_IMAGES, _FLAT = "images, channels last", "flattened images, no channels where they are mixed with others"
_AS_THERE, _UNKNOWN = _Lies("as there"), _Lies("unknown")

_FEATURES_LAST = (Dense, RNN, LSTM, GRU, MultiheadAttention, Embedding, GlobalAvgPool)
"""Layers whose results have their features last in PyTorch too."""
_ACTIVATIONS = tuple(
    kind
    for kind in vars(activations).values()
    if isinstance(kind, type) and issubclass(kind, Module) and kind is not Module
)
_KEEPING = (*_ACTIVATIONS, Dropout, Identity, *FEATURES, OverAxes)
"""Layers that leave it as it is, if they do not say how it lies."""


def flattened(model: Module, example: Operand | None) -> dict[int, int]:
    """Return the channels of the flattened images that layers read, by the identity of the layer.

    Args:
        model: a Sequential tells it by its layers; any other that flattens needs an example.
        example: an input, on which the model is run once.

    Raises:
        CheckpointError: there is no telling.
    """
    if example is None:
        found: dict[int, int] = {}
        _by_layers(model, None, found)
        return found
    watcher = _Follower(model)
    with no_grad(), in_mode(model, training=False), context.watching(watcher):
        model(example)
    return watcher.found


def _by_layers(layer: Any, lies: _Lies | None, found: dict[int, int]) -> _Lies | None:
    """Go through a layer and those in it; return how its result lies, None as long as nothing tells.

    Args:
        layer: a module or a function.
        lies: how its input lies.
        found: is given the channels of what layers read.
    """
    if type(layer) is Sequential:
        for inner in layer:
            lies = _by_layers(inner, lies, found)
        return lies
    if type(layer) is Residual:
        # x and module(x) lie alike.
        inside = _by_layers(layer.module, lies, found)
        return lies or inside
    if isinstance(layer, Flatten):
        if lies is None:
            return _UNKNOWN
        return _Lies(_FLAT, lies.channels) if lies.how is _IMAGES else lies
    if of_kind(FEATURES, layer) and lies is _UNKNOWN:
        raise _needs_example(f"what {layer!r} reads")
    if of_kind(FEATURES, layer) and lies and lies.how is _FLAT:
        _read(layer, lies.channels, found)
    if isinstance(layer, _FEATURES_LAST):
        return _AS_THERE
    count = of_kind(CHANNELS, layer)
    if count and not (lies and of_kind(FEATURES, layer)):
        return _Lies(_IMAGES, count(layer))
    return lies if isinstance(layer, _KEEPING) else _through_own(layer, lies)


def _through_own(layer: object, lies: _Lies | None) -> _Lies | None:
    """Return how the result of a function, or of a module with a forward of its own, lies."""
    inside = [m for _, m in layer.named_modules()] if isinstance(layer, Module) else []
    images = any(isinstance(m, (OverAxes, Flatten)) for m in inside) or lies not in (None, _AS_THERE)
    if images and any(isinstance(m, Dense) for m in inside):
        raise _needs_example(f"what Dense layers in {type(layer).__name__} read")
    return _UNKNOWN if images else lies


def _needs_example(what: str) -> CheckpointError:
    return CheckpointError(
        f"{what} may be flattened images, whose features PyTorch has in another order; the layers do not tell\n"
        "  hint   example=x[:1], an input of the model, tells it; the model is run once"
    )


def _read(layer: Any, channels: int, found: dict[int, int]) -> None:
    """Note that a layer reads flattened images."""
    features = len(layer.weight)
    if not channels or (isinstance(layer, GroupNorm) and channels < features):
        why = "groups of features" if channels else "features of flattened images and others"
        raise CheckpointError(
            f"{layer!r} reads {why} that lie in another order in PyTorch, in which they cannot be put\n"
            "  hint   np.moveaxis(x, -1, 1) in front of the flattening gives it PyTorch's order"
        )
    if features % channels:
        raise CheckpointError(
            f"{layer!r} reads flattened images of {channels} channels, which do not make {features} features"
        )
    found[id(layer)] = channels


class _Follower(Watcher):
    """Follows images, (N, *places, channels), that are flattened and come to layers that know their features."""

    def __init__(self, model: Module) -> None:
        layers: list[Any] = [m for _, m in model.named_modules() if of_kind(FEATURES, m)]
        self.readers = {id(layer.weight._data): layer for layer in layers}
        self.found: dict[int, int] = {}
        self.lies: dict[int, tuple[Array, _Lies]] = {}

    def on_op(
        self,
        op: Primitive,
        links: Sequence[Any],
        arrays: Sequence[Any],
        params: Params,
        result: Array,
        operands: Sequence[Any],
    ) -> None:
        lies = self._of_result(op, arrays, params, result)
        if lies is not None:
            self.lies[id(result)] = result, lies

    def _of_result(self, op: Primitive, arrays: Sequence[Any], params: Params, result: Array) -> _Lies | None:
        known = [self.lies[id(a)] for a in arrays if id(a) in self.lies]
        array, lies = max(known, key=lambda x: x[1].how is _FLAT, default=(arrays[0], None))
        flat = lies is not None and lies.how is _FLAT
        scope = SCOPE.get()
        layer = next((self.readers[id(a)] for a in arrays if id(a) in self.readers), scope and scope.module)
        if lies and flat and of_kind(FEATURES, layer):
            _read(layer, lies.channels, self.found)
        if isinstance(layer, OverAxes):
            return _Lies(_IMAGES)
        if isinstance(layer, _FEATURES_LAST):
            return _AS_THERE
        if flat and array.shape != result.shape:
            # Moments, say, or what is joined with others.
            return None if of_kind(FEATURES, layer) else _Lies(_FLAT)
        if op is reshape and _flattens(array.shape, result.shape):
            # Of fewer axes, and if no layer tells, PyTorch has the features last too.
            images = lies.how is _IMAGES if lies else array.ndim > 3
            return _Lies(_FLAT, array.shape[-1]) if images else lies
        return _AS_THERE if lies and _moves_last(op, params, array.ndim) else lies


def _flattens(shape: Shape, rows: Shape) -> bool:
    return len(shape) > 2 and rows == (shape[0], prod(shape[1:]))


def _moves_last(op: Primitive, params: Params, rank: int) -> bool:
    """Tell whether an op moves the last axis."""
    if op is swapaxes:
        return rank - 1 in (params["axis1"] % rank, params["axis2"] % rank)
    axes = params.get("axes") or range(rank)[::-1]
    return op is transpose and axes[-1] % rank != rank - 1
