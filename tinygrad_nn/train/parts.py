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
from tinygrad_nn.train.metrics import Metric, Weights, is_array

Model = Callable[..., Tree]
Loss = Callable[..., Tensor]
Arrays = Sequence[Tree]
"""What the model is called with, then the targets, and then, if there is one more, the weights of the rows."""
Batch = Arrays | Mapping[str, object]
"""The arrays in this order, or by name."""
Keys = Sequence[str] | None
"""Where batches have their arrays by name, which these are, in the order of a batch."""


class Reader:
    """Tells the parts of batches from each other, by how many arrays the model takes.

    Raises:
        ArgumentError: `keys` are no names, the last of them that of the targets.
    """

    def __init__(self, who: str, model: Model, loss: Loss, metrics: Mapping[str, Metric], keys: Keys) -> None:
        if keys is not None and not _are_names(keys):
            raise ArgumentError(
                f'{who}: keys are the names of the arrays of a batch, got {keys!r:.60}\n  hint   keys=("x", "y")'
            )
        self._who, self._takes, self._keys = who, _most_arguments(model), keys
        self._weighed = {"the loss": loss} | {f"the metric {name!r}": f for name, f in metrics.items()}

    def __call__(self, batch: Batch) -> tuple[Sequence[Tree], Tree, Weights]:
        """Return the model's arguments, the targets, and `sample_weight` as a keyword where the batch has it.

        Raises:
            ArgumentError: it has, and the loss or a metric does not take it; there are more arrays than that; arrays
                by name, and no keys that tell which to take, or the other way round.
        """
        arrays = batch
        if self._keys is not None or isinstance(arrays, Mapping):
            arrays = by_keys(self._who, batch, self._keys)
        *inputs, last = arrays
        if not inputs:
            raise ArgumentError(
                f"{self._who}: a batch has one array, and what the model takes and the targets are two\n"
                "  hint   tn.data.batches(X, y, size=32); of a model that is to give back what it takes (X, X, size=32)"
            )
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


def expect_loss(who: str, loss: object) -> None:
    """Raise `ArgumentError` for a loss that cannot be called."""
    if not callable(loss):
        raise ArgumentError(
            f"{who}: the loss is a function of predictions and targets, got {type(loss).__name__}\n"
            f"  hint   {who}(model, tn.nn.losses.cross_entropy, (X, y))"
        )


def refuse_whole_arrays(who: str, data: object) -> None:
    """Raise `ArgumentError` for arrays where batches are wanted."""
    if (
        is_array(data)
        or isinstance(data, (tuple, Mapping))
        or (isinstance(data, list) and data and is_array(data[0]))
    ):
        raise ArgumentError(
            f"{who}: data are batches, and these are whole arrays\n  hint   tn.data.batches(X, y, size=100, rng=0)"
        )


def _are_names(keys: object) -> bool:
    return isinstance(keys, (list, tuple)) and len(keys) > 1 and all(isinstance(key, str) for key in keys)


def by_keys(who: str, batch: object, keys: Keys) -> Arrays:
    """Return the arrays of a batch that has them by name.

    Raises:
        ArgumentError: it has none of such a name, or no names; there are no keys.
    """
    if keys is None:
        names = ", ".join(f'"{name}"' for name in batch) if isinstance(batch, Mapping) else ""
        raise ArgumentError(
            f"{who}: a batch has arrays by name; say which the model takes, and then the targets\n"
            f"  hint   keys=({names})"
        )
    if not isinstance(batch, Mapping):
        raise ArgumentError(
            f"{who}: keys={keys!r} are of batches with arrays by name, got a {type(batch).__name__}"
        )
    if missing := [key for key in keys if key not in batch]:
        raise ArgumentError(
            f"{who}: a batch has no {', '.join(map(repr, missing))}; it has {', '.join(map(repr, batch))}"
        )
    return [batch[key] for key in keys]


def _most_arguments(model: Model) -> float:
    """Return how many arguments a model takes at most; infinitely many where it does not say."""
    parameters = parameters_of(model.forward if isinstance(model, Module) else model)
    if parameters is None or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return math.inf
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _takes_weights(function: Function) -> bool:
    parameters = parameters_of(function)
    return parameters is None or any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)
