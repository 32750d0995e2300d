"""Handing gradients to their leaves: all of them or none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_nn.node import Leaf

_LOCK = threading.Lock()


def commit(gradients: Mapping[Any, Any], add: Callable[[Any, Any], Any] | None = None) -> None:
    """Add gradients to `.grad` of their leaves; an error or an interrupt on the way leaves all as they were.

    `add(old, new)` is for gradients that are tensors; `old` is None where there is none yet.
    """
    with _LOCK:
        before = []
        after = []
        for leaf, g in gradients.items():
            if type(leaf) is Leaf and leaf.requires_grad:
                old = leaf.grad
                before.append((leaf, old))
                after.append(add(old, g) if add is not None else g if old is None else np.add(old, g))
        try:
            for (leaf, _), new in zip(before, after, strict=True):
                leaf.grad = new if type(new) is np.ndarray else np.asarray(new)
        except BaseException:
            for leaf, old in before:
                leaf.grad = old
            raise
