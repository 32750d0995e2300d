"""Race this library against NumPy by hand and every installed peer: `python -m tests.benchmarks.peers`.

All contestants take turns in one process, so that a busy machine slows all of them; what counts is the median
over the rounds of the ratio within a round. Every contestant uses as many threads as it sees cores, unless
told otherwise by OPENBLAS_NUM_THREADS, OMP_NUM_THREADS and the like.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.workloads import GROWTH, WORKLOADS, Workload

YARDSTICK = "NumPy by hand"
Step = Callable[[], Any]


def machine() -> dict[str, Any]:
    """Return what the figures belong to: processor, cores, versions, settings for threads and products."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = lines[0].split(":", 1)[1].strip() if lines else cpu
    versions = {}
    for package in ("numpy", "numba", "jax", "torch", "autograd", "mygrad", "dezero"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    threads = {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    kernels = os.environ.get("OPENBLAS_CORETYPE", "those that OpenBLAS has for this processor")
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "threads": threads or "the default of each library: one per core",
        "kernels": kernels,
    }


def prepared(workload: Workload, names: list[str]) -> dict[str, Step]:
    """Return a warm step for each contestant that can run here; say which cannot."""
    x, labels = workload.batch_of_data()
    steps: dict[str, Step] = {}
    for name in names:
        try:
            step, prepare = CONTESTANTS[name](workload)
            own_x, own_labels = prepare(x), prepare(labels)
            start = time.perf_counter()
            step(own_x, own_labels)
            first = time.perf_counter() - start
            for _ in range(5):
                step(own_x, own_labels)
        except (ImportError, AttributeError) as error:
            print(f"  without {name}: {error}", file=sys.stderr)
            continue
        if first > 0.5:
            print(f"  {name}: first call {first:.2f} s", file=sys.stderr)
        steps[name] = lambda step=step, x=own_x, labels=own_labels: step(x, labels)  # type: ignore[misc]
    return steps


def race(
    steps: dict[str, Step], rounds: int, seconds: float, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return microseconds per step for each contestant and round, the contestants taking turns."""
    calls = {}
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        calls[name] = max(3, round(seconds / (time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in steps}
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


def ratio(times: dict[str, list[float]], name: str, other: str) -> float:
    """Return the median over the rounds of the time of `name` over that of `other`."""
    return statistics.median(a / b for a, b in zip(times[name], times[other], strict=True))


def report(results: dict[str, dict[str, list[float]]]) -> str:
    """Return the figures as Markdown: microseconds a step, and in brackets the ratio to NumPy by hand."""
    names = [name for name in CONTESTANTS if any(name in times for times in results.values())]
    lines = ["| microseconds a step | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for name in names:
        cells = []
        for times in results.values():
            if name not in times:
                cells.append("-")
                continue
            relative = f" ({ratio(times, name, YARDSTICK):.2f})" if YARDSTICK in times else ""
            cells.append(f"{statistics.median(times[name]):,.0f}{relative}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    pairs = [
        (a, b) for a in names if a.startswith("tinygrad_nn") for b in ("jax.jit", "PyTorch") if b in names
    ]
    for a, b in pairs:
        cells = [
            f"{ratio(times, a, b):.2f}" if a in times and b in times else "-" for times in results.values()
        ]
        lines.append(f"| *{a} / {b}* | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the race that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.03, help="how long one turn takes")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: processor time of all threads together, for a busy machine; pin the process to one core",
    )
    parser.add_argument(
        "--growth", action="store_true", help="other workloads: growing batch, width and depth"
    )
    parser.add_argument("--workload", default="", help="only workloads whose name contains this")
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS), help="names of contestants")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--picture", type=Path, help="draw the ratios there (.svg or .png)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # those of the peers

    clock = {"wall": time.perf_counter, "cpu": time.process_time}[arguments.clock]
    results = {}
    for workload in GROWTH if arguments.growth else WORKLOADS:
        if arguments.workload in workload.name:
            print(workload.name, file=sys.stderr)
            steps = prepared(workload, arguments.only)
            results[workload.name] = race(steps, arguments.rounds, arguments.seconds, clock)
    about = machine() | {"clock": arguments.clock}
    print(report(results))
    print(f"\n{about['cpu']}, {about['cores']} cores, {arguments.rounds} rounds, {arguments.clock} time")
    print(f"{about['versions']}\nthreads: {about['threads']}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": about, "microseconds": results}, indent=1))
    if arguments.picture:
        from tests.benchmarks.picture import draw

        draw(results, about, arguments.picture)


if __name__ == "__main__":
    main()
