"""Running a function without a trace: gradients, versions and random generators are put back afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tinygrad_nn.engine.node import Leaf
from tinygrad_nn.primitives import Array

_RESTORED = {Leaf, np.random.Generator, np.random.RandomState}


@contextmanager
def unchanged() -> Iterator[dict[Leaf, Array | None]]:
    """Put gradients, versions and random generators back afterwards, all there are: a step may reach any of them."""
    found = [x for x in gc.get_objects() if type(x) in _RESTORED]
    leaves = {x: (x.grad, x.number) for x in found if type(x) is Leaf}
    generators = [
        (x, x.bit_generator.state if isinstance(x, np.random.Generator) else x.get_state())
        for x in [*found, np.random.mtrand._rand]
        if type(x) is not Leaf
    ]
    del found
    try:
        yield {leaf: grad for leaf, (grad, _) in leaves.items()}
    finally:
        for leaf, (grad, number) in leaves.items():
            leaf.grad, leaf.number = grad, number
        for source, state in generators:
            if isinstance(source, np.random.Generator):
                source.bit_generator.state = state
            else:
                source.set_state(state)
