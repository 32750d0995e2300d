"""Who is told of what runs: watchers look on, tracers write down, so that it can be run again.

Debugging and profiling are watchers, capture is a tracer. `context.watching` installs one; nobody costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_nn.context import current
from tinygrad_nn.engine.node import Leaf, Node
from tinygrad_nn.primitives import Array, Params, Primitive


class Watcher:
    """Sees every op and every derivative rule while it is installed; override what you need."""

    traces = False
    on_task: Callable[[Any, Any], None] | None = None
    """Called by the replay of a compiled function with the values of its graph and None when it begins, and with each
    task when it is done. Where a watcher has none, compiled functions run op by op."""

    def before_op(self, op: Primitive) -> None:
        """Called before `op` computes."""

    def on_op(
        self,
        op: Primitive,
        links: Sequence[Any],
        arrays: Sequence[Any],
        params: Params,
        result: Array,
        operands: Sequence[Any],
    ) -> None:
        """Called after `op` made the array `result` from `arrays`.

        `links` has the node of each that has one, `operands` what it was called with, before any conversion.
        """

    def on_leaf(self, leaf: Leaf) -> None:
        """Called after a tensor was made that requires grad or has a name."""

    def on_record(self, node: Node) -> None:
        """Called after `node` was recorded with its saved arrays."""

    def before_rules(self, node: Node, cotangent: Any) -> None:
        """Called when the backward pass reaches `node`, before its rules run."""

    def on_gradient(self, node: Node, index: int, gradient: Any) -> None:
        """Called with the gradient that a rule of `node` returned for its operand `index`."""

    def after_rules(self, node: Node) -> None:
        """Called when the rules of `node` have run."""

    def before_step(self, parameters: Sequence[Any]) -> None:
        """Called with the parameters of an optimizer before it updates the first of them."""

    def after_step(self, update: Primitive) -> None:
        """Called when an optimizer has updated its parameters with the kernel `update`."""

    def on_number(self, tensor: Any, how: str) -> None:
        """Called before a tensor becomes a plain number that its gradient does not flow through."""


class Everyone(Watcher):
    """The watchers of a backward pass as one."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers

    def before_rules(self, node: Node, cotangent: Any) -> None:
        for watcher in self._watchers:
            watcher.before_rules(node, cotangent)

    def on_gradient(self, node: Node, index: int, gradient: Any) -> None:
        for watcher in self._watchers:
            watcher.on_gradient(node, index, gradient)

    def after_rules(self, node: Node) -> None:
        for watcher in self._watchers:
            watcher.after_rules(node)


class Tracer(Watcher):
    """A watcher that writes down what runs; backward passes run their rules on tensors, whose ops it sees too.

    A tensor is handed over as it is; what a replay could not repeat, it refuses by raising `CaptureError`. What the
    traced code does to leaves and random generators, it sees itself and nobody else: the tracer keeps it.
    """

    traces = True

    def gradient_of(self, leaf: Leaf) -> Array | None:
        """Return the gradient of a leaf, as the traced code sees it."""
        return leaf.own_grad

    def on_gradient_left(self, leaf: Leaf, gradient: Array | None) -> None:
        """Called instead of leaving a gradient in a leaf."""

    def on_change(self, leaf: Leaf) -> None:
        """Called instead of noting that the value of a leaf has changed."""

    def drawing(self, params: Params) -> Params:
        """Return the parameters of a call with random generators that the traced code may draw from."""
        return params

    def on_copy(self, tensor: Any, copy: Array) -> None:
        """Called after `tensor` was made into a new one, whose array is `copy`."""

    def on_module(self, module: Any) -> None:
        """Called before a module computes, and before it is looked through for parameters or modules."""

    def on_copied_module(self, module: Any, copied: Any) -> None:
        """Called after `copied` was made, which is `module` with other parameters."""

    def on_update(self, update: Primitive, operands: Sequence[Any], params: Params) -> bool:
        """Called instead of a kernel that writes its operands; True says that it has been dealt with."""
        return False

    def on_host(self, prepare: Callable[[], None]) -> bool:
        """Called with plain Python work that a replay has to repeat; True says that it will be done then, not now."""
        return False

    def is_plain(self, tensor: Any) -> bool:
        """Tell whether `tensor` stands for a plain array that the user gave, which layers and losses may cast."""
        return False

    def on_assign(self, tensor: Any) -> None:
        """Called before the array of a tensor is replaced, by `.data = ...`."""

    def on_freeze(self, leaf: Leaf) -> None:
        """Called before a leaf begins or ceases to require grad."""

    def on_read(self, tensor: Any, how: str) -> None:
        """Called when the value of a tensor leaves the graph, by `.data`, `float(t)` and the like."""


def before_op(op: Primitive, params: Params) -> Params:
    """Tell watchers of a call; return its parameters with the random generators that traced code draws from."""
    state = current()
    for watcher in state.watchers:
        watcher.before_op(op)
    for tracer in state.tracers:
        params = tracer.drawing(params)
    return params
