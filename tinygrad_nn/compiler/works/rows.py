"""Works on the rows of arrays: softmax, normalisation along the last axis, their gradients, sums of chosen rows."""

from __future__ import annotations

import math

from tinygrad_nn.compiler.draft import Draft, Run, Work
from tinygrad_nn.compiler.works.general import are_alike
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.ops.indexing import HOLE
from tinygrad_nn.ops.normalisation import means_of_rows
from tinygrad_nn.primitives import Shape


def _work(
    draft: Draft,
    run: Run,
    call: Call,
    arrays: tuple[int, ...],
    *settings: float,
    others: tuple[int, ...] = (),
) -> Work | None:
    """Return the work on the rows of a call, if its arrays, but for some others, are flat and of one dtype."""
    if not are_alike(draft, arrays, others) or not math.prod(call.shape):
        return None
    width = call.shape[-1]
    return Work(run, math.prod(call.shape) // width, arrays, (width, *settings))


def _along_rows(call: Call) -> bool:
    return bool(call.shape) and call.params.get("axis", -1) in (-1, len(call.shape) - 1)


_LONG = 4096
"""Longer rows NumPy adds with less of an error."""


def _reduction(draft: Draft, run: Run, call: Call, makes: tuple[int, ...], *settings: float) -> Work | None:
    """Return the work that reduces rows of its operand, if a call does that, and a row is neither long nor nothing."""
    (x,) = draft.values_of(call)
    # What is called without an axis reduces all that there is, but for ops that only know rows.
    axis, last = call.params.get("axis", -1 if call.op is means_of_rows else None), len(x.shape) - 1
    arrays = (x.index, *makes)
    if call.params.keys() - {"axis", "keepdims"} or axis not in (-1, last, (-1,), (last,)):
        return None
    if not are_alike(draft, arrays) or 0 in x.shape or last < 1 or x.shape[-1] > _LONG:
        return None
    return Work(run, math.prod(call.shape), arrays, (x.shape[-1], *settings))


def total(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Sum rows."""
    from tinygrad_nn.compiler.loops import rows

    return _reduction(draft, rows.totals, call, makes, 1)


def mean(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Take the means of rows."""
    from tinygrad_nn.compiler.loops import rows

    return _reduction(draft, rows.totals, call, makes, *draft.values_of(call)[0].shape[-1:])


def largest(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Find the largest of rows."""
    from tinygrad_nn.compiler.loops import rows

    return _reduction(draft, rows.largest, call, makes)


def smallest(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Find the smallest of rows."""
    from tinygrad_nn.compiler.loops import rows

    return _reduction(draft, rows.smallest, call, makes)


def softmax(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Take the softmax of rows."""
    from tinygrad_nn.compiler.loops import rows

    arrays = (*draft.operands(call), *makes)
    return _work(draft, rows.softmax, call, arrays) if _along_rows(call) else None


def softmax_of_some(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Take the softmax of what a mask chooses, which may be the same for many rows."""
    from tinygrad_nn.compiler.loops import rows

    x, mask = draft.operands(call)
    chosen = draft.values[mask]
    places = _rows_of_mask(chosen.shape, call.shape)
    if chosen.dtype != bool or places is None:
        return None
    return _work(draft, rows.softmax_of_some, call, (x, mask, *makes), *places, others=(mask,))


def _rows_of_mask(mask: Shape, shape: Shape) -> tuple[int, int] | None:
    """Return inner and period, where row r has row r // period * inner + r % inner of a mask that broadcasts.

    None where the axes along which it does not vary have others between them, or are the last.
    """
    if not mask or mask[-1] != shape[-1]:
        return None
    long = (1,) * (len(shape) - len(mask)) + mask
    varies = [k for k in range(len(shape) - 1) if long[k] == shape[k] != 1]
    fixed = [k for k in range(len(shape) - 1) if long[k] != shape[k]]
    if not fixed:
        return 1, 1
    if any(fixed[0] < k < fixed[-1] for k in varies):
        return None
    return math.prod(shape[fixed[-1] + 1 : -1]), math.prod(shape[fixed[0] : -1])


def softmax_back(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Bring a gradient back through a softmax of rows."""
    from tinygrad_nn.compiler.loops import rows

    arrays = (*draft.operands(call), *makes)
    return _work(draft, rows.softmax_back, call, arrays) if _along_rows(call) else None


def standardized(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Normalise rows, and keep by what each was multiplied where that is wanted."""
    from tinygrad_nn.compiler.loops import rows

    x, eps = draft.operands(call)
    number = draft.fixed_number(draft.values[eps])
    if not isinstance(number, float):
        return None
    run = rows.standardized if len(makes) == 1 else rows.standardized_with_scales
    return _work(draft, run, call, (x, *makes), number)


def standardized_back(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Bring a gradient back through the normalisation of rows."""
    from tinygrad_nn.compiler.loops import rows

    return _work(draft, rows.standardized_back, call, (*draft.operands(call), *makes))


_FEW, _TOTALS = 8, 1 << 16
"""So many columns at least are added at once, for which there are so many totals at most."""


def added_rows(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Add rows where integers say, which is the gradient of rows of a table, some columns in each piece."""
    from tinygrad_nn.compiler.loops import rows

    values, *indices = draft.operands(call)
    empty = 0 in (*draft.values[values].shape, *call.shape)
    # A mask picks from a number without axes, too.
    if len(indices) != 1 or call.params["index"] != (HOLE,) or empty or not call.shape:
        return None
    integers, count = draft.values[indices[0]], call.shape[0]
    width = math.prod(call.shape[1:])
    columns = min(width, _TOTALS // count)
    if integers.dtype.kind not in "iu" or columns < min(width, _FEW):
        return None
    arrays = (values, *indices, *makes)
    if not are_alike(draft, arrays, indices):
        return None
    return Work(rows.added_rows, -(-width // columns), arrays, (count, width, columns))
