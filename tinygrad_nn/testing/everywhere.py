"""Mistakes that make a derivative wrong everywhere in the same way; each function says so where it fits."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.case import Case, count_in, is_near, ratio


def unused(case: Case) -> str | None:
    """The function returns the same whatever the input is."""
    if case.numerical.any() or not case.ignored():
        return None
    return (
        "the function does not use its argument: it returns the same whatever that is; compute with what it is given, "
        "lambda W: loss(x @ W, t)"
    )


def not_finite(case: Case) -> str | None:
    """NaN or infinity, where the derivative is finite."""
    bad = int((~np.isfinite(case.rule) & np.isfinite(case.numerical)).sum())
    return (
        f"NaN or infinity in {bad} entries, where the derivative is finite: 0 / 0, or log(0)" if bad else None
    )


def no_gradient(case: Case) -> str | None:
    """0 everywhere."""
    if case.rule.any():
        return None
    return (
        "0 everywhere, and the derivative is not: no gradient arrives; detach(), .data, np.array(t) and a new tensor "
        "of old values cut it off"
    )


def _whole_ratio(case: Case) -> float | None:
    return ratio(case.rule, case.numerical, case)


def opposite(case: Case) -> str | None:
    """-1 times the derivative."""
    found = _whole_ratio(case)
    return (
        "-1 times the derivative everywhere: the sign is the opposite"
        if found and is_near(found, -1)
        else None
    )


def _is_n(count: int, case: Case) -> bool:
    """Tell whether a factor is a number of rows or the like; squares and cubes bring 2 and 3 as factors too."""
    return count in case.lengths or count > 3


def _meaning(count: int, case: Case) -> str:
    return f" (N = {count} is {case.lengths[count]})" if count in case.lengths else ""


def times(case: Case) -> str | None:
    """N times the derivative."""
    found = _whole_ratio(case)
    count = count_in(found) if found else None
    if not found or not count or not _is_n(count, case):
        return None
    why = f"the 1/{count} of a mean is missing{', or the 1/2 of half a square' * (count == 2)}"
    return f"{found:.4g} times the derivative everywhere: {why}{_meaning(count, case)}{_and_sign(found)}"


def divided(case: Case) -> str | None:
    """1/N of the derivative."""
    found = _whole_ratio(case)
    count = count_in(1 / found) if found else None
    if not found or not count or not _is_n(count, case):
        return None
    why = f"it is divided by {count}{_meaning(count, case)} where the function is not, or a factor {count} is missing"
    power = ", as of a square" if count == 2 else ", as of a power"
    sign = "-" if found < 0 else ""
    return f"{sign}1/{count} of the derivative everywhere: {why}{power}{_and_sign(found)}"


def _and_sign(found: float) -> str:
    return "; and the sign is the opposite" if found < 0 else ""


def _factor_of_a_power(found: float) -> str:
    """Say which factor of a square or a cube is missing, or too many, if it is one."""
    for factor, whose, half in ((2, "square", ", or the 1/2 of half a square missing"), (3, "cube", "")):
        if is_near(abs(found), factor):
            what = f"{found:.4g} times the derivative everywhere: a factor {factor} is too many{half}"
        elif is_near(abs(1 / found), factor):
            sign = "-" if found < 0 else ""
            what = f"{sign}1/{factor} of the derivative everywhere: a factor {factor} is missing, as of a {whose}"
        else:
            continue
        return f"{what}{_and_sign(found)}"
    return ""


def constant(case: Case) -> str | None:
    """Another number times the derivative."""
    found = _whole_ratio(case)
    if found and (text := _factor_of_a_power(found)):
        return text
    # Of one number there is always a ratio.
    if not found or np.count_nonzero(np.abs(case.numerical) > case.tolerance) < 2:
        return None
    if case.y.size == 1 and is_near(abs(found), abs(float(case.y[0]))):
        return f"{found:.6g} times the derivative everywhere: that is the result, which divides it"
    if case.y.size == 1 and is_near(abs(1 / found), abs(float(case.y[0]))):
        return (
            f"{found:.6g} times the derivative everywhere: that is 1 / y, y the result, which is a factor too"
        )
    share = Fraction(found).limit_denominator(12)
    number = str(share) if is_near(found, float(share)) else f"{found:.6g}"
    return f"{number} times the derivative everywhere: a constant factor is missing, or too many"


def penalty(case: Case) -> str | None:
    """A multiple of the input too much or too little."""
    if len(case.rule) != 1 or case.x is None or case.x.size < 2:
        return None
    excess = case.rule - case.numerical
    factor = ratio(excess, case.x[None], case)
    if not factor:
        return None
    what = "too many" if factor > 0 else "missing"
    return f"{abs(factor):.4g} times the input is {what}, as a penalty of {abs(factor) / 2:.4g} * (x * x).sum() has it"


def offset(case: Case) -> str | None:
    """The same number too much or too little everywhere."""
    excess = case.rule - case.numerical
    first = float(excess.flat[0])
    if len(case.rule) != 1 or excess.size < 2 or not case.agree(excess, np.full_like(excess, first)):
        return None
    return f"{abs(first):.4g} too {'much' if first > 0 else 'little'} in every entry"


FACTORS: dict[str, Callable[[Array, Array], Array]] = {
    "x": lambda x, y: x,
    "y": lambda x, y: y,
    "1 - y": lambda x, y: 1 - y,
    "1 + y": lambda x, y: 1 + y,
    "1 - y * y": lambda x, y: 1 - y * y,
    "y * (1 - y)": lambda x, y: y * (1 - y),
}
"""What derivatives of elementwise functions have for factors, of the operand x and the result y."""


def variable_factor(case: Case) -> str | None:
    """A factor too many or missing that differs from entry to entry."""
    x = case.x
    if x is None or x.size < 2:
        return None
    # Of one result, or another number of them, there is no y of each entry.
    y = case.y.reshape(x.shape) if case.y.size == x.size else np.full(x.shape, np.nan)
    for name, of in FACTORS.items():
        factor = of(x, y)
        if case.agree(case.rule, case.numerical * factor):
            return f"{name} times the derivative: a factor {name} is too many"
        if case.agree(case.rule * factor, case.numerical):
            return f"the derivative divided by {name}: a factor {name} is missing"
    return None
