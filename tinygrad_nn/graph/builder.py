"""From a result, or an error, to the graph as data: what a tensor remembers, walked back to where it began."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinygrad_nn.context import Line, Scope
from tinygrad_nn.engine.node import Leaf, Node, Source, reachable
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import GraphError, GraphFreed, printable
from tinygrad_nn.graph.ir import Call, Data, Graph, Value
from tinygrad_nn.primitives import Array, Params, Primitive, Shape
from tinygrad_nn.primitives.operands import as_operand


class Builder:
    """A graph under construction; `index_of` has the index of each array by identity, `nodes` of each node."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.index_of: dict[int, int] = {}
        self.nodes: dict[Source, int] = {}
        self._alive: list[Array] = []

    def add(self, kind: str, data: Data, *, name: str | None = None, phase: str = "forward") -> int:
        """Append a value that no op makes, known from now on by its array."""
        array = np.asarray(data)
        if array.dtype == object:
            # A Python int of more than 64 bits, which next to floats is one.
            data = float(data)
            array = np.asarray(data)
        index = len(self.graph.values)
        self.graph.values.append(Value(index, kind, array.shape, array.dtype, name, data=data, phase=phase))
        if isinstance(data, np.ndarray):
            self.know(data, index)
        return index

    def know(self, array: Array, index: int) -> None:
        """Let an array stand for a value."""
        self._alive.append(array)
        self.index_of[id(array)] = index

    def add_input(self, array: Array, name: str | None) -> int:
        """Append a value that is given anew on each run."""
        index = self.add("input", array, name=name)
        self.graph.inputs = (*self.graph.inputs, index)
        return index

    def add_op(
        self,
        op: Primitive,
        operands: list[int],
        params: Params,
        shape: Shape,
        dtype: np.dtype,
        *,
        kind: str = "op",
        name: str | None = None,
        scope: Scope | None = None,
        phase: str = "forward",
        of: int | None = None,
        line: Line | None = None,
    ) -> int:
        """Append a value that an op makes."""
        index = len(self.graph.values)
        call = Call(
            index,
            shape=shape,
            dtype=dtype,
            name=name,
            scope=scope,
            phase=phase,
            of=of,
            line=line,
            kind=kind,
            op=op,
            operands=tuple(operands),
            params=dict(params),
        )
        self.graph.values.append(call)
        return index

    def add_leaf(self, leaf: Leaf) -> int:
        """Return the index of a leaf: a parameter if it is one, frozen or not, an input if it has a name."""
        index = self.nodes.get(leaf, self.index_of.get(id(leaf.data)))
        if index is None:
            index = self.add(
                "parameter" if leaf.parameter else "input" if leaf.name else "constant", leaf.data
            )
            if self.graph.values[index].kind == "input":
                self.graph.inputs = (*self.graph.inputs, index)
        self.nodes[leaf] = index
        if leaf.name:
            self.graph.values[index].name = leaf.name
        return index

    def operand(self, link: Source | Data) -> int:
        """Return the index of what a node remembers of an operand: a node, a leaf or a constant."""
        if isinstance(link, Leaf):
            return self.add_leaf(link)
        if isinstance(link, Node):
            return self.nodes[link]
        return self.index_of[id(link)] if id(link) in self.index_of else self.add("constant", link)

    def walk(self, roots: list[Node]) -> None:
        """Append all that `roots` were computed from, in the order in which it was made."""
        nodes = {node for root in roots for node in reachable(root)}
        for node in sorted(nodes, key=lambda node: node.number):
            if node.saved is None:
                raise GraphFreed(
                    f"{node.op.name}: a backward pass has released this graph, so nothing is left to draw\n"
                    "  hint   draw before backward(), or call backward(retain_graph=True)"
                )
            for link in node.operands:
                if type(link) is Leaf and link.number > node.number:
                    who = f"{printable(link.name or 'a parameter')} {link.shape}"
                    note = f"{who} has changed since; values here are the new ones"
                    if note not in self.graph.notes:
                        self.graph.notes.append(note)
            operands = [self.operand(link) for link in node.operands]
            self.nodes[node] = self.add_op(
                node.op,
                operands,
                node.params,
                node.shape,
                node.dtype,
                scope=node.scope,
                name=node.name,
                line=getattr(node, "line", None),
            )

    def rename(self, names: Mapping[str, Tensor | Array]) -> None:
        """Call values as a reader wants them called; constants with a name are inputs."""
        for name, given in names.items():
            node, array = (given._node, given._data) if isinstance(given, Tensor) else (None, given)
            index = self.nodes[node] if node in self.nodes else self.index_of.get(id(array))
            if index is None:
                raise GraphError(f"names: {name} is no operand of this graph, by identity")
            value = self.graph.values[index]
            value.name = name
            if value.kind == "constant":
                value.kind = "input"
                self.graph.inputs = (*self.graph.inputs, index)

    def finish(self, outputs: list[int]) -> Graph:
        """Name the parameters after the modules they belong to, and return the graph."""
        self.graph.outputs = tuple(outputs)
        roots = {
            id(s): s for value in self.graph.values if value.scope for s in [value.scope.chain()[0].module]
        }
        several = len(roots) > 1
        for root in roots.values():
            prefix = f"{type(root).__name__}." if several else ""
            for name, parameter in root.named_parameters() if hasattr(root, "named_parameters") else ():
                index = self.nodes.get(parameter._node, self.index_of.get(id(parameter._data)))
                if index is None:
                    continue
                value = self.graph.values[index]
                if value.kind == "constant":
                    # A frozen one that was recorded by its array.
                    value.kind = "parameter"
                if value.name is None:
                    value.name = prefix + name
        return self.graph


def captured(*results: Tensor, names: Mapping[str, Tensor | Array] | None = None) -> Builder:
    """Return the graph of tensors that were computed earlier, and which node is which value.

    Args:
        results: tensors.
        names: what to call tensors or arrays among the operands; those without gradient become inputs.

    Raises:
        GraphFreed: a backward pass has released the graph.
    """
    builder = Builder()
    builder.walk([result._node for result in results if type(result._node) is Node])
    builder.finish([builder.operand(r._data if r._node is None else r._node) for r in results])
    builder.rename(names or {})
    if not builder.graph.ops:
        builder.graph.notes.append(
            "no op was recorded: this is a leaf, or its operands do not require grad, or it ran under no_grad; "
            "viz.draw(f, x) shows every op"
        )
    return builder


def from_error(error: BaseException) -> Graph:
    """Return the graph of the operands of an op that failed; the op itself is the last value.

    Raises:
        GraphError: the error does not come from an op on tensors.
    """
    call = getattr(error, "call", None)
    if call is None:
        raise GraphError(
            f"this {type(error).__name__} does not come from an op on tensors, so there is no graph to draw"
        )
    op, operands, params, scope = call
    links = [
        as_operand(x) if not isinstance(x, Tensor) else x._data if x._node is None else x._node
        for x in operands
    ]
    builder = Builder()
    builder.walk([link for link in links if type(link) is Node])
    places = [builder.operand(link) for link in links]
    failed = builder.add_op(op, places, params, (), np.dtype(bool), kind="error", scope=scope)
    builder.graph.notes += map(printable, str(error).splitlines())
    return builder.finish([failed])
