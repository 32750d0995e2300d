"""What the user calls arrays and tensors without a name: variables where a graph is drawn, and parameters of models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from types import FrameType

import numpy as np

from tinygrad_nn.context import Scope
from tinygrad_nn.engine.arguments import names_of
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.graph.builder import Builder
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.primitives import Array

_INPUT = re.compile(r"[xX]_?\d*|inputs?|images?|features?|data")
"""What data is called everywhere; a tensor of no model that is called so is an input, also where it requires grad."""


def name_values(builder: Builder, frame: FrameType) -> None:
    """Call values without a name as the user does, in the frame where the graph is drawn, or in the model's call."""
    graph = builder.graph
    given = [value for value in graph.values if not isinstance(value, Call) and value.kind != "state"]
    wanted = {id(value.data): value for value in given if _is_unnamed(value)}
    for name, array in _variables(frame):
        value = wanted.pop(id(array), None)
        if value is not None:
            value.name = name
            _becomes_input(builder, value)
    for value, name in _inputs_of_models(graph.values):
        value.name = name
        _becomes_input(builder, value)
    owned = _owned(graph.values)
    for value in given:
        if value.kind == "parameter" and _INPUT.fullmatch(value.name or "") and id(value.data) not in owned:
            value.kind = "input"
            graph.inputs = (*graph.inputs, value.index)


def _is_unnamed(value: Value) -> bool:
    """Tell whether a value is an array without a name; constants without axes are told by their numbers."""
    return (
        value.name is None
        and isinstance(value.data, np.ndarray)
        and (value.data.ndim > 0 or value.kind != "constant")
    )


def _becomes_input(builder: Builder, value: Value) -> None:
    if value.kind == "constant":
        value.kind = "input"
        builder.graph.inputs = (*builder.graph.inputs, value.index)


def _variables(frame: FrameType) -> Iterator[tuple[str, Array]]:
    """Yield the names of arrays and tensors that a frame sees, its own first, with their arrays."""
    for name, value in chain(frame.f_locals.items(), frame.f_globals.items()):
        if not name.startswith("_") and isinstance(value, (Tensor, np.ndarray)):
            yield name, value._data if isinstance(value, Tensor) else value


def _inputs_of_models(values: list[Value]) -> Iterator[tuple[Value, str]]:
    """Yield the only array without a name in a call of a model, and what its `forward` calls its first argument."""
    found: dict[Scope, set[int]] = {}
    for call in values:
        if isinstance(call, Call) and call.scope is not None:
            arrays = found.setdefault(call.scope.chain()[0], set())
            arrays.update(k for k in call.operands if values[k].kind == "constant" and _is_unnamed(values[k]))
    for outermost, arrays in found.items():
        if len(arrays) == 1:
            yield values[arrays.pop()], names_of(outermost.module, 1)[0]


def _owned(values: list[Value]) -> set[int]:
    """Return which arrays are parameters of models."""
    roots = [value.scope.chain()[0].module for value in values if value.scope is not None]
    lists = [root.named_parameters() for root in roots if hasattr(root, "named_parameters")]
    return {id(parameter._data) for pairs in lists for _, parameter in pairs}
