"""Print the table of every op against every check: python -m tinygrad_nn.testing [op ...]."""

from __future__ import annotations

import argparse
import sys

from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY
from tinygrad_nn.testing.battery.calls import missing_data
from tinygrad_nn.testing.mutants import MUTATORS, mutation_test
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
        chosen = [REGISTRY[name] for name in options.ops] or list(dict.fromkeys(REGISTRY.values()))
        found = mutation_test([op for op in chosen if isinstance(op, Primitive) and _has_rules(op)])
        print(
            f"{found.made} mutants by {len(MUTATORS)} mutators: {found.caught} caught, "
            f"{found.equivalent} equivalent, {len(found.survivors)} survived"
        )
        print("\n".join(found.survivors))
        failed = failed or bool(found.survivors)
    return int(failed)


def _has_rules(op: Primitive) -> bool:
    return op.differentiable and not op.writes and not missing_data(op)


if __name__ == "__main__":
    sys.exit(main())
