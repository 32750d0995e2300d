"""A captured computation as plain data: a list of values in the order in which they were made.

What is printed, drawn, exported and compiled is this list. It knows ops and arrays, and nothing of Tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinygrad_nn.context import Line, Scope
from tinygrad_nn.errors import GraphError, printable
from tinygrad_nn.graph.generators import Twins
from tinygrad_nn.languages import ljust, width
from tinygrad_nn.primitives import Array, Params, Primitive, Shape

KINDS = ("input", "parameter", "constant", "state")
"""Of a value that is given."""

OUTCOMES = ("op", "error")
"""Of a call: it made its value, or it failed."""

PHASES = ("forward", "backward", "update")

Data = Array | float
"""What stands behind a value that is given: an array, or a Python number, which is weak in promotion."""


@dataclass(slots=True, eq=False)
class Value:
    """One value of a graph, which is given; a `Call` is one that an op makes.

    Attributes:
        index: its place in the list.
        kind: `input` (given anew on each run), `parameter` (a leaf that requires grad), `constant`, or `state`
            (an array that an update kernel reads or writes).
        shape, dtype: of its array; a Python number has those that NumPy would give it.
        name: its own name, its dotted parameter name, or None.
        scope: the call of a module in which it was made.
        data: the array or number behind a value that is given, by reference.
        phase: forward, backward (made by derivative rules, or from their results) or update.
        of: the value whose derivative rule made it.
        line: of the user's program, that it was made by, where that is known.
    """

    index: int
    kind: str
    shape: Shape
    dtype: np.dtype
    name: str | None = None
    scope: Scope | None = None
    data: Data | None = None
    phase: str = "forward"
    of: int | None = None
    line: Line | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Call(Value):
    """A value that an op makes from others, which come before it in the list.

    Attributes:
        kind: `op`, or `error` for one that failed, which is always last.
        op: the primitive; `op.writes` names the operands that an update kernel writes instead.
        operands: one index per operand; x * x has the same one twice.
        params: keywords of the call.
    """

    kind: str = "op"
    op: Primitive
    operands: tuple[int, ...]
    params: Params = field(default_factory=dict)


Host = tuple[int, Callable[[], None]]
"""Plain Python work, and how many values of a graph come before it."""


@dataclass(slots=True, eq=False)
class Graph:
    """A computation: its values, which of them are given and returned, and what the reader has to know of it.

    `hosts` holds plain Python work, such as setting a learning rate, that is due in a replay.
    """

    values: list[Value] = field(default_factory=list)
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    hosts: list[Host] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ops(self) -> list[Call]:
        """The values that ops make."""
        return [value for value in self.values if isinstance(value, Call)]

    def labels(self) -> list[str]:
        """Return how each value is called: its name, its number as a literal, or %k for the k-th op."""
        labels: list[str] = []
        taken: dict[str, int] = {}
        count = 0
        roles = self._roles()
        for value in self.values:
            made = isinstance(value, Call)
            count += made
            # A state has another value on each run.
            number = literal(value.data) if value.kind != "state" else ""
            text = printable(value.name or "") or (f"%{count}" if made else number or roles[value.index])
            if value.name or text[0].isalpha():
                taken[text] = taken.get(text, 0) + 1
                text = text if taken[text] == 1 else f"{text} ({taken[text]})"
            labels.append(text)
        return labels

    def _roles(self) -> list[str]:
        """Return for each value what the first op using it calls it, if that is a word: labels, targets."""
        roles = ["array"] * len(self.values)
        for value in reversed(self.ops):
            if not value.op.variadic:
                for name, k in zip(value.op.operand_names, value.operands, strict=False):
                    roles[k] = name if len(name) > 1 else "array"
        return roles

    def text(self, last: int | None = None) -> str:
        """Return one line an op: what it is called, the call, the shape, and the module it happened in.

        Args:
            last: only so many ops, the last ones; the first line says how many were left out.
        """
        labels, ops = self.labels(), self.ops
        shown = ops if last is None else ops[len(ops) - min(last, len(ops)) :]
        rows = [(f"{labels[v.index]} = {call_text(v, labels)}", size(v), where(v, labels)) for v in shown]
        if not rows and self.outputs:
            rows = [(labels[k], size(self.values[k]), self.values[k].kind) for k in self.outputs]
        widths = [max((width(row[k]) for row in rows), default=0) for k in (0, 1)]
        lines = [f"{ljust(a, widths[0])}   {ljust(b, widths[1])}   {c}".rstrip() for a, b, c in rows]
        if len(shown) < len(ops):
            lines.insert(0, f"... {len(ops) - len(shown)} earlier ops are left out")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def __str__(self) -> str:
        return self.text()

    def check(self) -> Graph:
        """Return the graph if it is valid.

        Raises:
            GraphError: lists everything that is wrong with it.
        """
        problems = [
            problem for k, value in enumerate(self.values) for problem in _problems(k, value, self.values)
        ]
        count = len(self.values)
        problems += [f"output {k} does not exist" for k in self.outputs if not 0 <= k < count]
        problems += [
            f"input {k} is not a value of kind input"
            for k in self.inputs
            if not 0 <= k < count or self.values[k].kind != "input"
        ]
        if problems:
            raise GraphError("the graph is not valid\n  " + "\n  ".join(problems))
        return self

    def evaluate(self, inputs: Sequence[Data] | None = None) -> list[Data | None]:
        """Return every value, in order, by doing the host work and running the ops again; states are put back.

        Random ops draw from twins of their generators, as these are now.

        Args:
            inputs: arrays for `self.inputs`, in their order; by default those of the capture.

        Raises:
            GraphError: another number of inputs than the graph has.
        """
        if inputs is not None and len(inputs) != len(self.inputs):
            raise GraphError(f"the graph has {len(self.inputs)} inputs, got {len(inputs)}")
        given = {} if inputs is None else dict(zip(self.inputs, inputs, strict=True))
        arrays = [v.data for v in self.values if v.kind == "state" and isinstance(v.data, np.ndarray)]
        before = [array.copy() for array in arrays]
        try:
            for _, prepare in self.hosts:
                prepare()
            return self._run(given)
        finally:
            for array, kept in zip(arrays, before, strict=True):
                array[...] = kept

    def _run(self, given: dict[int, Data]) -> list[Data | None]:
        results: list[Data | None] = []
        copied: set[int] = set()
        twins = Twins()
        for value in self.values:
            if value.kind == "error":
                results.append(None)
            elif not isinstance(value, Call):
                data = given.get(value.index, value.data)
                results.append(np.array(data) if value.kind == "state" else data)
            else:
                for place in value.op.writes:
                    k = value.operands[place]
                    if k not in copied:
                        copied.add(k)
                        results[k] = np.array(results[k])
                params = twins.drawing(value.params)
                out = value.op.function(*[results[k] for k in value.operands], **params)
                if value.op.residuals:
                    out = out[0]
                results.append(None if out is None else np.asarray(out))
        return results


def _problems(k: int, value: Value, values: list[Value]) -> list[str]:
    problems = []
    if value.index != k:
        problems.append(f"value {k} says that its index is {value.index}")
    if value.kind not in KINDS + OUTCOMES or value.phase not in PHASES:
        problems.append(f"value {k} has kind {value.kind!r} and phase {value.phase!r}")
    if isinstance(value, Call) != (value.kind in OUTCOMES):
        lacks = "has an" if isinstance(value, Call) else "lacks its"
        problems.append(f"value {k} of kind {value.kind} {lacks} op")
    if value.kind == "error" and k != len(values) - 1:
        problems.append(f"value {k} failed, but others come after it")
    if not isinstance(value, Call):
        shape = getattr(value.data, "shape", ())
        if shape != value.shape:
            problems.append(f"value {k} has shape {value.shape}, its array {shape}")
        return problems
    if not value.op.variadic and len(value.operands) != len(value.op.rules):
        problems.append(
            f"value {k}: {value.op.name} takes {len(value.op.rules)} operands, got {len(value.operands)}"
        )
    problems += [f"value {k}: operand {i} does not come before it" for i in value.operands if not 0 <= i < k]
    return problems


def literal(data: object) -> str:
    """Return a number as it is written in Python, and nothing for an array."""
    if isinstance(data, (float, int, bool)):
        return repr(data)
    return repr(data.item()) if isinstance(data, np.ndarray) and not data.ndim else ""


def told_operands(value: Call) -> list[int]:
    """Return the operands that a reader is told of: all but memory that an update only writes on the way."""
    if not value.op.writes:
        return list(value.operands)
    pairs = zip(value.op.operand_names, value.operands, strict=True)
    scratch = {k for name, k in pairs if name == "scratch"}
    return [k for k in value.operands if k not in scratch]


def call_text(value: Call, labels: Sequence[str]) -> str:
    """Return the call that makes a value: sum(%3, axis=0)."""
    parts = [labels[k] for k in told_operands(value)] + [
        f"{name}={setting_text(setting)}" for name, setting in value.params.items()
    ]
    return f"{printable(value.op.name)}({', '.join(parts)})"


def setting_text(setting: object) -> str:
    """Return a parameter of a call as it is shown: dtypes by name, everything else as Python writes it, in one line."""
    return str(setting) if isinstance(setting, np.dtype) else printable(" ".join(repr(setting).split()))


def size(value: Value) -> str:
    """Return the shape, and the dtype where it is not float32."""
    if value.kind == "error":
        return "failed"
    if isinstance(value, Call) and value.op.writes:
        return "in place"
    return f"{value.shape}" if value.dtype == np.float32 else f"{value.shape} {value.dtype}"


def where(value: Value, labels: Sequence[str]) -> str:
    """Return the path of module calls, or whose derivative it is part of."""
    if value.of is not None:
        return f"gradient of {labels[value.of]}"
    return path(value.scope) if value.scope is not None else "" if value.phase == "forward" else value.phase


def path(scope: Scope | None) -> str:
    """Spell a call of nested modules: Sequential / 0: Dense."""
    return "" if scope is None else " / ".join(map(title, scope.chain()))


def title(scope: Scope) -> str:
    """Return the name of a called module in the one around it, and its class: `0: Dense`."""
    kind = printable(type(scope.module).__name__)
    return f"{scope.key()}: {kind}" if scope.parent is not None else kind
