"""Handing gradients to their leaves: all of them or none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_nn.node import Leaf

_LOCK = threading.Lock()


def commit(
    gradients: Mapping[Any, Any],
    add: Callable[[Any, Any], Any] = np.add,
    unwrap: Callable[[Any], Any] = lambda g: g,
) -> None:
    """Add gradients to `.grad` of their leaves; an error or an interrupt on the way leaves all as they were."""
    with _LOCK:
        before = [(leaf, leaf.grad) for leaf in gradients if isinstance(leaf, Leaf) and leaf.requires_grad]
        after = [unwrap(gradients[leaf]) if old is None else add(old, gradients[leaf]) for leaf, old in before]
        try:
            for (leaf, _), new in zip(before, after, strict=True):
                leaf.grad = np.asarray(new)
        except BaseException:
            for leaf, old in before:
                leaf.grad = old
            raise
