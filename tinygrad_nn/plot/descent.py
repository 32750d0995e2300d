"""The landscape of a loss, with the path of a training in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_nn.context import no_grad
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.plot.canvas import COLORS, INK, RED, axes_for, legend_above, need_matplotlib
from tinygrad_nn.plot.landscape import Weights, flat_weights, loss_at, plane_of_path, random_plane
from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.signature import parameters_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Place = TypeVar("Place")
Path = Iterable[Place] | Mapping[str, Iterable[Place]]
"""The places of one training, or of several by name."""
Heights = Callable[[Array, Array], list[float]]
Limits = tuple[tuple[float, float], tuple[float, float]]

LEVELS = 22
PATHS = (RED, *COLORS[2:5], COLORS[7])


@overload
def descent(
    model: Module,
    loss: Callable[..., Operand],
    data: Sequence[Operand],
    *,
    path: Path[Weights] | None = None,
    limits: Limits | None = None,
    resolution: int = 31,
    rng: int | np.random.Generator = 0,
    ax: Axes | None = None,
) -> Axes: ...
@overload
def descent(
    model: Callable[..., Operand],
    *,
    path: Path[ArrayLike | Tensor] | None = None,
    limits: Limits | None = None,
    resolution: int = 31,
    ax: Axes | None = None,
) -> Axes: ...
def descent(
    model: Callable[..., Operand],
    loss: Callable[..., Operand] | None = None,
    data: Sequence[Operand] | None = None,
    *,
    path: Path[object] | None = None,
    limits: Limits | None = None,
    resolution: int = 31,
    rng: int | np.random.Generator = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss of a model on a plane through its weights, or a function of two numbers, and paths of descent.

    With a path the plane is that of its first two principal components, through the last place: the axes say how much
    of the path lies in it, and places beside it are drawn where they are nearest. Without one it has two random
    directions, each filter of them as long as that of the weights (Li et al. 2018, arXiv:1712.09913). The model is left
    as it was.

    Args:
        model: a module, or a function of two numbers, f(x, y), or of an array of two, f(w).
        loss: a function of predictions and targets, for a module.
        data: arrays, (X, y): some hundred rows do, as the loss is computed `resolution` ** 2 times.
        path: where the weights were, `tn.train.WeightPath()` among the callbacks of `fit`, or `model.state_dict()` of
            some steps; of a function the points. Several by name: {"SGD": ..., "Adam": ...}.
        limits: what is in view, ((left, right), (low, high)); by default the path with a margin, or from -1 to 1.
        resolution: points per side at which the loss is computed.
        rng: a seed of the random directions, or a generator.
        ax: where to draw.

    Raises:
        ArgumentError: a module without loss and data, or something else with them.
        ShapeError: a place of the path has not the parameters of the model, or is no point.
        SettingError: all places of a path are one, as those of `path.append(w.data)` are; limits that are none.

    Example:
        >>> from matplotlib.figure import Figure
        >>> bowl = lambda x, y: x**2 + 10 * y**2
        >>> ax = descent(bowl, path=[(1.0, 0.5), (0.5, -0.2), (0.2, 0.1)], resolution=11, ax=Figure().subplots())
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('x', 'y')
    """
    need_matplotlib()
    if isinstance(model, Module) != (loss is not None and data is not None):
        raise ArgumentError(
            "descent: a module comes with its loss and with arrays, a function of two numbers alone\n"
            "  hint   descent(model, loss, (X, y), path=path), or descent(lambda x, y: ..., path=points)"
        )
    paths = {name: list(places) for name, places in _by_name(path).items()}
    if isinstance(model, Module) and loss is not None and data is not None:
        rows = {name: flat_weights(model, places) for name, places in paths.items()}
        _check_paths(rows, "model.state_dict()")
        generator = np.random.default_rng(rng)
        plane = (
            plane_of_path(np.concatenate([*rows.values()]), generator)
            if rows
            else random_plane(model, generator)
        )
        points = {name: plane.places(row) for name, row in rows.items()}
        names = plane.names
        value: Heights = lambda across, up: loss_at(model, loss, data, map(plane.at, across, up))
    else:
        points = {name: _points(places) for name, places in paths.items()}
        _check_paths(points, "w.data.copy()")
        names, value = _coordinates(model)
    across, up = _grid(list(points.values()), limits, resolution)
    heights = np.array(value(across.ravel(), up.ravel())).reshape(across.shape)
    ax = axes_for(ax, (6.8, 5.2))
    _contours(ax, across, up, heights)
    _draw_paths(ax, points)
    ax.set(xlabel=names[0], ylabel=names[1], xlim=across[0, [0, -1]], ylim=up[[0, -1], 0])
    return ax


