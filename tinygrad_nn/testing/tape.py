"""A recorded computation, run again on other arrays: complex ones too, as the complex step needs them.

It shares nothing with the engine but the ops and their rules: no Tensor, no backward pass, no un-broadcasting
of the engine's. What it computes is therefore evidence about them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_nn.engine.node import Leaf, Node, reachable
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.primitives.primitive import Primitive

Array = np.ndarray[Any, Any]


class Tape:
    """The ops behind a tensor, oldest first; `run` computes them, `pull` goes back through the rules."""

    def __init__(self, result: Tensor, inputs: Sequence[Tensor]) -> None:
        self.root = result._node
        self.constant = result._data
        self.inputs = [x._node for x in inputs]
        nodes = reachable(self.root) if isinstance(self.root, Node) else []
        # A backward pass empties its nodes; the tape outlives it.
        self.steps = [
            (node, node.op, list(node.operands), node.params, node.plan) for node in reversed(nodes)
        ]
        self.analytic = all(op.analytic for _, op, *_ in self.steps)
        self.values: dict[Any, Any] = {}
        self.saved: dict[Any, Sequence[Any]] = {}

    def run(self, arrays: Sequence[Array]) -> Array:
        """Return the result for other input arrays."""
        values: dict[Any, Any] = dict(zip(self.inputs, arrays, strict=True))
        self.saved = {}
        for node, op, operands, params, plan in self.steps:
            operand_values = [_value(x, values) for x in operands]
            out, residuals = compute(op, operand_values, params)
            values[node] = out
            self.saved[node] = plan.save([*operand_values, out, *residuals])
        self.values = values
        return np.asarray(
            values[self.root] if self.root in values else _value(self.root, values, self.constant)
        )

    def pull(self, cotangent: Any) -> list[Array]:
        """Return the gradients of the inputs of the last `run`, from the rules alone."""
        totals: dict[Any, Any] = {self.root: cotangent}
        for node, _, operands, params, plan in reversed(self.steps):
            g = totals.pop(node)
            shapes = tuple(np.shape(_value(x, self.values)) for x in operands)
            saved = dict(zip(plan.names, self.saved[node], strict=True))
            for index, rule, _ in plan.calls:
                values = [saved[name] for name in rule.values]
                r = home(call_rule(rule, g, values, params, shapes, index), shapes[index])
                parent = operands[index]
                totals[parent] = totals[parent] + r if parent in totals else r
        zeros = [np.zeros(np.shape(self.values[leaf])) for leaf in self.inputs]
        return [np.asarray(totals.get(leaf, zero)) for leaf, zero in zip(self.inputs, zeros, strict=True)]


def compute(op: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
    """Return what the function of an op makes of plain arrays: its result and its residuals."""
    out = op.function(*operands, **params)
    if op.residuals:
        first, *residuals = out
        return np.asarray(first), tuple(residuals)
    return np.asarray(out), ()


def call_rule(
    rule: Any, g: Any, values: Sequence[Any], params: dict[str, Any], shapes: Any, index: int
) -> Any:
    """Call a rule as the engine does."""
    keywords = {name: params[name] for name in rule.keywords if name in params}
    if rule.wants_shapes:
        keywords["shapes"] = shapes
    if rule.wants_index:
        keywords["i"] = index
    return rule.function(g, *values, **keywords)


def home(r: Any, shape: tuple[int, ...]) -> Array:
    """Sum and broadcast what a rule returned to the shape of its operand."""
    r = np.asarray(r)
    if r.shape == shape:
        return np.asarray(r)
    r = np.broadcast_to(r, np.broadcast_shapes(r.shape, shape))
    lead = r.ndim - len(shape)
    stretched = tuple(lead + k for k, n in enumerate(shape) if n == 1 != r.shape[lead + k])
    return np.asarray(r.sum(axis=(*range(lead), *stretched))).reshape(shape)


def _value(x: Any, values: dict[Any, Any], otherwise: Any = None) -> Any:
    if x in values if type(x) in (Node, Leaf) else False:
        return values[x]
    if type(x) is Leaf:
        return x.data
    return x if otherwise is None else otherwise
