"""Put every op through every check, a line each: python -m tinygrad_nn.testing [op ...]."""

from __future__ import annotations

import argparse
import sys

from tinygrad_nn.primitives import REGISTRY
from tinygrad_nn.settings.commands import count, run
from tinygrad_nn.testing.mutants import breakable, mutation_test
from tinygrad_nn.testing.report import report


def main(arguments: list[str] | None = None) -> int:
    """Run the checks; return 1 if one has failed."""
    parser = argparse.ArgumentParser(prog="python -m tinygrad_nn.testing", description=__doc__)
    parser.add_argument("ops", nargs="*", help="names of ops; all by default")
    parser.add_argument("--examples", type=count, default=25, help="calls per op (25)")
    parser.add_argument("--table", action="store_true", help="print the wide table of ops against checks")
    parser.add_argument(
        "--mutants", action="store_true", help="if all pass, break every rule, and count who notices"
    )
    options = parser.parse_args(arguments)
    marks = _marks()
    tell = None if options.table else lambda table, row: print(table.line(row, marks), flush=True)
    table = report(options.ops or None, max_examples=options.examples, tell=tell)
    if options.table:
        print(table)
    failed = bool(table.failures)
    if options.mutants and not failed:
        chosen = [REGISTRY[name] for name in options.ops] or REGISTRY.values()
        mutation = mutation_test(breakable(chosen))
        print(mutation)
        failed = bool(mutation.survivors)
    if not options.table:
        print(*table.failures.values(), table.summary(), sep="\n")
    return int(failed)


def _marks() -> tuple[str, str]:
    """Return what stands before an op that passed, and before one that failed, where this can be printed."""
    marks = ("✓", "✗")
    try:
        "".join(marks).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "ok", "!!"
    return marks


if __name__ == "__main__":
    run(main)
