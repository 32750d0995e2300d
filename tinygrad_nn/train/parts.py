"""The parts of a batch: what the model is called with, the targets, and what each row counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Function
from tinygrad_nn.primitives.signature import parameters_of
from tinygrad_nn.train.metrics import Metric, Weights

Model = Callable[..., Tree]
Loss = Callable[..., Tensor]
Batch = Sequence[Tree]
"""What the model is called with, then the targets, and then, if there is one more, the weights of the rows."""


class Reader:
    """Tells the parts of batches from each other, by how many arrays the model takes."""

    def __init__(self, who: str, model: Model, loss: Loss, metrics: Mapping[str, Metric]) -> None:
        self._who, self._takes = who, _most_arguments(model)
        self._weighed = {"the loss": loss} | {f"the metric {name!r}": f for name, f in metrics.items()}

    def __call__(self, batch: Batch) -> tuple[Sequence[Tree], Tree, Weights]:
        """Return the model's arguments, the targets, and `sample_weight` as a keyword where the batch has it.

        Raises:
            ArgumentError: it has, and the loss or a metric does not take it; there are more arrays than that.
        """
        *inputs, last = batch
        if len(inputs) <= self._takes:
            return inputs, last, {}
        if len(inputs) > self._takes + 1:
            raise ArgumentError(
                f"{self._who}: a batch has {len(batch)} arrays, and the model takes {self._takes}; what may follow are "
                "the targets, and the weights of the rows"
            )
        for name, function in self._weighed.items():
            if not _takes_weights(function):
                raise ArgumentError(
                    f"{self._who}: the model takes {self._takes} of the {len(batch)} arrays of a batch, so the last are"
                    f" sample weights, but {name} does not take them\n"
                    "  hint   def loss(predictions, targets, *, sample_weight=None)"
                )
        # Looked at once.
        self._weighed = {}
        *inputs, targets = inputs
        return inputs, targets, {} if last is None else {"sample_weight": last}


def _most_arguments(model: Model) -> float:
    """Return how many arguments a model takes at most; infinitely many where it does not say."""
    parameters = parameters_of(model.forward if isinstance(model, Module) else model)
    if parameters is None or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return math.inf
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _takes_weights(function: Function) -> bool:
    parameters = parameters_of(function)
    return parameters is None or any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)
