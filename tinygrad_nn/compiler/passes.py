"""Making a captured graph smaller without changing what it computes, and finding out what in it is a view.

Each pass is a function from a `Draft` to the same draft. Reads of arrays that updates write are told apart by how
many writes came before, so that nothing moves across an update.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from tinygrad_nn.compiler.catalogue import row_of
from tinygrad_nn.compiler.draft import Draft
from tinygrad_nn.graph.compare import same
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.primitives import Array, Params, Primitive, Shape
from tinygrad_nn.primitives.primitive import primitive_of


def _pick(x: object, *, name: str) -> None:
    raise NotImplementedError(f"the residual {name} is computed together with the result it belongs to")


RESIDUAL = Primitive(_pick, _pick, (None,), "residual", method=False)
"""In a draft, a second result of the call that makes its operand; no op of a user."""

COPY = primitive_of(np.positive)


def is_random(call: Call) -> bool:
    """Tell whether a call draws random numbers: it is run on every replay, and never merged with another."""
    kinds = (np.random.Generator, np.random.RandomState)
    return any(isinstance(setting, kinds) for setting in call.params.values())


def fold_constants(draft: Draft) -> Draft:
    """Compute once what depends on constant numbers alone.

    Arrays by reference may be changed by their owner between runs; numbers that are made during capture may not.
    """
    order = []
    for call in draft.calls():
        operands = draft.values_of(call)
        fixed = not call.shape and all(draft.fixed_number(x) is not None for x in operands)
        if fixed and not call.op.writes and not is_random(call):
            result = call.op.function(*[x.data for x in operands], **call.params)
            data = np.array(result[0] if call.op.residuals else result)
            data.flags.writeable = False
            k = call.index
            draft.values[k] = Value(k, "constant", data.shape, data.dtype, data=data, phase=call.phase)
        else:
            order.append(call.index)
    draft.order = order
    return draft


def drop_identities(draft: Draft) -> Draft:
    """Let x stand for x * 1, x / 1, and for x brought to the shape that it has."""
    written = draft.written()
    order = []
    for call in draft.calls():
        original = None if call.index in written else _original(draft, call)
        if original is None or original in written:
            order.append(call.index)
        else:
            draft.replaced[call.index] = original
    draft.order = order
    return draft


def _original(draft: Draft, call: Call) -> int | None:
    """Return the operand that the result of a call is equal to in any case, in shape and dtype too."""
    row, operands = row_of(call.op), draft.values_of(call)
    places = [1 - place for place in row.neutral if draft.fixed_number(operands[place]) == 1]
    for place in [0] if row.keeps else reversed(places):
        x = operands[place]
        is_array = isinstance(x, Call) or isinstance(x.data, np.ndarray)
        if is_array and (x.shape, x.dtype) == (call.shape, call.dtype):
            return x.index
    return None


def merge_equal(draft: Draft) -> Draft:
    """Compute equal expressions once."""
    written = draft.written()
    writes: dict[int, int] = defaultdict(int)
    seen: dict[object, list[Call]] = defaultdict(list)
    order = []
    for call in draft.calls():
        operands = draft.operands(call)
        for place in call.op.writes:
            writes[operands[place]] += 1
        if not call.op.writes and not is_random(call) and call.index not in written:
            twins = seen[_key(call.op, draft.values_of(call)), tuple(writes[k] for k in operands)]
            twin = _with_params(twins, call.params)
            if twin is not None:
                draft.replaced[call.index] = twin.index
                continue
            twins.append(call)
        order.append(call.index)
    draft.order = order
    return draft


def _key(op: Primitive, operands: list[Value]) -> object:
    """Return what is the same for calls of one op on the same operands."""
    return op, *map(_place, operands)


def _place(x: Value) -> object:
    """Return what stands for an operand; plain numbers go by how they are written."""
    return repr(x.data) if isinstance(x.data, (int, float)) else x.index


def _with_params(calls: list[Call], params: Params) -> Call | None:
    return next((call for call in calls if same(call.params, params)), None)


def share_residuals(draft: Draft) -> Draft:
    """Let an op give its residual too, where the backward pass has computed it again from its definition.

    And what the catalogue says that it gives besides.
    """
    written = draft.written()
    seen: dict[object, list[Call]] = defaultdict(list)
    for call in draft.calls():
        seen[_key(call.op, draft.values_of(call))].append(call)

    def find(symbol: object) -> object:
        """Return the place in keys of the value that has been computed as a symbol says."""
        if isinstance(symbol, (int, float)):
            return repr(symbol)
        if not isinstance(symbol, _Symbol):
            return None
        if symbol.op is None:
            return None if symbol.index in written else _place(draft.values[symbol.index])
        places = [find(x) for x in symbol.operands]
        twin = _with_params(seen.get((symbol.op, *places), []), symbol.params)
        return None if twin is None or twin.index in written else twin.index

    for call in draft.calls():
        op, values = call.op, draft.values_of(call)
        twins: dict[str, object] = {}
        for name in op.residuals:
            operands = dict(zip(op.operand_names, draft.operands(call), strict=True))
            sources = [_Symbol(operands[x]) for x in op.residual_operands[name]]
            twins[name] = find(_read(op, name, sources, call.params))
        for other in row_of(op).besides:
            if not any(x.index in written for x in values):
                twin = _with_params(seen.get(_key(other, values), []), call.params)
                twins[other.name] = None if twin is None else twin.index
        for name, k in twins.items():
            if isinstance(k, int) and k > call.index and k not in written:
                draft.twins[k] = old = draft.call(k)
                draft.values[k] = Call(
                    k,
                    shape=old.shape,
                    dtype=old.dtype,
                    phase=old.phase,
                    of=old.of,
                    op=RESIDUAL,
                    operands=(call.index,),
                    params={"name": name},
                )
    return draft


@dataclass(eq=False)
class _Symbol(NDArrayOperatorsMixin):
    """Stands for a value, or for an op on symbols, while the definition of a residual is read."""

    index: int
    op: Primitive | None = None
    operands: tuple[object, ...] = ()
    params: Params = field(default_factory=dict)

    @staticmethod
    def __primitive__(op: Primitive, operands: tuple[object, ...], params: Params) -> _Symbol:
        return _Symbol(-1, op, operands, params)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: object, **params: object) -> _Symbol:
        return _Symbol(-1, primitive_of(ufunc), operands, params)

    def __bool__(self) -> bool:
        raise TypeError("a symbol has no truth: what depends on one is no definition of primitives alone")


def _read(op: Primitive, name: str, sources: list[_Symbol], params: Params) -> object:
    try:
        return op.residual(name, sources, params)
    except (TypeError, AttributeError, ValueError):
        # It is not made of primitives alone: the residual stays as it is.
        return None


def drop_unused(draft: Draft) -> Draft:
    """Forget calls whose results nobody needs; updates and random draws always stay."""
    needed = {draft.now(k) for k in (*draft.results, *draft.grads)}
    order = []
    for call in reversed(draft.calls()):
        if call.index in needed or call.op.writes or is_random(call):
            order.append(call.index)
            needed.update(draft.operands(call))
    draft.order = order[::-1]
    return draft


def hold_gradients(draft: Draft) -> Draft:
    """Give each value that is left behind a holder, whose buffer nothing else uses, adding copies where it has none.

    Two gradients that are the same value, or that are an argument, a parameter or a constant, need a copy.
    """
    for original in dict.fromkeys(draft.grads):
        k = draft.now(original)
        value = draft.values[k]
        if not isinstance(value, Call) or value.op.writes or k in draft.holders.values():
            copy = draft.add(COPY, k, value)
            draft.order.insert(draft.order.index(k) + 1 if isinstance(value, Call) else 0, copy.index)
            k = copy.index
        draft.holders[original] = k
    return draft


def find_views(draft: Draft) -> Draft:
    """Find out which values are views, and of what, on arrays with the layout that their own will have."""
    owned = {*draft.holders.values(), *(k for k in draft.written() if isinstance(draft.values[k], Call))}
    draft.orders = _orders(draft, owned)
    for call in draft.calls():
        operands = draft.values_of(call)
        for x in operands:
            if x.index not in draft.layouts:
                fixed = x.data if x.index not in draft.arguments else None
                like = fixed if isinstance(fixed, np.ndarray) else np.empty(x.shape, x.dtype)
                draft.layouts[x.index] = like
        view = None if call.index in owned or len(operands) != 1 else _view(draft, call)
        if view is not None:
            draft.parents[call.index] = operands[0].index
        draft.layouts[call.index] = draft.array(call.index) if view is None else view
    return draft


def _orders(draft: Draft, owned: set[int]) -> dict[int, Shape]:
    """Return the order of axes in memory for products of stacks that are read in that order alone.

    Heads of attention are transposed and then put side by side, which without it is a copy. A single number by which
    a product is multiplied on the way does not matter. Of matrices, BLAS reads both orders.
    """
    users: dict[int, list[Call]] = defaultdict(list)
    for call in draft.calls():
        for k in draft.operands(call):
            users[k].append(call)
    needed = {*owned, *map(draft.now, draft.results)}
    products: dict[int, Shape] = {}
    scaled: dict[int, Shape] = {}

    def read(k: int) -> Shape | None:
        """Return the order in which all that read a value do it."""
        wanted = {_permuted(draft, user, read) or scaled.get(user.index) for user in users[k]}
        return wanted.pop() if len(wanted) == 1 and k not in needed else None

    for call in reversed(draft.calls()):
        orders = products if row_of(call.op).any_order else scaled
        if len(call.shape) > 2 and (orders is products or _scales_product(draft, call)):
            order = read(call.index)
            if order is not None and order != tuple(range(len(call.shape))):
                orders[call.index] = order
    return products | scaled


def _permuted(draft: Draft, call: Call, read: Callable[[int], Shape | None]) -> Shape | None:
    """Return the order in which a call that permutes axes has those of its operand read; None for another call."""
    row, axes = row_of(call.op), len(call.shape)
    if not row.permutes or row.view is None:
        return None
    # As many elements as the number of an axis lie along it.
    new = [length - 1 for length in row.view(np.empty(range(1, axes + 1), bool), **call.params).shape]
    return tuple(new[axis] for axis in read(call.index) or range(axes))


def _scales_product(draft: Draft, call: Call) -> bool:
    """Tell whether a call computes each element from one of a product and from numbers."""
    function = call.op.function
    arrays = [x for x in draft.values_of(call) if draft.fixed_number(x) is None]
    return (
        isinstance(function, np.ufunc)
        and function.signature is None
        and len(arrays) == 1
        and isinstance(arrays[0], Call)
        and row_of(arrays[0].op).any_order
        and (arrays[0].shape, arrays[0].dtype) == (call.shape, call.dtype)
    )


def _view(draft: Draft, call: Call) -> Array | None:
    view, source = row_of(call.op).view, draft.layouts[draft.operands(call)[0]]
    if view is None or not source.size:
        return None
    array = view(source, **call.params)
    return array if np.may_share_memory(array, source) else None


PASSES: tuple[Callable[[Draft], Draft], ...] = (
    fold_constants,
    drop_identities,
    merge_equal,
    share_residuals,
    drop_unused,
    hold_gradients,
    find_views,
)
