"""Elements moved about. Where shapes are fixed, any way to move them is found by what happens to their numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygrad_nn.export import reductions
from tinygrad_nn.export.conversion import LARGE, Conversion
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.ops import indexing
from tinygrad_nn.primitives import Array, Shape


def reshape(c: Conversion) -> str:
    if c.params.get("order", "C") != "C":
        return by_number(c)
    return c.reshaped(c.x(), c.call)


def transpose(c: Conversion) -> str:
    axes = c.params.get("axes")
    rank = len(c.shape)
    if not rank:
        return c.op("Identity", c.x())
    return c.op(
        "Transpose", c.x(), perm=list(normalize_axis_tuple(axes, rank)) if axes else list(range(rank))[::-1]
    )


def swapaxes(c: Conversion) -> str:
    axes = list(range(len(c.shape)))
    a, b = c.params["axis1"], c.params["axis2"]
    axes[a], axes[b] = axes[b], axes[a]
    return c.op("Transpose", c.x(), perm=axes)


def astype(c: Conversion) -> str:
    return c.op("Cast", c.x(), to=c.writer.dtype(c.dtype))


def concatenate(c: Conversion) -> str:
    axis = c.params.get("axis", 0)
    names = [c.x(k, c.dtype) for k in range(len(c.values))]
    return c.op("Concat", *([c.flat(name) for name in names] if axis is None else names), axis=axis or 0)


def stack(c: Conversion) -> str:
    axis = normalize_axis_index(c.params.get("axis", 0), len(c.shape))
    return c.op(
        "Concat", *[c.op("Unsqueeze", c.x(k, c.dtype), c.ints(axis)) for k in range(len(c.values))], axis=axis
    )


def flip(c: Conversion) -> str:
    name = c.x()
    for axis in reductions.axes_of(c):
        # Before 1.21, onnx took an axis without entries for one of one entry when it is walked backwards.
        if c.shape[axis]:
            name = c.backwards(name, axis)
    return c.op("Identity", name)


def roll(c: Conversion) -> str:
    axis, shift = c.params.get("axis"), c.params["shift"]
    name = c.flat(c.x()) if axis is None else c.x()
    axes = (0,) if axis is None else np.atleast_1d(axis).tolist()
    sizes = (math.prod(c.shape),) if axis is None else c.shape
    for k, by in zip(*np.broadcast_arrays(axes, shift), strict=True):
        cut = -int(by) % sizes[k] if sizes[k] else 0
        if cut:
            parts = c.sliced(name, cut, LARGE, int(k)), c.sliced(name, 0, cut, int(k))
            name = c.op("Concat", *parts, axis=int(k))
    return c.reshaped(name, c.call)


def triangle(upper: int, c: Conversion) -> str:
    if len(c.shapes[0]) < 2:
        return _by_mask(c, upper)
    return c.op("Trilu", c.x(), c.constant(c.params.get("k", 0), np.int64), upper=upper)


def _by_mask(c: Conversion, upper: int) -> str:
    function = np.triu if upper else np.tril
    mask = function(np.ones(c.shapes[0]), **c.params) > 0
    return c.op("Where", c.constant(mask), c.x(), c.like(0))


def pad(c: Conversion) -> str:
    widths, mode = c.params["pad_width"], c.params.get("mode", "constant")
    pads = c.ints(*[a for a, _ in widths], *[b for _, b in widths])
    if mode == "constant":
        return c.op("Pad", c.x(), pads, c.like(c.params.get("constant_values", 0)), mode=mode)
    if mode == "edge":
        return c.op("Pad", c.x(), pads, mode=mode)
    return by_number(c)


def take(c: Conversion) -> str:
    axis = c.params.get("axis")
    return c.op(
        "Gather", c.flat(c.x()) if axis is None else c.x(), c.x(1, np.dtype(np.int64)), axis=axis or 0
    )


def embedding(c: Conversion) -> str:
    return c.op("Gather", c.x(), c.x(1, np.dtype(np.int64)), axis=0)


def take_along_axis(c: Conversion) -> str:
    axis = reductions.axis_of(c)
    names = []
    for k, dtype in ((0, c.dtype), (1, np.dtype(np.int64))):
        size = c.shapes[k]
        whole = tuple(n if j == axis else c.shape[j] for j, n in enumerate(size))
        name = c.x(k, dtype)
        if whole != size:
            c.fixed()
            name = c.op("Expand", name, c.ints(*whole))
        names.append(name)
    return c.op("GatherElements", *names, axis=axis)


def add_along_axis(c: Conversion) -> str:
    c.fixed()
    axis = reductions.axis_of(c)
    zeros = c.constant(np.zeros(c.shape), c.dtype)
    places = c.op("Expand", c.x(1, np.dtype(np.int64)), c.ints(*c.shapes[0]))
    return c.op("ScatterElements", zeros, places, c.x(), axis=axis, reduction="add")


def getitem(c: Conversion) -> str:
    source = c.values[0]
    if source.index in c.writer.parts:
        return _part(c, c.writer.parts[source.index])
    return _chosen(c, c.x(), c.shapes[0], 1)


def _part(c: Conversion, parts: Mapping[str, str]) -> str:
    """Return the result of a recurrent op that an index means."""
    if (name := parts.get(repr(c.params["index"]))) is not None:
        return c.op("Identity", name)
    raise c.refused("reads states that ONNX's operator does not give: it gives outputs and the last states")


def _chosen(c: Conversion, name: str, shape: Shape, first: int) -> str:
    """Return the elements of a value of some shape that the index of a call means.

    Args:
        c: the call; its operands from `first` on are the arrays in the index.
        name: of the value.
        shape: of the value.
        first: the place of the first array.
    """
    index, arrays = list(c.params["index"]), c.values[first:]
    for k in [k for k, part in enumerate(index) if part is Ellipsis]:
        index[k : k + 1] = [slice(None)] * (len(shape) - sum(part is not None for part in index) + 1)
    holes = [place for place, part in enumerate(index) if part is indexing.HOLE]
    if any(array.dtype == bool for array in arrays):
        if len(index) == 1:
            return c.op("GatherND", name, c.op("Transpose", c.op("NonZero", c.x(first)), perm=[1, 0]))
    elif len(holes) < 2 and (not holes or all(isinstance(p, slice) for p in index if p is not indexing.HOLE)):
        name = _sliced(c, name, [slice(None) if part is indexing.HOLE else part for part in index])
        for place in holes:
            name = c.op("Gather", name, c.x(first, np.dtype(np.int64)), axis=place)
        return name
    elif holes == list(range(len(holes))) and all(part == slice(None) for part in index[len(holes) :]):
        c.fixed()
        broadcast = np.broadcast_shapes(*[array.shape for array in arrays])
        parts = [
            c.op("Unsqueeze", c.op("Expand", c.x(k, np.dtype(np.int64)), c.ints(*broadcast)), c.ints(-1))
            for k in range(first, len(c.values))
        ]
        return c.op("GatherND", name, c.op("Concat", *parts, axis=-1))
    fixed = _arrays(c, first)
    numbers = c.numbers(lambda x: indexing.getitem.function(x, *fixed, index=c.params["index"]), shape)
    return c.picked(name, numbers)


def _sliced(c: Conversion, name: str, index: Sequence[object]) -> str:
    """Return a part given by slices, integers and None."""
    axis, squeezed, added = 0, list[int](), list[int]()
    for place, part in enumerate(index):
        if part is None:
            added.append(place - len(squeezed))
            continue
        if isinstance(part, slice):
            if part != slice(None):
                step = part.step or 1
                ends = (0, LARGE) if step > 0 else (LARGE, -LARGE)
                start, stop = (
                    end if i is None else i for i, end in zip((part.start, part.stop), ends, strict=True)
                )
                name = c.sliced(name, start, stop, axis, step)
        else:
            assert isinstance(part, (int, np.integer))
            name = c.sliced(name, int(part), int(part) + 1 or LARGE, axis)
            squeezed.append(axis)
        axis += 1
    if squeezed:
        name = c.op("Squeeze", name, c.ints(*squeezed))
    return c.op("Unsqueeze", name, c.ints(*added)) if added else c.op("Identity", name)


def _arrays(c: Conversion, first: int = 1) -> list[Array]:
    """Return index arrays that are constant; refuse others, and shapes that grow."""
    c.fixed()
    if any(isinstance(v, Call) or v.kind == "input" for v in c.values[first:]):
        raise c.refused("with computed indices in this form has no operator there")
    return [np.asarray(v.data) for v in c.values[first:]]


def by_number(c: Conversion) -> str:
    """Return elements of the one operand, wherever they are, found by what happens to their numbers."""
    arrays = _arrays(c)
    numbers = c.numbers(lambda x: c.call.op.function(x, *arrays, **c.params), c.shapes[0])
    return c.reshaped(c.picked(c.x(), numbers), c.call)


def added_by_number(forward: Callable[..., Array], c: Conversion) -> str:
    """Return the adjoint of an op that moves elements: each is added to the one that it came from."""
    arrays = _arrays(c)
    settings = {name: value for name, value in c.params.items() if name != "shape"}
    return c.put_back(c.x(), c.numbers(lambda x: forward(x, *arrays, **settings), c.shape), c.call)


def scattered(c: Conversion) -> str:
    """Return zeros with each element added where the index points."""
    c.fixed()
    numbers = c.constant(c.numbers(lambda x: x, c.shape), np.int64)
    places = c.flat(_chosen(c, numbers, c.shape, 1))
    zeros = c.constant(np.zeros(math.prod(c.shape)), c.dtype)
    return c.reshaped(c.op("ScatterElements", zeros, places, c.flat(c.x()), axis=0, reduction="add"), c.call)


def _places(c: Conversion, first: int) -> Array:
    """Return the number of each element that an index of constant arrays means."""
    arrays = _arrays(c, first)
    return c.numbers(lambda x: indexing.getitem.function(x, *arrays, index=c.params["index"]), c.shapes[0])


def written(c: Conversion) -> str:
    """Return a copy with some elements replaced; of several values for one place the last one stays."""
    numbers = _places(c, 2)
    places, last = np.unique(numbers.reshape(-1)[::-1], return_index=True)
    values = c.flat(c.op("Expand", c.x(1, c.dtype), c.ints(*numbers.shape)))
    kept = c.op("Gather", values, c.constant(numbers.size - 1 - last, np.int64), axis=0)
    result = c.op("ScatterElements", c.flat(c.x()), c.constant(places, np.int64), kept, axis=0)
    return c.reshaped(result, c.call)


def last_ones(c: Conversion) -> str:
    """Return some elements, and 0 where a later one has the same place."""
    numbers, arrays = _places(c, 1), _arrays(c)
    there = c.call.op.function(np.ones(c.shapes[0]), *arrays, **c.params) > 0
    chosen = c.op("Gather", c.flat(c.x()), c.constant(numbers, np.int64), axis=0)
    return c.op("Where", c.constant(there), c.reshaped(chosen, c.call), c.like(0))


def by_matrix(length: Callable[[Conversion], int], c: Conversion) -> str:
    """Return one axis times a matrix, which is what an op makes of an identity."""
    axis, rank = c.params["axis"], len(c.shapes[0])
    rows = np.eye(length(c))
    matrix = c.call.op.function(rows, **(c.params | {"axis": 1}))
    order = [*(k for k in range(rank) if k != axis), axis]
    back = [order.index(k) for k in range(rank)]
    y = c.op("MatMul", c.transposed(c.x(0, c.dtype), order), c.constant(matrix, c.dtype))
    return c.transposed(y, back)


def over_differences(c: Conversion) -> str:
    m, a, b = c.all()
    gap = c.op("Sub", c.op("Unsqueeze", a, c.ints(-2)), c.op("Unsqueeze", b, c.ints(-1)))
    y = c.op("Div", m, gap)
    if not c.params.get("diagonal", True):
        y = c.op("Where", c.constant(np.eye(c.shape[-1]) > 0), c.like(0), y)
    return y


def filled(number: float, c: Conversion) -> str:
    return c.broadcast(c.like(number))


def einsum(c: Conversion) -> str:
    return c.op("Einsum", *c.all(), equation=c.params["subscripts"])
