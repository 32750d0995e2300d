"""What every op goes through: first that rules leave arrays alone, then derivatives, which catch most."""

from __future__ import annotations

from tinygrad_nn.testing.battery import derivatives, duties
from tinygrad_nn.testing.battery.calls import Call
from tinygrad_nn.testing.battery.failing import CHECKS

_rest = {name: check for name, check in CHECKS.items() if name != "untouched"}
_first = CHECKS["untouched"]  # the others hand out read-only arrays
CHECKS.clear()
CHECKS.update({"untouched": _first, **_rest})

__all__ = ["CHECKS", "derivatives", "duties", "run"]


def run(call: Call) -> list[str]:
    """Run every check on a call; return the names of those that applied."""
    return [name for name, check in CHECKS.items() if check(call)]
