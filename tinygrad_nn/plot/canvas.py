"""What all pictures share: axes to draw on, colours, and where a legend stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.primitives import Array

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
"""Told apart by colour-blind readers too (Okabe and Ito 2008)."""

BLUE, RED = COLORS[:2]
GREY = "#767676"
INK = "#222222"


def need_matplotlib() -> None:
    """Refuse to draw without matplotlib, before anything is computed for it.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot  # noqa: F401  whether it can be imported is what is asked
    except ImportError as error:
        raise ImportError(
            "plots need the package matplotlib\n  hint   pip install 'tinygrad_nn[plot]'"
        ) from error


def axes_for(ax: Axes | None, size: tuple[float, float] = (6.4, 4.4)) -> Axes:
    """Return the axes to draw on: those given, or new ones on a figure of this size.

    Raises:
        ImportError: matplotlib is not installed.
    """
    need_matplotlib()
    import matplotlib.pyplot as plt

    if ax is None:
        return plt.subplots(figsize=size, layout="constrained")[1]
    if not hasattr(ax, "plot"):
        raise ArgumentError(
            f"ax is what to draw on, got {type(ax).__name__}\n  hint   _, ax = plt.subplots()"
        )
    return ax


def second_panel(ax: Axes) -> Axes:
    """Return new axes in the right half of the space of given ones, which keep the left half."""
    spec = ax.get_subplotspec()
    if spec is not None:
        halves = spec.subgridspec(1, 2)
        ax.set_subplotspec(halves[0])
        return ax.figure.add_subplot(halves[1])
    x, y, width, height = ax.get_position().bounds
    ax.set_position((x, y, 0.44 * width, height))
    return ax.figure.add_axes((x + 0.56 * width, y, 0.44 * width, height))


def quiet(ax: Axes) -> None:
    """Leave out of the frame what carries no information."""
    ax.spines[["top", "right"]].set_visible(False)


def legend_above(ax: Axes, handles: Sequence[Artist], texts: Sequence[str]) -> None:
    """Put the legend where it hides nothing."""
    ax.legend(
        handles, texts, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2
    )


def legend_at_side(ax: Axes, handles: Sequence[Artist], points: Array, *, alone: bool) -> None:
    """Put the legend beside axes that are alone on their figure; else inside, where there are the fewest points."""
    if alone:
        ax.legend(handles=handles, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    else:
        # matplotlib's own search, loc="best", takes long for many points, and warns of it.
        right, upper = (points > (points.min(axis=0) + points.max(axis=0)) / 2).T
        # In matplotlib's order, in which the corners are numbered from 1.
        corners = (upper & right, upper & ~right, ~upper & ~right, ~upper & right)
        emptiest = 1 + int(np.argmin([corner.sum() for corner in corners]))
        ax.legend(handles=handles, loc=emptiest, fontsize=8, framealpha=0.85, handlelength=1.2)
