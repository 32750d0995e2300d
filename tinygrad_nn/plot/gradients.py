"""Pictures of gradients that are checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_nn.plot.canvas import COLORS, GREY, RED, axes_for, legend_above, quiet
from tinygrad_nn.primitives import Array

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

WIDE = 1e3
"""From this ratio of the largest to the middle entry on, axes are logarithmic away from zero."""


def agreement(gradients: Sequence[tuple[Array, Array, Array]], *, ax: Axes | None = None) -> Axes:
    """Draw gradients over what they should be, a dot for each entry: right ones lie on the diagonal.

    A constant factor is a line of another slope, an opposite sign a falling one; one wrong row is some dots beside it.

    Args:
        gradients: of each input the gradient, what it should be, and where it is wrong, three arrays of one shape.
        ax: where to draw.

    Example:
        >>> from matplotlib.figure import Figure
        >>> rule, numerical = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, -3.0])
        >>> ax = agreement([(rule, numerical, rule != numerical)], ax=Figure().subplots())
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['right: 2', 'wrong: 1']
    """
    ax = axes_for(ax, (5.6, 5.0))
    from matplotlib.ticker import SymmetricalLogLocator

    values = np.concatenate([np.ravel(part) for triple in gradients for part in triple[:2]] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    margin = 0.06 * (high - low) or 1.0
    ax.axline((0, 0), slope=1, color=GREY, linewidth=1, zorder=0)
    marks: dict[str, Artist] = {}
    for k, (found, expected, wrong) in enumerate(gradients):
        many = f"input {k}, " if len(gradients) > 1 else ""
        for name, part, color in (("right", ~wrong, COLORS[(0, 2, 5, 4)[k % 4]]), ("wrong", wrong, RED)):
            if part.any():
                marker = "os^Dv"[k % 5]
                dots = ax.scatter(expected[part], found[part], s=26, color=color, marker=marker, alpha=0.8)
                marks[f"{many}{name}: {part.sum()}"] = dots
    middle = float(np.median(np.abs(values[values != 0]))) if values.any() else 0.0
    if middle and max(high, -low) > WIDE * middle:
        for scale in (ax.set_xscale, ax.set_yscale):
            scale("symlog", linthresh=middle)
        for axis in (ax.xaxis, ax.yaxis):
            locator = SymmetricalLogLocator(base=10, linthresh=middle)
            locator.set_params(numticks=7)
            axis.set_major_locator(locator)
        low, high = low * 2, high * 2
    limits = low - margin, high + margin
    ax.set(xlim=limits, ylim=limits, xlabel="numerical", ylabel="rule")
    ax.set_aspect("equal")
    ax.grid(alpha=0.25)
    legend_above(ax, list(marks.values()), list(marks))
    quiet(ax)
    return ax
