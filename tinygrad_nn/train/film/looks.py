"""What a film looks at in a model's answers: the plane of two features, a curve of one, predictions for a sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygrad_nn.primitives import Array
from tinygrad_nn.train.film.asking import Asked, Sample, side_of
from tinygrad_nn.train.film.packing import Json, between, rounded, whole

Taken = dict[str, Array]
"""What one look has of one frame, by name."""

_SHOWN = 24
"""Pictures that are shown of the sample."""


Note = tuple[str, dict[str, object]]
"""A sentence by its name, with its fields."""


class Look:
    """One part of the page.

    Attributes:
        part: its name there.
        notes: what has been left out of it.
    """

    part: str
    notes: Sequence[Note] = ()

    def take(self, asked: Asked) -> Taken:
        """Return what is to be kept of this moment."""
        raise NotImplementedError

    def packed(self, frames: Sequence[Taken]) -> Json:
        """Return what the page has to have of all frames."""
        raise NotImplementedError


class Truth:
    """What the targets of a sample are: classes, or numbers.

    Attributes:
        classes: how many classes there are; 0 for numbers.
        targets: of the rows, integers or numbers; None where they are neither.
    """

    def __init__(self, of: Sample, predictions: Array | None) -> None:
        self.classes, self.targets = 0, None
        labels = of.labels
        if predictions is None or labels is None or predictions.ndim not in (1, 2) or not len(labels):
            return
        rows, columns = len(predictions), predictions.size // max(len(predictions), 1)
        if len(labels) != rows:
            return
        values = np.unique(labels)
        if (
            columns > 1
            and labels.ndim == 1
            and labels.dtype.kind in "iu"
            and 0 <= values[0] <= values[-1] < columns
        ):
            self.classes, self.targets = columns, labels.astype(int)
        elif (
            columns > 1
            and labels.shape == (rows, columns)
            and set(values) <= {0, 1}
            and (labels.sum(1) == 1).all()
        ):
            self.classes, self.targets = columns, labels.argmax(1)
        elif columns == 1 and labels.size == rows and len(values) <= 2 and set(values) <= {-1, 0, 1}:
            self.classes, self.targets = 2, (labels.reshape(-1) > 0).astype(int)
        elif labels.size == predictions.size:
            self.targets = labels.reshape(rows, -1)[:, 0].astype(np.float32)


def shares(predictions: Sequence[Array]) -> list[Array]:
    """Return the share of each class in all frames, from logits or probabilities (..., columns); of two, the second's.

    Whether they are probabilities is told from all frames: logits may lie between 0 and 1 in some.
    """
    stack = np.nan_to_num(np.stack(predictions).astype(np.float32), posinf=1e30, neginf=-1e30)
    likely = bool(((stack >= 0) & (stack <= 1)).all())
    if stack.shape[-1] == 1:
        # (1 + tanh(z / 2)) / 2 is the sigmoid, without overflow.
        return list(stack if likely else (1 + np.tanh(stack / 2)) / 2)
    if not (likely and np.allclose(stack.sum(axis=-1), 1, atol=1e-3)):
        stack = np.exp(stack - stack.max(axis=-1, keepdims=True))
        stack /= stack.sum(axis=-1, keepdims=True)
    return list(stack[..., 1:] if stack.shape[-1] == 2 else stack)


def chosen(share: Array) -> Array:
    """Return the class of each row of shares."""
    return (share[..., 0] > 0.5).astype(int) if share.shape[-1] == 1 else share.argmax(axis=-1)


class Plane(Look):
    """What a model of two features answers everywhere around its data."""

    part = "plane"

    def __init__(self, of: Sample, truth: Truth, columns: int) -> None:
        self.truth = truth
        self.points = np.asarray(of.only, np.float32)
        planes = 1 if truth.classes <= 2 else columns
        self.side = 64 if planes == 1 else max(24, min(64, int((12288 / planes) ** 0.5)))
        first, last = _ends(self.points)
        margin = 0.12 * np.maximum(last - first, 1e-6)
        self.box = np.stack([first - margin, last + margin])
        sides = [np.linspace(a, b, self.side) for a, b in self.box.T]
        grid = np.stack([axis.ravel() for axis in np.meshgrid(*sides)], axis=1)
        self._grid = grid.astype(
            of.only.dtype if of.only is not None and of.only.dtype.kind == "f" else np.float32
        )

    def take(self, asked: Asked) -> Taken:
        columns = asked.about(self._grid)
        return {"plane": (columns if self.truth.classes else columns[:, :1])}

    def fields(self, frames: Sequence[Taken]) -> list[Array]:
        """Return the shares of classes, or the values, of each frame: (side, side, planes), upwards."""
        raw = [frame["plane"].astype(np.float32) for frame in frames]
        fields = shares(raw) if self.truth.classes else raw
        return [field.reshape(self.side, self.side, -1) for field in fields]

    def packed(self, frames: Sequence[Taken]) -> Json:
        planes = [np.moveaxis(field, -1, 0) for field in self.fields(frames)]
        classes, targets = self.truth.classes, self.truth.targets
        points: Json = {"x": rounded(self.points[:, 0]), "y": rounded(self.points[:, 1])}
        if targets is not None:
            points["t"] = targets.tolist() if classes else rounded(targets)
        track = between(planes, 0.0, 1.0) if classes else between(planes)
        return {"classes": classes, "box": rounded(self.box.T.ravel()), "points": points, "track": track}


def _ends(x: Array) -> tuple[Array, Array]:
    """Return the least and the largest number of each column."""
    finite = np.where(np.isfinite(x), x, np.nan)
    return np.nanmin(finite, axis=0), np.nanmax(finite, axis=0)


class Line(Look):
    """What a model of one feature answers along its data."""

    part = "line"

    def __init__(self, of: Sample, truth: Truth) -> None:
        only = np.asarray(of.only)
        self._x, self._targets, self._classes = only.reshape(-1), truth.targets, truth.classes
        first, last = _ends(self._x)
        margin = 0.1 * np.maximum(last - first, 1e-6)
        self._ends = np.array([first - margin, last + margin])
        self._grid = (
            np.linspace(self._ends[0], self._ends[1], 160).astype(only.dtype).reshape(-1, *only.shape[1:])
        )

    def take(self, asked: Asked) -> Taken:
        return {"line": asked.about(self._grid)[:, :3].T.copy()}

    def packed(self, frames: Sequence[Taken]) -> Json:
        lines = [frame["line"] for frame in frames]
        if self._classes:
            lines = [np.moveaxis(share, -1, 0) for share in shares([np.moveaxis(x, 0, -1) for x in lines])]
        points: Json = {"x": rounded(self._x)}
        if self._targets is not None:
            points["t"] = rounded(self._targets)
        return {"ends": rounded(self._ends), "points": points, "track": between(lines)}


class Guesses(Look):
    """What the model takes the rows of the sample for, and how sure it is; with pictures, where they are images."""

    part = "guesses"

    def __init__(self, of: Sample, truth: Truth) -> None:
        self.truth = truth
        self.pictures = pictures_of(of)

    def take(self, asked: Asked) -> Taken:
        predictions = asked.predictions
        if predictions is None:
            raise ValueError("the model returned no array")
        columns = predictions.reshape(len(predictions), -1)
        return {"guesses": (columns if self.truth.classes else columns[:, 0]).astype(np.float32)}

    def packed(self, frames: Sequence[Taken]) -> Json:
        raw = [frame["guesses"] for frame in frames]
        targets = self.truth.targets
        if not self.truth.classes:
            return {
                "classes": 0,
                "targets": rounded(targets if targets is not None else []),
                "track": between(raw),
            }
        share = shares(raw)
        first = slice(0, _SHOWN)
        sure = [
            np.where(chosen(s) == 1, s[:, 0], 1 - s[:, 0]) if s.shape[1] == 1 else s.max(axis=1)
            for s in share
        ]
        found: Json = {
            "classes": self.truth.classes,
            "targets": [] if targets is None else targets.tolist(),
            "track": whole([chosen(s) for s in share]),
            "sure": between([s[first] for s in sure], 0.0, 1.0),
        }
        if self.pictures is not None:
            found["pictures"] = whole([self.pictures[first]])
        return found


def pictures_of(of: Sample) -> Array | None:
    """Return the first rows of the sample as pictures of bytes (N, height, width, 1 or 3), where they are images."""
    x = of.only
    if x is None or not x.size:
        return None
    if x.ndim == 2 and (side := side_of(x.shape[1])):
        x = x.reshape(-1, side, side, 1)
    elif x.ndim == 3 and x.shape[1] == x.shape[2] >= 8:
        x = x[..., None]
    elif not (x.ndim == 4 and x.shape[3] in (1, 3) and min(x.shape[1:3]) >= 8):
        return None
    x = x[:_SHOWN].astype(np.float32)
    low, high = float(x.min()), float(x.max())
    return np.asarray(np.rint((x - low) / max(high - low, 1e-9) * 255), np.uint8)
