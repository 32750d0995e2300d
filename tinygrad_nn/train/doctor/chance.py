"""What a model that looks at no input could reach: the loss of the best constant prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import itemgetter

import numpy as np

from tinygrad_nn.context import no_grad
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.backward import backward
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.node import Node
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.doctor.evidence import Evidence
from tinygrad_nn.train.doctor.labels import class_numbers
from tinygrad_nn.train.doctor.probe import Probe, leaf_of

LOOKS = 6
"""Looks over whose rows the loss of a constant prediction is a mean."""
_LEAST = 1e-7


def chance(evidence: Evidence, probe: Probe, rows: int) -> float:
    """Return the loss of the best constant prediction on so many rows, those of a look again and again.

    It is NaN where none can be made.
    """
    if probe.batch is None or probe.predicted is None or not evidence.labels.kind:
        return math.nan
    (targets, weights), predicted = probe.batch, probe.predicted
    if rows != probe.rows and predicted[:1] == (probe.rows,):
        again: Callable[..., Tree] = itemgetter(np.arange(rows) % probe.rows)
        targets, predicted = trees.mapped(again, targets), (rows, *predicted[1:])
        weights = {name: again(weight) for name, weight in weights.items()}
    found = []
    for constant in _constants(evidence, probe):
        guess = np.broadcast_to(np.asarray(constant, probe.dtype), predicted)
        try:
            with no_grad(), np.errstate(all="ignore"):
                found.append(evidence.loss(Tensor(guess), targets, **weights).item())
        except Exception:
            continue
    return min((loss for loss in found if math.isfinite(loss)), default=math.nan)


def look_level(evidence: Evidence, looks: int = LOOKS) -> float:
    """Return the mean loss of the best constant prediction on the rows of the latest looks; NaN where nobody knows."""
    return _mean([chance(evidence, probe, probe.rows) for probe in evidence.good()[-looks:]])


def level(evidence: Evidence, looks: int = LOOKS) -> float:
    """Return the same for whole batches: a loss that is a sum grows with the rows."""
    return _mean([chance(evidence, probe, probe.of) for probe in evidence.good()[-looks:]])


def _mean(levels: list[float]) -> float:
    known = [loss for loss in levels if math.isfinite(loss)]
    return float(np.mean(known)) if known else math.nan


def _constants(evidence: Evidence, probe: Probe) -> Iterator[Array | float]:
    """Yield constant predictions: the shares of the classes, their logarithms, their logits, the mean."""
    yield 0.0
    labels, shape = evidence.labels, probe.predicted or ()
    if labels.kind == "numbers":
        yield labels.mean()
        return
    counts = labels.counts()
    shares = np.clip(counts / counts.sum(), _LEAST, 1 - _LEAST)
    if probe.target is not None and len(shape) and shape[-1] > 1 and len(shares) <= shape[-1]:
        scores = np.full(shape[-1], _LEAST)
        scores[: len(shares)] = shares
        yield scores
        yield np.log(scores)
    ones = float(shares[1]) if len(shares) == 2 else _LEAST
    if len(shares) <= 2:
        yield ones
        yield math.log(ones / (1 - ones))


def is_weighted(evidence: Evidence, probe: Probe) -> bool:
    """Tell whether a loss counts rare classes for more: whether its gradient in a constant prediction is larger."""
    if probe.batch is None or probe.predicted is None:
        return False
    targets, weights = probe.batch
    if weights:
        return True
    classes = class_numbers(plain(targets))
    if classes is None or len(classes) != probe.predicted[0] or len(np.unique(classes)) < 2:
        return False
    common = classes == np.bincount(classes).argmax()
    ratios = []
    for constant in (0.0, 0.5):
        guess = Tensor(np.full(probe.predicted, constant, probe.dtype), requires_grad=True)
        try:
            value = evidence.loss(guess, targets)
        except Exception:
            continue
        if type(value._node) is not Node:
            return False
        slopes = backward(value._node, np.ones_like(value._data))[leaf_of(guess)]
        sizes = np.abs(slopes.reshape(len(classes), -1)).sum(axis=1)
        ratios.append(float(sizes[~common].mean() / max(sizes[common].mean(), _LEAST)))
    return bool(ratios) and min(ratios) >= 2
