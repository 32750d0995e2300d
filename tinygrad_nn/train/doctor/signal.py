"""Whether targets say anything about their rows: the gradient of the true ones against that of shuffled ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import itemgetter

import numpy as np

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.backward import backward
from tinygrad_nn.engine.node import Node
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.doctor.probe import Subject, leaf_of
from tinygrad_nn.train.metrics import Weights, arrays_of

SHUFFLES = 16


def signal(subject: Subject, inputs: Sequence[Tree], targets: Tree, weights: Weights) -> float:
    """Return by how many standard deviations a gradient is larger than those of the same targets in another order.

    Of targets that say nothing about their rows it is no larger (a permutation test: Ojala and Garriga, 2010).
    """
    arrays = arrays_of(targets)
    rows = len(next(trees.leaves(arrays)))
    rng = np.random.default_rng(0)
    orders = [slice(None), *[rng.permutation(rows) for _ in range(SHUFFLES)]]
    true, *others = [
        _gradient(subject, inputs, trees.mapped(itemgetter(order), arrays), weights) for order in orders
    ]
    # What all orders have in common is the share of each class, and how rows differ.
    sizes = [_distance(x, others, k) for k, x in enumerate(others)]
    spread = float(np.std(sizes))
    distance = _distance(true, others, None)
    return (distance - float(np.mean(sizes))) / spread if spread > 0 else math.nan


def _distance(x: Array, others: Sequence[Array], left_out: int | None) -> float:
    """Return the squared distance of a gradient from the mean of all others but one."""
    mean = np.mean([other for k, other in enumerate(others) if k != left_out][: SHUFFLES - 1], axis=0)
    return float(np.vdot(x - mean, x - mean))


def _gradient(subject: Subject, inputs: Sequence[Tree], targets: Tree, weights: Weights) -> Array:
    value = subject.loss(subject.model(*inputs), targets, **weights)
    found = backward(value._node, np.ones_like(value._data)) if type(value._node) is Node else {}
    parameters = [x for x in subject.parameters.values() if x.ndim > 1]
    gradients = [found.get(leaf_of(x)) for x in parameters]
    return np.concatenate([np.zeros(1), *[g.reshape(-1) for g in gradients if g is not None]])
