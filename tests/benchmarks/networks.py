"""Race training steps of networks that see and read against PyTorch and JAX: `python -m tests.benchmarks.networks`.

For each number of threads there is a process of its own, held to as many cores, in which all contestants take turns:
processor time for one thread, wall time for more. Before the race everybody trains the same weights on the same batch,
and losses have to be equal, to 1e-4 at first and to 1e-3 over `--losses` steps; not those of networks with dropout.

    python -m tests.benchmarks.networks LSTM GRU --threads 1 --contestants "tinygrad_nn compiled" PyTorch
    python -m tests.benchmarks.networks --losses 50 --rounds 0        only compares losses
    python -m tests.benchmarks.networks --growth --picture growth.svg
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks import convolutions, gpt, recurrent, residual
from tests.benchmarks.growth import draw_growth, growth, growth_table
from tests.benchmarks.network import CONTESTANTS, LAST, Network, contestants
from tests.benchmarks.race import CLOCKS, Times, machine, race, ratio_text, report, said, table, warm

OURS, THEIRS = "tinygrad_nn compiled", "PyTorch"
USUAL = ("tinygrad_nn", OURS, "tinygrad_nn compiled, NumPy", "jax.jit", THEIRS, LAST)
"""Who races when nobody is named; torch.compile, which takes a minute to begin, has to be asked for."""
VARIABLES = (
    *("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
    "VECLIB_MAXIMUM_THREADS",
)
FIRST, CLOSE = 1e-4, 1e-3
"""How far losses may be from PyTorch's: the first three, and all of them."""


class Goal(NamedTuple):
    """At most this share of a peer's time is asked for, with one thread and with two."""

    network: str
    peer: str
    shares: tuple[float, float]


GOALS = (
    Goal("LeNet", THEIRS, (0.55, 0.55)),
    Goal("32-64 CNN with dropout", THEIRS, (0.6, 0.75)),
    Goal("residual block", LAST, (0.95, 1.0)),
    Goal("LSTM", THEIRS, (0.85, 0.9)),
    Goal("GRU", THEIRS, (0.5, 0.6)),
    Goal("GPT", THEIRS, (0.55, 0.65)),
    Goal("", "jax.jit", (0.85, 0.9)),
)


def with_threads(count: int, function: Callable[..., Any], *args: Any) -> Any:
    """Return `function(*args)` of a new process whose libraries all have so many threads, and as many cores."""
    os.environ |= dict.fromkeys(VARIABLES, str(count))
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if cores:
        os.sched_setaffinity(0, sorted(cores)[:count])
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *args).result()
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


def limited(threads: int) -> None:
    """Say the number of threads to PyTorch too, which may read no variable, and silence peers."""
    warnings.simplefilter("ignore")
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)


def same_losses(losses: Mapping[str, Sequence[float]]) -> str:
    """Return how far all losses are from PyTorch's; where that does not run, from those of the first contestant.

    Raises:
        AssertionError: too far.
    """
    judge = THEIRS if THEIRS in losses else next(iter(losses))
    found = []
    for name, own in losses.items():
        apart = [abs(a - b) for a, b in zip(own, losses[judge], strict=True)]
        assert max(apart[:3]) <= FIRST, (
            f"{name}: first losses {own[:3]}, those of {judge} {losses[judge][:3]}"
        )
        assert max(apart) <= CLOSE, f"{name}: losses are up to {max(apart):.1e} from those of {judge}"
        found.append(f"{name} {max(apart):.0e}")
    return f"{len(losses[judge])} losses are at most so far from those of {judge}: {', '.join(found)}"


def measured(
    networks: Sequence[Network], threads: int, settings: argparse.Namespace
) -> tuple[dict[str, Times], dict[str, Any]]:
    """Return the times of all contestants for each network, and what machine they belong to."""
    limited(threads)
    results = {}
    for network in networks:
        print(f"{network.name}, threads: {threads}", file=sys.stderr, flush=True)
        makers = contestants(network)
        racing = {name: makers[name] for name in settings.contestants if name in makers}
        steps, losses = warm(racing, settings.losses)
        if not network.random:
            print(f"  {same_losses(losses)}", file=sys.stderr)
        if settings.rounds:
            results[network.name] = race(steps, settings.rounds, settings.seconds, clock_for(threads))
    return results, machine()


