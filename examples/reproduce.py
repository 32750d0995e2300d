"""Five published tutorials, each a complete small system, rebuilt with this library and held to their
numbers.

    python examples/reproduce.py all
    python examples/reproduce.py mnist-mse --faithful

Every system prints what was published beside what it measures, and draws the figures of its tutorial. The
exit status is 1 if a value lies outside of its band. MNIST is downloaded on first use, or read from the
folder that the environment variable TINYGRAD_NN_DATA names. `--quick` trains for a small part of the time,
just to see it run: the bands are those of the full length, and do not apply then.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from systems import mnist_adam, mnist_hidden, mnist_mse, mnist_numerical, moons
from systems.report import Report, clock, hardware

from tinygrad_nn.settings.commands import run

SYSTEMS = {
    "mnist-mse": mnist_mse,
    "mnist-numerical": mnist_numerical,
    "moons": moons,
    "mnist-adam": mnist_adam,
    "mnist-hidden": mnist_hidden,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=[*SYSTEMS, "all"])
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--faithful", action="store_true", help="mnist-mse: only with the faults of its gradient"
    )
    which.add_argument("--correct", action="store_true", help="mnist-mse: only with the right gradient")
    parser.add_argument("--quick", action="store_true", help="a small part of the training, without bands")
    parser.add_argument("--figures", type=Path, default=Path("reproduction"), help="folder for the figures")
    given = parser.parse_args(arguments)
    if (given.faithful or given.correct) and given.name != "mnist-mse":
        parser.error("--faithful and --correct are for mnist-mse, whose hand-written gradient has faults")
    variants = ["faithful"] * (not given.correct) + ["correct"] * (not given.faithful)
    given.figures.mkdir(parents=True, exist_ok=True)
    reports = []
    start = time.perf_counter()
    for name in SYSTEMS if given.name == "all" else [given.name]:
        report = Report(name, SYSTEMS[name].TITLE, given.figures, quick=given.quick)
        SYSTEMS[name].run(report, *([variants] if name == "mnist-mse" else []))
        print(f"\n{report}\n")
        reports.append(report)
    failed = [f"{report.name}: {label}" for report in reports for label in report.outside()]
    used = f"{clock(time.perf_counter() - start)}, {clock(time.process_time())} of all cores"
    print(f"{len(reports)} systems in {used}, on {hardware()}; figures in {given.figures}/")
    print(
        "outside of their bands: "
        + (", ".join(failed) or ("not checked (--quick)" if given.quick else "none"))
    )
    return 1 if failed else 0


if __name__ == "__main__":
    run(main)
