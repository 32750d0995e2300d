"""Arrays as small images: grey from the lowest to the highest value, or orange and blue above and below zero."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.primitives import Array
from tinygrad_nn.viz.png import GREY, PALETTE, address

_ABOVE, _ZERO, _BELOW = (np.array(rgb) for rgb in ((194, 65, 12), (255, 255, 255), (29, 78, 216)))
# Steps from zero to full strength, and shades of grey: what four bits hold.
_STEPS, _SHADES = 7, 15
_SHARES = np.linspace(-1, 1, 2 * _STEPS + 1)[:, None]
_PALETTE = _ZERO + (np.where(_SHARES > 0, _ABOVE, _BELOW) - _ZERO) * np.abs(_SHARES)


def href(array: Array, *, signed: bool) -> str:
    """Return an array (height, width) as the address of a PNG that holds it."""
    finite = np.nan_to_num(np.asarray(array, np.float64), posinf=0, neginf=0)
    if signed:
        share = finite / (np.abs(finite).max() or 1)
        return _address(_STEPS + share * _STEPS, _PALETTE)
    low, high = float(finite.min()), float(finite.max())
    return _address((finite - low) / ((high - low) or 1) * _SHADES)


def _address(pixels: Array, palette: Array | None = None) -> str:
    whole = np.round(pixels).astype(np.uint8)
    width = whole.shape[1]
    # Two pixels a byte.
    even = np.pad(whole, ((0, 0), (0, width % 2)))
    lines = even[:, ::2] << 4 | even[:, 1::2]
    if palette is None:
        return address(lines, width, 4, GREY)
    return address(lines, width, 4, PALETTE, np.round(palette).astype(np.uint8).tobytes())