def clock_for(threads: int) -> Callable[[], float]:
    return CLOCKS["cpu" if threads == 1 else "wall"]


def chosen(names: Sequence[str]) -> list[Network]:
    """Return the networks whose names begin so; all where there are no names."""
    networks = [network for module in (convolutions, residual, recurrent, gpt) for network in module.NETWORKS]
    return [network for network in networks if not names or network.name.startswith(tuple(names))]


def run(names: Sequence[str], threads: int, settings: argparse.Namespace) -> Any:
    """Measure what is asked for; the work of a process of its own."""
    if settings.growth:
        limited(threads)
        return growth(settings.rounds, settings.seconds, clock_for(threads)), machine()
    return measured(chosen(names), threads, settings)


def summary(results: Mapping[int, Mapping[str, Times]]) -> str:
    """Return the ratios that are asked for, as Markdown: for each network and number of threads, and what is asked."""
    raced = {name for networks in results.values() for times in networks.values() for name in times}
    peers = [peer for peer in (THEIRS, LAST, "jax.jit") if peer in raced]
    both = {1, 2} <= results.keys()
    head = [
        "the compiled step, of the time of",
        *[f"{peer}, {spelled(n)}" for peer in peers for n in results],
    ]
    rows = []
    for network in next(iter(results.values())):
        cells = []
        for peer in peers:
            for threads, by_network in results.items():
                cell = ratio_text(by_network[network], OURS, peer)
                cells.append(cell + asked(network, peer, threads) if cell != "-" else cell)
        rows.append([network, *cells, *([scaling(network, results)] if both else [])])
    return table([*head, *["with two threads, of with one"] * both], rows)


def spelled(threads: int) -> str:
    return "one thread" if threads == 1 else f"{threads} threads"


def asked(network: str, peer: str, threads: int) -> str:
    """Return what is asked for, in brackets, if anything."""
    goals = [goal for goal in GOALS if network.startswith(goal.network) and goal.peer == peer]
    return f" ({goals[0].shares[threads - 1]:g})" if goals and threads in (1, 2) else ""


def scaling(network: str, results: Mapping[int, Mapping[str, Times]]) -> str:
    """Return the median time of the compiled step with two threads over that with one, in two processes."""
    one, two = (statistics.median(results[threads][network][OURS]) for threads in (1, 2))
    return f"{two / one:.2f}"


def main() -> None:
    """Run the race that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="only networks whose names begin so")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=11, help="0: only compare losses")
    parser.add_argument("--seconds", type=float, default=0.2, help="how long one turn takes")
    parser.add_argument("--losses", type=int, default=3, help="how many losses are compared with PyTorch's")
    parser.add_argument(
        "--contestants", nargs="*", choices=list(CONTESTANTS), default=USUAL, metavar="CONTESTANT"
    )
    parser.add_argument(
        "--growth", action="store_true", help="how cost grows with batch, width, depth, length"
    )
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--picture", type=Path, help="draw how cost grows there (.svg or .png)")
    settings = parser.parse_args()
    results, machines = {}, {}
    for threads in settings.threads:
        clock = "processor" if threads == 1 else "wall"
        results[threads], about = with_threads(threads, run, settings.names, threads, settings)
        machines[threads] = about | {"clock": clock}
    for threads, found in results.items():
        if found:
            print(f"\nWith {spelled(threads)}: {said(machines[threads], settings.rounds)}\n")
            print(growth_table(found) if settings.growth else report(found, THEIRS))
    if all(results.values()) and not settings.growth and OURS in settings.contestants:
        print(f"\n{summary(results)}")
    if settings.json:
        settings.json.write_text(json.dumps({"machines": machines, "microseconds": results}, indent=1))
    if settings.picture and settings.growth:
        draw_growth(results[settings.threads[0]], machines[settings.threads[0]], settings.picture)


if __name__ == "__main__":
    main()
