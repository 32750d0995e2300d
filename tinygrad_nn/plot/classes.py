"""Pictures of classes: points, decision boundaries, confusion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_nn.context import no_grad
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand
from tinygrad_nn.errors import ArgumentError, ShapeError
from tinygrad_nn.nn.module import in_mode
from tinygrad_nn.plot.canvas import COLORS, GREY, INK, RED, axes_for, legend_at_side, need_matplotlib, quiet
from tinygrad_nn.plot.labels import Labels, labels_of, names_of, places_of, predictions_of
from tinygrad_nn.primitives import Array

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Color = tuple[float, float, float]

FAINTEST = 0.3
"""How strong the colour of a class is where it is a toss-up; 1 is where there is no doubt."""

LIGHT = 0.45
"""How much of its colour the area of a class has, so that points are seen on it."""


def decision_boundary(
    model: Callable[..., Operand],
    X: Operand,
    y: Labels | None = None,
    *,
    classes: Sequence[object] | None = None,
    ax: Axes | None = None,
    resolution: int = 300,
) -> Axes:
    """Draw which class a model of two features chooses where, how sure it is, and the points it was meant for.

    Args:
        model: takes rows of two features, returns scores of shape (N, C) or one number per row: the class, if all are
            integers or names; else the probability of class 1, if all lie from 0 to 1; else its logit.
        X: points of shape (N, 2), which decide what is in view.
        y: their classes: integers from 0, names, or one-hot rows.
        classes: the names of the classes.
        ax: where to draw.
        resolution: points per side at which the model is asked.

    Raises:
        ShapeError: the points have not two features, or there are not as many labels.
        LabelError: labels that are no integers, or not among `classes`.

    Example:
        >>> from matplotlib.figure import Figure
        >>> import tinygrad_nn as tn
        >>> X, y = tn.data.moons(20)
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 8, rng=0), tn.nn.Tanh(), tn.nn.Dense(8, 2, rng=1))
        >>> ax = decision_boundary(model, X, y, classes=["upper", "lower"], ax=Figure().subplots(), resolution=20)
        >>> [text.get_text() for text in ax.get_legend().get_texts()][:2]
        ['upper', 'lower']
    """
    need_matplotlib()
    if not callable(model):
        raise ArgumentError(
            f"decision_boundary: the model is a module or a function, got {type(model).__name__}\n"
            "  hint   plot.decision_boundary(model, X, y)"
        )
    X = _points_of("decision_boundary", X)
    labels = None if y is None else _labels_for("decision_boundary", X, y)
    first, last = X.min(axis=0), X.max(axis=0)
    margin = 0.1 * np.maximum(last - first, 1e-9)
    sides = [np.linspace(a, b, resolution) for a, b in zip(first - margin, last + margin, strict=True)]
    across, up = np.meshgrid(*sides)
    grid = np.stack([across.ravel(), up.ravel()], axis=1).astype(X.dtype)
    with no_grad(), in_mode(model, training=False):
        predictions = plain(model(grid)).reshape(resolution * resolution, -1)
    if _are_classes(predictions):
        found, confidence = labels_of("decision_boundary", predictions), np.ones(len(predictions))
        names = (
            list(classes) if classes is not None else names_of(found, *([] if labels is None else [labels]))
        )
        chosen = places_of("decision_boundary", found, names)
    else:
        chosen, confidence = _decisions(predictions)
        names = list(classes) if classes is not None else _names(chosen, labels, max(predictions.shape[1], 2))
        names += range(len(names), int(chosen.max()) + 1)
    chosen = chosen.reshape(across.shape)
    alone, ax = ax is None, axes_for(ax, (6.4, 4.6))
    from matplotlib.colors import ListedColormap

    strength = (FAINTEST + (1 - FAINTEST) * confidence).reshape(across.shape)
    light = ListedColormap([_tint(_color(k), LIGHT) for k in range(len(names))])
    mesh = ax.pcolormesh(
        across, up, chosen, cmap=light, vmin=0, vmax=len(names) - 1, shading="nearest", rasterized=True
    )
    # It is not seen, but an array: a colour with a name would be looked up anew for the strength of each place.
    # Arrays of both are what the stubs do not know of.
    mesh.set(facecolor=np.ones((1, 4)))
    mesh.set(alpha=strength)
    for k in np.unique(chosen):
        if (chosen != k).any():
            ax.contour(across, up, chosen == k, levels=[0.5], colors="#444444", linewidths=1.0)
    marks = [] if labels is None else _points(ax, X, places_of("decision_boundary", labels, names), names)
    drawn = {mark.get_label() for mark in marks}
    areas = [_swatch(_tint(_color(k), LIGHT), _named(names[k])) for k in np.unique(chosen)]
    key = [area for area in areas if area.get_label() not in drawn]
    legend_at_side(ax, [*marks, *key, *_confidence_key(confidence, predictions.shape[1])], X, alone=alone)
    ax.set(xlim=across[0, [0, -1]], ylim=up[[0, -1], 0])
    return ax


def _names(found: Array, labels: Array | None, count: int) -> list[object]:
    """Return the classes in a picture, of which `count` have scores: those of the labels, or numbers."""
    if labels is None:
        return names_of(found, np.arange(count))
    named = names_of(labels)
    # Two that are -1 and 1, for one, are the two that have scores.
    return names_of(labels, np.arange(count)) if named == list(range(len(named))) else named


def _are_classes(predictions: Array) -> bool:
    """Tell whether predictions are classes and no scores: integers or names, also as floats where none is a share."""
    if predictions.shape[1] > 1 or predictions.dtype.kind != "f":
        return bool(predictions.shape[1] == 1)
    different = np.unique(predictions)
    if not np.isfinite(different).all() or len(different) < 2:
        return False
    return bool(np.all(different == np.round(different)) and (different[0] < 0 or different[-1] > 1))


def _decisions(predictions: Array) -> tuple[Array, Array]:
    """Return the column with the best score of each row, and how sure that is: 0 for a toss-up, 1 for no doubt."""
    columns = predictions.shape[1]
    with np.errstate(all="ignore"):
        p = predictions.astype(float)
        likely = bool(((p >= 0) & (p <= 1)).all())
        if columns == 1:
            # 2 * sigmoid(z) - 1 = tanh(z / 2)
            choice, sure = (p > 0.5, np.abs(2 * p - 1)) if likely else (p > 0, np.abs(np.tanh(p / 2)))
            return choice[:, 0].astype(int), np.nan_to_num(sure[:, 0])
        if not (likely and np.allclose(p.sum(axis=1), 1, atol=1e-3)):
            p = np.exp(p - p.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
        return predictions.argmax(axis=1), np.nan_to_num((columns * p.max(axis=1) - 1) / (columns - 1))


def scatter(
    X: Operand, y: Labels, *, classes: Sequence[object] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw points of two features in the colours and markers of their classes.

    Args:
        X: points of shape (N, 2).
        y: their classes: integers from 0, names, or one-hot rows.
        classes: the names of the classes.
        ax: where to draw.

    Raises:
        ShapeError: the points have not two features, or there are not as many labels.
        LabelError: labels that are no integers, or not among `classes`.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = scatter([[0.0, 1.0], [2.0, 3.0], [4.0, 3.0]], ["cat", "dog", "dog"], ax=Figure().subplots())
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['cat', 'dog']
    """
    X = _points_of("scatter", X)
    labels = _labels_for("scatter", X, y)
    names = names_of(labels) if classes is None else classes
    places = places_of("scatter", labels, names)
    alone, ax = ax is None, axes_for(ax, (6.4, 4.6))
    legend_at_side(ax, _points(ax, X, places, names), X, alone=alone)
    quiet(ax)
    return ax


