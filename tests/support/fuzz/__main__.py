"""The command line of the fuzzer."""

import argparse
import sys

from tests.support.fuzz.cases import KINDS, run


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.support.fuzz", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--count", type=int, default=100, help="cases (100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--only", type=int, metavar="INDEX", help="this case alone")
    options = parser.parse_args()
    outcome = run(
        options.kind,
        options.count,
        options.seed,
        only=options.only,
        seconds=options.seconds,
        tell=lambda failure: print(failure, flush=True),
    )
    counted = "".join(f", {number:,} {name}" for name, number in outcome.counted.items())
    print(f"{options.kind}: {outcome.cases:,} cases{counted}, {len(outcome.failures)} failures")
    return int(bool(outcome.failures))


if __name__ == "__main__":
    sys.exit(main())
