"""Pictures of data, models and training, with matplotlib (extra `plot`).

Every function draws on `ax=` if it is given one, and on a new figure otherwise; it returns the axes and never
shows anything by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tinygrad_nn.context import no_grad
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.nn.module import Module, in_mode, outputs_of_calls
from tinygrad_nn.primitives import Array

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
"""Told apart by colour-blind readers too (Okabe and Ito 2008)."""

BLUE, RED = COLORS[:2]
GREY = "#767676"

Labels = Sequence[object] | Array


class HistoryLike(Protocol):
    """Columns of numbers by name, one number an epoch: `train.History`, or a table of one's own."""

    def __len__(self) -> int:
        """The number of epochs."""

    def __iter__(self) -> Iterator[str]: ...
    def __getitem__(self, name: str, /) -> Sequence[float]: ...

    def mode(self, name: str, /) -> str:
        """Return "min" or "max", whichever is better in a column."""

    def best(self, name: str, /) -> tuple[int, float]:
        """Return the best epoch, from 1, and its value."""


def _axes(ax: Axes | None, size: tuple[float, float] = (6.4, 4.4)) -> Axes:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "plots need the package matplotlib\n  hint   pip install 'tinygrad_nn[plot]'"
        ) from error
    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def _quiet(ax: Axes) -> None:
    """Leave out of the frame what carries no information."""
    ax.spines[["top", "right"]].set_visible(False)


def _legend_above(ax: Axes, handles: Sequence[Artist], texts: list[str]) -> None:
    """Put the legend where it hides nothing."""
    ax.legend(
        handles, texts, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2
    )


def history(record: HistoryLike, *columns: str, ax: Axes | None = None) -> Axes:
    """Draw columns of a history over the epochs: training solid, validation dashed, the best epoch as a dot.

    Without names all columns are drawn, losses on the left axis and metrics on one at the right.

    Raises:
        KeyError: no such column.
        ValueError: there is no epoch yet.
    """
    if not len(record):
        raise ValueError("there is no epoch to draw yet")
    ax = _axes(ax)
    names = list(columns) or [name for name in record if name != "seconds"]
    left = [name for name in names if record.mode(name) == "min"] or names
    right = [name for name in names if name not in left]
    twin = ax.twinx() if right else None
    bases = list(dict.fromkeys(name.removeprefix("val_") for name in names))
    lines = []
    for name in names:
        target = twin if name in right and twin is not None else ax
        color = COLORS[bases.index(name.removeprefix("val_")) % len(COLORS)]
        style = "--" if name.startswith("val_") else "-"
        epochs = range(1, len(record) + 1)
        lines += target.plot(epochs, record[name], style, color=color, label=name, linewidth=1.8)
        if not all(map(math.isnan, record[name])):
            target.plot(*record.best(name), "o", color=color, markersize=5)
    ax.set_xlabel("epoch")
    ax.set_ylabel(" / ".join(dict.fromkeys(name.removeprefix("val_") for name in left)))
    ax.locator_params("x", integer=True)
    _legend_above(ax, lines, names)
    ax.grid(axis="y", alpha=0.25)
    _quiet(ax)
    if twin is not None:
        twin.set_ylabel(" / ".join(dict.fromkeys(name.removeprefix("val_") for name in right)))
        twin.spines["top"].set_visible(False)
    return ax