def _by_name(path: Path[Place] | None) -> Mapping[str, Iterable[Place]]:
    if path is None:
        return {}
    return path if isinstance(path, Mapping) else {"": path}


def _points(places: Iterable[object]) -> Array:
    points = [np.ravel(plain(place)).astype(float) for place in places]
    if any(point.shape != (2,) for point in points):
        raise ShapeError(
            "descent: the places of a function's path are points of two numbers\n"
            "  hint   path.append(w.data.copy()), or path.append((x.item(), y.item()))"
        )
    return np.array(points)


def _check_paths(paths: Mapping[str, Array], line: str) -> None:
    for name, places in paths.items():
        if len(places) == 0:
            raise SettingError(f"descent: the path{f' {name!r}' if name else ''} has no place")
        if len(places) > 1 and np.all(places == places[0]):
            raise SettingError(
                f"descent: all {len(places)} places of the path{f' {name!r}' if name else ''} are the same, as if one "
                f"array had been appended again and again\n  hint   path.append({line})"
            )


def _coordinates(f: Callable[..., Operand]) -> tuple[tuple[str, str], Heights]:
    """Return what the two numbers of a function are called, and the function on many of them."""
    parameters = parameters_of(f) or []
    needed = [p.name for p in parameters if p.default is p.empty]
    if len(needed) == 1:
        (name,) = needed
        return (f"{name}[0]", f"{name}[1]"), lambda x, y: _values(lambda a, b: f(np.array([a, b])), x, y)
    first, second = needed[:2] if len(needed) >= 2 else ("x", "y")
    return (first, second), lambda x, y: _values(f, x, y)


def _values(f: Callable[[Array, Array], Operand], x: Array, y: Array) -> list[float]:
    with no_grad(), np.errstate(all="ignore"):
        return [float(plain(f(a, b))) for a, b in zip(x, y, strict=True)]


def _grid(paths: Sequence[Array], limits: Limits | None, resolution: int) -> tuple[Array, Array]:
    if limits is None:
        low, high = np.full(2, -1.0), np.full(2, 1.0)
        if paths:
            points = np.concatenate(paths)
            low, high = points.min(axis=0), points.max(axis=0)
            # A path that goes straight has a plane around it all the same.
            margin = np.maximum(0.25 * (high - low), 0.15 * max(float((high - low).max()), 1e-9))
            low, high = low - margin, high + margin
        limits = ((low[0], high[0]), (low[1], high[1]))
    sides = np.asarray(limits, float)
    if sides.shape != (2, 2) or not np.all(sides[:, 0] < sides[:, 1]):
        raise SettingError(f"descent: limits are ((left, right), (low, high)), got {limits!r:.60}")
    (left, right), (bottom, top) = sides.tolist()
    across, up = np.meshgrid(np.linspace(left, right, resolution), np.linspace(bottom, top, resolution))
    return across, up


def _contours(ax: Axes, across: Array, up: Array, heights: Array) -> None:
    """Draw areas of equal loss, more of them where it is small."""
    finite = heights[np.isfinite(heights)]
    if not finite.size:
        return
    low, high = float(finite.min()), float(np.percentile(finite, 95))
    if not low < high:
        return
    # The middle level is one that half of the places are under.
    middle = (float(np.median(finite)) - low) / (high - low)
    power = float(np.clip(np.log2(1 / max(middle, 1e-9)), 1, 8))
    levels = low + (high - low) * np.linspace(0, 1, LEVELS) ** power
    shown = np.ma.masked_invalid(heights)
    areas = ax.contourf(across, up, shown, levels=levels, cmap="Blues", extend="max", alpha=0.85)
    ax.contour(across, up, shown, levels=levels[1::3], colors=INK, linewidths=0.4, alpha=0.5)
    ax.figure.colorbar(areas, ax=ax, label="loss", shrink=0.9, format="%.3g")


def _draw_paths(ax: Axes, paths: Mapping[str, Array]) -> None:
    marks: dict[str, Artist] = {}
    ends: dict[str, Artist] = {}
    for k, (name, points) in enumerate(paths.items()):
        color = PATHS[k % len(PATHS)]
        marks[name] = ax.plot(*points.T, ".-", color=color, linewidth=1.3, markersize=4)[0]
        start = ax.plot(*points[0], "o", color=color, markerfacecolor="white", markersize=8)[0]
        end = ax.plot(*points[-1], "*", color=color, markeredgecolor="white", markersize=14)[0]
        ends = ends or {"start": start, "end": end}
    named = {name: mark for name, mark in (marks | ends).items() if name}
    if named:
        legend_above(ax, list(named.values()), list(named))
