"""Handing gradients to their leaves: all of them or none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_nn.engine.node import Leaf

_LOCK = threading.Lock()


def commit(gradients: Mapping[Any, Any], wrap: Callable[[Any, None], Any] | None = None) -> None:
    """Add gradients to `.grad` of their leaves; an error or an interrupt on the way leaves all as they were.

    With `wrap`, which makes a tensor of an array, the gradients are tensors, and watchers see the sums.
    """
    with _LOCK:
        before: list[tuple[Leaf, Any]] = []
        after: list[Any] = []
        for leaf, g in gradients.items():
            old = leaf.grad
            before.append((leaf, old))
            if old is not None:
                g = np.add(old, g) if wrap is None else wrap(old, None) + g
            elif wrap is not None and any(getattr(g, "_data", g) is other for other in after):
                g = g.copy()  # each leaf has a gradient of its own, in a recorded step too
            after.append(getattr(g, "_data", g))
        try:
            for (leaf, _), new in zip(before, after, strict=True):
                leaf.grad = new if type(new) is np.ndarray else np.asarray(new)
        except BaseException:
            for leaf, old in before:
                leaf.grad = old
            raise
