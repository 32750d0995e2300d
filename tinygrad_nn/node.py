"""The computation graph: what made a value, from what, and what was saved to go back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np

from tinygrad_nn.context import Scope
from tinygrad_nn.primitive import Plan, Primitive

tick = count(1).__next__
"""One clock for the whole process: nodes are numbered as they are made, leaves as their values change."""


class Leaf:
    """A tensor that no op made: its array, its name and its gradient.

    `number` is the time of its last change. A node that is older than one of its leaves saw another value.
    """

    __slots__ = ("data", "grad", "name", "number", "requires_grad")
    op = None

    def __init__(self, data: np.ndarray[Any, Any], requires_grad: bool, name: str | None) -> None:
        self.data = data
        self.requires_grad = requires_grad
        self.name = name
        self.grad: np.ndarray[Any, Any] | None = None
        self.number = tick()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype


class Node:
    """A value that an op made. It never refers to the value itself, only to what is needed to go back.

    `operands` holds a node or leaf for each operand that has one, and the constant itself otherwise. `saved` is
    None once a backward pass has released it.
    """

    __slots__ = ("dtype", "name", "number", "op", "operands", "params", "plan", "saved", "scope", "shape")
    requires_grad = True

    def __init__(
        self,
        op: Primitive,
        operands: list[Any],
        params: dict[str, Any],
        plan: Plan,
        saved: Sequence[Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        scope: Scope | None,
    ) -> None:
        self.op = op
        self.operands = operands
        self.params = params
        self.plan = plan
        self.saved: Sequence[Any] | None = saved
        self.shape = shape
        self.dtype = dtype
        self.scope = scope
        self.name: str | None = None
        self.number = tick()

    def release(self) -> None:
        """Let go of the saved arrays and of the way back."""
        self.saved = None
        self.operands = []


def reachable(root: Node) -> list[Node]:
    """Return the nodes that `root` was computed from, itself included, newest first."""
    seen = {root}
    stack = [root]
    while stack:
        for parent in stack.pop().operands:
            if type(parent) is Node and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=_number, reverse=True)


def _number(node: Node) -> int:
    return node.number
