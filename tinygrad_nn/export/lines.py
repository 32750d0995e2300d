"""A traced computation as lines to write: what says nothing left out, what is said twice said once.

A size that follows the length of the batch is a number that knows how it is written: `n`, `6 * n`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard, TypeVar, cast

import numpy as np

from tinygrad_nn.errors import ExportError
from tinygrad_nn.export.expressions import Share, Size
from tinygrad_nn.export.tracing import Traced
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.ops import arithmetic, linalg, reduction, shape
from tinygrad_nn.primitives import Params, Primitive, Shape
from tinygrad_nn.primitives.primitive import primitive_of

T = TypeVar("T")


@dataclass(slots=True, eq=False, repr=False)
class Given:
    """A value that is there before: an input, a parameter, a constant, a state."""

    value: Value
    data: object
    shape: Shape
    users: list[Line] = field(default_factory=list)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the value."""
        return self.value.dtype


@dataclass(slots=True, eq=False, repr=False)
class Line:
    """What one line computes.

    Attributes:
        call: the call of the graph that it stands for.
        op, operands, params, shape: what is computed; simpler than the call, where it could be said more simply.
        segment: how many arrays were changed in place before.
        users: the lines that read it.
        inline: whether it is written where it is used.
        cost: how many operations stand in its expression, where it is.
    """

    call: Call
    op: Primitive
    operands: list[Source]
    params: Params
    shape: Shape
    segment: int = 0
    users: list[Line] = field(default_factory=list)
    inline: bool = False
    cost: int = 0

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the result."""
        return self.call.dtype

    @property
    def phase(self) -> str:
        """The phase; what is made of gradients, and by no rule, is part of an update."""
        return "update" if self.call.phase == "backward" and self.call.of is None else self.call.phase

    @property
    def group(self) -> object:
        """What it is part of: the call of a module, the derivative of a value, the updates."""
        return {"forward": self.call.scope, "backward": self.call.of, "update": "update"}[self.phase]


Source = Line | Given

_ADD, _MULTIPLY, _DIVIDE, _MATMUL = (primitive_of(f) for f in (np.add, np.multiply, np.divide, np.matmul))
_RESHAPE, _SWAP, _TRANSPOSE = primitive_of(np.reshape), primitive_of(np.swapaxes), primitive_of(np.transpose)
_NEUTRAL = {
    _MULTIPLY: 1,
    _DIVIDE: 1,
    arithmetic.product: 1,
    primitive_of(np.power): 1,
    _ADD: 0,
    primitive_of(np.subtract): 0,
}
_SAME = {primitive_of(np.positive), primitive_of(np.conjugate), linalg.used}
_SAME_IF_SHAPED = {_RESHAPE, reduction.sum_to, primitive_of(np.broadcast_to)}


def is_literal(source: Source) -> TypeGuard[Given]:
    """Tell whether a value is written as a number."""
    return isinstance(source, Given) and source.value.kind == "constant" and not source.value.shape


def _said(value: object) -> object:
    """Return what is the same for settings that are written in the same way, to be looked up."""
    if isinstance(value, tuple | list):
        return tuple(map(_said, value))
    if isinstance(value, dict):
        return tuple((key, _said(part)) for key, part in value.items())
    if isinstance(value, slice):
        return "slice", _said((value.start, value.stop, value.step))
    return getattr(value, "text", (type(value).__name__, repr(value)))


def _is_share(source: Source) -> TypeGuard[Line]:
    """Tell whether a value is a number, one divided by something."""
    if not isinstance(source, Line) or source.op is not _DIVIDE or source.shape:
        return False
    one = source.operands[0]
    return isinstance(one, Given) and is_literal(one) and one.data == 1


class Lines:
    """The lines of a graph, and what each of its values is now.

    Attributes:
        title: what the function is called.
        graph: the graph.
        lines: what is computed, in order.
        outputs: what is returned.
        sources: for each value of the graph what it is, at the end.
    """

    def __init__(
        self,
        traced: Traced,
        in_place: Container[Primitive],
        rebinding: Container[Primitive],
    ) -> None:
        self.title, self.graph, longer, self.batch = traced
        self.sources: dict[int, Source] = {}
        self._known: dict[object, Line] = {}
        self._all: list[Line] = []
        segment = 0
        for value, other in zip(self.graph.values, longer.values, strict=True):
            size = self._merged(value.shape, other.shape, value)
            if not isinstance(value, Call):
                self.sources[value.index] = Given(value, self._data(value, other), size)
                continue
            assert isinstance(other, Call)
            operands = [self.sources[k] for k in value.operands]
            params = self._merged(value.params, other.params, value)
            line = Line(value, value.op, operands, params, size, segment)
            if value.op in in_place:
                segment += 1
                self._all.append(line)
            elif value.op in rebinding:
                (place,) = value.op.writes
                self.sources[value.operands[place]] = line
                self._all.append(line)
            else:
                self.sources[value.index] = self._once(self._simpler(line))
        self.outputs = [self.sources[k] for k in self.graph.outputs]
        self.lines = self._needed(in_place)

    # What depends on the length of the batch

    def _merged(self, a: T, b: T, value: Value) -> T:
        """Return a setting that was seen for two lengths of the batch, as one that follows it."""
        return cast(T, self._one_of(a, b, value))

    def _one_of(self, a: object, b: object, value: Value) -> object:
        if isinstance(a, dict) and isinstance(b, dict):
            return {key: self._merged(part, b[key], value) for key, part in a.items()}
        if isinstance(a, tuple | list) and type(a) is type(b) and len(a) == len(b):
            parts = [self._merged(x, y, value) for x, y in zip(a, b, strict=True)]
            return type(a)(*parts) if hasattr(a, "_fields") else type(a)(parts)
        if isinstance(a, slice) and isinstance(b, slice):
            ends = zip((a.start, a.stop, a.step), (b.start, b.stop, b.step), strict=True)
            return slice(*[self._merged(x, y, value) for x, y in ends])
        if isinstance(a, int) and isinstance(b, int) and a != b:
            return Size.of(a, b - a, self.batch)
        if isinstance(a, float) and isinstance(b, float) and a != b:
            if not np.isclose(a * self.batch, b * (self.batch + 1)):
                raise self._depends(value)
            return Share.of(a, self.batch)
        return a

    def _data(self, value: Value, other: Value) -> object:
        a, b = value.data, other.data
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            if value.kind == "constant" and (
                a.shape != b.shape or not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            ):
                raise self._depends(value)
            return a
        return self._merged(a, b, value)

    def _depends(self, value: Value) -> ExportError:
        return ExportError(
            f"export.numpy: a constant of shape {value.shape} depends on the length of the batch\n"
            "  hint   dynamic=False writes it for this length alone; or make it an argument of the function"
        )

    # What can be said more simply

    def _simpler(self, line: Line) -> Source:
        """Return what a line computes, as an operand, or as a line that says it more simply."""
        op, operands = line.op, line.operands
        first = operands[0] if operands else None
        same = first is not None and _said(first.shape) == _said(line.shape) and first.dtype == line.dtype
        if first is None:
            return line
        if op in _SAME or (same and op in (*_SAME_IF_SHAPED, shape.astype) and not line.params.get("order")):
            return first
        if same and op in _NEUTRAL and is_literal(operands[1]) and operands[1].data == _NEUTRAL[op]:
            return first
        if op in (_TRANSPOSE, _SWAP):
            return self._turned_back(line, first)
        if op is _RESHAPE and "order" not in line.params:
            return self._reshaped(line, first)
        if op in (arithmetic.product, _MULTIPLY) and _is_share(first):
            # 1 / n * g is g / n.
            line.op, line.operands = _DIVIDE, [operands[1], first.operands[1]]
        return line

    def _turned_back(self, line: Line, first: Source) -> Source:
        """Return a value whose axes were exchanged twice as it was."""
        if not isinstance(first, Line) or first.op is not line.op:
            return line
        if line.op is _SWAP and set(first.params.values()) == set(line.params.values()):
            return first.operands[0]
        if line.op is _TRANSPOSE and not first.params and not line.params:
            return first.operands[0]
        return line

    def _reshaped(self, line: Line, first: Source) -> Source:
        """Return a reshape without those before it, or a product of rows as the product of all."""
        nearest = first
        while isinstance(first, Line) and first.op is _RESHAPE and "order" not in first.params:
            first = first.operands[0]
            if _said(first.shape) == _said(line.shape):
                return first
        if _said(first.shape) == _said(line.shape):
            return first
        # Rows of what is nearest say more than another shape of what is far.
        line.operands = [nearest if is_rows(line) else first]
        if isinstance(first, Line) and first.op is _MATMUL and len(line.shape) > 2:
            a, b = first.operands
            if isinstance(a, Line) and is_rows(a):
                whole = a.operands[0]
                if _said((*whole.shape[:-1], b.shape[-1])) == _said(line.shape):
                    line.op, line.operands, line.params = _MATMUL, [whole, b], {}
        return line

    def _once(self, source: Source) -> Source:
        """Return the line that computed the same before, if there is one."""
        if isinstance(source, Given) or source in self._all:
            return source
        if "rng" in source.params:
            self._all.append(source)
            return source
        operands = tuple(
            ("number", x.dtype, _said(x.data)) if is_literal(x) else id(x) for x in source.operands
        )
        key = source.op, operands, _said(source.params), source.segment
        if key not in self._known:
            self._known[key] = source
            self._all.append(source)
        return self._known[key]

    def _needed(self, in_place: Container[Primitive]) -> list[Line]:
        """Return the lines that a result or an update depends on, in order, each with its users."""
        needed = {id(x) for x in self.outputs}
        kept: list[Line] = []
        for line in reversed(self._all):
            if id(line) in needed or line.op in in_place:
                kept.append(line)
                needed.update(map(id, line.operands))
        for line in (lines := kept[::-1]):
            for operand in line.operands:
                operand.users.append(line)
        return lines


def is_rows(line: Line) -> bool:
    """Tell whether a line makes a matrix of an array, whose last axis stays."""
    x = line.operands[0]
    return (
        line.op is _RESHAPE
        and len(line.shape) == 2 < len(x.shape)
        and "order" not in line.params
        and line.shape[1] == x.shape[-1]
        and not isinstance(line.shape[1], Size)
        and isinstance(line.params.get("shape"), tuple)
    )


def is_affine(line: Line) -> bool:
    """Tell whether a line adds something to a product of matrices, which is what a layer computes."""
    products = [x for x in line.operands if isinstance(x, Line) and x.op is _MATMUL and len(x.users) == 1]
    return line.op is _ADD and line.call.phase == "forward" and bool(products)


# Which lines are written where they are used


def settle(
    lines: Sequence[Line], outputs: Sequence[Source], named: Container[Line], view: Callable[[Line], bool]
) -> None:
    """Decide which lines are expressions inside of others.

    Args:
        lines: all of them, in order.
        outputs: what is returned.
        named: lines that have a name in any case.
        view: tells whether a line shows the elements of another array, which costs nothing to say twice.
    """
    for line in lines:
        inside = sum(x.cost for x in line.operands if isinstance(x, Line) and x.inline)
        if line.op.writes or line in outputs or line in named:
            continue
        if any(user.segment != line.segment for user in line.users):
            continue
        single = len(line.users) == 1 and line.users[0].group == line.group
        if (view(line) and not inside) or (single and inside < _MOST):
            line.inline = True
            line.cost = inside + (not view(line))


_MOST = 3
"""So many operations may stand inside of one, or it is hard to read."""


# Which gradient is whose


@dataclass(slots=True, frozen=True)
class Claim:
    """A line is the gradient of an operand of a call, all of it or what has come together so far."""

    of: Source
    call: Call
    place: int
    part: int = 0


def gradients(lines: Lines) -> dict[Line, Claim]:
    """Return for each line that is the gradient of a value which one it is."""
    outs: dict[int, list[Line]] = {}
    for line in lines.lines:
        k = line.call.of
        leaves = any(user.call.of != k for user in line.users) or line in lines.outputs
        if k is not None and line.call.phase == "backward" and leaves:
            outs.setdefault(k, []).append(line)
    claims = [
        (line, found)
        for k, group in outs.items()
        for line, found in _matched(group, lines.graph.values[k], lines)
    ]
    order = {line: k for k, line in enumerate(lines.lines)}
    parts: dict[Source, Iterator[int]] = {}
    result: dict[Line, Claim] = {}
    for line, (source, call, place) in sorted(claims, key=lambda pair: -order[pair[0]]):
        # The last one is the whole gradient.
        result[line] = Claim(source, call, place, next(parts.setdefault(source, itertools.count())))
    return result


def _matched(group: list[Line], call: Value, lines: Lines) -> Iterator[tuple[Line, tuple[Source, Call, int]]]:
    """Find for each line that leaves the derivative of a call the operand whose gradient it is."""
    assert isinstance(call, Call)
    open_places = []
    for place, k in enumerate(call.operands):
        source = lines.sources[k]
        rule = call.op.rules[0 if call.op.variadic else place]
        if (
            rule is not None
            and source.dtype.kind == "f"
            and (isinstance(source, Line) or source.value.kind != "constant")
        ):
            open_places.append((place, source))
    for line in group:
        for k, (place, source) in enumerate(open_places):
            if _said(source.shape) == _said(line.shape):
                del open_places[k]
                yield line, (source, call, place)
                break