def decision_boundary(
    model: Callable[..., Any],
    X: Operand,
    y: Operand | None = None,
    *,
    ax: Axes | None = None,
    resolution: int = 300,
) -> Axes:
    """Draw which class a model of two features chooses where, how sure it is, and the points it was meant for.

    Args:
        model: takes rows of two features, returns scores of shape (N, C) or one number per row: the class, if it is
            an integer; else the probability of class 1, if all lie from 0 to 1; else its logit.
        X: points of shape (N, 2), which decide what is in view.
        y: their classes, integers from 0.
        ax: where to draw.
        resolution: points per side at which the model is asked.

    Raises:
        ShapeError: the points have not two features.
    """
    X = plain(X)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ShapeError(f"decision_boundary: points of shape (N, 2) are needed, got {X.shape}")
    ax = _axes(ax, (5.6, 4.6))
    from matplotlib.colors import ListedColormap, to_rgb

    first, last = X.min(axis=0), X.max(axis=0)
    margin = 0.1 * np.maximum(last - first, 1e-9)
    sides = [np.linspace(a, b, resolution) for a, b in zip(first - margin, last + margin, strict=True)]
    across, up = np.meshgrid(*sides)
    grid = np.stack([across.ravel(), up.ravel()], axis=1).astype(X.dtype)
    with no_grad(), in_mode(model, training=False):
        predictions = plain(model(grid)).reshape(resolution * resolution, -1)
    chosen, confidence = _decisions(predictions)
    chosen, confidence = chosen.reshape(across.shape), confidence.reshape(across.shape)
    columns = predictions.shape[1]
    low, high = min(int(chosen.min()), 0), max(int(chosen.max()), columns - 1, 1)
    colors = [COLORS[k % len(COLORS)] for k in range(low, high + 1)]
    light = ListedColormap([tuple(1 - 0.4 * (1 - c) for c in to_rgb(color)) for color in colors])
    strength: Any = 0.3 + 0.7 * confidence
    mesh = ax.pcolormesh(
        across, up, chosen, cmap=light, vmin=low, vmax=high, shading="nearest", rasterized=True
    )
    mesh.set_alpha(strength)
    for k in np.unique(chosen):
        if (chosen != k).any():
            ax.contour(across, up, chosen == k, levels=[0.5], colors="#444444", linewidths=1.0)
    if y is not None:
        _points(ax, X, plain(y))
    ax.set(xlim=across[0, [0, -1]], ylim=up[[0, -1], 0])
    return ax


