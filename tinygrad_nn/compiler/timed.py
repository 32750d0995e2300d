"""Which values of a step's graph were made by what a profile timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.arguments import names_of
from tinygrad_nn.engine.node import Node, Source
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import GraphError
from tinygrad_nn.graph.generators import put_back
from tinygrad_nn.graph.ir import Call, Data, Graph, Value
from tinygrad_nn.graph.recorder import Recorder, tensors
from tinygrad_nn.primitives import Array, Params, Primitive

Part = tuple[str, tuple[int, ...]]
"""The name of an op that is timed when it runs, and the values that this makes."""


class _InOrder(Recorder):
    """Records a step with its parts, in the order in which a watcher of the eager step is told of them."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[Part] = []
        self._due: Primitive | None = None
        self._first = 0

    def give(self, arg: object, name: str) -> None:
        """Know an argument as an input; it stays what it is, so that the same ops run as when it was timed."""
        array = arg._data if isinstance(arg, Tensor) else arg
        if isinstance(array, np.ndarray) and id(array) not in self.index_of:
            self.know(array, self.add_input(array, name))

    def before_op(self, op: Primitive) -> None:
        self._due = op

    def on_op(
        self,
        op: Primitive,
        links: Sequence[Source | Data],
        arrays: Sequence[Data],
        params: Params,
        result: Array,
        operands: Sequence[object],
    ) -> None:
        super().on_op(op, links, arrays, params, result, operands)
        # A copy is written down as an op, and none runs; ops of the backward pass are timed with the rules.
        if self._due is op and self.graph.values[self._last].phase == "forward":
            self.parts.append((op.name, (self._last,)))
        self._due = None

    def before_rules(self, node: Node, cotangent: Array | Tensor) -> None:
        super().before_rules(node, cotangent)
        self._first = len(self.graph.values)

    def after_rules(self, node: Node) -> None:
        self._made_since(node.op)
        super().after_rules(node)

    def before_step(self, parameters: Sequence[object]) -> None:
        self._first = len(self.graph.values)

    def after_step(self, update: Primitive) -> None:
        self._made_since(update)

    def _made_since(self, op: Primitive) -> None:
        made = [value.index for value in self.graph.values[self._first :] if isinstance(value, Call)]
        self.parts.append((op.name, tuple(made)))


def of_eager(
    step: Callable[..., object], args: Sequence[object], names: Sequence[str], calls: int
) -> tuple[Graph, list[tuple[int, ...]]]:
    """Return the graph of an eager step, which does not happen, and the values that each timed op made.

    Args:
        step, args: what was timed.
        names: of the ops that were timed, in order.
        calls: in how many calls.

    Raises:
        CaptureError: the step reads the value of a tensor.
        GraphError: it does something else now than it did when it was timed.
    """
    recorder = _InOrder()
    for arg, name in zip(args, names_of(step, len(args)), strict=True):
        trees.mapped_by_name(recorder.give, arg, name)
    with put_back(step, args), context.watching(recorder):
        result = step(*args)
    recorder.finish([k for r in tensors(result) if (k := recorder.index_of.get(id(r._data))) is not None])
    if [name for name, _ in recorder.parts] * calls != list(names):
        raise GraphError(
            "times: the step does not do the same each time, or it differentiates gradients\n"
            "  hint   tn.profile(tn.compile(step), x): a replay always does the same"
        )
    return recorder.graph, [made for _, made in recorder.parts] * calls


def of_replay(values: Sequence[Value]) -> Graph:
    """Return the graph that a replay was captured from."""
    return Graph(list(values), tuple([value.index for value in values if value.kind == "input"]))


def in_graph(calls: Iterable[Call], values: Sequence[Value]) -> tuple[int, ...]:
    """Return the values of the captured graph that a task makes; what a stage added belongs to what it is made from."""
    count = len(values)
    made = [
        k for call in calls for k in ((call.index,) if call.index < count else call.operands) if k < count
    ]
    return tuple(dict.fromkeys(made))
