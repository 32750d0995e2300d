"""The backward pass: from a cotangent of one node to the gradients of all it was computed from.

It runs the derivative rules on arrays; given `wrap`, which makes a tensor of an array and its node, it runs the
same rules on tensors, and the result can be differentiated again. The duties that no rule has to know are here:
shapes, dtypes, sums of several contributions, and who owns which buffer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.node import Leaf, Node, reachable
from tinygrad_nn.errors import BadRule, GraphFreed, StaleValue
from tinygrad_nn.ops.reduction import column_sums, sum_to


def _references_of_a_fresh_array() -> int:
    r = np.empty(0)
    totals = {0: r}
    return getrefcount(totals and r)


_FRESH = _references_of_a_fresh_array()  # versions of Python count borrowed references differently

Wrap = Callable[[Any, Any], Any]


@np.errstate(all="ignore")
def backward(
    root: Node,
    cotangent: Any,
    *,
    wanted: Collection[Node | Leaf] | None = None,
    wrap: Wrap | None = None,
    retain: bool = False,
) -> dict[Node | Leaf, Any]:
    """Return the gradients of `wanted` (by default of all leaves that require one).

    Arrays are shared with nothing; tensors, made with `wrap`, may share theirs.

    Raises:
        GraphFreed: an earlier pass has released what this one needs.
        StaleValue: a leaf was changed after it had been used.
        BadRule: a rule returned something that cannot be a gradient.
    """
    useful = None
    if wanted is not None:
        nodes = reachable(root)
        for node in nodes:
            if node.saved is None and (node not in wanted or len(wanted) > 1):
                raise _freed(node)  # its operands are gone too, and whether they lead to wanted ones
        useful = _leading_to(wanted, nodes)
    watchers = context.current().watchers
    totals: dict[Any, Any] = {root: cotangent}
    own: set[Any] = set()  # whose total is a buffer of this pass, to be added to in place
    gradients: dict[Node | Leaf, Any] = {}
    pending = [
        (-root.number, root)
    ]  # a heap: the newest first, when nothing can be added to its cotangent any more
    while pending:
        node = heappop(pending)[1]
        g = totals.pop(node)
        if useful is not None:
            if node in wanted:  # type: ignore[operator]
                gradients[node] = g if node in own or wrap else g.copy()
            if node not in useful:
                continue
        saved = node.saved
        if saved is None:
            raise _freed(node)
        if watchers:
            for watcher in watchers:
                watcher.before_rules(node, g)
        operands = node.operands
        number = node.number
        for operand in operands:
            if type(operand) is Leaf and operand.number > number:
                raise _stale(node, operand)
        if wrap is not None:
            saved = _as_tensors(node, wrap)
        shapes = None
        for index, rule, places in node.plan.calls:
            parent = operands[index]
            if useful is None:
                if not parent.requires_grad:
                    continue
            elif parent not in useful and parent not in wanted:  # type: ignore[operator]
                continue
            if rule.plain or not (node.params or rule.wants_shapes or rule.wants_index):
                if not places:
                    r = rule.function(g)
                elif len(places) == 1:
                    r = rule.function(g, saved[places[0]])
                elif len(places) == 2:
                    r = rule.function(g, saved[places[0]], saved[places[1]])
                else:
                    r = rule.function(g, *[saved[k] for k in places])
            else:
                if shapes is None and rule.wants_shapes:
                    shapes = tuple([getattr(x, "shape", ()) for x in operands])
                r = rule.function(
                    g, *[saved[k] for k in places], **rule.keywords_for(node.params, shapes, index)
                )
            if type(r) is not np.ndarray or r.shape != parent.shape or r.dtype is not parent.dtype:
                r = fit(r, parent.shape, parent.dtype, node, index, wrap)
            if watchers:
                for watcher in watchers:
                    watcher.on_gradient(node, index, r)
            before = totals.get(parent)
            if before is None:
                totals[parent] = r
                if type(parent) is Node:
                    heappush(pending, (-parent.number, parent))
                # A fresh result has no base, and no references but this variable and the totals.
                if wrap is None and r.base is None and getrefcount(r) <= _FRESH:
                    own.add(parent)
            elif parent in own:
                before += r
            else:
                total = before + r
                totals[parent] = total if wrap else np.asarray(total)  # of 0-d arrays NumPy makes scalars
                if wrap is None:
                    own.add(parent)
        if watchers:
            for watcher in watchers:
                watcher.after_rules(node)
        if not retain:
            node.saved = None
            node.operands = []
    for parent, g in totals.items():
        gradients[parent] = g if parent in own or wrap else g.copy()
    return gradients


def fit(r: Any, shape: tuple[int, ...], dtype: Any, node: Node, index: int, wrap: Wrap | None = None) -> Any:
    """Bring what a rule returned to the shape and dtype of its operand: sum, broadcast, cast."""
    if type(r) is np.ndarray and r.ndim == 2 and r.shape[1:] == shape and r.dtype is dtype:
        return column_sums(r)  # the gradient of a bias, the most frequent case by far
    if not isinstance(r, (np.ndarray, np.generic)) and not hasattr(type(r), "__primitive__"):
        raise BadRule(
            f"{node.op.name}: the rule of operand {index} returned {type(r).__name__}, expected an array that "
            f"broadcasts with {shape}"
        )
    if r.dtype.kind not in "fiub":
        raise BadRule(
            f"{node.op.name}: the rule of operand {index} returned dtype {r.dtype}, expected {dtype}"
        )
    if r.shape != shape:
        if not r.shape and wrap is None:
            # np.broadcast_to, ten times faster
            r = np.ndarray(shape, r.dtype, np.asarray(r), 0, (0,) * len(shape))
            r.flags.writeable = False
        elif r.shape[r.ndim - len(shape) :] == shape:
            r = sum_to(r, shape=shape) if wrap else sum_to.function(r, shape=shape)
        else:
            r = _brought_home(r, shape, node, index)
    if r.dtype != dtype:
        r = r.astype(dtype)
    return np.asarray(r) if isinstance(r, np.generic) else r


def _brought_home(r: Any, shape: tuple[int, ...], node: Node, index: int) -> Any:
    try:
        full = np.broadcast_shapes(r.shape, shape)
    except ValueError:
        raise BadRule(
            f"{node.op.name}: the rule of operand {index} returned shape {r.shape}, which neither sums nor "
            f"broadcasts to the operand's {shape}"
        ) from None
    if full != r.shape:
        r = np.broadcast_to(r, full)
    return sum_to(r, shape=shape) if full != shape else r


def _leading_to(wanted: Collection[Node | Leaf], order: list[Node]) -> set[Node]:
    """Return the nodes of `order` that were computed from one of `wanted`."""
    useful: set[Node] = set()
    for node in reversed(order):
        if any(
            parent in wanted or parent in useful for parent in node.operands if type(parent) in (Node, Leaf)
        ):
            useful.add(node)
    return useful


def _freed(node: Node) -> GraphFreed:
    return GraphFreed(
        f"{node.op.name}: the values saved for the backward pass have been released by an earlier one\n"
        "  hint   call backward(retain_graph=True) the first time, or compute the loss again"
    )


def _stale(node: Node, leaf: Leaf) -> StaleValue:
    return StaleValue(
        f"{node.op.name}: its operand {leaf.name or 'a leaf'} {leaf.shape} was changed after the forward pass, so the "
        "gradient would belong to another value\n"
        "  hint   call backward() before step(), or compute the loss again"
    )


def _as_tensors(node: Node, wrap: Wrap) -> list[Any]:
    """Return the saved values as tensors that know where they came from; residuals are computed from these."""
    op, operands = node.op, node.operands
    values: dict[str, Any] = {}

    def tensor(index: int, array: Any) -> Any:
        if not op.variadic and op.rules[index] is None:
            return array
        operand = operands[index]
        if type(operand) in (Node, Leaf):
            return wrap(array, operand)
        return (
            wrap(array, None) if isinstance(array, np.ndarray) else array
        )  # so that watchers see what uses it

    saved = node.saved or []
    for name, place, value in zip(node.plan.names, node.plan.sources, saved, strict=True):
        if isinstance(place, slice):
            values[name] = tuple(tensor(k, array) for k, array in enumerate(value))
        elif place < len(operands):
            values[name] = tensor(place, value)
        elif place == len(operands):
            values[name] = wrap(value, node)
    for name, sources in op.residual_operands.items():
        if name in node.plan.names:
            values[name] = op.residuals[name](*(values[source] for source in sources))
    return [values[name] for name in node.plan.names]


_LOCK = threading.Lock()


def commit(gradients: Mapping[Any, Any], wrap: Callable[[Any, None], Any] | None = None) -> None:
    """Add gradients to `.grad` of their leaves; an error or an interrupt on the way leaves all as they were.

    With `wrap`, which makes a tensor of an array, the gradients are tensors, and watchers see the sums.
    """
    with _LOCK:
        before: list[tuple[Leaf, Any]] = []
        after: list[Any] = []
        for leaf, g in gradients.items():
            old = leaf.grad
            before.append((leaf, old))
            if old is not None:
                g = np.add(old, g) if wrap is None else wrap(old, None) + g
            elif wrap is not None and any(getattr(g, "_data", g) is other for other in after):
                g = g.copy()  # each leaf has a gradient of its own, in a recorded step too
            after.append(getattr(g, "_data", g))
        try:
            for (leaf, _), new in zip(before, after, strict=True):
                leaf.grad = new if type(new) is np.ndarray else np.asarray(new)
        except BaseException:
            for leaf, old in before:
                leaf.grad = old
            raise
