"""Expressions of one element, for ops whose settings are part of them: what `loop=` in the catalogue names."""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_nn.compiler.draft import Draft
from tinygrad_nn.graph.ir import Call

BuildElement = Callable[[Draft, Call], str]
"""Returns the expression of a call, or nothing where there is none."""


def spelled(number: float) -> str:
    """Return a number as the text of a loop has it."""
    return repr(number).replace("inf", "math.inf").replace("nan", "math.nan")


# Of a negative zero the root is negative; of minus infinity pow gives 0, where a root is NaN.
_ROOT = "({T}(1) / math.sqrt({0} + {T}(0)))"
_POWERS = {
    1: "{0}",
    2: "{0} * {0}",
    3: "{0} * {0} * {0}",
    0.5: "math.sqrt({0})",
    -0.5: f"({{T}}(0) if {{0}} == {{T}}(-math.inf) else {_ROOT})",
    -1: "{T}(1) / {0}",
    -1.5: f"({{T}}(0) if {{0}} == {{T}}(-math.inf) else {_ROOT} * {_ROOT} * {_ROOT})",
    -2: "({T}(1) / {0}) * ({T}(1) / {0})",
}


def power(draft: Draft, call: Call) -> str:
    """Write some constant exponents as products and roots."""
    exponent = draft.fixed_number(draft.values_of(call)[1])
    return _POWERS.get(exponent, "") if isinstance(exponent, (int, float)) and not call.params else ""


def clip(draft: Draft, call: Call) -> str:
    """Compare with two constant bounds; NaN is neither less nor more."""
    low, high = (draft.fixed_number(x) for x in draft.values_of(call)[1:])
    numbers = isinstance(low, (int, float)) and isinstance(high, (int, float)) and low <= high
    return "({1} if {0} < {1} else {2} if {0} > {2} else {0})" if numbers and not call.params else ""


def leaky_relu(_draft: Draft, call: Call) -> str:
    """Multiply by the slope where x is not positive."""
    slope = float(call.params.get("negative_slope", 0.01))
    return f"({{0}} if {{0}} > 0 else {{0}} * {{T}}({spelled(slope)}))"


def elu(_draft: Draft, call: Call) -> str:
    """Take the exponential function where x is not positive."""
    alpha = float(call.params.get("alpha", 1))
    return f"({{0}} if {{0}} > 0 else expm1_{{w}}({{0}}) * {{T}}({spelled(alpha)}))"
