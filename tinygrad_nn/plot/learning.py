"""Pictures of learning: a history, what layers give, which gradients reach them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.nn.module import Module, outputs_of_calls
from tinygrad_nn.plot.canvas import (
    BLUE,
    COLORS,
    GREY,
    INK,
    RED,
    axes_for,
    legend_above,
    need_matplotlib,
    quiet,
    second_panel,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


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


def history(record: HistoryLike, *columns: str, ax: Axes | None = None) -> Axes:
    """Draw columns of a history over the epochs: training solid, validation dashed, the best epoch as a dot.

    Without names all columns are drawn. Losses and metrics have a panel each, side by side: where there are both, the
    losses are in the axes that are returned, and the metrics in the others of its figure.

    Raises:
        KeyError: no such column.
        ValueError: there is no epoch yet.

    Example:
        >>> from matplotlib.figure import Figure
        >>> import tinygrad_nn as tn
        >>> found = tn.train.History({"loss": [0.9, 0.4, 0.2], "val_loss": [0.9, 0.5, 0.6]})
        >>> ax = history(found, ax=Figure().subplots())
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('epoch', 'loss')
    """
    if not hasattr(record, "mode"):
        raise ArgumentError(
            f"history: what fit returned is drawn, got {type(record).__name__}\n"
            '  hint   plot.history(tn.train.History({"loss": [0.9, 0.4]}))'
        )
    if not len(record):
        raise ValueError("there is no epoch to draw yet")
    names = list(columns) or [name for name in record if name != "seconds"]
    losses = [name for name in names if record.mode(name) == "min"] or names
    metrics = [name for name in names if name not in losses]
    bases = list(dict.fromkeys(map(_base, names)))
    colors = {name: COLORS[bases.index(_base(name)) % len(COLORS)] for name in names}
    ax = axes_for(ax, (9.6, 3.8) if metrics else (6.4, 4.4))
    _curves(ax, record, losses, colors)
    if metrics:
        _curves(second_panel(ax), record, metrics, colors)
    return ax


def _base(name: str) -> str:
    return name.removeprefix("val_")


def _curves(ax: Axes, record: HistoryLike, names: Sequence[str], colors: Mapping[str, str]) -> None:
    """Draw some columns in one panel."""
    lines = []
    for name in names:
        style = "--" if name.startswith("val_") else "-"
        epochs = range(1, len(record) + 1)
        lines += ax.plot(epochs, record[name], style, color=colors[name], label=name, linewidth=1.8)
        if not all(map(math.isnan, record[name])):
            ax.plot(*record.best(name), "o", color=colors[name], markersize=5)
    ax.set(xlabel="epoch", ylabel=" / ".join(dict.fromkeys(map(_base, names))))
    ax.locator_params("x", integer=True)
    legend_above(ax, lines, names)
    ax.grid(axis="y", alpha=0.25)
    quiet(ax)


class RatesLike(Protocol):
    """Learning rates that were tried, with the losses of their batches: `train.Rates`, or of one's own."""

    @property
    def rates(self) -> Sequence[float]:
        """The rate of each step."""

    @property
    def losses(self) -> Sequence[float]:
        """The loss of its batch, before the step."""

    @property
    def smoothed(self) -> Sequence[float]:
        """The running mean of the losses."""

    @property
    def suggestion(self) -> float | None:
        """The rate to train with, if there is one."""


