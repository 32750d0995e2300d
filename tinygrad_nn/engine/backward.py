"""The backward pass: from the cotangent of a result to the gradients of all that it was computed from.

`backward` is the whole story. The duties that no rule has to know are below it: shapes and dtypes (`unbroadcast`),
sums of several contributions and who owns which buffer (`OnArrays`), and handing gradients to their leaves
(`commit`). The same rules run on tensors where the result is to be differentiated again (`OnTensors`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from heapq import heapify, heappop, heappush
from sys import getrefcount
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.node import Later, Leaf, Node, Source, reachable
from tinygrad_nn.engine.watcher import Everyone
from tinygrad_nn.errors import BadRule, GraphFreed, StaleValue, printable
from tinygrad_nn.ops.reduction import column_sums, sum_to
from tinygrad_nn.primitives import Array, Params, Shape

NONE: Mapping[Source, Any] = {}
"""No further results."""


@np.errstate(all="ignore")
def backward(
    root: Source,
    cotangent: Any,
    *,
    others: Mapping[Source, Any] = NONE,
    wanted: Collection[Source] | None = None,
    sums: OnArrays | None = None,
    retain: bool = False,
) -> dict[Source, Any]:
    """Return the gradients of `wanted` (by default of all leaves that require one).

    Further results, with their cotangents, are `others`. Arrays are shared with nothing; tensors, made by `OnTensors`,
    may share theirs.

    Raises:
        GraphFreed: an earlier pass has released what this one needs.
        StaleValue: a leaf was changed after it had been used.
        BadRule: a rule returned something that cannot be a gradient.
    """
    sums = sums or _ON_ARRAYS
    watchers = context.current().watchers
    tell = Everyone(watchers) if watchers else None
    needs = None if wanted is None else _on_the_way(wanted, root, others)
    add, saved_by = sums.add, sums.saved_by
    gradients: dict[Source, Array] = {}
    totals: dict[Source, Array] = {root: cotangent} if needs is None or root in needs else {}
    # A heap, the newest node first: nothing can be added to its cotangent any more.
    pending: list[tuple[int, Any]] = [(-root.number, root)] if needs is None or needs.get(root) else []
    if others:
        totals.update({x: g for x, g in others.items() if needs is None or x in needs})
        pending = [(-x.number, x) for x in totals if type(x) is Node and (needs is None or needs[x])]
        heapify(pending)
    while pending:
        node: Node = heappop(pending)[1]
        g = totals.pop(node)
        if wanted is not None and node in wanted:
            sums.hand_out({node: g}, gradients)
        if tell is not None:
            tell.before_rules(node, g)
        operands, saved, plan, params = node.operands, saved_by(node), node.plan, node.params
        # Once for all rules, of which there may be thousands.
        shapes = tuple([getattr(x, "shape", ()) for x in operands]) if plan.wants_shapes else ()
        for index, rule, pick in plan.calls:
            parent = operands[index]
            if parent.requires_grad if needs is None else parent in needs:
                if params or rule.wants_more:
                    keywords = rule.keywords_for(params, shapes, index)
                    r = rule.function(g, *pick(saved), **keywords)
                else:
                    r = rule.function(g, *pick(saved))
                if type(r) is not np.ndarray or r.shape != parent.shape or r.dtype is not parent.dtype:
                    r = sums.unbroadcast(r, parent.shape, parent.dtype, node, index)
                if tell is not None:
                    tell.on_gradient(node, index, r)
                if parent in totals:
                    add(totals, parent, r)
                else:
                    totals[parent] = r
                    if type(parent) is Node and (needs is None or needs[parent]):
                        heappush(pending, (-parent.number, parent))
        if tell is not None:
            tell.after_rules(node)
        if not retain:
            node.saved, node.operands = None, []
    # What a variable of this function still refers to would be copied as if it were another's.
    g = r = cotangent
    sums.hand_out(totals, gradients)
    return gradients


def _on_the_way(wanted: Collection[Source], root: Source, others: Collection[Source]) -> dict[Source, bool]:
    """Return what the pass has to reach: True for nodes that lead on to one of `wanted`, False for these alone."""
    roots = (root, *others) if others else (root,)
    nodes = reachable(*[x for x in roots if type(x) is Node])
    needs: dict[Source, bool] = dict.fromkeys(wanted, False)
    for node in nodes:
        if node.saved is None and (node not in needs or len(wanted) > 1):
            # Its operands are gone too, and with them whether they lead to wanted ones.
            raise _freed(node)
    for node in reversed(nodes):
        if any(type(parent) in (Node, Leaf) and parent in needs for parent in node.operands):
            needs[node] = True
    return needs


def _saved_by(node: Node) -> Sequence[Any]:
    """Return the saved values of a node; refuse one whose values are gone, or whose leaves have changed since."""
    saved, number = node.saved, node.number
    if saved is None:
        raise _freed(node)
    for operand in node.operands:
        if type(operand) is Leaf and operand.number > number:
            raise stale(node, operand)
    while type(saved) is Later:
        saved = saved.again()
    return saved


def stale(node: Node, leaf: Leaf) -> StaleValue:
    """Return the error for a node whose operand `leaf` was changed after it had been used."""
    return StaleValue(
        f"{node.op.name}: its operand {printable(leaf.name or 'a leaf')} {leaf.shape} was changed after the "
        "forward pass, so the gradient would belong to another value\n"
        "  hint   call backward() before step(), or compute the loss again"
    )


def _freed(node: Node) -> GraphFreed:
    return GraphFreed(
        f"{node.op.name}: the values saved for the backward pass have been released by an earlier one\n"
        "  hint   call backward(retain_graph=True) the first time, or compute the loss again"
    )


def _count_references(totals: dict[Any, Array]) -> int:
    _, r = totals.popitem()
    return getrefcount(r)


_FRESH = _count_references({0: np.empty(0)})
"""What an array has that only one variable refers to; counted, because versions of Python count differently."""


class OnArrays:
    """Sums of cotangents as arrays: one that nobody else refers to is a buffer of this pass, added to in place."""

    __slots__ = ()

    saved_by = staticmethod(_saved_by)

    def add(self, totals: dict[Source, Array], parent: Source, r: Array) -> None:
        """Add a further contribution to the total of `parent`."""
        before = totals.pop(parent)
        if before.base is None and getrefcount(before) <= _FRESH:
            before += r
            totals[parent] = before
        else:
            # Of 0-d arrays NumPy makes scalars.
            totals[parent] = np.asarray(before + r)

    def hand_out(self, totals: dict[Source, Array], gradients: dict[Source, Array]) -> None:
        """Move totals to gradients, which share memory with nothing."""
        while totals:
            source, g = totals.popitem()
            gradients[source] = g if g.base is None and getrefcount(g) <= _FRESH else g.copy()

    def unbroadcast(self, r: Array, shape: Shape, dtype: np.dtype, node: Node, index: int) -> Any:
        """Bring what a rule returned to the shape and dtype of its operand: sum, broadcast, cast."""
        if type(r) is np.ndarray and r.ndim == 2 and r.shape[1:] == shape and r.dtype is dtype:
            return column_sums(r)  # the gradient of a bias, the most frequent case by far
        who = f"{node.op.name}: the rule of operand {index} returned"
        if not isinstance(r, (np.ndarray, np.generic)) and not hasattr(type(r), "__primitive__"):
            raise BadRule(f"{who} {type(r).__name__}, expected an array that broadcasts with {shape}")
        if r.dtype.kind not in "fiub":
            raise BadRule(f"{who} dtype {r.dtype}, expected {dtype}")
        if r.shape != shape:
            try:
                r = self.reshaped(r, shape)
            except ValueError:
                text = f"{who} shape {r.shape}, which neither sums nor broadcasts to the operand's {shape}"
                raise BadRule(text) from None
        if r.dtype != dtype:
            r = r.astype(dtype)
        return np.asarray(r) if isinstance(r, np.generic) else r

    def reshaped(self, r: Array, shape: Shape) -> Any:
        """Return `r`, broadcast to `shape` and then summed to it."""
        if not r.shape:
            # np.broadcast_to, ten times faster.
            r = np.ndarray(shape, r.dtype, np.asarray(r), 0, (0,) * len(shape))
            r.flags.writeable = False
            return r
        if r.shape[r.ndim - len(shape) :] == shape:
            return sum_to.function(r, shape=shape)
        return _summed(r, shape)


_ON_ARRAYS = OnArrays()


class OnTensors(OnArrays):
    """The same on tensors, which remember how they came about; `wrap` makes one of an array and its source."""

    __slots__ = ("_wrap",)

    def __init__(self, wrap: Callable[[Array, Source | None], Any]) -> None:
        self._wrap = wrap

    def add(self, totals: dict[Source, Array], parent: Source, r: Any) -> None:
        totals[parent] = totals[parent] + r

    def hand_out(self, totals: dict[Source, Array], gradients: dict[Source, Array]) -> None:
        gradients.update(totals)

    def commit(self, gradients: Mapping[Any, Any]) -> None:
        """Add gradients to `.grad` of their leaves, as the traced code sees it."""
        taken: set[int] = set()
        for leaf, g in gradients.items():
            old = leaf.grad
            if old is not None:
                g = self._wrap(old, None) + g
            elif id(g._data) in taken:
                # Tensors may share their memory, but each leaf has a gradient of its own.
                g = g.copy()
            taken.add(id(g._data))
            leaf.grad = g._data

    def reshaped(self, r: Array, shape: Shape) -> Any:
        return _summed(r, shape)

    def saved_by(self, node: Node) -> Sequence[Any]:
        """Return the saved values as tensors that know where they came from; residuals are computed from these."""
        op, operands = node.op, node.operands
        values: Params = {}
        for name, place, value in zip(node.plan.names, node.plan.sources, _saved_by(node), strict=True):
            if isinstance(place, slice):
                values[name] = tuple(self._operand(node, k, array) for k, array in enumerate(value))
            elif place < len(operands):
                values[name] = self._operand(node, place, value)
            elif place == len(operands):
                values[name] = self._wrap(value, node)
        for name, sources in op.residual_operands.items():
            if name in node.plan.names:
                values[name] = op.residual(name, [values[source] for source in sources], node.params)
        return [values[name] for name in node.plan.names]

    def _operand(self, node: Node, index: int, array: Array) -> Any:
        operand = node.operands[index]
        if type(operand) in (Node, Leaf):
            return self._wrap(array, operand)
        # A constant is wrapped too, labels and masks among them, so that watchers see what a rule makes of it.
        return self._wrap(array, None) if isinstance(array, np.ndarray) else array


def _summed(r: Array, shape: Shape) -> Any:
    full = np.broadcast_shapes(r.shape, shape)
    if full != r.shape:
        r = np.broadcast_to(r, full)
    return sum_to(r, shape=shape) if full != shape else r


_LOCK = context.lock()


def commit(gradients: Mapping[Any, Array]) -> None:
    """Add gradients to `.grad` of their leaves; an error or an interrupt on the way leaves all as they were."""
    with _LOCK:
        before: list[tuple[Leaf, Array | None]] = []
        after: list[Array] = []
        for leaf, g in gradients.items():
            old = leaf.own_grad
            before.append((leaf, old))
            if old is None:
                after.append(g)
            else:
                # Of 0-d arrays NumPy makes scalars.
                after.append(np.asarray(np.add(old, g)))
                if (leaf.spent is old or leaf.kept is old) and old.any():
                    leaf.kept = after[-1]
        try:
            for (leaf, _), g in zip(before, after, strict=True):
                leaf.own_grad = g if type(g) is np.ndarray else np.asarray(g)
        except BaseException:
            for leaf, old in before:
                leaf.own_grad = old
            raise
