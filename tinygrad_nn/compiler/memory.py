"""Where every value of a compiled graph lives: lifetimes measured, buffers shared.

All intermediate results lie in one block of memory. Two of them share bytes when the last use of one comes before
the other is made; an elementwise op writes over an operand that nobody needs any more.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_nn.compiler.catalogue import row_of
from tinygrad_nn.compiler.draft import Draft, Memory
from tinygrad_nn.graph.ir import Value
from tinygrad_nn.primitives import Array

ALIGNMENT = 64

Span = tuple[int, int]
"""The places of the first and of the last task that need something."""


def place(draft: Draft) -> Draft:
    """Give every value that a task makes a place in memory; find the arrays of the others that tasks read."""
    own = set(draft.holders.values())
    spans = _lifetimes(draft)
    homes = _homes(draft, spans, own)
    blocks: dict[int, Span] = {}
    for k, home in homes.items():
        first, last = blocks.get(home, spans[k])
        blocks[home] = min(first, spans[k][0]), max(last, spans[k][1])
    offsets, size = _pack({k: (_nbytes(draft.values[k]), span) for k, span in blocks.items() if k not in own})
    arrays = {k: np.empty(draft.values[k].shape, draft.values[k].dtype) for k in homes if k in own}
    nbytes = size + sum(array.nbytes for array in arrays.values())
    arrays |= _in_one_block(draft, {k: offsets[home] for k, home in homes.items() if k not in own}, size)
    draft.memory = Memory(arrays, {}, nbytes)
    results = map(draft.now, draft.results)
    for k in sorted({k for task in draft.tasks for k in task.reads}.union(results)):
        _locate(draft, k)
    draft.memory.views = dict(sorted(draft.memory.views.items()))
    return draft


def _lifetimes(draft: Draft) -> dict[int, Span]:
    """Return from where to where each value is needed that a task makes; views need what they are views of."""
    spans: dict[int, Span] = {}
    for position, task in enumerate(draft.tasks):
        for k in task.makes:
            spans[k] = position, position
        for root in map(draft.root, task.reads):
            if root in spans:
                spans[root] = spans[root][0], position
    for root in map(draft.root, map(draft.now, draft.results)):
        if root in spans:
            spans[root] = spans[root][0], len(draft.tasks)
    return spans


def _homes(draft: Draft, spans: dict[int, Span], own: set[int]) -> dict[int, int]:
    """Return for every value the one whose memory it takes over; itself, if none."""
    values = draft.values
    homes: dict[int, int] = {}
    for position, task in enumerate(draft.tasks):
        taken: set[int] = set()
        for k in task.makes:
            homes[k] = k
            for x in task.over.get(k, ()) if k not in own else ():
                alike = _form(draft, x) == _form(draft, k) or (
                    # Loops see all arrays as flat.
                    task.run is None
                    and not {x, k} & draft.orders.keys()
                    and (_nbytes(values[x]), values[x].dtype) == (_nbytes(values[k]), values[k].dtype)
                )
                free = x in homes and x not in own and spans[x][1] == position and homes[x] not in taken
                if alike and free:
                    homes[k] = homes[x]
                    taken.add(homes[x])
                    break
    return homes


def _form(draft: Draft, k: int) -> object:
    """Return what two values have in common that can lie in the same array."""
    value = draft.values[k]
    return value.shape, value.dtype, draft.orders.get(k)


def _nbytes(value: Value) -> int:
    return value.dtype.itemsize * math.prod(value.shape)


def _pack(blocks: dict[int, tuple[int, Span]]) -> tuple[dict[int, int], int]:
    """Return an offset for each block, and the size of all: large ones first, each at the lowest place that is free."""
    placed: list[tuple[int, int, Span]] = []
    offsets: dict[int, int] = {}
    for k, (nbytes, (first, last)) in sorted(blocks.items(), key=lambda item: -_aligned(item[1][0])):
        offset = 0
        for start, stop, (other_first, other_last) in sorted(placed):
            if other_first <= last and first <= other_last:
                if offset + _aligned(nbytes) <= start:
                    break
                offset = max(offset, stop)
        offsets[k] = offset
        placed.append((offset, offset + _aligned(nbytes), (first, last)))
    return offsets, max((stop for _, stop, _ in placed), default=0)


def _aligned(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT


def _in_one_block(draft: Draft, offsets: dict[int, int], size: int) -> dict[int, Array]:
    """Return arrays at these places of a new block; one object for one place, so that `out is x` tells what is one."""
    block = np.empty(size + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    seen: dict[object, Array] = {}
    arrays: dict[int, Array] = {}
    for k, offset in offsets.items():
        value = draft.values[k]
        flat = block[start + offset :][: _nbytes(value)].view(value.dtype)
        arrays[k] = seen.setdefault((offset, _form(draft, k)), draft.array(k, flat))
    return arrays


def _locate(draft: Draft, k: int) -> None:
    """Note the array of a value that no task makes: a parameter, a constant, or a view of another."""
    memory = draft.memory
    chain = []
    while k in draft.parents and k not in memory.arrays and k not in memory.views:
        chain.append(k)
        k = draft.parents[k]
    data = draft.values[k].data
    if k not in memory.arrays and k not in draft.arguments and isinstance(data, np.ndarray):
        memory.arrays[k] = data
    for child in reversed(chain):
        if k in memory.arrays:
            call = draft.call(child)
            view = row_of(call.op).view
            assert view is not None
            memory.arrays[child] = view(memory.arrays[k], **call.params)
        else:
            memory.views[child] = k
        k = child
