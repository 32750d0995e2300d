"""How a check fails: with the call that shows it, as a script."""

from __future__ import annotations

from typing import NoReturn

from tinygrad_nn.errors import CheckFailed
from tinygrad_nn.testing.battery.calls import OpCall
from tinygrad_nn.testing.verdict import reproduction, spell


def reproduction_of(call: OpCall) -> list[str]:
    """Return the lines that run the battery on this very call."""
    at_kink = ", at_kink=True" if call.at_kink else ""
    return reproduction(
        "from tinygrad_nn.testing.battery.calls import OpCall",
        f"op = tn.REGISTRY[{call.op.name!r}]",
        f"operands = {spell(call.operands)}",
        f"call = OpCall(op, operands, {spell(call.params)}, seed={call.seed}, scale={call.scale!r}{at_kink})",
        "tn.testing.battery.run(call)",
    )


def fail(call: OpCall, name: str, text: str) -> NoReturn:
    """Raise the error of a failed check."""
    raise CheckFailed("\n".join([f"{call.op.name}: {name}: {text}", *reproduction_of(call)]))
