"""What every op goes through: derivatives first, because they catch most."""

from __future__ import annotations

from tinygrad_nn.testing import derivatives, duties
from tinygrad_nn.testing.calls import Call
from tinygrad_nn.testing.check import CHECKS

__all__ = ["CHECKS", "derivatives", "duties", "run"]


def run(call: Call) -> list[str]:
    """Run every check on a call; return the names of those that applied."""
    return [name for name, check in CHECKS.items() if check(call)]
