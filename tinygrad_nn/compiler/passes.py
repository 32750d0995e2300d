"""Making a captured graph smaller without changing what it computes.

Each pass is a function from a `Draft` to the same draft. Reads of arrays that updates write are told apart by how
many writes came before, so that nothing moves across an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_nn.graph.ir import Call, Graph, Value
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY


def _pick(x: Any, *, name: str) -> Any:
    raise NotImplementedError(f"the residual {name} is computed together with the result it belongs to")


RESIDUAL = Primitive(_pick, _pick, (None,), "residual", method=False)
"""In a draft, a second result of the op that makes its operand; no op of a user."""

COPY: Any = REGISTRY["positive"]


@dataclass(slots=True, eq=False)
class Draft:
    """A graph that is being compiled.

    Attributes:
        graph: the values that are left are those reachable from `order`.
        order: the indices of the ops to run, in order.
        replaced: a value and the one that stands for it.
        roots: values that are needed after the last op.
        dynamic: values without an op whose arrays are given on every run.
        captured: how many values the captured graph had; later ones were added here.
    """

    graph: Graph
    order: list[int]
    roots: set[int]
    dynamic: set[int]
    captured: int = 0
    replaced: dict[int, int] = field(default_factory=dict)

    def call(self, index: int) -> Call:
        """Return a value that an op makes."""
        value = self.graph.values[index]
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

    def operands(self, value: Call) -> tuple[int, ...]:
        """Return the operands of a value as they are now."""
        return tuple(self.now(k) for k in value.operands)

    def written(self) -> set[int]:
        """Return the values that updates write."""
        return {self.now(call.operands[place]) for call in self.calls() for place in call.op.writes}


def draft(graph: Graph, roots: Iterable[int], dynamic: Iterable[int]) -> Draft:
    """Return the draft of a graph, made smaller by every pass there is."""
    order = [call.index for call in graph.ops]
    made = Draft(graph, order, set(roots), set(dynamic) | set(graph.inputs), len(graph.values))
    for simplify in PASSES:
        simplify(made)
    return made


def is_random(value: Call) -> bool:
    """Tell whether an op draws random numbers: it is run on every replay, and never merged with another."""
    kinds = (np.random.Generator, np.random.RandomState)
    return any(isinstance(setting, kinds) for setting in value.params.values())


def fold_constants(draft: Draft) -> None:
    """Compute once what depends on constants alone."""
    values = draft.graph.values
    written = draft.written()
    kept = []
    for k in draft.order:
        value = draft.call(k)
        operands = [values[i] for i in draft.operands(value)]
        constant = all(x.kind == "constant" and x.index not in draft.dynamic | written for x in operands)
        if not constant or value.op.writes or is_random(value) or not _is_small(operands, value):
            kept.append(k)
            continue
        result = value.op.function(*[x.data for x in operands], **value.params)
        data = np.array(result[0] if value.op.residuals else result)
        values[k] = Value(k, "constant", data.shape, data.dtype, data=data, phase=value.phase)
    draft.order = kept


def _is_small(operands: list[Value], value: Value) -> bool:
    # Arrays by reference may be changed by their owner between runs; numbers made during capture may not.
    return not value.shape and all(not x.shape for x in operands)


def drop_identities(draft: Draft) -> None:
    """Let x stand for x * 1, x / 1, x + 0.0 of scalars, casts to its own dtype and reshapes to its own shape."""
    values = draft.graph.values
    written = draft.written()
    kept = []
    for k in draft.order:
        value = draft.call(k)
        same = None if k in written else _identity(value, [values[i] for i in draft.operands(value)])
        if same is None or same in written:
            kept.append(k)
        else:
            draft.replaced[k] = same
    draft.order = kept


def _identity(value: Call, operands: list[Value]) -> int | None:
    name = value.op.name
    first = operands[0]
    keeps = (first.shape, first.dtype) == (value.shape, value.dtype) and isinstance(
        first.data, np.ndarray | None
    )
    if name in ("multiply", "divide") and _is_one(operands[1]) and keeps:
        return first.index
    if (
        name == "multiply"
        and _is_one(first)
        and (operands[1].shape, operands[1].dtype) == (value.shape, value.dtype)
    ):
        return operands[1].index
    if name in ("reshape", "broadcast_to", "sum_to", "positive", "expand_dims", "squeeze") and keeps:
        return first.index
    return None


def _is_one(value: Value) -> bool:
    return value.kind == "constant" and not value.shape and bool(value.data == 1)


def merge_equal(draft: Draft) -> None:
    """Compute equal expressions once."""
    values = draft.graph.values
    written = draft.written()
    writes: dict[int, int] = {}
    known: dict[Any, int] = {}
    kept: list[int] = []
    for k in draft.order:
        value = draft.call(k)
        operands = draft.operands(value)
        if value.op.writes:
            for place in value.op.writes:
                writes[operands[place]] = writes.get(operands[place], 0) + 1
        elif not is_random(value) and k not in written:
            versions = [(i, writes.get(i, 0)) for i in operands]
            same = known.setdefault(_key(value.op, [values[i] for i in operands], value.params, versions), k)
            if same != k:
                draft.replaced[k] = same
                continue
        kept.append(k)
    draft.order = kept


def _key(op: Any, operands: list[Value], params: dict[str, Any], versions: Any = ()) -> Any:
    names = [(type(x.data), x.data) if isinstance(x.data, (int, float, bool)) else x.index for x in operands]
    return (
        op,
        tuple(names),
        tuple(versions),
        tuple(sorted((name, repr(setting)) for name, setting in params.items())),
    )


def share_residuals(draft: Draft) -> None:
    """Let an op give its residual too, where the backward pass has computed it again from its definition."""
    values = draft.graph.values
    written = draft.written()
    known = {
        _key(call.op, [values[i] for i in draft.operands(call)], call.params): call.index
        for call in draft.calls()
    }

    def find(symbol: Any) -> int | None:
        if not isinstance(symbol, _Symbol):
            return None
        if symbol.op is None:
            return symbol.index
        operands = [find(x) for x in symbol.operands]
        if any(i is None or i in written for i in operands):
            return None
        return known.get(_key(symbol.op, [values[i] for i in operands if i is not None], symbol.params))

    for k in list(draft.order):
        call = draft.call(k)
        op = call.op
        for name, definition in op.residuals.items():
            operands = dict(zip(op.operand_names, draft.operands(call), strict=True))
            sources = [_Symbol(operands[x]) for x in op.residual_operands[name]]
            twin = find(_read(definition, sources))
            if twin is not None and twin > k and twin not in written:
                old = values[twin]
                values[twin] = Call(
                    twin,
                    shape=old.shape,
                    dtype=old.dtype,
                    op=RESIDUAL,
                    operands=(k,),
                    params={"name": name},
                    phase=old.phase,
                    of=old.of,
                )


class _Symbol:
    """Stands for a value, or for an op on symbols, while the definition of a residual is read."""

    def __init__(self, index: int, op: Any = None, operands: Any = (), params: Any = None) -> None:
        self.index, self.op, self.operands, self.params = index, op, operands, params

    @staticmethod
    def __primitive__(op: Any, operands: Any, params: Any) -> _Symbol:
        return _Symbol(-1, op, operands, params)


def _read(definition: Callable[..., Any], sources: list[_Symbol]) -> Any:
    try:
        return definition(*sources)
    except (TypeError, AttributeError, ValueError):  # not made of primitives alone: stays as it is
        return None


def drop_unused(draft: Draft) -> None:
    """Forget ops whose results nobody needs; updates and random draws always stay."""
    needed = {draft.now(k) for k in draft.roots}
    kept = []
    for k in reversed(draft.order):
        value = draft.call(k)
        if k in needed or value.op.writes or is_random(value):
            kept.append(k)
            needed.update(draft.operands(value))
    draft.order = kept[::-1]


PASSES: tuple[Callable[[Draft], None], ...] = (
    fold_constants,
    drop_identities,
    merge_equal,
    share_residuals,
    drop_unused,
)
