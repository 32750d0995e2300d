"""What a film looks at in single units: a network of dense layers unit by unit, and what the last one is given."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.film.asking import Asked, Call, Sample, spread
from tinygrad_nn.train.film.looks import Look, Taken, Truth
from tinygrad_nn.train.film.packing import Json, halves, rounded, signed

UNITS, WIDEST = 24, 256
"""Units of a layer that are drawn, and those of which its outputs are laid into a plane, at most."""


class Network(Look):
    """The units of dense layers that follow each other: weights, gradients, updates, and means over the sample."""

    part = "network"

    def __init__(self, chain: Sequence[Call], of: Sample) -> None:
        self._paths = [call.path for call in chain]
        shapes = [call.module.weight.shape for call in chain if isinstance(call.module, Dense)]
        self._widths = [shapes[0][0], *[shape[1] for shape in shapes]]
        self._drawn = [spread(width, UNITS) for width in self._widths]
        self._inputs = np.mean(np.asarray(of.only, np.float64), axis=0)[self._drawn[0]]
        if any(width > UNITS for width in self._widths):
            self.notes = [("note-units-left-out", {"most": UNITS})]

    def take(self, asked: Asked) -> Taken:
        ends = _ends(asked.calls, self._paths)
        found: dict[str, list[Array]] = {name: [] for name in ("weights", "gradients", "updates", "units")}
        for path, (start, end), rows, columns in zip(
            self._paths, ends, self._drawn, self._drawn[1:], strict=False
        ):
            weight = asked.parameters[_weight(path)]
            here = np.ix_(rows, columns)
            zero = np.zeros((len(rows), len(columns)))
            old = asked.before.get(_weight(path))
            found["weights"].append(weight._data[here])
            found["gradients"].append(zero if weight.grad is None else plain(weight.grad)[here])
            found["updates"].append(zero if old is None else weight._data[here] - old[here])
            bias = asked.parameters.get(_weight(path).replace("weight", "bias"))
            z, a = asked.calls[start].output[:, columns], asked.calls[end].output[:, columns]
            offsets = np.zeros(len(columns)) if bias is None else bias._data[columns]
            found["units"].append(
                np.stack([offsets, z.mean(axis=0), a.mean(axis=0), (a > 0).mean(axis=0), np.ptp(a, axis=0)]).T
            )
        return {
            name: np.concatenate([x.ravel() for x in parts]).astype(np.float32)
            for name, parts in found.items()
        }

    def packed(self, frames: Sequence[Taken]) -> Json:
        return {
            "widths": self._widths,
            "drawn": [drawn.tolist() for drawn in self._drawn],
            "names": self._paths,
            "inputs": rounded(self._inputs),
            "weights": halves([frame["weights"] for frame in frames]),
            "gradients": signed([frame["gradients"] for frame in frames], each=True),
            "updates": signed([frame["updates"] for frame in frames], each=True),
            "units": halves([frame["units"] for frame in frames]),
        }


def _weight(path: str) -> str:
    return f"{path}.weight" if path else "weight"


def _ends(calls: Sequence[Call], paths: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of the calls of dense layers, each with that of the call whose output the next one gets."""
    places = [k for k, call in enumerate(calls) if call.path in paths]
    return list(zip(places, [place - 1 for place in [*places[1:], len(calls)]], strict=True))


def chain_of(asked: Asked) -> list[Call]:
    """Return the calls of dense layers, where they make one chain; none otherwise."""
    dense = [call for call in asked.calls if isinstance(call.module, Dense)]
    shapes = [call.module.weight.shape for call in dense if isinstance(call.module, Dense)]
    follow = all(a[1] == b[0] for a, b in pairwise(shapes))
    once = len({call.path for call in dense}) == len(dense)
    flat = all(call.output.ndim == 2 for call in asked.calls)
    named = all(_weight(call.path) in asked.parameters for call in dense)
    if not (dense and follow and once and flat and named):
        return []
    given = [asked.calls[end].output.shape[1] for _, end in _ends(asked.calls, [call.path for call in dense])]
    return dense if given == [shape[1] for shape in shapes] else []


class Hidden(Look):
    """What the last dense layer is given of the sample, laid into a plane by its two directions of most variance."""

    part = "hidden"

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def take(self, asked: Asked) -> Taken:
        given = before_last(asked)
        assert given is not None
        return {"hidden": given[:, spread(given.shape[1], WIDEST)].astype(np.float32)}

    def packed(self, frames: Sequence[Taken]) -> Json:
        targets = self._truth.targets
        placed: list[Array] = []
        for frame in frames:
            x = np.nan_to_num(frame["hidden"].astype(np.float64))
            if x.shape[1] > 2:
                left, sizes, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
                x = left[:, :2] * sizes[:2]
                if placed:
                    # Turned and mirrored to lie on the one before as well as it can (Schoenemann 1966).
                    u, _, v = np.linalg.svd(x.T @ placed[-1])
                    x = x @ (u @ v)
            placed.append(x)
        return {
            "classes": self._truth.classes,
            "targets": rounded([] if targets is None else targets),
            "track": signed(placed, each=True),
        }


def before_last(asked: Asked) -> Array | None:
    """Return what the last dense layer is given, (rows, units); None where there is no such thing to look at."""
    places = [k for k, call in enumerate(asked.calls) if isinstance(call.module, Dense)]
    if not places or not places[-1]:
        return None
    given = asked.calls[places[-1] - 1].output
    units = given.reshape(len(given), -1)
    last = asked.calls[places[-1]].module
    fits = isinstance(last, Dense) and units.shape[1] == last.weight.shape[0] >= 2
    return units if fits and len(units) > 2 else None
