"""Numbers of a film as few characters: a byte each, differences from frame to frame, compressed."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence

import numpy as np

from tinygrad_nn.primitives import Array

Json = dict[str, object]


def signed(arrays: Sequence[Array], *, each: bool = False) -> Json:
    """Pack numbers around 0, to 1/127 of the largest of the film, or of the frame with `each`."""
    stack = _stacked(arrays)
    reach = np.abs(stack).max(axis=1, initial=0) if each else np.abs(stack).max(initial=0)
    reach = np.where(reach > 0, reach, 1.0)
    codes = np.rint(stack / np.reshape(reach, (-1, 1)) * 127) + 128
    return _packed(codes, arrays, -reach * 128 / 127, reach)


def between(arrays: Sequence[Array], low: float | None = None, high: float | None = None) -> Json:
    """Pack numbers from `low` to `high`, by default from the least to the largest of the film."""
    stack = _stacked(arrays)
    low = float(stack.min(initial=0 if not stack.size else np.inf)) if low is None else low
    high = float(stack.max(initial=0 if not stack.size else -np.inf)) if high is None else high
    span = high - low if high > low else 1.0
    return _packed(np.rint((stack - low) / span * 255), arrays, np.array(low), np.array(low + span))


def whole(arrays: Sequence[Array]) -> Json:
    """Pack integers from 0 to 255 as they are."""
    return _packed(_stacked(arrays), arrays, np.array(0.0), np.array(255.0))


def halves(arrays: Sequence[Array]) -> Json:
    """Pack numbers with three digits, as those of 16 bits."""
    stack = _stacked(arrays)
    # The largest number of 16 bits is 65504.
    scale = max(1.0, float(np.abs(stack).max(initial=0)) / 6e4)
    codes = (stack / scale).astype("<f2").view("<u2")
    codes[1:] -= codes[:-1].copy()
    return {"shape": list(arrays[0].shape), "scale": scale, "halves": _characters(codes)}


def _characters(codes: Array) -> str:
    return base64.b64encode(zlib.compress(codes.tobytes(), 6)).decode()


def _stacked(arrays: Sequence[Array]) -> Array:
    stack = np.stack(arrays).reshape(len(arrays), -1).astype(np.float32)
    return np.clip(np.nan_to_num(stack, nan=0.0), -1e30, 1e30)


def _packed(codes: Array, arrays: Sequence[Array], low: Array, high: Array) -> Json:
    bytes_ = np.clip(codes, 0, 255).astype(np.uint8)
    # Little changes from frame to frame; differences are taken modulo 256.
    bytes_[1:] -= bytes_[:-1].copy()
    return {
        "shape": list(arrays[0].shape),
        "low": rounded(low),
        "high": rounded(high),
        "bytes": _characters(bytes_),
    }


def rounded(x: Array | Sequence[float] | float) -> object:
    """Return numbers as JSON has them, with five digits; None for what is not finite."""
    values = np.asarray(x, float)
    if values.ndim:
        return [rounded(value) for value in values]
    value = float(values)
    return float(f"{value:.5g}") if math.isfinite(value) else None
