"""A frame as still pictures, painted with NumPy: for readers without scripts, paper, and moving pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from tinygrad_nn.plot import COLORS
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.film.layers import Weights
from tinygrad_nn.train.film.looks import Guesses, Plane, chosen, shares
from tinygrad_nn.train.film.recording import Recording
from tinygrad_nn.train.history import number
from tinygrad_nn.train.sampling import places_of
from tinygrad_nn.viz.png import COLOURS, address

INKS = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in COLORS], np.float32)
BLUE, ORANGE = INKS[0], INKS[1]
SIZE = 288
"""Pixels of a side of a picture."""


class Painter:
    """Paints the frames of a recording.

    What classes are is told from all frames at once.
    """

    def __init__(self, recording: Recording) -> None:
        self._frames = list(recording.frames)
        self._looks = list(recording.looks)
        self._prepared: dict[str, list[Array]] = {}
        self._dots: tuple[Array, Array] | None = None
        for look in self._looks:
            taken = [frame.taken[look.part] for frame in self._frames if look.part in frame.taken]
            if taken and isinstance(look, Plane):
                self._prepared[look.part], self._dots = look.fields(taken), _dots(look)
            elif taken and isinstance(look, Guesses) and look.pictures is not None and look.truth.classes:
                self._prepared[look.part] = shares([one["guesses"] for one in taken])

    def pictures(self, place: int) -> dict[str, Array]:
        """Return what can be painted of a frame, by the name of the part: (height, width, 3) bytes."""
        painted: dict[str, Array] = {}
        taken = self._frames[place].taken
        for look in self._looks:
            prepared = self._prepared.get(look.part)
            if isinstance(look, Weights) and look.part in taken:
                painted[look.part] = _weights(list(taken[look.part].values()))
            elif prepared and self._dots and isinstance(look, Plane):
                field = prepared[min(place, len(prepared) - 1)]
                painted[look.part] = _plane(look, prepared, field, self._dots)
            elif prepared and isinstance(look, Guesses) and look.pictures is not None:
                painted[look.part] = _samples(look, look.pictures, prepared[min(place, len(prepared) - 1)])
        return painted


def _plane(look: Plane, fields: Sequence[Array], field: Array, dots: tuple[Array, Array]) -> Array:
    field = _enlarged(field)
    if look.truth.classes:
        share = field[..., 0]
        kind = chosen(field)
        count = look.truth.classes
        best = np.where(kind == 1, share, 1 - share) if field.shape[-1] == 1 else field.max(axis=-1)
        sure = np.clip((count * best - 1) / (count - 1), 0, 1)[..., None]
        picture = 255 - (255 - INKS[kind % len(INKS)]) * (0.1 + 0.5 * sure)
        edge = np.zeros(kind.shape, bool)
        edge[1:] |= kind[1:] != kind[:-1]
        edge[:, 1:] |= kind[:, 1:] != kind[:, :-1]
        picture[edge] = 70
    else:
        low, high = min(f.min() for f in fields), max(f.max() for f in fields)
        picture = _diverging((field[..., 0] - low) / max(high - low, 1e-9) * 2 - 1)
    where, colours = dots
    picture[where] = colours[where]
    return np.asarray(picture[::-1], np.uint8)


def _dots(look: Plane) -> tuple[Array, Array]:
    """Return where the points of a plane are painted, and how, for every frame."""
    picture = np.full((SIZE, SIZE, 3), -1, np.float32)
    places = (look.points - look.box[0]) / (look.box[1] - look.box[0]) * (SIZE - 1)
    targets = look.truth.targets
    for k, (across, up) in enumerate(places):
        ink = (
            INKS[int(targets[k]) % len(INKS)] if targets is not None and look.truth.classes else (60, 60, 60)
        )
        if np.isfinite(across + up):
            _dot(picture, across, up, ink)
    return picture[..., 0] >= 0, picture


def _dot(picture: Array, across: float, up: float, ink: Sequence[float] | Array) -> None:
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    top, left = max(int(up) - 5, 0), max(int(across) - 5, 0)
    near = (slice(top, top + 11), slice(left, left + 11))
    distance = np.hypot(rows[near[0]] - up, columns[:, near[1]] - across)
    part = picture[near]
    part[distance < 4] = 255
    part[distance < 3] = ink


def _enlarged(field: Array) -> Array:
    """Return a field between its points, SIZE to a side."""
    places = np.linspace(0, len(field) - 1, SIZE)
    low = np.minimum(places.astype(int), len(field) - 2)
    share = (places - low)[:, None, None].astype(np.float32)
    rows = field[low] * (1 - share) + field[low + 1] * share
    share = np.moveaxis(share, 0, 1)
    return np.asarray(rows[:, low] * (1 - share) + rows[:, low + 1] * share)


def _diverging(x: Array) -> Array:
    """Return the colours of numbers from -1, blue, over 0, white, to 1, orange."""
    x = np.clip(np.nan_to_num(x), -1, 1)[..., None]
    return np.asarray(255 - (255 - np.where(x > 0, ORANGE, BLUE)) * np.abs(x))


def _weights(parts: Sequence[Array]) -> Array:
    rows = [_weights_of(part) for part in parts[:4]]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 8), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded)


def _weights_of(part: Array) -> Array:
    tiles = part if part.ndim == 3 else part[None]
    reach = float(np.nanmax(np.abs(tiles), initial=1e-9))
    colours = _diverging(tiles / reach)
    scale = max(1, 64 // tiles.shape[1]) if part.ndim == 3 else max(1, min(12, SIZE // max(part.shape)))
    return _grid(np.repeat(np.repeat(colours, scale, axis=1), scale, axis=2).astype(np.uint8), 8)


def _grid(tiles: Array, columns: int) -> Array:
    """Return pictures (N, height, width, 3) beside and below each other."""
    count, height, width, _ = tiles.shape
    columns = min(columns, count)
    gap = 3
    canvas = np.full((-(-count // columns) * (height + gap), columns * (width + gap), 3), 255, np.uint8)
    for k, tile in enumerate(tiles):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def _samples(look: Guesses, images: Array, share: Array) -> Array:
    """Return the pictures of the sample; those that the model takes for something else have a thick orange frame."""
    found = chosen(share)
    small = 255 - images if images.shape[-1] == 1 else images
    scale = max(1, 40 // small.shape[1])
    tiles = np.repeat(np.repeat(small, scale, axis=1), scale, axis=2)
    tiles = np.repeat(tiles, 3, axis=-1) if tiles.shape[-1] == 1 else tiles
    tiles = np.pad(tiles, ((0, 0), (4, 4), (4, 4), (0, 0)), constant_values=230)
    targets = look.truth.targets
    if targets is not None:
        for k in np.flatnonzero(found[: len(tiles)] != targets[: len(tiles)]):
            for edge in (np.s_[:4], np.s_[-4:], np.s_[:, :4], np.s_[:, -4:]):
                tiles[k][edge] = ORANGE
    return _grid(tiles, 6)


def png(picture: Array) -> str:
    """Return a picture as the address of a PNG that holds it."""
    height, width, _ = picture.shape
    return address(picture.reshape(height, -1), width, 8, COLOURS)


def points_of(
    values: Sequence[float], width: float, height: float, most: int = 300
) -> list[tuple[float, float]]:
    """Return the corners of a curve in a box, its least value at the bottom."""
    stride = max(1, len(values) // most)
    shown = [value for value in values[::stride] if math.isfinite(value)]
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    span = high - low or 1.0
    across = width / max(len(shown) - 1, 1)
    return [(k * across, height - (value - low) / span * height) for k, value in enumerate(shown)]


def curve(values: Sequence[float], label: str) -> str:
    """Return a curve as SVG."""
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points_of(values, 300, 90))
    return (
        f'<svg class="curve" viewBox="-4 -4 308 98" role="img" aria-label="{escape(label)}">'
        f'<polyline points="{corners}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )


def table(recording: Recording, epoch: str) -> str:
    """Return the history as a table, of many epochs some, with the word for these."""
    rows = recording.epochs
    if not rows:
        return ""
    names = [name for name in rows[-1][1] if name != "seconds"]
    head = "".join(f"<th>{escape(name)}</th>" for name in (epoch, *names))
    body = "".join(
        f"<tr><th>{k + 1}</th>" + "".join(f"<td>{number(rows[k][1][name])}</td>" for name in names) + "</tr>"
        for k in places_of(len(rows), 20)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
