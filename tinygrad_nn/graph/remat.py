"""Computing again instead of saving: what a function needs for its derivative is computed when that is asked for."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

from tinygrad_nn import context
from tinygrad_nn.context import Plan, Temporarily
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.node import Later, Leaf, Node, tick
from tinygrad_nn.engine.tensor import Tensor, wrap
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.engine.watcher import Tracer, Watcher
from tinygrad_nn.errors import ArgumentError, GraphError, StaleValue
from tinygrad_nn.graph.generators import at, moved, positions
from tinygrad_nn.primitives import Function, Operands, Params, Primitive, Shape

Inputs = ParamSpec("Inputs")
Output = TypeVar("Output")
Described = tuple[Primitive, Shape, object]
"""The op of a node, and the shape and dtype of its result."""


def remat(f: Callable[Inputs, Output]) -> Callable[Inputs, Output]:
    """Return a function that does what `f` does and saves only its arguments: the backward pass runs `f` again.

    For one more forward pass, memory is that of the largest part in place of the sum of all: a chain of n layers in
    parts of sqrt(n) needs O(sqrt(n)) (Griewank and Walther 2000, "Revolve"; Chen et al. 2016, "Training deep nets with
    sublinear memory cost"). Constants that f computes, masks for example, are kept. Gradients are the same bit for bit,
    of every order, also those of parameters that f closes over. f may contain other such functions.

    f has to do the same when it runs again. Random generators that it can reach draw the same again, and updates of
    buffers by ops are not made twice; other side effects, such as printing, happen again. A compiled step is given f
    itself: its program reuses memory by its own plan.

    Args:
        f: a function of tensors, such as a module. Wrap it where it is called, `tn.remat(self.block)(x)`, and not where
            layers are listed, because the function that comes back is no module.

    Raises:
        ArgumentError: f is no function.
        StaleValue: on the way back, when a leaf that f used has changed since.
        GraphError: on the way back, when f did something else than before.

    Example:
        >>> import numpy as np
        >>> import tinygrad_nn as tn
        >>> block = remat(lambda x: np.tanh(np.sin(x)))
        >>> bool(tn.grad(block)(0.5) == tn.grad(lambda x: np.tanh(np.sin(x)))(0.5))
        True
    """
    if not callable(f):
        raise ArgumentError(f"remat: expected a function, got a {type(f).__name__}\n  hint   tn.remat(f)(x)")

    @functools.wraps(f, updated=())
    def saving_arguments(*args: Inputs.args, **kwargs: Inputs.kwargs) -> Output:
        recording, _, tracers = context.current()
        if not recording or any(type(tracer) is not _Again for tracer in tracers):
            return f(*args, **kwargs)
        result: Output = _Call(f, args, kwargs).first()
        return result

    return saving_arguments


class _Call:
    """One call of a function, which can be run again. It knows what was recorded, and none of the nodes."""

    def __init__(self, f: Function, args: Operands, kwargs: Params) -> None:
        self._f = f
        # As they are now: handles of their own on tensors, containers of their own.
        self._args, self._kwargs = trees.mapped(_kept, (args, kwargs))
        self._saved: dict[int, Sequence[Any]] = {}

    def first(self) -> Any:
        """Run the function and keep nothing of what its ops save."""
        before = positions(self._f, self._args, self._kwargs)
        keeper = _Forgetting(self)
        args, kwargs = trees.mapped(_kept, (self._args, self._kwargs))
        with context.watching(keeper):
            result = self._f(*args, **kwargs)
        self._recorded, self._leaves = keeper.recorded, keeper.leaves
        self._positions = moved(before)
        self._number = tick()
        return result

    def saved(self, k: int) -> Sequence[Any]:
        """Return what node k saved; whoever asks first runs the function again, and each value is handed out once."""
        found = self._saved.pop(k, None)
        if found is None:
            fresh = self._again()
            found, self._saved = fresh.pop(k), fresh
        return found

    def _again(self) -> dict[int, Sequence[Any]]:
        for leaf in self._leaves:
            if leaf.number > self._number:
                raise StaleValue(
                    f"remat: {leaf.name or 'a leaf'} {leaf.shape} was changed after the forward pass, so running the "
                    "function again would give other values\n"
                    "  hint   call backward() before step(), or compute the loss again"
                )
        again = _Again()
        args, kwargs = trees.mapped(_kept, (self._args, self._kwargs))
        wanted = [leaf for leaf, requires_grad in self._leaves.items() if requires_grad]
        state = context.changed(recording=True, watchers=(again,), tracers=(again,))
        with state, awake(wanted), at(self._positions):
            self._f(*args, **kwargs)
        now = [_described(node) for node in again.nodes]
        if now != self._recorded:
            k = next(
                (k for k, (a, b) in enumerate(zip(now, self._recorded, strict=False)) if a != b), len(now)
            )
            was, became = (
                f"{x[k][0].name} {x[k][1]}" if k < len(x) else "nothing more" for x in (self._recorded, now)
            )
            raise GraphError(
                f"remat: run again, the function did something else: {was} was op {k}, {became} is it now\n"
                "  hint   what it depends on (a mode, a list, a counter) stays the same until backward() is through"
            )
        return {k: node.saved for k, node in enumerate(again.nodes) if node.saved is not None}


def _kept(x: Tree) -> Tree:
    return wrap(x._data, x._node) if type(x) is Tensor else x


def _described(node: Node) -> Described:
    return node.op, node.shape, node.dtype


class _Forgetting(Watcher):
    """Lets nodes save nothing: their values come from the call, run again. One around it has come before."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self.recorded: list[Described] = []
        self.leaves: dict[Leaf, bool] = {}

    def on_record(self, node: Node) -> None:
        for operand in node.operands:
            if type(operand) is Leaf:
                self.leaves[operand] = operand.requires_grad
        if type(node.saved) is not Later:
            node.saved = Later()
            node.saved.again = partial(self._call.saved, len(self.recorded))
        self.recorded.append(_described(node))


class _Again(Tracer):
    """Collects the nodes of a second run, which leaves no gradients, updates no arrays and changes no leaf."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def on_record(self, node: Node) -> None:
        self.nodes.append(node)

    def on_update(self, update: Primitive, operands: Sequence[object], params: Params) -> bool:
        return True

    def on_host(self, prepare: Callable[[], None]) -> bool:
        return True


_LOCK = context.lock()
_AWAKE: Counter[Leaf] = Counter()


def awake(leaves: Iterable[Leaf]) -> Temporarily:
    """Let leaves require grad as they did, for a while; those of a derivative that is done, or frozen since, do not."""

    def plan() -> Plan:
        woken: list[Leaf] = []

        def wake() -> None:
            with _LOCK:
                for leaf in leaves:
                    if leaf in _AWAKE or not leaf.requires_grad:
                        # Another thread may run again what uses the same leaf.
                        _AWAKE[leaf] += 1
                        woken.append(leaf)
                        leaf.requires_grad = True

        def sleep() -> None:
            with _LOCK:
                while woken:
                    leaf = woken.pop()
                    _AWAKE[leaf] -= 1
                    if not _AWAKE[leaf]:
                        del _AWAKE[leaf]
                        leaf.requires_grad = False

        return wake, sleep

    return Temporarily(plan)
