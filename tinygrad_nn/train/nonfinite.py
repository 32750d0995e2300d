"""Finding out where a loss that is infinite or NaN came from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_nn.context import no_grad
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.debug import debug
from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.errors import NonFinite
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.metrics import Weights, arrays_of
from tinygrad_nn.train.run import Run


def not_finite(
    run: Run, inputs: Sequence[Operand], targets: Operand, weights: Weights, value: Tensor
) -> NonFinite:
    """Return the error that says in which epoch and batch a loss is not finite, and what made it so."""
    lines = [
        f"the loss is {value.item()} in epoch {run.epoch + 1}, batch {run.batch + 1}; this step was not taken"
    ]
    lines += [f"  {source}" for source in _sources(run, inputs, targets, weights)]
    lines += ["  hint   a smaller learning rate, optim.clip_grad_norm, or look at the batch named here"]
    return NonFinite("\n".join(lines))


def _sources(run: Run, inputs: Sequence[Operand], targets: Operand, weights: Weights) -> list[str]:
    if not all(np.any(plain(weight)) for weight in weights.values()):
        return ["all rows of this batch have the sample weight 0, and so no mean"]
    parts: dict[str, Operand] = {f"input {k}": x for k, x in enumerate(inputs)}
    parts |= {"targets": targets, **weights}
    if isinstance(run.model, Module):
        parts |= {f"parameter {name}": value for name, value in run.model.named_parameters()}
    arrays = [(name, array) for name, part in parts.items() for array in trees.leaves(arrays_of(part))]
    bad = [f"{name} {array.shape}: {_census(array)}" for name, array in arrays if not _finite(array)]
    if bad:
        return [f"not finite before the first op: {text}" for text in bad]
    try:
        with no_grad(), debug(), np.errstate(all="ignore"):
            run.loss(run.model(*inputs), targets, **weights)
    except NonFinite as error:
        return [f"first bad op: {error}".replace("\n", "\n  ")]
    return []


def _finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _census(array: Array) -> str:
    nans, infinities = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    counts = [f"{count} {what}" for count, what in ((nans, "NaN"), (infinities, "infinite")) if count]
    return f"{' and '.join(counts)} of {np.size(array)} values"
