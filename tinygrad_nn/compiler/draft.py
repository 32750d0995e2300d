"""What the stages of the compiler hand on: a graph that becomes tasks, and tasks that get places in memory.

A stage is a function from a `Draft` to the same draft. The passes leave fewer calls in its `order`, `find_views` fills
`parents`, `list_tasks` fills `tasks`, `place` fills `memory`; then the text of a replay is written from it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from tinygrad_nn.graph.ir import Call, Data, Graph, Host, Value
from tinygrad_nn.primitives import Array, Primitive, Shape

Run = Callable[..., object]
"""What a replay calls: it takes the arrays to read, the arrays to fill, then keywords."""


class Names(Protocol):
    """What the text of a replay calls things."""

    def name(self, index: int) -> str:
        """Return what a value is called."""

    def flat(self, index: int) -> str:
        """Return what the array of a value is called, seen as flat; one name for values that share their memory."""

    def bind(self, name: str, thing: object) -> str:
        """Return what an object is called; plain numbers and words are written out."""


class LoopNames(Protocol):
    """What the text of a compiled function calls things."""

    def array(self, index: int) -> str:
        """Return the parameter that is the flat array of a value."""

    def number(self, value: float) -> str:
        """Return the parameter that is a number."""

    def scratch(self, array: Array) -> str:
        """Return the parameter that is an array of the loops' own."""

    def local(self, index: int) -> int:
        """Return a small number for a value, for the names of variables."""


Loops = Callable[[LoopNames], list[str]]
"""Returns the lines of a compiled function that do a task."""


@dataclass(slots=True, frozen=True)
class Work:
    """A compiled function that does a call alone: `run(first, last, flat arrays..., settings...)`.

    Attributes:
        run: does the pieces of the work from `first` to `last` - 1, each of which writes memory of its own.
        pieces: how many pieces there are.
        arrays: the values whose flat arrays it is given; a view is read in the flat array of its root.
        settings: further numbers that it is given, such as sizes.
        over: for values that it makes, the operands whose memory each may take, best first.
        before: works of which each is done as a whole before the next one, and then this one.
    """

    run: Run
    pieces: int
    arrays: tuple[int, ...]
    settings: tuple[float, ...]
    over: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    before: tuple[Work, ...] = ()


Range = tuple[int, int]
"""The first piece, and the one after the last."""


@dataclass(slots=True, frozen=True)
class Divided:
    """A function of NumPy that does a task in ranges: `run(first, last, arrays to read..., arrays to fill...)`."""

    run: Run
    ranges: Sequence[Range]


