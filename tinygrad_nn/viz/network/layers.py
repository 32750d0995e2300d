"""From a captured call to layers of neurons: what every row went through between its input and the output.

The values that all ways from the input to the output pass through cut a graph into pieces. A product with a matrix, the
sum with a bias and functions of each element make a layer of neurons of such pieces; all else is a box.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise, takewhile

import numpy as np

from tinygrad_nn.errors import printable
from tinygrad_nn.graph.ir import Call, Data, Graph, path, title
from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.primitives import Array
from tinygrad_nn.viz.entries import number

_SPELLED = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} · {}",
    "divide": "{} / {}",
    "power": "{}^{}",
    "negative": "-{}",
    "relu": "max(0, {})",
    "maximum": "max({}, {})",
    "sigmoid": "σ({})",  # noqa: RUF001
    "absolute": "|{}|",
    "gelu_exact": "gelu({})",
    "leaky_relu": "leaky_relu({})",
    "elu": "elu({})",
    "softmax": "softmax({})",
    "log_softmax": "log_softmax({})",
}
"""How formulas spell ops; of others a formula has the name."""
_WITH_OPTIONS = ("leaky_relu", "elu")
_OF_ROWS = ("softmax", "log_softmax")
_AS_IT_IS = ("astype", "reshape", "getitem", "squeeze", "expand_dims")
"""Ops that may hand on the numbers of each row as they are."""


@dataclass(slots=True)
class Box:
    """A piece of a computation that is no layer of neurons: the modules it is, if any, its ops, and its result."""

    modules: list[str]
    ops: list[str]
    shape: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What it is called: its modules, the first and the last of them, or its ops."""
        if len(self.modules) > 1:
            return f"{self.modules[0]} … {self.modules[-1]}"
        return self.modules[0] if self.modules else ", ".join(dict.fromkeys(self.ops))


@dataclass(slots=True)
class Column:
    """A layer of neurons; arrays have a row for each example and a column for each neuron.

    Attributes:
        name: of the module, or of the weights, if there is one; what the input is called.
        before, values: z, the sums that come in, and a, what the neurons hand on.
        formula, ops: of a, with z in it, and what it is made of; nothing where a is z.
        of_rows: whether a neuron's a depends on the z of all neurons of its row.
        weight, bias: of the layer before this one, if z is x @ weight + bias.
        places: the values of the graph that z and a are.
        slope: the derivative of a by z, where each a depends on its z alone.
        to_values, to_before: the derivatives of the loss by a, and by z, which is δ.
    """

    name: str
    before: Array
    values: Array
    places: list[int]
    formula: str = ""
    ops: list[str] = field(default_factory=list)
    of_rows: bool = False
    weight: Array | None = None
    bias: Array | None = None
    slope: Array | None = None
    to_values: Array | None = None
    to_before: Array | None = None

    @property
    def size(self) -> int:
        """How many neurons there are."""
        return int(self.values.shape[1])


Stage = Column | Box


@dataclass(slots=True)
class Chain:
    """What a row goes through, in order.

    Attributes:
        rows: how many examples there are.
        flat, turned: whether the one example is the whole of an array, and whether examples are its columns.
        image: height and width of the input, where it was given as images.
    """

    stages: list[Stage] = field(default_factory=list)
    rows: int = 1
    flat: bool = False
    turned: bool = False
    image: tuple[int, int] | None = None

    def as_rows(self, array: Array | None) -> Array | None:
        """Return an array with a row for each example, None where it has another shape."""
        if array is None or self.flat:
            return array if array is None else array.reshape(1, -1) if array.ndim < 2 else None
        if self.turned:
            array = array.T
        if array.ndim == 1 and len(array) == self.rows:
            array = array[:, None]
        return array if array.ndim == 2 and len(array) == self.rows else None

    @property
    def columns(self) -> list[Column]:
        """The layers of neurons, the input among them."""
        return [stage for stage in self.stages if isinstance(stage, Column)]


def chain(graph: Graph, arrays: list[Data | None], output: int) -> Chain:
    """Return the layers between the first input of a graph and a value that was computed from it."""
    return _Reader(graph, arrays, graph.inputs[0], output).chain


