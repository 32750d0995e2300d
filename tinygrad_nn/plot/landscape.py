"""Losses on a plane through the weights of a model: which plane, and what the loss is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tinygrad_nn.context import Plan, Temporarily, no_grad
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.nn.module import Module, in_mode
from tinygrad_nn.primitives import Array

Weights = Mapping[str, Array]
"""Arrays by the names of parameters, as `state_dict` returns them."""


@dataclass(frozen=True)
class Plane:
    """A plane through flat weights: where it begins, its two directions, and what each of these is."""

    origin: Array
    directions: Array
    names: tuple[str, str]

    def at(self, a: float, b: float) -> Array:
        """Return the flat weights at a place."""
        return np.asarray(self.origin + a * self.directions[0] + b * self.directions[1])

    def places(self, weights: Array) -> Array:
        """Return the place of each row of flat weights, or of its projection."""
        return np.asarray((weights - self.origin) @ self.directions.T)


def flat_weights(model: Module, places: Iterable[object]) -> Array:
    """Return the weights of each place as a row.

    Raises:
        ShapeError: a place has not the parameters of the model.
    """
    parameters = dict(model.named_parameters())
    rows = []
    for k, of_place in enumerate(places):
        place: Weights = of_place if isinstance(of_place, Mapping) else {}
        wrong = [
            name for name, p in parameters.items() if name not in place or np.shape(place[name]) != p.shape
        ]
        if wrong:
            raise ShapeError(
                f"descent: place {k} of the path has no {wrong[0]} of shape {parameters[wrong[0]].shape}\n"
                "  hint   path.append(model.state_dict()), or the callback tn.train.WeightPath()"
            )
        rows.append(np.concatenate([np.ravel(plain(place[name])) for name in parameters]))
    return np.array(rows)


def plane_of_path(rows: Array, rng: np.random.Generator) -> Plane:
    """Return the plane of the first two principal components of a path, through its last place."""
    origin = rows[-1]
    steps = rows - origin
    # Of few places with many weights each, this is the smaller of the two products.
    sizes, mixtures = np.linalg.eigh((steps @ steps.T).astype(float))
    sizes = np.maximum(sizes, 0)
    total = float(sizes.sum()) or 1.0
    directions, names = [], []
    for k, which in enumerate(("first", "second"), 1):
        share = sizes[-k] / total if k <= len(sizes) else 0.0
        if share > 1e-12:
            directions.append(mixtures[:, -k] @ steps / np.sqrt(sizes[-k]))
            names.append(f"{which} principal component ({share:.1%} of the path)")
        else:
            directions.append(_across(directions, len(origin), rng))
            names.append("a random direction")
    # The path is read from the left to the right.
    directions[0] *= -1 if steps[0] @ directions[0] > 0 else 1
    return Plane(origin, np.array(directions), (names[0], names[1]))


def _across(directions: Sequence[Array], size: int, rng: np.random.Generator) -> Array:
    """Return a random direction of length 1, at right angles to others."""
    found = rng.normal(size=size)
    for direction in directions:
        found -= (found @ direction) * direction
    return np.asarray(found / np.linalg.norm(found))


def random_plane(model: Module, rng: np.random.Generator) -> Plane:
    """Return a plane through the weights of a model in two random directions, filter by filter as long as these are.

    So a direction changes every unit by as much of what it has (Li et al. 2018, arXiv:1712.09913); vectors, as biases
    are, stay.
    """
    parameters = [p._data.astype(float) for p in model.parameters()]
    origin = np.concatenate([array.ravel() for array in parameters])
    directions = [
        np.concatenate([_like_filters(array, rng).ravel() for array in parameters]) for _ in range(2)
    ]
    return Plane(origin, np.array(directions), ("a random direction", "another one"))


def _like_filters(array: Array, rng: np.random.Generator) -> Array:
    if array.ndim < 2:
        return np.zeros(array.shape)
    direction = rng.normal(size=array.shape)
    # The units are the last axis of every layer.
    others = tuple(range(array.ndim - 1))
    lengths = np.sqrt((array**2).sum(axis=others) / (direction**2).sum(axis=others))
    return np.asarray(direction * lengths)


def loss_at(
    model: Module, loss: Callable[..., Operand], data: Sequence[Operand], places: Iterable[Array]
) -> list[float]:
    """Return the loss for flat weights, in evaluation mode; the model is left as it was."""
    *inputs, targets = data
    parameters = list(model.parameters())
    ends = np.cumsum([p.size for p in parameters])[:-1]
    found = []
    with (
        Temporarily(partial(_left_alone, model)),
        no_grad(),
        in_mode(model, training=False),
        np.errstate(all="ignore"),
    ):
        for place in places:
            for p, part in zip(parameters, np.split(place, ends), strict=True):
                p._data[...] = part.reshape(p.shape)
            found.append(float(plain(loss(model(*inputs), targets))))
    return found


def _left_alone(model: Module) -> Plan:
    """Return what puts the parameters of a model back."""
    kept = [(p._data, p._data.copy()) for p in model.parameters()]

    def undo() -> None:
        for array, before in kept:
            array[...] = before

    return lambda: None, undo
