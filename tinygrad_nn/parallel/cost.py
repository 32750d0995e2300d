"""What a step costs beside its own work: a model of the sum over ranks, with two numbers of the network in it."""

from __future__ import annotations

import math
import statistics
import time
from typing import NamedTuple

import numpy as np

from tinygrad_nn.errors import SettingError
from tinygrad_nn.parallel.communicator import Communicator
from tinygrad_nn.primitives import Array

SMALL, LARGE = 8, 32_000_000
"""Bytes of the messages that are measured."""
SECONDS = 0.5
"""How long each is repeated, about."""


class Network(NamedTuple):
    """Seconds that a message takes, whatever its length, and bytes a second."""

    latency: float
    bandwidth: float

    def seconds(self, ranks: int, nbytes: float) -> float:
        """Return how long a sum over ranks takes: 2 ceil(log2 P) latencies, and 2 (P - 1) / P of its bytes.

        These are the rounds and the bytes of Rabenseifner's algorithm, which sums halves of halves and puts them
        together again (Thakur, Rabenseifner and Gropp, 2005, doi:10.1177/1094342005051521).

        Example:
            >>> Network(latency=1e-6, bandwidth=1e9).seconds(4, 2e6) * 1e6
            3004.0
        """
        rounds = 2 * math.ceil(math.log2(ranks))
        return rounds * self.latency + 2 * (ranks - 1) / ranks * nbytes / self.bandwidth


class Expected(NamedTuple):
    """How many times more rows a second so many ranks do than one.

    Attributes:
        ranks: how many.
        exchange: seconds that the sum of the gradients takes.
        more: where each rank has as many rows a step as one has alone.
        same: where the rows of one are shared out, so that the batch stays the same.
    """

    ranks: int
    exchange: float
    more: float
    same: float


def expected(network: Network, ranks: int, nbytes: float, step: float) -> Expected:
    """Return what to expect of ranks, where a step of one alone takes `step` seconds.

    Example:
        >>> expected(Network(latency=0.0, bandwidth=1e9), ranks=2, nbytes=1e6, step=0.004).more
        1.6
    """
    exchange = network.seconds(ranks, nbytes)
    return Expected(ranks, exchange, ranks * step / (step + exchange), step / (step / ranks + exchange))


def measured(comm: Communicator) -> Network:
    """Return the network between ranks, from sums of a small and of a large array.

    Raises:
        SettingError: there is one rank, which sends nothing.
    """
    if comm.size < 2:
        raise SettingError(
            "one rank sends nothing that could be measured\n"
            "  hint   mpiexec -n 2 python -m tinygrad_nn.parallel, or --latency and --bandwidth of a network"
        )
    small, large = (_median(comm, np.zeros(nbytes // 8)) for nbytes in (SMALL, LARGE))
    latency = small / (2 * math.ceil(math.log2(comm.size)))
    return Network(latency, 2 * (comm.size - 1) / comm.size * LARGE / max(large - small, 1e-9))


def _median(comm: Communicator, mine: Array) -> float:
    """Return the median of the seconds that a sum takes, the longest of all ranks."""
    total = np.empty_like(mine)
    once = _seconds(comm, mine, total)
    # All ranks do as many.
    count = comm.allgather(max(3, min(2000, int(SECONDS / once))))[0]
    return float(max(comm.allgather(statistics.median(_seconds(comm, mine, total) for _ in range(count)))))


def _seconds(comm: Communicator, mine: Array, total: Array) -> float:
    start = time.perf_counter()
    comm.Allreduce(mine, total)
    return time.perf_counter() - start


def table(network: Network, ranks: list[int], parameters: int, step: float, itemsize: int) -> str:
    """Return as text what to expect of several numbers of ranks."""
    nbytes = parameters * itemsize
    lines = [
        f"latency {network.latency * 1e6:.1f} us, bandwidth {network.bandwidth / 1e9:.2f} GB/s",
        f"{parameters:,} parameters are {nbytes / 1e6:.1f} MB, a step of one rank takes {step * 1e3:.2f} ms",
        "",
        f"{'':>6}  {'':>12}  {'times as fast as one rank':>26}",
        f"{'ranks':>6}  {'sum of all':>12}  {'as many rows each':>17}  {'same batch':>10}",
    ]
    for count in ranks:
        row = expected(network, count, nbytes, step)
        lines.append(f"{count:>6,}  {row.exchange * 1e3:>9.2f} ms  {row.more:>17.1f}  {row.same:>10.1f}")
    return "\n".join(lines)
