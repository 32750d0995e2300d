"""A recorded computation, run again on other arrays: complex ones too, as the complex step needs them.

It shares nothing with the engine but the ops and their rules: no Tensor, no backward pass, no un-broadcasting
of the engine's. What it computes is therefore evidence about them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tinygrad_nn.engine.node import Leaf, Node, Source, reachable
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.primitives import Array, Params, Primitive
from tinygrad_nn.primitives.primitive import Plan

Saved = Mapping[str, Array]


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
        self.values: dict[Source | None, Array] = {}
        self.saved: dict[Source | None, Saved] = {}

    def run(self, arrays: Sequence[Array]) -> Array:
        """Return the result for other input arrays."""
        self.values = dict(zip(self.inputs, arrays, strict=True))
        for node, op, operands, params, plan in self.steps:
            values = [self._value(x) for x in operands]
            self.values[node], self.saved[node] = compute_and_save(op, values, params, plan)
        return np.asarray(self.values.get(self.root, self.constant))

    def pull(self, cotangent: Array) -> list[Array]:
        """Return the gradients of the inputs of the last `run`, from the rules alone."""
        totals: dict[Source | None, Array] = {self.root: cotangent}
        for node, _, operands, params, plan in reversed(self.steps):
            shapes = tuple(np.shape(self._value(x)) for x in operands)
            for index, r in rule_results(plan, self.saved[node], totals.pop(node), params, shapes):
                parent, r = operands[index], home(r, shapes[index])
                totals[parent] = totals[parent] + r if parent in totals else r
        return [np.asarray(totals.get(leaf, np.zeros(np.shape(self.values[leaf])))) for leaf in self.inputs]

    def _value(self, x: Source | Array) -> Array:
        if isinstance(x, Leaf):
            return self.values.get(x, x.data)
        return self.values[x] if isinstance(x, Node) else x


def compute(op: Primitive, operands: Sequence[Array], params: Params) -> tuple[Array, Sequence[Array]]:
    """Return what the function of an op makes of plain arrays: its result and its residuals."""
    result = op.function(*operands, **params)
    first, *residuals = result if op.residuals else (result,)
    return np.asarray(first), residuals


def compute_and_save(
    op: Primitive, operands: Sequence[Array], params: Params, plan: Plan
) -> tuple[Array, Saved]:
    """Return the result of an op, and what the plan saves of the call, by name."""
    result, residuals = compute(op, operands, params)
    return result, dict(zip(plan.names, plan.save([*operands, result, *residuals]), strict=True))


def rule_results(
    plan: Plan, saved: Saved, g: Array, params: Params, shapes: tuple[tuple[int, ...], ...]
) -> Iterator[tuple[int, Array]]:
    """Yield the index of each operand that the plan goes back to, and what its rule returns, as it is."""
    for index, rule, _ in plan.calls:
        values = [saved[name] for name in rule.values]
        yield index, rule.function(g, *values, **rule.keywords_for(params, shapes, index))


def home(r: Array, shape: tuple[int, ...]) -> Array:
    """Sum and broadcast what a rule returned to the shape of its operand."""
    r = np.asarray(r)
    if r.shape == shape:
        return r
    r = np.broadcast_to(r, np.broadcast_shapes(r.shape, shape))
    lead = r.ndim - len(shape)
    stretched = tuple(lead + k for k, n in enumerate(shape) if n == 1 != r.shape[lead + k])
    return np.asarray(r.sum(axis=(*range(lead), *stretched))).reshape(shape)