class _Reader:
    def __init__(self, graph: Graph, arrays: list[Data | None], start: int, output: int) -> None:
        self.graph, self.arrays, self.labels = graph, arrays, graph.labels()
        self.on_path = _between(graph, start, output)
        x = self.array(start)
        # In W @ x examples are columns.
        turned = x.ndim == 2 and any(
            call.op.name == "matmul" and call.operands[1] in self.on_path and x.shape[1:] == call.shape[1:]
            for call in graph.ops
            if call.index in self.on_path
        )
        rows = 1 if x.ndim < 2 else x.shape[1] if turned else len(x)
        self.chain = Chain(rows=rows, flat=x.ndim < 2, turned=turned)
        self._read(start, output)

    def array(self, index: int) -> Array:
        """Return the array of a value."""
        return np.asarray(self.arrays[index])

    def rows(self, index: int) -> Array | None:
        """Return a value with a row for each example, None where it has another shape."""
        return self.chain.as_rows(self.array(index))

    def _read(self, start: int, output: int) -> None:
        stages, name = self.chain.stages, self.labels[start]
        first = self.rows(start)
        x = self.array(start)
        if first is None:
            stages.append(Box([name], [], x.shape[1:]))
        else:
            stages.append(Column(name, first, first, [start, start]))
        for last, cut in pairwise(_cuts(self.graph, self.on_path, start, output)):
            piece = [self.graph.values[k] for k in sorted(self.on_path) if last < k <= cut]
            self._add(last, cut, [value for value in piece if isinstance(value, Call)])
        if x.ndim > 2 and isinstance(stages[0], Column):
            self.chain.image = _as_image(x.shape[1:])

    def _add(self, last: int, cut: int, piece: list[Call]) -> None:
        """Make the next layer of a piece, or go on with the last one."""
        stages, values = self.chain.stages, self.rows(cut)
        now = stages[-1]
        call = piece[-1]
        if values is not None and len(piece) == 1 and isinstance(now, Column):
            if (weight := self._weight(call, last)) is not None:
                name, matrix = weight
                stages.append(Column(_name(call, name), values, values, [cut, cut], weight=matrix))
                return
            if (bias := self._bias(call, last, now)) is not None:
                now.bias, now.before, now.values, now.places = bias, values, values, [cut, cut]
                return
            if call.op.name in _AS_IT_IS and np.array_equal(now.values, values, equal_nan=True):
                now.places[1] = cut
                return
        if values is not None and isinstance(now, Column) and self._is_function(piece, last):
            now.name = now.name or _name(call, "")
            now.formula = self._formula(piece, last, now.formula or "z")
            now.values, now.places = values, [now.places[0], cut]
            now.ops += [printable(call.op.name) for call in piece]
            now.of_rows = now.of_rows or call.op.name in _OF_ROWS
            return
        if values is not None and len(stages) == 1 and all(call.op.name in _AS_IT_IS for call in piece):
            # An image as a row: the input is that row.
            stages[:] = [Column(now.name, values, values, [cut, cut])]
            return
        self._box(cut, piece, values)

    def _box(self, cut: int, piece: list[Call], values: Array | None) -> None:
        stages, module = self.chain.stages, _module(piece)
        box = Box([module] if module else [], [printable(call.op.name) for call in piece])
        box.shape = self.graph.values[cut].shape[1:]
        # Boxes that follow each other are one; what lies between them is not seen, unless it is a layer.
        while len(stages) > 1 and _continues(stages, box):
            last = stages.pop()
            box.ops = last.ops + box.ops
            if isinstance(last, Box):
                box.modules = list(dict.fromkeys(last.modules + box.modules))
        stages.append(box)
        if values is not None:
            stages.append(Column("", values, values, [cut, cut]))

    def _weight(self, call: Call, last: int) -> tuple[str, Array] | None:
        """Return what the weights are called, and they themselves with a row for each input of the layer."""
        if call.op.name != "matmul" or call.operands.count(last) != 1:
            return None
        place = 1 - call.operands.index(last)
        k = call.operands[place]
        weight = self.array(k)
        fits = self.chain.turned or self.chain.flat if place == 0 else not self.chain.turned
        if k in self.on_path or weight.ndim != 2 or not fits:
            return None
        return printable(self.graph.values[k].name or ""), weight if place else weight.T

    def _bias(self, call: Call, last: int, now: Column) -> Array | None:
        if call.op.name != "add" or now.weight is None or now.bias is not None or now.formula:
            return None
        others = [k for k in call.operands if k != last]
        if len(others) != 1 or others[0] in self.on_path:
            return None
        bias = self.array(others[0])
        return np.broadcast_to(bias.ravel(), (now.size,)) if bias.size in (1, now.size) else None

    def _is_function(self, piece: list[Call], last: int) -> bool:
        """Tell whether a piece computes each element of its result from one of its operand, or each row from a row."""
        inside = {last, *(call.index for call in piece)}
        for call in piece:
            if call.shape != self.graph.values[last].shape:
                return False
            if call.op.name in _OF_ROWS:
                axis = call.params.get("axis", -1)
                if axis not in ((0, -2) if self.chain.turned else (-1, len(call.shape) - 1)):
                    return False
            elif not _is_elementwise(call) or any(
                k not in inside and self.array(k).size != 1 for k in call.operands
            ):
                return False
        return True

    def _formula(self, piece: list[Call], last: int, inner: str) -> str:
        texts = {last: inner}
        for call in piece:
            parts = [texts[k] if k in texts else number(self.array(k).item()) for k in call.operands]
            pattern = _SPELLED.get(
                call.op.name, f"{printable(call.op.name)}({', '.join(['{}'] * len(parts))})"
            )
            inside = pattern.endswith((")", "|")) and not pattern.startswith("-")
            texts[call.index] = pattern.format(*(p if inside or " " not in p else f"({p})" for p in parts))
        return texts[piece[-1].index]


