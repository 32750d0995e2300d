"""The race as a picture: for every workload, bars of the time relative to NumPy by hand."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(results: dict[str, dict[str, list[float]]], machine: dict[str, Any], path: Path) -> None:
    """Write the picture to `path`, in the format of its suffix."""
    plt = shared()
    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 2.9 * rows), squeeze=False)
    for axis, (workload, times) in zip(axes.flat, results.items(), strict=False):
        names = [name for name in reversed(list(times)) if name != "NumPy by hand"]
        ratios = [
            statistics.median(a / b for a, b in zip(times[name], times["NumPy by hand"], strict=True))
            for name in names
        ]
        colors = ["#d1495b" if name.startswith("tinygrad_nn") else "#8d99ae" for name in names]
        axis.barh(names, ratios, color=colors)
        axis.axvline(1, color="black", linewidth=0.8)
        for k, value in enumerate(ratios):
            paper = {
                "facecolor": "white",
                "edgecolor": "none",
                "pad": 0.5,
            }  # the line at 1 is not to cross it
            axis.text(value, k, f" {value:.2f}", va="center", fontsize=7, bbox=paper)
        axis.set_title(f"{workload}\n(1 = {statistics.median(times['NumPy by hand']):,.0f} µs)", fontsize=9)
        axis.set_xlim(0, max(ratios) * 1.15)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in list(axes.flat)[len(results) :]:
        axis.axis("off")
    figure.suptitle(
        "Time of a training step, relative to the same step written by hand in NumPy", fontsize=11
    )
    saved(figure, machine, path)


def shared() -> Any:
    """Return pyplot, which draws into files."""
    import matplotlib

    matplotlib.use("Agg")
    # The same text in every process.
    matplotlib.rcParams["svg.hashsalt"] = "tinygrad_nn"
    import matplotlib.pyplot as plt

    return plt


def saved(figure: Any, machine: Mapping[str, Any], path: Path) -> None:
    """Write a figure to `path` with the machine below it, and close it."""
    figure.text(
        0.5,
        0.005,
        f"{machine['cpu']}, {machine['cores']} core{'s' * (machine['cores'] > 1)}, {machine.get('clock', 'wall')} time",
        ha="center",
        fontsize=7,
    )
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    shared().close(figure)
