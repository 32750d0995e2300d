"""Asking a model in the middle of its training what it makes of some rows, and leaving no trace in the training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from tinygrad_nn.context import no_grad
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.nn.module import Module, in_mode, outputs_of_calls
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.metrics import arrays_of
from tinygrad_nn.train.parts import Model
from tinygrad_nn.train.untouched import Untouched

ROWS, WIDE_ROWS, WIDE = 256, 96, 32
"""Rows that a film asks the model about, fewer of rows of more numbers than the last of these."""


class Sample(NamedTuple):
    """Rows of data, copied: what the model is called with, and the targets."""

    inputs: list[Tree]
    targets: Tree

    @property
    def only(self) -> Array | None:
        """The input, where it is one array of numbers."""
        leaves = [plain(leaf) for leaf in trees.leaves(self.inputs)]
        return leaves[0] if len(leaves) == 1 and leaves[0].dtype.kind in "fiu" else None

    @property
    def in_tensors(self) -> bool:
        """Whether the model is called with tensors."""
        return any(isinstance(leaf, Tensor) for leaf in trees.leaves(self.inputs))

    @property
    def labels(self) -> Array | None:
        """The targets, where they are one array of numbers."""
        targets = self.targets
        return targets if isinstance(targets, np.ndarray) and targets.dtype.kind in "fiub" else None


def sample(inputs: Sequence[Tree], targets: Tree) -> Sample:
    """Return the first rows of arrays that have one row for each, or all of arrays that have not."""
    arrays = [arrays_of(list(inputs)), arrays_of(targets)]
    given = list(trees.leaves(list(inputs)))
    shapes = {leaf.shape[:1] for leaf in trees.leaves(arrays)}
    wide = any(math.prod(leaf.shape[1:]) > WIDE for leaf in trees.leaves(arrays))
    rows = slice(0, WIDE_ROWS if wide else ROWS) if len(shapes) == 1 and () not in shapes else Ellipsis
    first, last = trees.mapped(lambda leaf: np.array(itemgetter(rows)(leaf)), arrays)
    kinds = iter(given)
    first = trees.mapped(lambda leaf: Tensor(leaf) if isinstance(next(kinds), Tensor) else leaf, first)
    return Sample(first, last)


class Call(NamedTuple):
    """What one module made of the sample."""

    path: str
    module: Module
    output: Array


class Asked(NamedTuple):
    """A model at one moment, and what it makes of the sample.

    Attributes:
        model: to be called with other rows, within `untouched`.
        of: the sample.
        predictions: for the sample, where they are one array.
        calls: of the modules inside that have none inside themselves.
        parameters: by name.
        before: the same arrays before the latest step, where they have been kept.
    """

    model: Model
    of: Sample
    predictions: Array | None
    calls: list[Call]
    parameters: Mapping[str, Tensor]
    before: Mapping[str, Array]

    def about(self, x: Array) -> Array:
        """Return what the model makes of rows, (N, columns)."""
        result = arrays_of(self.model(Tensor(x) if self.of.in_tensors else x))
        return np.asarray(result, np.float32).reshape(len(x), -1)


@contextmanager
def untouched(model: Model) -> Iterator[None]:
    """Run the model in evaluation mode without a graph; put back what it moves or writes by itself."""
    block, mode = Untouched(model).block(), in_mode(model, training=False)
    with block, no_grad(), mode, np.errstate(all="ignore"):
        yield


def ask(model: Model, parameters: Mapping[str, Tensor], of: Sample, before: Mapping[str, Array]) -> Asked:
    """Return what a model makes of the sample; within `untouched`."""
    calls: list[Call] = []
    if isinstance(model, Module):
        outputs = outputs_of_calls(model, *of.inputs)
        predictions = next((x for path, _, x in outputs if path == ""), None)
        predictions = predictions if predictions is not None and predictions.ndim else None
        leaves = [Call(*call) for call in outputs if not any(call[1].named_children())]
        calls = [call for call in leaves if call.output.dtype.kind == "f" and call.output.ndim >= 2]
    else:
        result = arrays_of(model(*of.inputs))
        predictions = result if isinstance(result, np.ndarray) and result.ndim else None
    return Asked(model, of, predictions, calls, parameters, before)


def side_of(features: int) -> int:
    """Return the side of a square picture of so many pixels, 0 where there is none worth looking at."""
    side = math.isqrt(features)
    return side if side * side == features and side >= 8 else 0


def spread(count: int, most: int) -> Array:
    """Return at most so many places of so many, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
