"""What a film looks at in the layers: weights as pictures, spreads of outputs and of gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.film.asking import Asked, Call, Sample, side_of, spread
from tinygrad_nn.train.film.looks import Look, Note, Taken
from tinygrad_nn.train.film.packing import Json, between, rounded, signed

MATRICES, TILES, ENTRIES = 6, 16, 48
"""Matrices that are shown, pictures of a first layer, and rows or columns of a heat map, at most."""
LAYERS, BINS = 10, 32
PARAMETERS = 16
COUNTED = 2048
"""Entries of an array that are counted in a histogram, at most."""
DECADES = (-9.0, 3.0)
"""Gradients are counted by their sizes, from 10 to the first to 10 to the second of these."""


class Weights(Look):
    """The weights of the first layers: of images as small pictures, of others as heat maps."""

    part = "weights"

    def __init__(self, asked: Asked, of: Sample) -> None:
        matrices = {name: p for name, p in asked.parameters.items() if p.ndim >= 2 and p.size > 1}
        self._names = list(matrices)[:MATRICES]
        first = next(iter(matrices.values()), None)
        x = of.only
        image = x is not None and x.ndim == 2 and first is not None and first.shape[0] == x.shape[1]
        self._side = side_of(first.shape[0]) if first is not None and image and first.ndim == 2 else 0
        left_out = [name for name in matrices if name not in self._names]
        thinned = [name for k, name in enumerate(self._names) if self._is_thinned(matrices[name], k == 0)]
        self._shapes = {name: matrices[name].shape for name in self._names}
        notes: list[Note] = [("note-weights-thinned", {"names": ", ".join(thinned)})] if thinned else []
        self.notes = [*notes, ("note-weights-left-out", {"rest": len(left_out)})] if left_out else notes

    def _is_thinned(self, p: Tensor, first: bool) -> bool:
        shown = self.picture(p._data, first)
        return shown.size < p.size

    def picture(self, x: Array, first: bool) -> Array:
        """Return a matrix (height, width) or pictures (N, height, width) to show of a parameter."""
        if first and self._side:
            return np.reshape(x.T[:TILES], (-1, self._side, self._side))
        if x.ndim == 4 and min(x.shape[:2]) > 1:
            return np.asarray(np.moveaxis(x.mean(axis=2), -1, 0)[:TILES])
        matrix = x.reshape(-1, x.shape[-1])
        return np.asarray(matrix[spread(matrix.shape[0], ENTRIES)][:, spread(matrix.shape[1], ENTRIES)])

    def take(self, asked: Asked) -> Taken:
        return {
            name: self.picture(asked.parameters[name]._data, k == 0).astype(np.float32)
            for k, name in enumerate(self._names)
        }

    def packed(self, frames: Sequence[Taken]) -> Json:
        parts = [
            {
                "name": name,
                "shape": " × ".join(map(str, self._shapes[name])),
                "track": signed([frame[name] for frame in frames]),
            }
            for name in self._names
        ]
        return {"parts": parts}


class Activations(Look):
    """How the outputs of the layers are spread over the sample, and how many units give the same for every row."""

    part = "activations"

    def __init__(self, asked: Asked) -> None:
        calls = _told_apart(asked.calls)
        names = list(calls)
        if len(names) > LAYERS:
            names = [name for name in names if not calls[name].module.parameters()][:LAYERS] or names[:LAYERS]
        self._names = names
        rest = len(calls) - len(names)
        self.notes = [("note-layers-left-out", {"rest": rest})] if rest else []

    def take(self, asked: Asked) -> Taken:
        calls = _told_apart(asked.calls)
        found: Taken = {}
        for name in self._names:
            units = calls[name].output.reshape(len(calls[name].output), -1)
            least, largest = units.min(axis=0), units.max(axis=0)
            low, high = float(np.nan_to_num(least).min()), float(np.nan_to_num(largest).max())
            high = high if high > low else low + 1e-6 + 1e-6 * abs(low)
            some = _some_of(units)
            found[name] = _counts(some, low, high)
            dead = np.count_nonzero(least == largest) if len(units) > 1 else 0
            found[f"{name} facts"] = np.array([low, high, some.mean(), some.std(), dead, units.shape[1]])
        return found

    def packed(self, frames: Sequence[Taken]) -> Json:
        return {"layers": _tracks(self._names, frames)}


def _tracks(names: Sequence[str], frames: Sequence[Taken]) -> list[Json]:
    """Return what the page shows of each name: its facts, and how its counts change."""
    return [
        {
            "name": name,
            "facts": rounded(np.stack([frame[f"{name} facts"] for frame in frames])),
            "track": between([np.sqrt(frame[name]) for frame in frames], 0.0, 1.0),
        }
        for name in names
    ]


def _told_apart(calls: Sequence[Call]) -> dict[str, Call]:
    """Return calls by what they are called on the page, without those that pass on what they are given."""
    named: dict[str, Call] = {}
    for call in calls:
        kind = type(call.module).__name__
        if kind in ("Flatten", "Identity", "Dropout") or not call.output.size:
            continue
        name = f"{call.path}: {kind}" if call.path else kind
        again = sum(other.path == call.path for other in named.values())
        named[f"{name} ({again + 1})" if again else name] = call
    return named


class Gradients(Look):
    """How large the entries of the gradients are, by parameter, with the sizes of weights and of their change."""

    part = "gradients"

    def __init__(self, asked: Asked) -> None:
        names = list(asked.parameters)
        if len(names) > PARAMETERS:
            names = [name for name in names if asked.parameters[name].ndim >= 2][:PARAMETERS] or names[
                :PARAMETERS
            ]
        self._names = names
        rest = len(asked.parameters) - len(names)
        self.notes = [("note-parameters-left-out", {"rest": rest})] if rest else []

    def take(self, asked: Asked) -> Taken:
        found: Taken = {}
        for name in self._names:
            parameter = asked.parameters[name]
            found[name], mean = np.zeros(BINS), np.nan
            if parameter.grad is not None:
                some = np.abs(_some_of(plain(parameter.grad)))
                found[name] = _counts(np.log10(some[some > 0]), *DECADES)
                mean = float(some.mean())
            now, old = _some_of(parameter._data), asked.before.get(name)
            weight = _size(now)
            change = np.nan if old is None else _size(now - _some_of(old)) / max(weight, 1e-30)
            found[f"{name} facts"] = np.array([mean, weight, change])
        return found

    def packed(self, frames: Sequence[Taken]) -> Json:
        return {"decades": list(DECADES), "layers": _tracks(self._names, frames)}


def _size(x: Array) -> float:
    """Return the root of the mean square."""
    x = x.astype(np.float64)
    return float(np.sqrt(x @ x / max(x.size, 1)))


def _some_of(x: Array) -> Array:
    """Return at most COUNTED entries, evenly spread, of an array of any shape."""
    flat = np.ravel(x)
    # An odd stride meets every column.
    return flat[:: flat.size // COUNTED | 1] if flat.size > COUNTED else flat


def _counts(values: Array, low: float, high: float) -> Array:
    """Return how often values lie in each of the bins, as shares of the fullest; those outside count at the ends."""
    # NaN becomes the least integer.
    bins = ((values - low) * (BINS / (high - low))).astype(np.int64)
    np.minimum(bins, BINS - 1, out=bins)
    np.maximum(bins, 0, out=bins)
    counts = np.bincount(bins, minlength=BINS)
    return counts / max(int(counts.max()), 1)
