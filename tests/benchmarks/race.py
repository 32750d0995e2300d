"""Races: contestants take turns in one process, so that a busy machine slows all of them.

What counts is the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Step = Callable[[], Any]
Times = dict[str, list[float]]
"""Microseconds a step, for each contestant and round."""

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def machine() -> dict[str, Any]:
    """Return what the figures belong to: processor, cores, load, versions, settings for threads and products."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = lines[0].split(":", 1)[1].strip() if lines else cpu
    versions = {}
    for package in ("numpy", "numba", "jax", "torch", "pytensor", "autograd", "mygrad", "dezero"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    threads = {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    kernels = os.environ.get("OPENBLAS_CORETYPE", "those that OpenBLAS has for this processor")
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else "unknown",
        "python": platform.python_version(),
        "versions": versions,
        "threads": threads or "the default of each library: one per core",
        "kernels": kernels,
    }


def said(about: Mapping[str, Any], rounds: int) -> str:
    """Return what figures belong to in a line; `about` is what `machine` returned, and the clock."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    cores = f"{about['cores']} core{'s' * (about['cores'] > 1)}"
    return (
        f"{about['cpu']}, {cores}, load {about['load']}, {rounds} rounds, {about['clock']} time; {versions}; "
        f"threads: {about['threads']}; products: {about['kernels']}"
    )


def warm(
    contestants: Mapping[str, Callable[[], Step]], calls: int = 5
) -> tuple[dict[str, Step], dict[str, list[float]]]:
    """Return the step of each contestant that can run here, called a few times, and its losses; say which cannot."""
    steps: dict[str, Step] = {}
    losses: dict[str, list[float]] = {}
    for name, make in contestants.items():
        try:
            step = make()
            start = time.perf_counter()
            first = float(step())
            seconds = time.perf_counter() - start
            losses[name] = [first, *[float(step()) for _ in range(calls - 1)]]
        except (ImportError, AttributeError) as error:
            print(f"  without {name}: {error}", file=sys.stderr)
            continue
        if seconds > 0.5:
            print(f"  {name}: first call {seconds:.2f} s", file=sys.stderr)
        steps[name] = step
    return steps, losses


def race(steps: Mapping[str, Step], rounds: int, seconds: float, clock: Callable[[], float]) -> Times:
    """Return microseconds per step for each contestant and round, the contestants taking turns."""
    calls = {}
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        calls[name] = max(3, round(seconds / (time.perf_counter() - start)))
    times: Times = {name: [] for name in steps}
    order = list(steps)
    for _ in range(rounds):
        order = order[1:] + order[:1]
        for name in order:
            step = steps[name]
            step()
            gc.disable()
            start = clock()
            for _ in range(calls[name]):
                step()
            times[name].append((clock() - start) / calls[name] * 1e6)
            gc.enable()
    return times


def ratio(times: Times, name: str, other: str) -> float:
    """Return the median over the rounds of the time of `name` over that of `other`."""
    return statistics.median(a / b for a, b in zip(times[name], times[other], strict=True))


def ratio_text(times: Times, name: str, other: str) -> str:
    """Return that ratio as a cell of a table, for contestants that may not have run."""
    return f"{ratio(times, name, other):.2f}" if name in times and other in times else "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def report(results: Mapping[str, Times], yardstick: str, peers: Sequence[str] = ()) -> str:
    """Return the figures as Markdown: microseconds a step, and in brackets the ratio to the yardstick.

    The last rows have the ratio of this library to each of the `peers`.
    """
    names = list(dict.fromkeys(name for times in results.values() for name in times))
    rows = []
    for name in names:
        cells = []
        for times in results.values():
            relative = f" ({ratio(times, name, yardstick):.2f})" if {name, yardstick} <= times.keys() else ""
            cells.append(f"{statistics.median(times[name]):,.0f}{relative}" if name in times else "-")
        rows.append([name, *cells])
    for a in names:
        for b in peers:
            if a.startswith("tinygrad_nn") and b in names:
                rows.append([f"*{a} / {b}*", *[ratio_text(times, a, b) for times in results.values()]])
    return table(["microseconds a step", *results], rows)