def parts(pieces: int, count: int, least: int = 1) -> list[Range]:
    """Return ranges of about the same length, each from a multiple of `least` on."""
    ends = sorted({min(-(-pieces * k // count // least) * least, pieces) for k in range(count + 1)})
    return list(itertools.pairwise(ends))


@dataclass(slots=True, eq=False)
class Task:
    """A line of a replay: `name(reads..., makes..., keywords...)`; plain Python work neither reads nor makes anything.

    Attributes:
        name: what the text calls the function.
        run: the function; None where only loops do the task.
        reads, makes: the values whose arrays it is given, and those whose arrays it fills.
        keywords: by name, what else it is called with.
        call: the call of the graph that it does; None for plain Python work and for checks.
        fused: further calls that it does too.
        over: for values that it makes, the operands whose memory each may take, best first.
        loops: the same as lines of a compiled function, where there are any.
        work: the same as a compiled function of its own, where there is one.
    """

    name: str
    run: Run | None
    reads: tuple[int, ...] = ()
    makes: tuple[int, ...] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)
    call: Call | None = None
    fused: Sequence[Call] = ()
    over: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    loops: Loops | None = None
    work: Work | None = None

    def line(self, names: Names) -> str:
        """Return the task as a line of Python."""
        work = self.work
        if work is not None:
            given = [0, work.pieces, *map(names.flat, work.arrays), *work.settings]
            return f"{names.bind(self.name, work.run)}({', '.join(map(str, given))})"
        return call_text(names.bind(self.name, self.run), (*self.reads, *self.makes), self.keywords, names)


def call_text(function: str, arrays: Iterable[int], keywords: Mapping[str, object], names: Names) -> str:
    """Return a call of a function with some arrays and keywords."""
    words = [f"{key}={names.bind(f'{key}_', value)}" for key, value in keywords.items()]
    return f"{function}({', '.join([*map(names.name, arrays), *words])})"


@dataclass(slots=True, eq=False)
class Memory:
    """The arrays of a compiled graph.

    Attributes:
        arrays: an array for every value that always lives in the same place.
        views: values that are made from an array given anew on each run, in order, and what they are views of.
        nbytes: bytes of the block of intermediate results, and of the buffers that outlive a run.
    """

    arrays: dict[int, Array] = field(default_factory=dict)
    views: dict[int, int] = field(default_factory=dict)
    nbytes: int = 0


@dataclass(slots=True, eq=False)
class Draft:
    """A graph that is being compiled.

    Attributes:
        values: those of the captured graph, and after these the ones that stages have added.
        order: the indices of the calls to make, in order.
        arguments: values that no call makes and whose arrays are new on every run, in order.
        results: values that a replay returns.
        grads: values that a replay leaves behind, in `.grad`.
        hosts: plain Python work of a replay, in order.
        captured: how many values the captured graph had; later ones were added by stages.
        replaced: a value and the one that stands for it.
        twins: for each value that a call gives besides its result, the call that would compute it anew.
        holders: for each value that is left behind the one in whose own buffer it lies.
        parents: a value that is a view, and what it is a view of.
        orders: for values that do not lie in memory row by row, the order of their axes there.
        layouts: for every value an array with the layout that its own will have.
        tasks: what a replay does, in order.
        memory: where its values live.
    """

    values: list[Value]
    order: list[int]
    arguments: tuple[int, ...]
    results: list[int]
    grads: list[int]
    hosts: list[Host]
    captured: int
    replaced: dict[int, int] = field(default_factory=dict)
    twins: dict[int, Call] = field(default_factory=dict)
    holders: dict[int, int] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)
    orders: dict[int, Shape] = field(default_factory=dict)
    layouts: dict[int, Array] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)

    def call(self, index: int) -> Call:
        """Return a value that an op makes."""
        value = self.values[index]
        assert isinstance(value, Call)
        return value

    def calls(self) -> list[Call]:
        """Return the calls to make, in order."""
        return [self.call(k) for k in self.order]

    def now(self, index: int) -> int:
        """Return the value that stands for this one."""
        while index in self.replaced:
            index = self.replaced[index]
        return index

    def operands(self, call: Call) -> tuple[int, ...]:
        """Return the operands of a call as they are now."""
        return tuple(map(self.now, call.operands))

    def values_of(self, call: Call) -> list[Value]:
        """Return the operands of a call themselves."""
        return [self.values[k] for k in self.operands(call)]

    def written(self) -> set[int]:
        """Return the values that updates write."""
        return {self.now(call.operands[place]) for call in self.calls() for place in call.op.writes}

    def root(self, index: int) -> int:
        """Return the value whose memory this one lies in."""
        while index in self.parents:
            index = self.parents[index]
        return index

    def whole(self, index: int) -> int:
        """Return the value whose elements, all of them and in the same order, this one is another shape of."""
        while index in self.parents:
            parent = self.parents[index]
            array, source = self.layouts[index], self.layouts[parent]
            flat = array.flags.c_contiguous and source.flags.c_contiguous
            if not flat or (array.size, array.dtype) != (source.size, source.dtype):
                break
            index = parent
        return index

    def fixed_number(self, value: Value) -> Data | None:
        """Return a number that nobody can change between replays: of Python, or in an array that is read-only.

        All other arrays are used where they are, and read on each replay.
        """
        data = value.data
        if value.kind != "constant" or value.shape or value.index in self.arguments:
            return None
        if isinstance(data, float | int):
            return data
        alone = data is not None and data.base is None and not data.flags.writeable
        return data.item() if data is not None and alone else None

    def array(self, index: int, flat: Array | None = None) -> Array:
        """Return an array for a value, of its shape, dtype and order, in a flat one where that is given."""
        value = self.values[index]
        order = self.orders.get(index, tuple(range(len(value.shape))))
        flat = np.empty(math.prod(value.shape), value.dtype) if flat is None else flat
        return flat.reshape([value.shape[axis] for axis in order]).transpose(np.argsort(order))

    def add(self, op: Primitive, source: int, like: Value, **params: str) -> Call:
        """Append a call that the captured graph did not have, of one operand, with a result like `like`."""
        k = len(self.values)
        call = Call(k, shape=like.shape, dtype=like.dtype, op=op, operands=(source,), params=params)
        self.values.append(call)
        return call

    def scratch(self, shape: Shape, dtype: np.dtype) -> int:
        """Append a value that is nothing but memory, for those who make it and read it."""
        k = len(self.values)
        self.values.append(Value(k, "scratch", shape, dtype))
        return k

    @classmethod
    def of(cls, graph: Graph, results: list[int], grads: list[int], grads_in: Iterable[int]) -> Draft:
        """Return the draft of a graph; arrays of its inputs, and of the values `grads_in`, are new on every run."""
        arguments = tuple(sorted({*graph.inputs, *grads_in}))
        values = list(graph.values)
        return cls(
            values, [call.index for call in graph.ops], arguments, results, grads, graph.hosts, len(values)
        )


def is_flat(draft: Draft, index: int) -> bool:
    """Tell whether the array of a value is contiguous, so that loops can see it as flat."""
    array = draft.layouts.get(index)
    return array is not None and array.flags.c_contiguous and array.dtype.isnative