def _is_elementwise(call: Call) -> bool:
    op = call.op
    return op.name in _WITH_OPTIONS or (op.broadcasts and op.samples is None and op.differentiable)


def _continues(stages: list[Stage], box: Box) -> bool:
    """Tell whether the last stage goes into a box that comes after it."""
    last, before = stages[-1], stages[-2]
    if isinstance(last, Box):
        return True
    # A function of each element between two parts of one function or module.
    parts = isinstance(before, Box) and before.modules == box.modules
    return last.weight is None and isinstance(before, Box) and (parts or not last.formula)


def _name(call: Call, otherwise: str) -> str:
    """Return the module in which a call happened, or another name."""
    return _module([call]) or otherwise


def _module(piece: list[Call]) -> str:
    """Return the innermost module that all of a piece happened in; the outermost one says nothing."""
    chains = [[] if call.scope is None else call.scope.chain() for call in piece]
    shared = [frames[0] for frames in takewhile(lambda f: len(set(f)) == 1, zip(*chains, strict=False))]
    if len(shared) > 1:
        return " / ".join(map(title, shared[1:]))
    alone = shared and isinstance(shared[0].module, Dense)
    return path(shared[0]) if alone else ""


def _between(graph: Graph, start: int, output: int) -> set[int]:
    """Return the values on a way from one to another, both among them."""
    from_start = {start}
    for call in graph.ops:
        if call.phase == "forward" and not from_start.isdisjoint(call.operands):
            from_start.add(call.index)
    found = {output}
    for value in reversed(graph.values[: output + 1]):
        if value.index in found and isinstance(value, Call):
            found.update(k for k in value.operands if k in from_start)
    return found & from_start


def _cuts(graph: Graph, on_path: set[int], start: int, output: int) -> list[int]:
    """Return the values that every way from the start to the output passes through, in order."""
    furthest: dict[int, int] = dict.fromkeys(on_path, start)
    for k in on_path:
        value = graph.values[k]
        for operand in value.operands if isinstance(value, Call) else ():
            if operand in furthest:
                furthest[operand] = max(furthest[operand], k)
    cuts, reach = [], start
    for k in sorted(on_path):
        if reach <= k:
            cuts.append(k)
        reach = max(reach, furthest[k])
    return cuts


def _as_image(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return height and width of images of one channel."""
    sizes = [n for n in shape if n != 1]
    return (sizes[0], sizes[1]) if len(sizes) == 2 else None
