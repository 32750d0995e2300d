"""What a wrong gradient looks like: each usual mistake is a row, which says so in plain words where it fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tinygrad_nn.primitives import Array

NEAR = 1e-6
"""Of the largest entry: two gradients that are closer than this are the same to a diagnosis."""

CHANCE = 20
"""A wrong part is told by a threshold only where it is one of at least so many parts of its size."""


@dataclass(frozen=True)
class Case:
    """What a rule and numerical derivatives say of one input.

    Attributes:
        rule, numerical: arrays of shape (results, *input); of projections (projections, 1).
        wrong: where they differ.
        x: the input; of projections None.
        y: what the function returns, flat.
        lengths: numbers that may have been forgotten, and what each counts.
        others: rule and numerical derivatives of other inputs, by number.
        ignored: tells whether the function returns the same whatever the input is.
    """

    rule: Array
    numerical: Array
    wrong: Array
    x: Array | None
    y: Array
    lengths: dict[int, str]
    others: dict[int, tuple[Array, Array]]
    ignored: Callable[[], bool]

    @property
    def tolerance(self) -> float:
        """How far entries may be apart that are the same."""
        return NEAR * float(np.abs(self.numerical).max(initial=1e-30))

    def agree(self, a: Array, b: Array) -> bool:
        """Tell whether two arrays are the same."""
        with np.errstate(all="ignore"):
            return a.shape == b.shape and bool(np.all(np.abs(a - b) <= self.tolerance))

    @property
    def here(self) -> Array:
        """Which entries of the input have a wrong derivative."""
        return np.asarray(self.wrong.any(axis=0))

    @property
    def square(self) -> bool:
        """Whether there is a result for each entry of the input, and several."""
        return len(self.rule) == self.rule[:1].size > 1


@dataclass(frozen=True)
class Diagnosis:
    """A mistake that people make: its name, and what there is to say where it was made, or None.

    `entries` are needed by those that look at where an entry stands, which projections do not tell.
    """

    name: str
    say: Callable[[Case], str | None]
    entries: bool = True


@dataclass(frozen=True)
class Finding:
    """The name of a diagnosis, the input that it is about, None where all are alike, and what it says."""

    name: str
    input: int | None
    text: str


def _unused(case: Case) -> str | None:
    if case.numerical.any() or not case.ignored():
        return None
    return (
        "the function does not use its argument: it returns the same whatever that is; compute with what it is given, "
        "lambda W: loss(x @ W, t)"
    )


def _not_finite(case: Case) -> str | None:
    bad = int((~np.isfinite(case.rule) & np.isfinite(case.numerical)).sum())
    return (
        f"NaN or infinity in {bad} entries, where the derivative is finite: 0 / 0, or log(0)" if bad else None
    )


def _zero(case: Case) -> str | None:
    if case.rule.any():
        return None
    return (
        "0 everywhere, and the derivative is not: no gradient arrives; detach(), .data, np.array(t) and a new tensor "
        "of old values cut it off"
    )


def ratio(rule: Array, numerical: Array, case: Case) -> float | None:
    """Return the number that all derivatives are multiplied with; None if there is none."""
    norm = float(np.sum(numerical * numerical))
    if not norm or not np.all(np.isfinite(rule)):
        return None
    factor = float(np.sum(rule * numerical)) / norm
    return factor if case.agree(rule, factor * numerical) else None


def _is(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=10 * NEAR)


def _count(found: float) -> int | None:
    """Return a ratio as an integer from 2, if it is one."""
    whole = round(abs(found)) if math.isfinite(found) else 0
    return whole if whole > 1 and _is(abs(found), whole) else None


def _whole_ratio(case: Case) -> float | None:
    return ratio(case.rule, case.numerical, case)


def _opposite(case: Case) -> str | None:
    found = _whole_ratio(case) or 0.0
    return "-1 times the derivative everywhere: the sign is the opposite" if _is(found, -1) else None


def _meaning(count: int, case: Case) -> str:
    return f" (N = {count} is {case.lengths[count]})" if count in case.lengths else ""


def _times(case: Case) -> str | None:
    found = _whole_ratio(case)
    count = _count(found) if found else None
    if not found or not count:
        return None
    why = f"the 1/{count} of a mean is missing{', or the 1/2 of a square' * (count == 2)}"
    return f"{found:.4g} times the derivative everywhere: {why}{_meaning(count, case)}{_and_sign(found)}"


def _divided(case: Case) -> str | None:
    found = _whole_ratio(case)
    count = _count(1 / found) if found else None
    if not found or not count:
        return None
    why = f"it is divided by {count}{_meaning(count, case)} where the function is not, or a factor {count} is missing"
    power = ", as of a square" if count == 2 else ", as of a power"
    sign = "-" if found < 0 else ""
    return f"{sign}1/{count} of the derivative everywhere: {why}{power}{_and_sign(found)}"


def _and_sign(found: float) -> str:
    return "; and the sign is the opposite" if found < 0 else ""


def _constant(case: Case) -> str | None:
    found = _whole_ratio(case)
    # Of one number there is always a ratio.
    if not found or np.count_nonzero(np.abs(case.numerical) > case.tolerance) < 2:
        return None
    if case.y.size == 1 and _is(abs(found), abs(float(case.y[0]))):
        return f"{found:.6g} times the derivative everywhere: that is the result, which divides it"
    if case.y.size == 1 and _is(abs(1 / found), abs(float(case.y[0]))):
        return (
            f"{found:.6g} times the derivative everywhere: that is 1 / y, y the result, which is a factor too"
        )
    share = Fraction(found).limit_denominator(12)
    number = str(share) if _is(found, float(share)) else f"{found:.6g}"
    return f"{number} times the derivative everywhere: a constant factor is missing, or too many"


def _exchanged(case: Case) -> str | None:
    for k, (rule, numerical) in case.others.items():
        if case.agree(case.rule, numerical) and case.agree(rule, case.numerical):
            return f"it is the derivative by input {k}: gradients come in the order of the inputs"
    return None


def _transposed(case: Case) -> str | None:
    if case.rule.ndim == 3 and case.agree(case.rule.swapaxes(1, 2), case.numerical):
        return "the transpose of the derivative: .T is missing, or too many"
    size = len(case.rule)
    flat = case.rule.reshape(size, -1), case.numerical.reshape(size, -1)
    if case.square and case.agree(flat[0].T, flat[1]):
        return "the Jacobian is transposed: g @ W where g @ W.T is right, or the other way round"
    return None


def _one_hot(case: Case) -> str | None:
    excess = case.rule[0] - case.numerical[0]
    if len(case.rule) != 1 or excess.ndim != 2 or excess.shape[1] < 2:
        return None
    rows, classes = excess.shape
    for unit in (1.0, 1.0 / rows, float(excess.max())):
        if unit <= 0:
            continue
        scaled = excess / unit
        loose = case.tolerance / unit
        for by, text in (
            (0, "is not subtracted"),
            (1, "is missing: numbers of classes were subtracted instead"),
        ):
            # Row k of it is what a row looks like whose label is k.
            patterns = np.eye(classes) - by * np.arange(classes)[:, None]
            distance = np.abs(scaled[:, None] - patterns).max(axis=2)
            labels = distance.argmin(axis=1)
            if np.all(distance.min(axis=1) <= loose):
                said = ", ".join(map(str, labels[:6])) + (", ..." if rows > 6 else "")
                return f"{unit:.4g} too much at one entry of each row: the one-hot row of the label ({said}) {text}"
    return None


def _one_hot_of_softmax(case: Case) -> str | None:
    # The scores of a row may all be raised by the same, so that their derivatives have no sum.
    balanced = case.numerical.ndim == 3 and np.all(np.abs(case.numerical.sum(axis=2)) <= 10 * case.tolerance)
    return _one_hot(case) if balanced else None


def _one_hot_of_bias(case: Case) -> str | None:
    rule, numerical = case.rule[0], case.numerical[0]
    if len(case.rule) != 1 or rule.ndim != 1 or rule.size < 2 or not np.all(rule > 0):
        return None
    total = float(rule.sum())
    if abs(numerical.sum()) > 10 * case.tolerance or total < 0.5 or not _is(total, round(total)):
        return None
    return (
        f"positive numbers, which sum to {round(total)}, and the derivative sums to 0: probabilities, from which the "
        "one-hot row of the label is not subtracted"
    )


def _penalty(case: Case) -> str | None:
    if len(case.rule) != 1 or case.x is None or case.x.size < 2:
        return None
    excess = case.rule - case.numerical
    factor = ratio(excess, case.x[None], case)
    if not factor:
        return None
    what = "too many" if factor > 0 else "missing"
    return f"{abs(factor):.4g} times the input is {what}, as a penalty of {abs(factor) / 2:.4g} * (x * x).sum() has it"


def _offset(case: Case) -> str | None:
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


def _factor(case: Case) -> str | None:
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


def _elementwise(case: Case) -> str | None:
    if not case.square:
        return None
    size = len(case.rule)
    off = ~np.eye(size, dtype=bool)
    rule, numerical, wrong = (a.reshape(size, size) for a in (case.rule, case.numerical, case.wrong))
    if not wrong[off].any() and numerical[off].any():
        return (
            "only the diagonal of the Jacobian is wrong: what a result owes to its own entry, 1 where i = j"
        )
    if not rule[off].any() and wrong[off].any():
        return "only the diagonal of the Jacobian is there: each result depends on other entries, too"
    return None


def _parts(case: Case) -> int:
    """Return how many parts of an input are as large as the wrong one."""
    return math.comb(case.here.size, int(case.here.sum()))


def _sure_branch(case: Case) -> str | None:
    return _branch(case) if _parts(case) >= CHANCE else None


def _branch(case: Case) -> str | None:
    x = case.x
    if x is None or case.here.all():
        return None
    wrong, right = x[case.here], x[~case.here]
    for side, sign in ((">", 1), ("<", -1)):
        if np.all(sign * right > 0) and np.all(sign * wrong <= 0):
            other = "<" if side == ">" else ">"
            return f"right for x {side} 0 only; for x {other} 0 another line is needed{_there(case)}"
    if _parts(case) < CHANCE:
        return None
    for name, of_wrong, of_right in (("x", wrong, right), ("|x|", np.abs(wrong), np.abs(right))):
        for side, sign in (("<", 1), (">", -1)):
            between = (sign * of_right).max(), (sign * of_wrong).min()
            if between[0] < between[1]:
                bound = sign * (between[0] + between[1]) / 2
                return f"right for {name} {side} {bound:.3g} or so only; beyond another line is needed{_there(case)}"
    return None


def _place(case: Case) -> str | None:
    here = case.here
    where = np.argwhere(here)
    if len(where) == 1 and here.size > 1:
        index = ", ".join(map(str, where[0]))
        return f"only entry [{index}] is wrong{_there(case)}; the others are right"
    for axis, length in enumerate(here.shape):
        indices = np.unique(where[:, axis])
        if len(indices) == 1 < length:
            k = int(indices[0])
            what = ("row", "column")[axis] if here.ndim == 2 else f"index of axis {axis},"
            last = ", the last" if k == length - 1 else ""
            return f"only one {what} is wrong: {k}{last}{_there(case)}; the others are right"
    results = np.flatnonzero(case.wrong.reshape(len(case.wrong), -1).any(axis=1))
    if len(results) == 1 < len(case.wrong):
        return f"only the derivative of one result is wrong: {results[0]} (flat); the others are right"
    return None


def _order(case: Case) -> str | None:
    size = len(case.rule)
    rule, numerical = (np.sort(a.reshape(size, -1)) for a in (case.rule, case.numerical))
    if rule.shape[1] < 2 or not case.agree(rule, numerical):
        return None
    return "the right numbers in another order: reshape where a transpose is right, or an axis the other way round"


def _there(case: Case) -> str:
    """Say how the wrong part is wrong, where that is as simple."""
    rule, numerical = case.rule[case.wrong], case.numerical[case.wrong]
    if not rule.any():
        return " (0 there)"
    found = ratio(rule, numerical, case)
    known = found is not None and (_is(found, -1) or _count(found) or _count(1 / found))
    return f" ({found:.4g} times the derivative there)" if known else ""


DIAGNOSES = (
    Diagnosis("unused-argument", _unused),
    Diagnosis("not-finite", _not_finite, entries=False),
    Diagnosis("no-gradient", _zero, entries=False),
    Diagnosis("exchanged-inputs", _exchanged),
    Diagnosis("opposite-sign", _opposite, entries=False),
    Diagnosis("times-n", _times, entries=False),
    Diagnosis("divided-by-n", _divided, entries=False),
    Diagnosis("constant-ratio", _constant, entries=False),
    Diagnosis("transposed", _transposed),
    Diagnosis("one-hot-forgotten", _one_hot_of_softmax),
    Diagnosis("one-hot-forgotten", _one_hot_of_bias),
    Diagnosis("branch", _sure_branch),
    Diagnosis("one-hot-forgotten", _one_hot),
    Diagnosis("penalty", _penalty),
    Diagnosis("offset", _offset),
    Diagnosis("variable-factor", _factor),
    Diagnosis("elementwise", _elementwise),
    Diagnosis("branch", _branch),
    Diagnosis("one-place", _place),
    Diagnosis("other-order", _order),
)
"""The mistakes that are known, from what is sure to what is only likely: the first that fits an input is named."""


def diagnose(cases: Sequence[Case]) -> tuple[Finding, ...]:
    """Return what is wrong with each input whose derivative is, as far as it is one of the usual mistakes."""
    found: list[Finding] = []
    for k, case in enumerate(cases):
        if case.wrong.any():
            found += _first(case, k)
    if len(cases) == len(found) and len({(finding.name, finding.text) for finding in found}) == 1:
        return (Finding(found[0].name, None, found[0].text),)
    return tuple(found)


def _first(case: Case, k: int) -> list[Finding]:
    with np.errstate(all="ignore"):
        for row in DIAGNOSES:
            if case.x is None and row.entries:
                continue
            if text := row.say(case):
                return [Finding(row.name, k, text)]
    return []
