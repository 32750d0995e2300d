"""Which Dense layers read flattened images, whose features PyTorch has in another order: channels first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

from tinygrad_nn import context
from tinygrad_nn.context import no_grad
from tinygrad_nn.engine.tensor import Operand
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.interop.turns import CHANNELS
from tinygrad_nn.nn.containers import Flatten, Sequential
from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.nn.module import Module, in_mode
from tinygrad_nn.ops.shape import reshape
from tinygrad_nn.primitives import Array, Params, Primitive, Shape


def flattened(model: Module, example: Operand | None) -> dict[int, int]:
    """Return the channels of the images that Dense layers read, by the identity of the layer.

    Args:
        model: a Sequential tells it by its layers; any other that flattens needs an example.
        example: an input, on which the model is run once.

    Raises:
        CheckpointError: there is no telling.
    """
    layers = {id(m): m for _, m in model.named_modules() if isinstance(m, Dense)}
    if example is not None:
        watcher = _Channels({id(layer.weight._data): key for key, layer in layers.items()})
        with no_grad(), in_mode(model, training=False), context.watching(watcher):
            model(example)
        return watcher.found
    known, looked_at = _by_layers(model), {id(m) for m in _in_order(model)}
    for path, module in model.named_modules():
        if (isinstance(module, Flatten) or _channels(module)) and id(module) not in looked_at:
            raise _needs_example(f"{path or 'the model'}, {type(module).__name__},")
    return known


def _by_layers(model: Module) -> dict[int, int]:
    found: dict[int, int] = {}
    channels: int | None = None
    flat: Module | None = None
    for layer in _in_order(model):
        if isinstance(layer, Flatten):
            flat = layer
        elif isinstance(layer, Dense):
            if flat is not None and channels is None:
                raise _needs_example(f"what {layer!r} reads is flattened, and")
            if flat is not None and channels is not None:
                found[id(layer)] = channels
            channels = flat = None
        elif isinstance(layer, Module):
            channels = _channels(layer) or channels
    return found


def _in_order(model: object) -> Iterator[object]:
    """Yield the layers of a Sequential, and of those in it, in the order in which they run."""
    if type(model) is Sequential:
        for layer in model:
            yield from _in_order(layer)
    yield model


def _channels(layer: Module) -> int | None:
    count: Callable[[Module], int] | None = CHANNELS.get(type(layer))
    return count and count(layer)


def _needs_example(what: str) -> CheckpointError:
    return CheckpointError(
        f"{what} has features in another order in PyTorch, which the layers do not tell\n"
        "  hint   example=x[:1], an input of the model, tells it; it is run once"
    )


class _Channels(Watcher):
    """Follows images, (N, *places, channels), that are flattened and come to the weight of a Dense."""

    def __init__(self, weights: dict[int, int]) -> None:
        self.weights = weights
        self.found: dict[int, int] = {}
        self.flat: dict[int, tuple[Array, int]] = {}

    def on_op(
        self,
        op: Primitive,
        links: Sequence[Any],
        arrays: Sequence[Any],
        params: Params,
        result: Array,
        operands: Sequence[Any],
    ) -> None:
        flat, known = next((self.flat[id(a)] for a in arrays if id(a) in self.flat), (None, 0))
        layer = next((self.weights[id(a)] for a in arrays if id(a) in self.weights), None)
        if flat is not None and layer is not None:
            self.found[layer] = known
        elif flat is not None and result.shape == flat.shape:
            # As an activation or dropout leaves them.
            self.flat[id(result)] = result, known
        elif op is reshape and _flattens(shape := arrays[0].shape, result.shape):
            self.flat[id(result)] = result, shape[-1]


def _flattens(shape: Shape, rows: Shape) -> bool:
    """Tell whether images become rows; of fewer axes than these, PyTorch has the features last too."""
    return len(shape) > 3 and rows == (shape[0], prod(shape[1:]))
