"""The computation graph: what made a value, from what, and what was saved to go back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from operator import attrgetter
from typing import Any

import numpy as np

from tinygrad_nn.context import Line, Scope, current
from tinygrad_nn.primitives import Array, Params, Primitive, Shape
from tinygrad_nn.primitives.primitive import Plan

tick = count(1).__next__
"""One clock for the whole process: nodes are numbered as they are made, leaves as their values change."""


class Leaf:
    """A tensor that no op made: its array, its name and its gradient.

    While code is traced, what it does to leaves is written down by the tracer, and done to none: `grad` is what that
    code sees, `own_grad` what there is. Training steps, which look up once whether somebody traces, use the latter.

    `number` is the time of its last change. A node that is older than one of its leaves saw another value. A
    `parameter` has required grad at some time; one that does no longer is frozen. `spent` is the gradient that the
    first step of an optimizer has used, until the second, and `kept` the sum of it and of later ones.
    """

    __slots__ = (
        "_data",
        "dtype",
        "kept",
        "name",
        "number",
        "own_grad",
        "parameter",
        "requires_grad",
        "shape",
        "spent",
    )
    op = None
    memory: object = object()
    """Another object each time that some leaf got memory of another dtype, or that cannot be written; optimizers keep
    the one they know."""

    def __init__(self, data: Array, requires_grad: bool, name: str | None) -> None:
        self.data = data
        self.requires_grad = self.parameter = requires_grad
        self.name = name
        self.own_grad: Array | None = None
        self.spent: Array | None = None
        self.kept: Array | None = None
        self.number = tick()
        for watcher in current().watchers:
            watcher.on_leaf(self)

    @property
    def data(self) -> Array:
        return self._data

    @data.setter
    def data(self, array: Array) -> None:
        self._data = array
        self.shape = array.shape
        self.dtype = array.dtype

    @property
    def grad(self) -> Array | None:
        tracers = current().tracers
        gradient: Array | None = tracers[-1].gradient_of(self) if tracers else self.own_grad
        return gradient

    @grad.setter
    def grad(self, gradient: Array | None) -> None:
        if tracers := current().tracers:
            tracers[-1].on_gradient_left(self, gradient)
        else:
            self.own_grad = gradient

    def touch(self) -> None:
        """Note that the value has changed."""
        if tracers := current().tracers:
            tracers[-1].on_change(self)
        else:
            self.number = tick()


class Node:
    """A value that an op made. It never refers to the value itself, only to what is needed to go back.

    `operands` holds a node or leaf for each operand that has one, and the constant itself otherwise. `saved` is
    None once a backward pass has released it, and `Later` where it is computed again. `line`, of the user's program,
    is there only where somebody asked for it.
    """

    __slots__ = (
        "dtype",
        "line",
        "name",
        "number",
        "op",
        "operands",
        "params",
        "plan",
        "saved",
        "scope",
        "shape",
    )
    requires_grad = True

    op: Primitive
    operands: list[Any]
    params: Params
    plan: Plan
    saved: Sequence[Any] | None
    shape: Shape
    dtype: np.dtype
    scope: Scope | None
    name: str | None
    number: int
    line: Line


class Later(tuple[Any, ...]):
    """Stands for saved values that are computed when the backward pass asks for them; empty to everyone else."""

    again: Callable[[], Sequence[Any]]


Source = Node | Leaf
"""What a tensor knows of how it came about."""


def reachable(*roots: Node) -> list[Node]:
    """Return the nodes that `roots` were computed from, they themselves included, newest first."""
    seen = {*roots}
    stack = [*roots]
    while stack:
        for parent in stack.pop().operands:
            if type(parent) is Node and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=attrgetter("number"), reverse=True)
