"""Works for recurrent networks over whole sequences: walks through time, and what their weights get."""

from __future__ import annotations

from math import prod

import numpy as np

from tinygrad_nn.compiler.draft import Draft, Work
from tinygrad_nn.compiler.works.general import are_alike
from tinygrad_nn.graph.ir import Call

_PIECE = 16
"""So many samples are a piece of a walk: with fewer, reading the weights takes longer than multiplying by them."""


def walk(name: str, wide: int, draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Walk through time with the function of this name.

    Args:
        name: of the compiled function.
        wide: how many numbers it keeps for each number of a state; 0 if it keeps nothing.
        draft, call, makes: as for all works.
    """
    p, alive = draft.operands(call)
    if not _fits(draft, call, makes):
        return None
    from tinygrad_nn.compiler.loops import recurrent, tile

    _, count, _, width = sizes = call.params["sizes"]
    y, *gates = makes
    kept: tuple[int, ...] = ()
    if wide:
        kept = (len(gates),)
        # Without derivatives nobody needs the gates of earlier steps.
        gates = gates or [draft.scratch((count, wide * width), call.dtype)]
    arrays = (p, _alive(draft, alive), y, *gates)
    return Work(
        getattr(recurrent, name),
        -(-count // _PIECE),
        arrays,
        (tile.product_kernel(call.dtype.name), *kept, _PIECE, *sizes),
    )


def walk_back(
    name: str, states: int, gates: int, wide: int, draft: Draft, call: Call, makes: tuple[int, ...]
) -> Work | None:
    """Walk back with the function of this name, then sum what weights and biases get.

    Args:
        name: of the compiled function.
        states: how many states the network has.
        gates: how many columns weights have for each number of a state.
        wide: how many gradients there are for these, of inputs and of states.
        draft, call, makes: as for all works.
    """
    p, alive, y, *others = draft.operands(call)
    # What else there is to fill is room for NumPy's walks.
    if not _fits(draft, call, makes[:1]):
        return None
    from tinygrad_nn.compiler.loops import recurrent_back as loops
    from tinygrad_nn.compiler.loops import tile

    steps, count, features, width = sizes = call.params["sizes"]
    kernel = tile.product_kernel(call.dtype.name)
    turned = draft.scratch((gates * width * (width + features),), call.dtype)
    dz = draft.scratch((steps, count, wide * width), call.dtype)
    turn = Work(
        loops.turned_weights,
        -(-gates * width // loops.COLUMNS),
        (p, turned),
        (states, gates, *sizes),
    )
    back = Work(
        getattr(loops, name),
        -(-count // _PIECE),
        (p, _alive(draft, alive), y, *others, turned, dz, call.index),
        (kernel, _PIECE, *sizes),
        over={dz: tuple(others[:-1])},
    )
    return Work(
        loops.weights_back,
        gates * -(-width // loops.COLUMNS),
        (p, y, dz, call.index),
        (kernel, states, gates, wide, *sizes),
        before=(turn, back),
    )


def _fits(draft: Draft, call: Call, makes: tuple[int, ...]) -> bool:
    """Tell whether there is something to walk through, in arrays that are alike."""
    p, alive, *others = draft.operands(call)
    some = draft.values[alive]
    # Where all samples have all steps, one number says so, which no loop reads.
    bools = (alive,) if some.shape else ()
    known = are_alike(draft, (p, *others, *makes, *bools), bools) and (not bools or some.dtype == bool)
    return known and prod(call.params["sizes"]) > 0


def _alive(draft: Draft, index: int) -> int:
    """Return the array that tells which samples have which steps; an empty one, if all have all."""
    return index if draft.values[index].shape else draft.scratch((0,), np.dtype(bool))
