"""debug(): which op, on which line, made the first NaN, and which array was changed behind the graph's back."""

from __future__ import annotations

import linecache
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.failures import module_path, warn_of_usage
from tinygrad_nn.engine.lines import users_line
from tinygrad_nn.engine.node import Node
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import NonFinite, StaleValue, printable
from tinygrad_nn.primitives import Shape


def debug() -> context.Temporarily:
    """Stop at the first NaN or infinity, and at the first array changed between forward and backward.

    Both are found at a cost: every result is looked at, every saved array is summed up. Not for production. Besides, a
    `UsageWarning` points to where `float(t)`, which `math.exp(t)` calls, takes a tensor that requires grad out of the
    graph.

    Raises:
        NonFinite: an op made a NaN of operands without one, or an infinity of finite ones; so did a derivative
            rule; or `backward` was given such a cotangent, or `step` such a gradient (nothing is updated then).
        StaleValue: an array that the backward pass needs is not what it was.

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> x = tn.tensor([1.0, 0.0], requires_grad=True)
        >>> with tn.debug(), np.errstate(divide="ignore"):
        ...     np.log(x)
        Traceback (most recent call last):
        ...
        tinygrad_nn.errors.NonFinite: log: the result has -inf at [1], op 1 since debug() began
          operand 0  (2,) float32, finite, 0.0 at [1]
          line       <doctest tinygrad_nn.engine.debug.debug[2]>:2: np.log(x)
    """
    return context.Temporarily(lambda: context.watched(_Debugger()))


class _Debugger(Watcher):
    def __init__(self) -> None:
        self.ops = 0
        self.made: dict[Node, tuple[str, list[int]]] = {}
        self.prune_at = 1000

    def on_op(self, op: Any, links: Any, arrays: Any, params: Any, result: Any, operands: Any) -> None:
        self.ops += 1
        place = _first_bad(result, arrays)
        if place is None:
            return
        lines = [
            f"{op.name}: the result has {result[place]} at {_spell(place)}, op {self.ops} since debug() began"
        ]
        lines += [f"  operand {k}  {_describe(a, place, result.shape)}" for k, a in enumerate(arrays)]
        path = module_path(context.SCOPE.get())
        lines += [f"  in         {path}"] if path else []
        raise NonFinite("\n".join([*lines, f"  line       {_line()}"]))

    def on_record(self, node: Any) -> None:
        if len(self.made) > self.prune_at:
            self.made = {n: entry for n, entry in self.made.items() if n.saved is not None}
            self.prune_at = 1000 + 2 * len(self.made)
        node.line = users_line()
        self.made[node] = (_line(), [_checksum(a) for _, a in _saved(node)])

    def before_rules(self, node: Any, cotangent: Any) -> None:
        line, sums = self.made.get(node, ("before debug() began", []))
        g = getattr(cotangent, "_data", cotangent)
        place = _first_bad(g, ())
        if place is not None:
            raise NonFinite(
                f"backward of {node.op.name}: its cotangent has {g[place]} at {_spell(place)}\n  line       {line}"
            )
        for (name, array), before in zip(_saved(node), sums, strict=False):
            if _checksum(array) != before:
                raise StaleValue(
                    f"{node.op.name}: {name} {array.shape}, which its derivative needs, was changed after the forward "
                    f"pass\n  line       {line}\n"
                    "  hint   write into a copy: t.data.copy(), or call backward() first"
                )

    def on_gradient(self, node: Any, index: int, gradient: Any) -> None:
        g = getattr(gradient, "_data", gradient)
        place = _first_bad(g, ())
        if place is not None:
            line, _ = self.made.get(node, ("before debug() began", []))
            raise NonFinite(
                f"backward of {node.op.name}: the gradient of operand {index} has {g[place]} at {_spell(place)}\n"
                f"  line       {line}"
            )

    def before_step(self, parameters: Any) -> None:
        for k, parameter in enumerate(parameters):
            g = parameter.grad
            place = None if g is None else _first_bad(g, ())
            if place is not None:
                who = printable(parameter.name or f"parameter {k} {parameter.shape}")
                raise NonFinite(
                    f"step: the gradient of {who} has {g[place]} at {_spell(place)}; no parameter was changed\n"
                    f"  line       {_line()}"
                )

    def on_number(self, tensor: Any, how: str) -> None:
        who = f"{printable(tensor.name or 'a tensor')} {tensor.shape}"
        warn_of_usage(
            f"{how} makes a plain number of {who}, which requires grad: no gradient flows through it\n"
            "  hint   np.exp(t) in place of math.exp(t); t.item() says that only the number is meant"
        )


def _first_bad(result: Any, operands: Any) -> Shape | None:
    """Return where `result` has a NaN that no operand has, or an infinity where all operands are finite."""
    result = np.asarray(result)
    if result.dtype.kind != "f" or np.isfinite(result).all():
        return None
    floats = [a for a in map(np.asarray, operands) if a.dtype.kind == "f"]
    bad = ~np.isfinite(result)
    if any(np.isnan(a).any() for a in floats):
        return None
    if not all(np.isfinite(a).all() for a in floats):
        bad = np.isnan(result)
    return tuple(map(int, np.argwhere(bad)[0])) if bad.any() else None


def _describe(a: Any, place: Shape, shape: Shape) -> str:
    a = np.asarray(a)
    finite = "finite" if a.dtype.kind != "f" or np.isfinite(a).all() else "not finite"
    text = f"{a.shape} {a.dtype}, {finite}"
    try:
        return f"{text}, {np.broadcast_to(a, shape)[place]} at {_spell(place)}"
    except ValueError:  # a reduction, an index: no element belongs to this one
        return text


def _spell(place: Shape) -> str:
    return f"[{', '.join(map(str, place))}]"


def _saved(node: Node) -> Iterator[tuple[str, Any]]:
    """Yield the arrays a node has saved, with what they are."""
    names = {name: f"operand {name}" for name in node.op.operand_names} | {
        "y": "its result",
        "xs": "an operand",
    }
    for name, item in zip(node.plan.names, node.saved or (), strict=False):
        for array in item if isinstance(item, (tuple, list)) else (item,):
            if isinstance(array, np.ndarray):
                yield names.get(name, name), array


def _checksum(array: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data) if array.size else 0


def _line() -> str:
    """Return the line of the user, with its text."""
    name, number = users_line()
    return f"{name}:{number}: {linecache.getline(name, number).strip()}"
