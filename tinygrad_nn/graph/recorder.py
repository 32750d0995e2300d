"""From a running function to the graph as data: every op that runs is written down, forward, backward and updates.

A value is known by the identity of its array, and every array is kept alive while it is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.context import Line
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.arguments import names_of
from tinygrad_nn.engine.backward import stale
from tinygrad_nn.engine.failures import users_frame
from tinygrad_nn.engine.node import Leaf, Node, Source, tick
from tinygrad_nn.engine.tensor import Tensor, wrap
from tinygrad_nn.engine.watcher import Tracer
from tinygrad_nn.errors import CaptureError, GraphError, printable
from tinygrad_nn.graph.builder import Builder
from tinygrad_nn.graph.generators import Twins
from tinygrad_nn.graph.ir import Data, Graph
from tinygrad_nn.ops.shape import astype
from tinygrad_nn.primitives import Array, Params, Primitive
from tinygrad_nn.primitives.operands import as_array


class Recorder(Tracer, Builder):
    """Records every op that runs, forward, backward and updates, into one graph. Updates are not executed.

    Gradients are left, versions changed and random numbers drawn where the traced code alone sees it.

    Attributes:
        plain: the arrays of inputs that the caller gave as plain arrays.
        found: the gradients that the run found in leaves and asked for.
        left: the gradients that it left.
        changed: the leaves whose values it changed, with the time.
        constants: tensors without a node that it used and did not make.
    """

    def __init__(self, find: Callable[[Leaf], Array | None] = attrgetter("own_grad")) -> None:
        Builder.__init__(self)
        self.plain: list[Array] = []
        self.found: dict[Leaf, Array | None] = {}
        self.left: dict[Leaf, Array | None] = {}
        self.constants: list[Tensor] = []
        self._find = find
        self.changed: dict[Source, int] = {}
        self._twins = Twins()
        # Its identity, because a frame keeps all its variables alive.
        self._caller = id(users_frame()[0])
        self._rule: int | None = None
        self._last = -1

    def _place(self, link: Source | Data | None, array: Data, operand: object, phase: str) -> int:
        index = self.index_of.get(id(array)) if isinstance(array, np.ndarray) else None
        if index is None:
            if phase == "forward" and isinstance(operand, Tensor) and operand._node is None:
                self.constants.append(operand)
            if isinstance(operand, np.generic) and isinstance(array, np.ndarray):
                # Made of a NumPy scalar, it is nobody else's.
                array.flags.writeable = False
            leaf = link if type(link) is Leaf else None
            kind = "parameter" if leaf is not None and leaf.requires_grad else "constant"
            index = self.add(
                kind, array, phase=phase if leaf is None else "forward", name=leaf.name if leaf else None
            )
        if type(link) is Leaf:
            self.nodes.setdefault(link, index)
        return index

    def on_op(
        self,
        op: Primitive,
        links: Sequence[Source | Data],
        arrays: Sequence[Data],
        params: Params,
        result: Array,
        operands: Sequence[Any],
    ) -> None:
        phase = "forward" if self._rule is None else "backward"
        places = [self._place(*x, phase) for x in zip(links, arrays, operands, strict=True)]
        if any(self.graph.values[k].phase == "backward" for k in places):
            phase = "backward"
        self._last = self.add_op(
            op,
            places,
            params,
            result.shape,
            result.dtype,
            scope=context.SCOPE.get(),
            phase=phase,
            of=self._rule,
            line=self._line(),
        )
        self.know(result, self._last)

    def _line(self) -> Line | None:
        """Return the line of the traced code, which is none where that is all ours."""
        frame, _ = users_frame()
        return None if id(frame) == self._caller else Line(frame.f_code.co_filename, frame.f_lineno)

    def on_copy(self, tensor: Tensor, copy: Array) -> None:
        array, node = tensor._data, tensor._node
        index = self.index_of.get(id(array), -1)
        if index in self.graph.inputs and copy.dtype == array.dtype:
            # An input stays what it is.
            self.know(copy, index)
        else:
            self.on_op(
                astype, [array if node is None else node], [array], {"dtype": copy.dtype}, copy, [tensor]
            )

    def on_record(self, node: Node) -> None:
        self.nodes[node] = self._last

    def before_rules(self, node: Node, cotangent: Array | Tensor) -> None:
        for operand in node.operands:
            if type(operand) is Leaf and self.changed.get(operand, 0) > node.number:
                raise stale(node, operand)
        self._rule = self.nodes.get(node)

    def after_rules(self, node: Node) -> None:
        self._rule = None

    def gradient_of(self, leaf: Leaf) -> Array | None:
        return self.left[leaf] if leaf in self.left else self.gradient_found(leaf)

    def gradient_found(self, leaf: Leaf) -> Array | None:
        """Return the gradient that was in a leaf before the run."""
        if leaf not in self.found:
            self.found[leaf] = self._find(leaf)
        return self.found[leaf]

    def on_gradient_left(self, leaf: Leaf, gradient: Array | None) -> None:
        self.left[leaf] = gradient

    def on_change(self, leaf: Leaf) -> None:
        self.changed[leaf] = tick()

    def drawing(self, params: Params) -> Params:
        return self._twins.drawing(params)

    def on_update(self, update: Primitive, operands: Sequence[Data], params: Params) -> bool:
        places = [
            self.index_of[id(x)] if id(x) in self.index_of else self.add("state", x, phase="update")
            for x in operands
        ]
        first = self.graph.values[places[update.writes[0]]]
        self.add_op(update, places, params, first.shape, first.dtype, phase="update", line=self._line())
        return True

    def on_host(self, prepare: Callable[[], None]) -> bool:
        self.graph.hosts.append((len(self.graph.values), prepare))
        return True

    def on_assign(self, tensor: Tensor) -> None:
        raise CaptureError(
            f".data = ... of {printable(tensor.name or 'a tensor')} {tensor.shape} during capture: "
            "a replay would not repeat it\n"
            "  hint   with tn.no_grad(): w -= ... changes a parameter; or return the new value, and assign it outside"
        )

    def on_read(self, tensor: Tensor, how: str) -> None:
        index = self.index_of.get(id(tensor._data))
        if tensor.requires_grad or (index is not None and self.graph.values[index].kind != "constant"):
            label = "a tensor" if index is None else self.graph.labels()[index]
            raise CaptureError(
                f"{how} during capture: the value of {label} {tensor.shape} would be baked into the graph\n"
                "  hint   compute with the tensor itself (np.where, not if), or return it and read it then"
            )


def trace(function: Callable[..., Any], *args: Any) -> tuple[Graph, Any]:
    """Run a function once on Tensors and return the graph of all it did, and its result.

    Arrays and Tensors among the arguments, also in tuples, lists and dicts, are the inputs of the graph; all
    other arguments are handed on as they are. Forward, backward and updates are one list; updates, and the
    plain Python work of optimizers, are written down and not done.

    Raises:
        CaptureError: the function read the value of a tensor, which a replay could not repeat.
        GraphError: `function` is none.

    Example:
        >>> import numpy as np
        >>> graph, y = trace(lambda x: np.tanh(x) * 2, np.ones(3))
        >>> print(graph)
        %1 = tanh(x)           (3,) float64
        %2 = multiply(%1, 2)   (3,) float64
    """
    if not callable(function):
        raise GraphError(
            f"trace: takes a function and its arguments, got {type(function).__name__}\n"
            "  hint   t.graph().graph is the graph of a result"
        )
    recorder = Recorder()
    return recorder.graph, record(recorder, function, *args)


def record(recorder: Recorder, function: Callable[..., Any], *args: Any) -> Any:
    """Run a function on Tensors while `recorder` watches; return its result."""
    names = names_of(function, len(args))
    as_input = partial(_as_input, recorder=recorder)
    inputs = [trees.mapped_by_name(as_input, arg, name) for arg, name in zip(args, names, strict=True)]
    with context.watching(recorder):
        result = function(*inputs)
    results = tensors(result)
    recorder.finish([recorder._place(r._node, r._data, r, "forward") for r in results])
    for r in results:
        if type(r._node) is Node and r.name:
            recorder.graph.values[recorder.index_of[id(r._data)]].name = r.name
    return result


def _as_input(arg: Any, name: str, recorder: Recorder) -> Any:
    """Return an array as a Tensor of its own, which is an input of the graph from now; all else as it is."""
    if not isinstance(arg, (Tensor, np.ndarray, np.generic)):
        return arg
    # A view of its own, so that one array given twice, or also known as a constant, is told apart.
    array = (arg._data if isinstance(arg, Tensor) else as_array(arg)).view()
    node = arg._node if isinstance(arg, Tensor) else None
    index = recorder.add_input(array, (node and node.name) or name)
    if node is not None:
        recorder.nodes[node] = index
    if not isinstance(arg, Tensor):
        recorder.plain.append(array)
    return wrap(array, node)


def tensors(result: Any) -> list[Tensor]:
    """Return the tensors of a result, also those in tuples, lists and dicts, in order."""
    return [leaf for leaf in trees.leaves(result) if isinstance(leaf, Tensor)]
