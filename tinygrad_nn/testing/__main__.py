"""Print the table of every op against every check: python -m tinygrad_nn.testing [op ...]."""

from __future__ import annotations

import argparse

from tinygrad_nn.commands import run
from tinygrad_nn.primitives import REGISTRY
from tinygrad_nn.testing.mutants import breakable, mutation_test
from tinygrad_nn.testing.report import report


def main(arguments: list[str] | None = None) -> int:
    """Run the checks; return 1 if one has failed."""
    parser = argparse.ArgumentParser(prog="python -m tinygrad_nn.testing", description=__doc__)
    parser.add_argument("ops", nargs="*", help="names of ops; all by default")
    parser.add_argument("--examples", type=int, default=25, help="calls per op (25)")
    parser.add_argument("--mutants", action="store_true", help="break every rule too, and count who notices")
    options = parser.parse_args(arguments)
    table = report(options.ops or None, max_examples=options.examples)
    print(table)
    failed = bool(table.failures)
    if options.mutants:
        chosen = [REGISTRY[name] for name in options.ops] or REGISTRY.values()
        mutation = mutation_test(breakable(chosen))
        print(mutation)
        failed = failed or bool(mutation.survivors)
    return int(failed)


if __name__ == "__main__":
    run(main)