def _decisions(predictions: Array) -> tuple[Array, Array]:
    """Return the class of each row of predictions, and how sure it is: 0 for a toss-up, 1 for no doubt."""
    rows, columns = predictions.shape
    if columns == 1 and predictions.dtype.kind in "iub":
        return predictions[:, 0].astype(int), np.ones(rows)
    with np.errstate(all="ignore"):
        p = predictions.astype(float)
        likely = bool(((p >= 0) & (p <= 1)).all())
        if columns == 1:
            # 2 * sigmoid(z) - 1 = tanh(z / 2)
            chosen, sure = (p > 0.5, np.abs(2 * p - 1)) if likely else (p > 0, np.abs(np.tanh(p / 2)))
            return chosen[:, 0].astype(int), np.nan_to_num(sure[:, 0])
        if not (likely and np.allclose(p.sum(axis=1), 1, atol=1e-3)):
            p = np.exp(p - p.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
        return predictions.argmax(axis=1), np.nan_to_num((columns * p.max(axis=1) - 1) / (columns - 1))


def scatter(X: Operand, y: Operand, *, ax: Axes | None = None) -> Axes:
    """Draw points of two features in the colours and markers of their classes.

    Raises:
        ShapeError: the points have not two features.
    """
    X, y = plain(X), plain(y)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ShapeError(f"scatter: points of shape (N, 2) are needed, got {X.shape}")
    ax = _axes(ax, (5.6, 4.6))
    _points(ax, X, y)
    ax.legend(frameon=False)
    _quiet(ax)
    return ax


def _points(ax: Axes, X: Array, y: Array) -> None:
    for k in np.unique(y):
        across, up = X[y == k].T
        color, marker = COLORS[int(k) % len(COLORS)], "os^Dv"[int(k) % 5]
        dots = ax.scatter(across, up, s=24, color=color, marker=marker, label=f"class {k}", linewidths=0.6)
        dots.set_edgecolor("white")


def images(
    pictures: Operand,
    *,
    labels: Labels | None = None,
    predictions: Labels | None = None,
    columns: int | None = None,
    shape: tuple[int, int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw grey images in a grid, with their labels; wrong predictions are framed and written out.

    Args:
        pictures: of shape (N, height, width), or (N, pixels) for square ones or with `shape`.
        labels: what they are.
        predictions: what a model takes them for.
        columns: images per row.
        shape: height and width of flattened images.
        ax: where to draw.

    Raises:
        ShapeError: flattened images that are not square, without `shape`; labels of another number.
    """
    pictures = _pictures("images", plain(pictures), shape)
    count, height, width = pictures.shape
    for classes in (labels, predictions):
        if classes is not None and len(classes) != count:
            raise ShapeError(f"images: {count} images, but {len(classes)} labels or predictions")
    columns = columns or math.ceil(math.sqrt(count * 1.4))
    captioned = labels is not None or predictions is not None
    gap, head = max(width // 7, 1), (max(height * 2 // 7, 1) if captioned else 0)
    rows = -(-count // columns)
    ax = _axes(ax, (0.75 * columns + 0.2, (0.75 * (1 + head / height)) * rows + 0.2))
    canvas = np.full((rows * (height + gap + head), columns * (width + gap)), np.nan)
    for k, picture in enumerate(pictures):
        top, left = k // columns * (height + gap + head) + head, k % columns * (width + gap) + gap // 2
        canvas[top : top + height, left : left + width] = picture
        if not captioned:
            continue
        text, wrong = _caption(k, labels, predictions)
        color, weight = (RED, "bold") if wrong else ("#222222", "normal")
        place = left + width / 2 - 0.5, top - head * 0.25 - 0.5
        ax.text(*place, text, ha="center", va="bottom", fontsize=8, color=color, fontweight=weight)
        if wrong:
            ax.add_patch(_frame(left, top, width, height))
    low, high = float(np.min(pictures, initial=0)), float(np.max(pictures, initial=1e-9))
    ax.imshow(canvas, cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
    ax.set_axis_off()
    return ax


def _caption(k: int, labels: Labels | None, predictions: Labels | None) -> tuple[str, bool]:
    """Return what is written above an image, and whether the prediction is wrong."""
    if labels is not None and predictions is not None and labels[k] != predictions[k]:
        return f"{labels[k]}, not {predictions[k]}", True
    shown = predictions if labels is None else labels
    return "" if shown is None else f"{shown[k]}", False


def _frame(left: float, top: float, width: float, height: float) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (left - 1, top - 1), width + 1, height + 1, fill=False, edgecolor=RED, linewidth=2, clip_on=False
    )


def _pictures(who: str, pictures: Array, shape: tuple[int, int] | None) -> Array:
    if pictures.ndim == 3:
        return pictures
    side = math.isqrt(pictures.shape[-1]) if pictures.ndim == 2 else 0
    shape = shape or (side, side)
    if pictures.ndim != 2 or math.prod(shape) != pictures.shape[1]:
        raise ShapeError(
            f"{who}: {pictures.shape} is neither (N, height, width) nor rows of square images\n"
            "  hint   shape=(height, width)"
        )
    return pictures.reshape(-1, *shape)


def weights(
    matrix: Operand | Module,
    *,
    columns: int | None = None,
    shape: tuple[int, int] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what each unit of a first layer looks for: the columns of its weights, negative to positive, as images.

    Args:
        matrix: weights of shape (pixels, units), or a layer that has them as `weight`.
        columns: images per row.
        shape: height and width of an input image; square by default.
        ax: where to draw.

    Raises:
        ShapeError: the inputs are not pixels of a square, without `shape`.
    """
    matrix = plain(getattr(matrix, "weight", matrix))
    if matrix.ndim != 2:
        raise ShapeError(f"weights: a matrix (pixels, units) is needed, got {matrix.shape}")
    tiles = _pictures("weights", matrix.T, shape)
    count, height, width = tiles.shape
    columns = columns or math.ceil(math.sqrt(count * 1.4))
    rows, gap = -(-count // columns), max(width // 10, 1)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for k, tile in enumerate(tiles):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    ax = _axes(ax, (0.8 * columns + 1.0, 0.8 * rows + 0.3))
    reach = float(np.max(np.abs(tiles), initial=1e-9))
    shown = ax.imshow(canvas, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    ax.figure.colorbar(shown, ax=ax, shrink=0.85, label="weight")
    ax.set_axis_off()
    return ax


def activations(model: Module, *inputs: Operand, ax: Axes | None = None) -> Axes:
    """Draw how the outputs of the layers without parameters are spread, and how many of their units are dead.

    A unit is dead if it gives the same output for every row: nothing can be learned through it from these.

    Args:
        model: a module.
        inputs: what it is called with; many rows.
        ax: where to draw.

    Raises:
        ValueError: the model has no layer of that kind.
    """
    layers = [
        (path or type(module).__name__, type(module).__name__, output)
        for path, module, output in outputs_of_calls(model, *inputs)
        if not module.parameters() and not list(module.named_children()) and output.ndim >= 2
    ]
    if not layers:
        raise ValueError("activations: the model has no layer without parameters whose output could be drawn")
    ax = _axes(ax, (6.4, 1.2 + 0.9 * len(layers)))
    for row, (path, kind, output) in enumerate(reversed(layers)):
        units = output.reshape(len(output), -1)
        low, high = float(units.min()), float(units.max())
        heights, edges = np.histogram(units, bins=80, range=(low, high if high > low else low + 1))
        # By area most would be a flat line.
        ridge = row + 0.75 * np.sqrt(heights / heights.max())
        places = np.linspace(0, 1, len(edges))
        ax.stairs(ridge, places, baseline=row, fill=True, color=COLORS[5], alpha=0.6)
        ax.stairs(ridge, places, baseline=row, color=BLUE, linewidth=1)
        for place, value, side in ((0, low, "left"), (1, high, "right")):
            ax.text(place, row - 0.04, f"{value:.3g}", ha=side, va="top", fontsize=8, color=GREY)
        dead = int((np.ptp(units, axis=0) == 0).sum())
        text = f"{path}: {kind}\n{dead} of {units.shape[1]} dead"
        color = RED if dead else "#222222"
        ax.text(-0.03, row + 0.35, text, ha="right", va="center", fontsize=9, color=color)
    ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(-0.25, len(layers)))
    ax.set_xlabel("output, each layer from its least to its largest; height as the root of the count")
    ax.spines[:].set_visible(False)
    return ax


def gradient_flow(model: Module, *, ax: Axes | None = None) -> Axes:
    """Draw the size of every parameter's gradient, mean and largest entry, from the first layer to the last.

    Call it after `backward()`. A parameter without a gradient, or with one of zeros, says so.
    """
    parameters = list(model.named_parameters())
    ax = _axes(ax, (6.4, 1.2 + 0.42 * max(len(parameters), 2)))
    sizes = [None if p.grad is None else (_mean(p.grad), float(np.abs(p.grad).max())) for _, p in parameters]
    positive = [size[0] for size in sizes if size is not None and size[0] > 0]
    floor = min(positive, default=1e-8) / 10
    for row, size in enumerate(sizes):
        if size is None or size[1] == 0:
            ax.text(
                floor * 1.2, row, "no grad" if size is None else "zero", va="center", color=RED, fontsize=9
            )
            continue
        ax.barh(row, size[1] - floor, left=floor, height=0.62, color=COLORS[5], label="largest")
        ax.barh(row, size[0] - floor, left=floor, height=0.62, color=BLUE, label="mean")
    ax.set_xscale("log")
    ax.set_xlim(left=floor)
    ax.set(
        yticks=range(len(parameters)),
        yticklabels=[name for name, _ in parameters],
        xlabel="size of the gradient",
    )
    ax.invert_yaxis()
    handles, texts = ax.get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    if unique:
        _legend_above(ax, list(unique.values()), list(unique))
    _quiet(ax)
    return ax


def _mean(gradient: Array) -> float:
    return float(np.abs(gradient).mean())


def confusion(
    labels: Operand,
    predictions: Operand,
    *,
    classes: Sequence[object] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often each class (row) was taken for each (column); the diagonal is right.

    Args:
        labels: the classes, N integers from 0.
        predictions: what a model takes them for, N integers.
        classes: their names.
        ax: where to draw.

    Raises:
        ShapeError: other shapes, or of different lengths.
    """
    labels, predictions = plain(labels), plain(predictions)
    if labels.ndim != 1 or labels.shape != predictions.shape:
        raise ShapeError(
            f"confusion: labels {labels.shape} and predictions {predictions.shape}, expected (N,) both"
        )
    largest = int(max(labels.max(initial=0), predictions.max(initial=0)))
    names = range(largest + 1) if classes is None else classes
    count = len(names)
    table = np.zeros((count, count), np.int64)
    np.add.at(table, (labels, predictions), 1)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    ax = _axes(ax, (0.52 * count + 1.6, 0.48 * count + 1.2))
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(table):
        right = row == column
        ink = "white" if share[row, column] > 0.55 else "#222222" if right else RED
        ax.text(column, row, f"{table[row, column]}", ha="center", va="center", fontsize=8, color=ink)
    ax.set(xticks=range(count), yticks=range(count), xticklabels=names, yticklabels=names)
    ax.set(xlabel="predicted", ylabel="label", title=f"{np.trace(table)} of {len(labels)} right")
    return ax
