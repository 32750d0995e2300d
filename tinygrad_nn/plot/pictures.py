"""Pictures of what is itself a picture: images, and weights that look at images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.plot.canvas import INK, RED, axes_for
from tinygrad_nn.plot.labels import Labels, labels_of, predictions_of
from tinygrad_nn.primitives import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle


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
        labels: what they are: integers, names, or one-hot rows.
        predictions: what a model takes them for: the same, or its scores (N, C).
        columns: images per row.
        shape: height and width of flattened images.
        ax: where to draw.

    Raises:
        ShapeError: flattened images that are not square, without `shape`; labels of another number.

    Example:
        >>> from matplotlib.figure import Figure
        >>> ax = images(np.zeros((3, 64)), labels=[7, 1, 4], predictions=[7, 1, 9], ax=Figure().subplots())
        >>> [text.get_text() for text in ax.texts]
        ['7', '1', '4, not 9']
    """
    pictures = _pictures("images", plain(pictures), shape)
    count, height, width = pictures.shape
    true = None if labels is None else labels_of("images", labels)
    found = None if predictions is None else predictions_of("images", predictions)
    for classes in (true, found):
        if classes is not None and len(classes) != count:
            raise ShapeError(f"images: {count} images, but {len(classes)} labels or predictions")
    columns = columns or math.ceil(math.sqrt(count * 1.4))
    captioned = labels is not None or predictions is not None
    # Rounded up: small images have pixels that are large beside a caption.
    gap, head = -(-width // 6), (-(-height // 3) if captioned else 0)
    rows = -(-count // columns)
    ax = axes_for(ax, (0.75 * columns + 0.2, (0.75 * (1 + head / height)) * rows + 0.2))
    canvas = np.full((rows * (height + gap + head), columns * (width + gap)), np.nan)
    for k, picture in enumerate(pictures):
        top, left = k // columns * (height + gap + head) + head, k % columns * (width + gap) + gap // 2
        canvas[top : top + height, left : left + width] = picture
        if not captioned:
            continue
        text, wrong = _caption(k, true, found)
        color, weight = (RED, "bold") if wrong else (INK, "normal")
        place = left + width / 2 - 0.5, top - head * 0.25 - 0.5
        ax.text(*place, text, ha="center", va="bottom", fontsize=8, color=color, fontweight=weight)
        if wrong:
            ax.add_patch(_frame(left, top, width, height))
    low, high = float(np.min(pictures, initial=0)), float(np.max(pictures, initial=1e-9))
    ax.imshow(canvas, cmap="gray_r", vmin=low, vmax=high, interpolation="nearest")
    ax.set_axis_off()
    return ax


def _caption(k: int, labels: Array | None, predictions: Array | None) -> tuple[str, bool]:
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
            f"  hint   {'pictures[None], for one of them, or ' * (pictures.ndim == 2)}shape=(height, width)"
        )
    return pictures.reshape(-1, *shape)


def _expression(name: str) -> str:
    """Return how to write a parameter of a model, or the layer whose weight it is: model.body[0] of body.0.weight."""
    parts = name.removesuffix(".weight").split(".")
    return "model" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts)


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

    Example:
        >>> from matplotlib.figure import Figure
        >>> import tinygrad_nn as tn
        >>> ax = weights(tn.nn.Dense(64, 10, rng=0), columns=5, ax=Figure().subplots())
        >>> ax.images[0].get_array().shape  # two rows of five images of 8 x 8, with gaps
        (17, 44)
    """
    weight = getattr(matrix, "weight", matrix)
    if isinstance(weight, Module):
        inside = [name for name, x in weight.named_parameters() if x.ndim == 2]
        hint = f"\n  hint   plot.weights({_expression(inside[0])})" if inside else ""
        raise ShapeError(f"weights: a matrix (pixels, units) is needed, got {type(weight).__name__}{hint}")
    matrix = plain(weight)
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
    ax = axes_for(ax, (0.8 * columns + 1.0, 0.8 * rows + 0.3))
    reach = float(np.max(np.abs(tiles), initial=1e-9))
    shown = ax.imshow(canvas, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    ax.figure.colorbar(shown, ax=ax, shrink=0.85, label="weight")
    ax.set_axis_off()
    return ax
