"""Arrays as small pictures: a heat map of a matrix, a histogram of its numbers, and images where it holds some.

A picture is a text with a character for each of its cells, of 64 levels, so that a page with many stays small.
"""

from __future__ import annotations

import math
import string
from dataclasses import dataclass, field

import numpy as np

from tinygrad_nn.primitives import Array

_LEVELS = np.array(list(string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"))
# Cells along each side of a heat map, bars of a histogram, elements that it counts, images and cells along their sides,
# and the least side of what is taken for an image.
_CELLS, _BARS, _COUNTED, _IMAGES, _SIDE, _LEAST = 20, 24, 10_000, 3, 28, 8
# Elements of an array that is told whole.
_FEW = 4


@dataclass(slots=True)
class Look:
    """What an array looks like.

    Attributes:
        cells: the heat map row by row, from A for minus `most` to / for plus `most`; a blank is not finite.
        columns: of the heat map.
        most: the largest magnitude.
        bars: the histogram, from `low` to `high`.
        images: images row by row, from the darkest to the brightest.
        wide: columns of an image.
    """

    cells: str
    columns: int
    most: float
    bars: str
    low: float
    high: float
    images: list[str] = field(default_factory=list)
    wide: int = 0


def look(array: Array, *, images: bool) -> Look | None:
    """Return what an array looks like, None for few numbers, which are told; with its images, if it may hold some."""
    a = np.asarray(array)
    if a.size <= _FEW or a.dtype.kind not in "fiub":
        return None
    flat = a.reshape(-1)
    some = flat[:: max(flat.size // _COUNTED, 1)].astype(np.float64)
    finite = some[np.isfinite(some)]
    if not finite.size:
        return None
    rows = a.reshape(1, -1) if a.ndim == 1 else a.reshape(a.shape[0], -1)
    cells = _sampled(rows, _CELLS).astype(np.float64)
    shown = cells[np.isfinite(cells)]
    low, high = float(finite.min()), float(finite.max())
    most = max(abs(low), abs(high), float(np.abs(shown).max(initial=0.0)))
    # As shares, because the width of a bar may overflow.
    counts, _ = np.histogram(finite / (most or 1.0), _BARS, (low / (most or 1.0), high / (most or 1.0)))
    result = Look(
        _text(0.5 + 0.5 * cells / (most or 1.0)),
        cells.shape[1],
        most,
        _text(counts / counts.max()),
        low,
        high,
    )
    if images:
        for image in _images(a):
            span = float(image.max() - image.min()) or 1.0
            result.images.append(_text((image - image.min()) / span))
            result.wide = image.shape[1]
    return result


def _sampled(matrix: Array, most: int) -> Array:
    """Return a matrix of at most so many rows and columns: some of its own, evenly spread."""
    picks = [np.linspace(0, n - 1, min(n, most)).round().astype(int) for n in matrix.shape]
    return np.asarray(matrix[np.ix_(*picks)])


def _images(a: Array) -> list[Array]:
    """Return the first images of a batch: with height, width and perhaps channels, or square ones in rows."""
    side = math.isqrt(a.shape[-1])
    if a.ndim == 4 and a.shape[-1] in (1, 3):
        batch = a[:_IMAGES].mean(axis=-1)
    elif a.ndim == 3:
        batch = a[:_IMAGES]
    elif a.ndim == 2 and side * side == a.shape[1] and a.min() >= 0:
        batch = a[:_IMAGES].reshape(-1, side, side)
    else:
        return []
    if min(batch.shape[1:]) < _LEAST or not np.isfinite(batch).all():
        return []
    return [_sampled(image, _SIDE).astype(np.float64) for image in batch]


def _text(shares: Array) -> str:
    """Return the levels of numbers between zero and one as a text."""
    finite = np.isfinite(shares)
    levels = np.clip(np.where(finite, shares, 0.0) * 63.99, 0, 63).astype(int)
    return "".join(np.where(finite, _LEVELS[levels], " ").ravel())
