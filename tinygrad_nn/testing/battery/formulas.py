"""What stands beside a rule for readers: a formula has to say what the rule says."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.testing.battery.calls import OpCall
from tinygrad_nn.testing.battery.failing import fail
from tinygrad_nn.testing.tape import home
from tinygrad_nn.testing.verdict import close
from tinygrad_nn.viz.entries import Occasion


def formula(call: OpCall) -> bool:
    """The formulas of an op have the values of its rules."""
    if not any(call.op.formulas) or not call.differentiable or call.at_kink:
        return False
    operands = call.with_operands(call.xs)
    results = call.plain_gradient(call.xs, call.cotangent)
    for place, result in zip(call.wanted, results, strict=True):
        occasion = Occasion(call.op, place, operands, call.result, call.cotangent, call.params)
        if not occasion.formula.declared or not result.size:
            continue
        text = occasion.formula.text
        if occasion.tree is None:
            fail(call, "formula", f"operand {place}: {text!r} is no expression in the letters of the rule")
        expected = home(result, np.shape(operands[place]))
        with np.errstate(all="ignore"):
            found = occasion.gradient()
        if not close(found, expected, 1e-9):
            told = f"the formula {text} gives {found!r}, the rule {expected!r}"
            fail(call, "formula", f"operand {place}: {told}")
    return True
