"""Works on windows that move over an array: pools and what goes back from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_nn.compiler.draft import Draft, Work
from tinygrad_nn.compiler.works.general import are_alike, filled_up
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.primitives import Shape

if TYPE_CHECKING:
    from tinygrad_nn.ops.windows import Window

_AXES = 3
"""So many axes the compiled functions move over; where there are fewer, others of one element come before."""

_NARROW = 16
"""Fewer channels are no vectors."""


def _sizes(window: Window, space: Shape, channels: int) -> tuple[int, ...]:
    """Return the sizes that the compiled functions take."""
    before = tuple(a for a, _ in window.padding)
    positive = space, window.results(space), window.kernel, window.stride
    return channels, *(n for sizes in positive for n in filled_up(sizes, _AXES)), *filled_up(before, _AXES, 0)


def _narrow(call: Call) -> str:
    """Return how the names of functions for few channels begin."""
    return "narrow_" if call.shape[-1] < _NARROW else ""


def _work(
    draft: Draft, call: Call, makes: tuple[int, ...], name: str, space: Shape, pieces: Shape, *settings: bool
) -> Work | None:
    """Return the work of a compiled function on floats of one dtype, and an index of single bytes."""
    window: Window = call.params["window"]
    arrays = *draft.operands(call), *makes
    bytes_ = [k for k in arrays if draft.values[k].dtype == np.uint8]
    if not are_alike(draft, arrays, bytes_) or len(space) > _AXES or max(window.dilation) > 1:
        return None
    from tinygrad_nn.compiler.loops import windows

    sizes = _sizes(window, space, call.shape[-1])
    return Work(getattr(windows, name), math.prod(pieces), arrays, (*settings, *sizes))


def largest(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Find the largest elements, and where the first of them are, if that is wanted; a row of results at a time."""
    (x,) = draft.values_of(call)
    name = "largest" if len(makes) == 1 else f"{_narrow(call)}largest_and_first"
    return _work(draft, call, makes, name, x.shape[1:-1], call.shape[:-2])


def put_at(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Add elements where the index says, a sample at a time."""
    return _work(draft, call, makes, f"{_narrow(call)}put_at", call.shape[1:-1], call.shape[:1])


def averages(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Average what lies under windows, a row of results at a time."""
    (x,) = draft.values_of(call)
    inclusive = bool(call.params["inclusive"])
    return _work(draft, call, makes, "averages", x.shape[1:-1], call.shape[:-2], inclusive)


def spread(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Add shares under windows, a sample at a time."""
    inclusive = bool(call.params["inclusive"])
    return _work(draft, call, makes, "spread", call.shape[1:-1], call.shape[:1], inclusive)
