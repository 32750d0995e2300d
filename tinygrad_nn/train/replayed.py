"""Steps of a training that are replayed: those of batches that look like the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from tinygrad_nn.compiler.compiled import compile as compiled
from tinygrad_nn.engine import trees

Result = TypeVar("Result")


def like_the_first(step: Callable[..., Result]) -> Callable[..., Result]:
    """Return a step that is compiled for arguments of the shapes of its first call, and runs op by op for others.

    To capture a shape takes as long as many steps. A smaller last batch comes once an epoch, and other lengths of
    sequences may never come again.
    """
    replay = compiled(step)
    first: list[object] = []

    def either(*args: object) -> Result:
        shapes = [np.shape(x) for x in trees.leaves(args)]
        if not first:
            first.append(shapes)
        return replay(*args) if shapes == first[0] else step(*args)

    return either
