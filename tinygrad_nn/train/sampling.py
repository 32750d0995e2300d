"""Some of many, evenly spread, where all would take too long or could not be shown."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.primitives import Array


def places_of(count: int, most: int) -> Array:
    """Return at most so many places of so many, the first and the last among them.

    Example:
        >>> places_of(9, 3), places_of(2, 3)
        (array([0, 4, 8]), array([0, 1]))
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def entries_of(x: Array, most: int) -> Array:
    """Return at most so many entries of an array of any shape, flat."""
    flat = np.ravel(x)
    # An odd stride meets columns of an even number alike.
    return flat[:: -(-flat.size // most) | 1]
