"""A function traced as every export needs it: for the batch that is given, and for one of a sample more."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tinygrad_nn.errors import ArgumentError, ExportError, printable
from tinygrad_nn.graph.ir import Call, Graph, Value, call_text, path
from tinygrad_nn.nn.module import in_mode
from tinygrad_nn.primitives.operands import Function
from tinygrad_nn.settings import is_integer


class Traced(NamedTuple):
    """The graph of a function, and how it follows the length of the batch.

    Attributes:
        title: what the function is called.
        graph: that of the batch that was given.
        longer: that of a batch of a sample more; the same one where the length is fixed.
        batch: the length of the batch that was given; 0 where it is fixed.
    """

    title: str
    graph: Graph
    longer: Graph
    batch: int

    def growth(self, value: Value) -> tuple[int, ...]:
        """Return how much longer each axis of a value is for each sample; 0 where it is fixed."""
        shapes = value.shape, self.longer.values[value.index].shape
        return tuple(more - size for size, more in zip(*shapes, strict=True))


def traced(
    who: str, function: Function, example: object, trace: Callable[..., Graph], *, dynamic: bool
) -> Traced:
    """Return what a function does in evaluation mode.

    Args:
        who: the export, for errors.
        function: a model, or another function.
        example: its argument, or a tuple of several.
        trace: from the function and its arguments to a graph.
        dynamic: whether to trace it for a batch of a sample more too.

    Raises:
        ArgumentError: it is no function; the example has no batch.
        ExportError: other ops run for the other length.
    """
    if not callable(function):
        raise ArgumentError(f"{who}: expected a model or another function, got {type(function).__name__}")
    title = printable(getattr(function, "__name__", type(function).__name__))
    if isinstance(example, (str, os.PathLike)):
        raise ArgumentError(
            f"{who}: the example comes before the path\n  hint   {who}(model, x, {str(example)!r})"
        )
    if isinstance(example, tuple) and example and all(map(is_integer, example)):
        raise ArgumentError(
            f"{who}: the example is an array, or several in a tuple, got the numbers {example}\n"
            f"  hint   np.zeros({example}, np.float32), if that is its shape"
        )
    examples = example if type(example) is tuple else (example,)
    with in_mode(function, training=False):
        graph = trace(function, *examples)
        if not dynamic:
            return Traced(title, graph, graph, 0)
        longer = trace(function, *_longer(who, examples))
    if [_op(value) for value in graph.values] != [_op(value) for value in longer.values]:
        raise ExportError(
            f"{who}: what the function does depends on the length of the batch\n"
            "  hint   dynamic=False writes it for this length alone"
        )
    return Traced(title, graph, longer, graph.values[graph.inputs[0]].shape[0])


def _op(value: Value) -> object:
    return value.op if isinstance(value, Call) else None


def _longer(who: str, examples: tuple[object, ...]) -> tuple[object, ...]:
    """Return the examples for a batch of one sample more."""
    arrays = [np.asarray(x) for x in examples]
    if not arrays or not arrays[0].ndim or not len(arrays[0]):
        raise ArgumentError(
            f"{who}: the first axis of the example is the batch, and has a sample at least\n"
            "  hint   dynamic=False for a function without a batch"
        )
    return tuple(np.concatenate([x, x[:1]]) if x.ndim and len(x) == len(arrays[0]) else x for x in arrays)


def refused(who: str, call: Call, labels: Sequence[str], why: str) -> ExportError:
    """Return an error that names the line of the graph, and the module."""
    where = path(call.scope) or ("the model" if call.phase == "forward" else call.phase)
    return ExportError(
        f"{who}: {call.op.name} {why}\n"
        f"  in     {labels[call.index]} = {call_text(call, labels)}   {call.shape}\n"
        f"  of     {where}"
    )
