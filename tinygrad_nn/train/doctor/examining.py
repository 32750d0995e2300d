"""Examining a model, a loss, data and an optimizer without training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import numpy as np

from tinygrad_nn.data.minibatches import batches
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.languages import checked_language
from tinygrad_nn.nn.module import in_mode
from tinygrad_nn.optim import Optimizer
from tinygrad_nn.train.doctor.doctor import report_of
from tinygrad_nn.train.doctor.evidence import Evidence
from tinygrad_nn.train.doctor.modes import at_rest
from tinygrad_nn.train.doctor.report import Report
from tinygrad_nn.train.metrics import arrays_of, is_array
from tinygrad_nn.train.parts import Batch, Keys, Loss, Model, Reader, by_keys, expect_loss
from tinygrad_nn.train.untouched import same_place, taken_back

LOOKS = 4
"""Batches that the model is run on."""
STEPS = 24
"""Steps that are tried and taken back."""
TARGETS = 256
"""Batches of which the targets are counted."""
_SIZE = 32


def examine(
    model: Model,
    loss: Loss,
    data: Iterable[Batch] | tuple[object, ...] | Mapping[str, object],
    optimizer: object = None,
    *,
    keys: Keys = None,
    lang: str = "en",
) -> Report:
    """Return what is wrong with a training before it begins; nothing is changed by it.

    The model is run forward and back on a few batches. With an optimizer a few steps are tried besides, and taken
    back: weights, the optimizer's state, random generators and the place in the data are bit for bit what they were.

    Args:
        model, loss, optimizer, keys: as for `fit`; without an optimizer nothing is said of rates.
        data: batches as for `fit`, or whole arrays `(X, y)`.
        lang: the language of the report, "en" or "ja".

    Raises:
        SettingError: there is no report in this language.
        ArgumentError: the loss is no function; data are one array.

    Example:
        >>> import tinygrad_nn as tn
        >>> X, y = tn.data.moons(200)
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 8, rng=0), tn.nn.ReLU(), tn.nn.Dense(8, 2, rng=1), tn.nn.Softmax())
        >>> loss = lambda p, y: -(tn.log_softmax(p)[np.arange(len(y)), y]).mean()
        >>> examine(model, loss, (X, y)).findings[0].line
        'model = model[:-1]'
    """
    language = checked_language("examine", lang)
    expect_loss("examine", loss)
    if is_array(data):
        raise ArgumentError(
            f"examine: data are batches, or inputs and targets together, got one array of shape {data.shape}\n"
            "  hint   examine(model, loss, (X, y))"
        )
    reader = Reader("examine", model, loss, {}, keys)
    evidence = Evidence(model, loss, optimizer, reader, fit=False)
    source: Tree = data
    if isinstance(data, Mapping):
        source = _batches(tuple(by_keys("examine", data, keys)))
    elif isinstance(data, tuple) or (isinstance(data, list) and data and is_array(data[0])):
        source = _batches(tuple(data))
    evidence.resting = at_rest(evidence.modules)
    with same_place(source):
        first = _look_through(evidence, iter(source))
    tried = first[:LOOKS]
    if isinstance(optimizer, Optimizer):
        tried = [first[k % len(first)] for k in range(STEPS)] if first else []
    steps = taken_back(evidence.parameters.values(), optimizer)
    with evidence.untouched.block(), steps, in_mode(model, training=True):
        _try(evidence, tried)
    return report_of(evidence, language)


def _batches(arrays: tuple[object, ...]) -> Iterable[Batch]:
    plain = tuple(arrays_of(part) for part in arrays)
    if not all(isinstance(array, np.ndarray) for array in plain):
        return [plain]
    return batches(*plain, size=min(_SIZE, len(plain[0])), rng=0)


def _look_through(evidence: Evidence, source: Iterator[Batch]) -> list[Batch]:
    """Count the targets of many batches; return the first of them."""
    first: list[Batch] = []
    for batch in islice(source, TARGETS):
        evidence.look_at_targets(batch)
        if len(first) < STEPS:
            first.append(batch)
    return first


def _try(evidence: Evidence, tried: list[Batch]) -> None:
    """Look at the model on batches, and take the steps of an optimizer on them, as `fit` does."""
    optimizer = evidence.optimizer
    for step, batch in enumerate(tried):
        looks = step & (step - 1) == 0 or not isinstance(optimizer, Optimizer)
        found = evidence.before_step(batch) if looks else None
        if evidence.failed is not None or (found is not None and found.failed is not None):
            return
        if isinstance(optimizer, Optimizer):
            inputs, targets, weights = evidence.reader(batch)
            optimizer.zero_grad()
            with np.errstate(all="ignore"):
                value = evidence.loss(evidence.model(*inputs), targets, **weights)
            if not math.isfinite(value.item()) or value._node is None:
                break
            value.backward()
            if all(parameter._node.own_grad is None for parameter in optimizer.parameters):
                break
            optimizer.step()
            evidence.note_loss(value.item())
            if found is not None:
                evidence.after_step(found)
    if isinstance(optimizer, Optimizer) and tried:
        evidence.probe(tried[-1])