def rates(found: RatesLike, *, ax: Axes | None = None) -> Axes:
    """Draw losses over learning rates: of each batch as dots, their mean as a line, the suggestion upright.

    Example:
        >>> from matplotlib.figure import Figure
        >>> import tinygrad_nn as tn
        >>> found = tn.train.Rates()
        >>> diverged = [found.add(rate, loss) for rate, loss in [(0.01, 2.0), (0.1, 1.0), (1.0, 0.9), (10.0, 50.0)]]
        >>> rates(found, ax=Figure().subplots()).get_xscale()
        'log'
    """
    ax = axes_for(ax)
    ax.plot(found.rates, found.losses, ".", color=COLORS[5], markersize=4, label="loss of a batch")
    ax.plot(found.rates, found.smoothed, color=BLUE, linewidth=1.8, label="mean")
    least = int(np.argmin(found.smoothed))
    ax.plot(found.rates[least], found.smoothed[least], "o", color=BLUE, markersize=5)
    if found.suggestion is not None:
        ax.axvline(found.suggestion, color=RED, linewidth=1.5, label=f"suggestion {found.suggestion:.2g}")
    # What diverges would make a flat line of all the rest.
    low, high = min(*found.losses, *found.smoothed), 1.3 * max(found.smoothed[: least + 1])
    ax.set_ylim(low - 0.05 * (high - low), high)
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
    legend_above(ax, *ax.get_legend_handles_labels())
    ax.grid(axis="y", alpha=0.25)
    quiet(ax)
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

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tinygrad_nn import nn
        >>> model = nn.Sequential(nn.Dense(2, 8, rng=0), nn.ReLU(), nn.Dense(8, 2, rng=1))
        >>> ax = activations(model, -np.ones((100, 2)), ax=Figure().subplots())
        >>> print(*[text.get_text() for text in ax.texts if "dead" in text.get_text()])
        1: ReLU
        8 of 8 dead
    """
    need_matplotlib()
    layers = [
        (path or type(module).__name__, type(module).__name__, output)
        for path, module, output in outputs_of_calls(model, *inputs)
        if not module.parameters() and not list(module.named_children()) and output.ndim >= 2
    ]
    if not layers:
        raise ValueError("activations: the model has no layer without parameters whose output could be drawn")
    ax = axes_for(ax, (6.4, 1.2 + 0.9 * len(layers)))
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
        color = RED if dead else INK
        ax.text(-0.03, row + 0.35, text, ha="right", va="center", fontsize=9, color=color)
    ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(-0.25, len(layers)))
    ax.set_xlabel("output, each layer from its least to its largest; height as the root of the count")
    ax.spines[:].set_visible(False)
    return ax


def gradient_flow(model: Module, *, ax: Axes | None = None) -> Axes:
    """Draw the size of every parameter's gradient, mean and largest entry, from the first layer to the last.

    Call it after `backward()`. Sizes are dots on a logarithmic scale, where only their distances mean something. A
    parameter without a gradient, or with one of zeros or of what is not finite, says so.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tinygrad_nn import nn
        >>> model = nn.Sequential(nn.Dense(2, 8, rng=0), nn.Tanh(), nn.Dense(8, 2, rng=1))
        >>> nn.losses.cross_entropy(model(np.ones((4, 2))), np.array([0, 1, 1, 1])).backward()
        >>> [label.get_text() for label in gradient_flow(model, ax=Figure().subplots()).get_yticklabels()]
        ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    if not isinstance(model, Module):
        raise ArgumentError(
            f"gradient_flow: a module is needed, whose parameters have gradients, got {type(model).__name__}\n"
            "  hint   loss.backward(), and then plot.gradient_flow(model)"
        )
    parameters = list(model.named_parameters())
    ax = axes_for(ax, (6.4, 1.2 + 0.36 * max(len(parameters), 2)))
    marks: dict[str, Artist] = {}
    for row, (_, parameter) in enumerate(parameters):
        mean, largest, said = _size(parameter)
        if said:
            ax.text(0.02, row, said, va="center", color=RED, fontsize=9, transform=ax.get_yaxis_transform())
            continue
        ax.plot([mean, largest], [row, row], color=GREY, linewidth=1, zorder=1)
        marks["mean"] = ax.plot(mean, row, "o", color=BLUE, markersize=5, zorder=3)[0]
        marks["largest"] = ax.plot(largest, row, "o", color=BLUE, markerfacecolor="white", markersize=9)[0]
    ax.set_xscale("log")
    ax.margins(x=0.12)
    ax.set(
        yticks=range(len(parameters)),
        yticklabels=[name for name, _ in parameters],
        ylim=(len(parameters) - 0.4, -0.6),
        xlabel="size of the gradient",
    )
    ax.grid(axis="x", alpha=0.25)
    if marks:
        legend_above(ax, list(marks.values()), list(marks))
    else:
        ax.set_xticks([])
    quiet(ax)
    return ax


def _size(parameter: Tensor) -> tuple[float, float, str]:
    """Return the mean and the largest size of a gradient's entries, or what there is to say instead."""
    if parameter.grad is None:
        return 0.0, 0.0, "no grad"
    sizes = np.abs(parameter.grad)
    mean, largest = float(sizes.mean()), float(sizes.max(initial=0))
    if not math.isfinite(largest):
        return mean, largest, "not finite"
    return mean, largest, "" if largest > 0 else "zero"
