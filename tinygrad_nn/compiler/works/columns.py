"""Works on the columns of matrices: what normalisation over a batch is made of, averages over space."""

from __future__ import annotations

import math

from tinygrad_nn.compiler.draft import Draft, LoopNames, Loops, Run, Work
from tinygrad_nn.compiler.works.general import KINDS, are_alike
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.ops.reduction import count


def _fits(draft: Draft, call: Call, makes: tuple[int, ...]) -> bool:
    """Tell whether all is flat, of one dtype of floats, and there is something."""
    alike = are_alike(draft, (*draft.operands(call), *makes))
    return alike and all(math.prod(x.shape) for x in draft.values_of(call))


def _work(run: Run, arrays: tuple[int, ...], stack: int, rows: int, channels: int, *settings: float) -> Work:
    """Return the work on a stack of matrices, cut along matrices, or along columns where there is only one."""
    from tinygrad_nn.compiler.loops.columns import CHUNK, UNDIVIDED

    columns, chunk = stack * channels, channels if stack > 1 or channels < UNDIVIDED else CHUNK
    return Work(run, -(-columns // chunk), arrays, (rows, channels, chunk, columns, *settings))


def column_moments(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Find mean and variance in one walk."""
    (x,) = draft.values_of(call)
    if not _fits(draft, call, makes):
        return None
    from tinygrad_nn.compiler.loops import columns

    *stack, rows, channels = x.shape
    return _work(columns.column_moments, (x.index, *makes), math.prod(stack), rows, channels)


def column_products(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Find both sums in one walk."""
    if not _fits(draft, call, makes):
        return None
    from tinygrad_nn.compiler.loops import columns

    *stack, rows, channels = draft.values_of(call)[0].shape
    arrays = *draft.operands(call), *makes
    return _work(columns.column_products, arrays, math.prod(stack), rows, channels)


def column_sums(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Sum over neighbouring axes before the last."""
    return _column_sums(draft, call, makes, 1)


def column_means(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Average over neighbouring axes before the last."""
    return _column_sums(draft, call, makes, count(draft.values_of(call)[0].shape, call.params.get("axis")))


def _column_sums(draft: Draft, call: Call, makes: tuple[int, ...], divisor: int) -> Work | None:
    (x,) = draft.values_of(call)
    axis, rank = call.params.get("axis"), len(x.shape)
    # An empty tuple names no axis, and a single number has none that its -1 could mean.
    if (
        axis in (None, ())
        or not rank
        or call.params.keys() - {"axis", "keepdims"}
        or not _fits(draft, call, makes)
    ):
        return None
    from tinygrad_nn.compiler.loops import columns

    axes = sorted(a % rank for a in (axis if isinstance(axis, tuple) else (axis,)))
    first, after = axes[0], axes[-1] + 1
    if after == rank or axes != list(range(first, after)):
        return None
    stack, rows, channels = (math.prod(x.shape[a:b]) for a, b in ((0, first), (first, after), (after, rank)))
    return _work(columns.column_sums, (x.index, *makes), stack, rows, channels, divisor)


_SHORT = 4096
"""Sums of so many elements are lines among others."""


def short_sum_to(draft: Draft, call: Call, makes: tuple[int, ...]) -> Loops | None:
    """Sum over leading axes, of which there may be one of one element, among other loops."""
    (x,) = draft.values_of(call)
    size, channels = math.prod(x.shape), math.prod(call.shape)
    lead = len(x.shape) - len(call.shape)
    if not lead or x.shape[lead:] != call.shape or size > _SHORT or not _fits(draft, call, makes):
        return None

    def loops(names: LoopNames) -> list[str]:
        a, out = names.array(x.index), names.array(makes[0])
        return [
            f"for j in range({channels}):",
            "    total = 0.0",
            f"    for k in range(j, {size}, {channels}):",
            f"        total += {a}[k]",
            f"    {out}[j] = total",
        ]

    return loops


def sum_to(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Sum over leading axes."""
    (x,) = draft.values_of(call)
    lead = len(x.shape) - len(call.shape)
    size = math.prod(x.shape)
    if not lead or x.shape[lead:] != call.shape or size <= _SHORT or not _fits(draft, call, makes):
        return None
    from tinygrad_nn.compiler.loops import columns

    rows, channels = math.prod(x.shape[:lead]), math.prod(call.shape)
    return _work(columns.column_sums, (x.index, *makes), 1, rows, channels, 1)


def normalising_columns(draft: Draft, call: Call, makes: tuple[int, ...]) -> Loops | None:
    """Write the three rows of each matrix."""
    m, weight, _ = draft.values_of(call)
    if not _fits(draft, call, makes):
        return None
    typed, channels = KINDS[call.dtype.name], weight.shape[-1]

    def loops(names: LoopNames) -> list[str]:
        arrays = [names.array(k) for k in (*draft.operands(call), *makes)]
        (moments, stretch, bias, out), width = arrays, names.number(channels)
        eps = names.number(float(call.params["eps"]))
        return [
            f"for k in range({math.prod(m.shape[:-2])}):",
            f"    m_k, out_k = {moments}[k * 2 * {width}:], {out}[k * 3 * {width}:]",
            f"    for j in range({width}):",
            "        out_k[j] = m_k[j]",
            f"        out_k[{width} + j] = {stretch}[j] / math.sqrt(m_k[{width} + j] + {typed}({eps}))",
            f"        out_k[2 * {width} + j] = {bias}[j]",
        ]

    return loops


def running_update(draft: Draft, call: Call, _makes: tuple[int, ...]) -> Loops | None:
    """Move both averages."""
    if not _fits(draft, call, ()):
        return None
    channels, rows = draft.values_of(call)[0].shape[0], call.params["rows"]

    def loops(names: LoopNames) -> list[str]:
        mean, var, m = map(names.array, draft.operands(call))
        width, share = names.number(channels), names.number(float(call.params["momentum"]))
        unbiased = names.number(rows / (rows - 1))
        return [
            f"for j in range({width}):",
            f"    {mean}[j] += {share} * ({m}[j] - {mean}[j])",
            f"    {var}[j] += {share} * ({m}[{width} + j] * {unbiased} - {var}[j])",
        ]

    return loops