def _points_of(who: str, X: Operand) -> Array:
    X = plain(X)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ShapeError(f"{who}: points of shape (N, 2) are needed, got {X.shape}")
    return X


def _labels_for(who: str, X: Array, y: Labels) -> Array:
    labels = labels_of(who, y)
    if len(labels) != len(X):
        raise ShapeError(f"{who}: {len(X)} points, but {len(labels)} labels")
    return labels


def _points(ax: Axes, X: Array, places: Array, names: Sequence[object]) -> list[Artist]:
    """Draw points, and return what the legend says of each class that there is."""
    drawn: list[Artist] = []
    for k in np.unique(places):
        across, up = X[places == k].T
        dots = ax.scatter(across, up, s=24, color=_color(k), marker="os^Dv"[k % 5], label=_named(names[k]))
        dots.set(edgecolor="white", linewidth=0.6)
        drawn.append(dots)
    return drawn


def _named(name: object) -> str:
    return f"class {name}" if isinstance(name, int) else str(name)


def _color(k: int) -> str:
    return COLORS[k % len(COLORS)]


def _tint(color: str, share: float) -> Color:
    """Return a colour mixed with white."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(color)
    return 1 - share * (1 - red), 1 - share * (1 - green), 1 - share * (1 - blue)


def _swatch(color: Color, label: str) -> Artist:
    from matplotlib.patches import Patch

    return Patch(facecolor=color, label=label)


def _confidence_key(confidence: Array, columns: int) -> list[Artist]:
    """Return what the legend says of shades, where they differ: the probability of the class that is chosen."""
    if np.ptp(confidence) == 0:
        return []
    count = max(columns, 2)
    shades = [(sure, (sure * (count - 1) + 1) / count) for sure in (0.0, 0.5, 1.0)]
    return [
        _swatch(_tint(GREY, LIGHT * (FAINTEST + (1 - FAINTEST) * sure)), f"{p:.0%} sure")
        for sure, p in shades
    ]


def confusion(
    labels: Labels,
    predictions: Labels,
    *,
    classes: Sequence[object] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often each class (row) was taken for each (column): errors in red, the more the stronger.

    What is right stands on the diagonal, in grey: there is much of it, and it hides nothing.

    Args:
        labels: the classes: N integers from 0, names, or one-hot rows.
        predictions: what a model takes them for: the same, or its scores (N, C).
        classes: their names.
        ax: where to draw.

    Raises:
        ShapeError: other shapes, or of different lengths.
        LabelError: labels that are no integers, or not among `classes`.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = confusion(["cat", "dog", "dog"], ["cat", "dog", "cat"], ax=Figure().subplots())
        >>> [text.get_text() for text in ax.texts]
        ['1', '1', '1']
    """
    true, found = labels_of("confusion", labels), predictions_of("confusion", predictions)
    if true.shape != found.shape:
        raise ShapeError(
            f"confusion: labels of {len(true)} rows and predictions of {len(found)}, expected (N,) both"
        )
    names = list(classes) if classes is not None else names_of(true, found)
    count = len(names)
    table = np.zeros((count, count), np.int64)
    np.add.at(table, (places_of("confusion", true, names), places_of("confusion", found, names)), 1)
    right = np.eye(count, dtype=bool)
    share = np.where(right, 0, table / np.maximum(table.sum(axis=1, keepdims=True), 1))
    ax = axes_for(ax, (0.52 * count + 1.8, 0.48 * count + 1.4))
    canvas = np.ones((count, count, 3))
    for row, column in np.argwhere(share):
        canvas[row, column] = _tint(RED, 0.15 + 0.65 * share[row, column] / share.max())
    canvas[right] = _tint(GREY, 0.3)
    ax.imshow(canvas)
    for row, column in np.argwhere(table):
        weight = "normal" if row == column else "bold"
        text = f"{table[row, column]}"
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color=INK, fontweight=weight)
    ax.set(xticks=range(count), yticks=range(count), xticklabels=names, yticklabels=names)
    if max((len(str(name)) for name in names), default=0) > 3:
        ax.tick_params("x", rotation=45)
    hits = int(np.trace(table))
    ax.set(xlabel="predicted", ylabel="label", title=f"{hits} of {len(true)} right, {len(true) - hits} wrong")
    return ax
