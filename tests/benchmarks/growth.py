"""How the cost of compiled steps grows with batch, width, depth and length, beside a product of matrices.

A step costs what its products cost and more: what counts is its time for a floating point operation of its products,
relative to that of a large product of float32 matrices in the same process.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks import convolutions, gpt, recurrent, residual
from tests.benchmarks.network import Network, compiled
from tests.benchmarks.race import Step, Times, race, ratio, table, warm
from tinygrad_nn import nn

SIDE = 1024
"""Rows and columns of the matrices of the product."""
PRODUCT = f"product of {SIDE} x {SIDE}"


def dense(width: int, batch: int = 128) -> Network:
    """Return a network 784-width-width-10 for this growth alone; it races nobody."""
    widths = (784, width, width, 10)
    pairs = list(pairwise(widths))

    def model() -> nn.Sequential:
        layers = [layer for k, (a, b) in enumerate(pairs) for layer in (nn.Dense(a, b, rng=k), nn.ReLU())]
        return nn.Sequential(*layers[:-1])

    def data() -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        return rng.random((batch, 784), np.float32), rng.integers(10, size=batch)

    def loss(module: Any, x: Any, labels: Any) -> Any:
        return nn.losses.cross_entropy(module(x), labels)

    def nobody(*_: Any) -> Any:
        raise AttributeError("only this library is measured")

    products = batch * 2 * (3 * sum(a * b for a, b in pairs) - widths[0] * widths[1])
    name = f"784-{width}-{width}-10, batch {batch}"
    return Network(name, model, data, loss, nobody, nobody, nobody, products)


def cnn(batch: int) -> Network:
    return convolutions.network(f"32-64 CNN, batch {batch}", convolutions.CNN, batch)


class Series(NamedTuple):
    """Networks of growing sizes, each twice the one before."""

    name: str
    sizes: tuple[int, ...]
    network: Callable[[int], Network]


SERIES = (
    Series("batch: 32-64 CNN", (16, 32, 64, 128), cnn),
    Series(
        "width: residual block, batch 16, channels", (16, 32, 64, 128), partial(residual.network, batch=16)
    ),
    Series("width: 784-n-n-10, batch 128", (64, 128, 256, 512, 1024), dense),
    Series(
        "depth: GPT, context 64, batch 8, layers", (1, 2, 4, 8), partial(gpt.network, context=64, batch=8)
    ),
    Series(
        "length: GPT, 2 layers, batch 8, characters", (32, 64, 128, 256), partial(gpt.network, 2, batch=8)
    ),
    Series("length: LSTM, batch 32, characters", (16, 32, 64, 128), partial(recurrent.network, "LSTM")),
)


def product() -> Step:
    """Return the product of two matrices, into a third that is there."""
    a, b = np.random.default_rng(0).random((2, SIDE, SIDE), np.float32)
    c = np.empty_like(a)
    return lambda: np.matmul(a, b, out=c)


Found = dict[str, list[tuple[int, float, float]]]
"""For each series and size: microseconds a step, and the time for an operation relative to the product's."""


def growth(rounds: int, seconds: float, clock: Callable[[], float]) -> Found:
    """Return how the cost of all series grows; the sizes of a series and the product take turns."""
    found: Found = {}
    for series in SERIES:
        networks = {str(size): series.network(size) for size in series.sizes}
        steps, _ = warm({size: partial(compiled, network) for size, network in networks.items()})
        times = race(steps | {PRODUCT: product()}, rounds, seconds, clock)
        found[series.name] = [
            (int(size), statistics.median(times[size]), relative(times, size, network.products))
            for size, network in networks.items()
        ]
    return found


def relative(times: Times, size: str, products: float) -> float:
    """Return the time for an operation relative to that of the product of matrices."""
    return ratio(times, size, PRODUCT) * 2 * SIDE**3 / products


def growth_table(found: Mapping[str, list[tuple[int, float, float]]]) -> str:
    """Return the figures as Markdown: microseconds a step, and in brackets the time for an operation."""
    most = max(map(len, found.values()))
    rows = []
    for name, sizes in found.items():
        cells = [f"{size}: {median:,.0f} ({times:.2f})" for size, median, times in sizes]
        rows.append([name, *cells, *["-"] * (most - len(cells))])
    doublings = ["smallest", *[f"x {2**k}" for k in range(1, most)]]
    return table(["size: microseconds a step (an operation, of a product's)", *doublings], rows)


def draw_growth(found: Found, about: Mapping[str, Any], path: Path) -> None:
    """Write a picture of the time for an operation to `path`, in the format of its suffix."""
    from tests.benchmarks.picture import saved, shared

    plt = shared()
    columns = 3
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.6 * columns, 2.8 * rows), sharey=True, squeeze=False
    )
    for axis, (name, sizes) in zip(axes.flat, found.items(), strict=False):
        x, _, y = zip(*sizes, strict=True)
        axis.plot(x, y, "o-", color="#d1495b")
        for size, value in zip(x, y, strict=True):
            axis.annotate(
                f"{value:.2g}", (size, value), (0, 5), textcoords="offset points", ha="center", fontsize=7
            )
        axis.axhline(1, color="black", linewidth=0.8)
        axis.axhline(1.5, color="black", linewidth=0.6, linestyle=":")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log", base=2)
        axis.set_xticks(x, map(str, x))
        axis.minorticks_off()
        axis.yaxis.set_major_formatter("{x:g}")
        axis.margins(x=0.1, y=0.2)
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in list(axes.flat)[len(found) :]:
        axis.axis("off")
    figure.suptitle(
        f"Time of a compiled step for each operation of its products, relative to a {PRODUCT}", fontsize=10
    )
    saved(figure, about, path)
