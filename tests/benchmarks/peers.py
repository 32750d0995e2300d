"""Race this library against NumPy by hand and every installed peer: `python -m tests.benchmarks.peers`.

All contestants take turns in one process, so that a busy machine slows all of them; what counts is the median
over the rounds of the ratio within a round. Every contestant uses as many threads as it sees cores, unless
told otherwise by OPENBLAS_NUM_THREADS, OMP_NUM_THREADS and the like.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from functools import partial
from pathlib import Path

from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.race import CLOCKS, Step, machine, race, report, said, warm
from tests.benchmarks.workloads import GROWTH, WORKLOADS, Workload

YARDSTICK = "NumPy by hand"


def prepared(workload: Workload, name: str) -> Step:
    """Return the step of a contestant on its own kind of arrays."""
    step, prepare = CONTESTANTS[name](workload)
    x, labels = map(prepare, workload.batch_of_data())
    return lambda: step(x, labels)


def main() -> None:
    """Run the race that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.03, help="how long one turn takes")
    parser.add_argument(
        "--clock",
        choices=tuple(CLOCKS),
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

    clock = CLOCKS[arguments.clock]
    results = {}
    for workload in GROWTH if arguments.growth else WORKLOADS:
        if arguments.workload in workload.name:
            print(workload.name, file=sys.stderr)
            steps, _ = warm({name: partial(prepared, workload, name) for name in arguments.only})
            results[workload.name] = race(steps, arguments.rounds, arguments.seconds, clock)
    about = machine() | {"clock": arguments.clock}
    print(report(results, YARDSTICK, ("jax.jit", "PyTorch")))
    print(f"\n{said(about, arguments.rounds)}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": about, "microseconds": results}, indent=1))
    if arguments.picture:
        from tests.benchmarks.picture import draw

        draw(results, about, arguments.picture)


if __name__ == "__main__":
    main()
