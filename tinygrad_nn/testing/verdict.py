"""Comparing what rules say with what numerical derivatives say, and wording the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_nn.errors import CheckFailed, GradientMismatch
from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.numerical import COMPLEX_STEP, STEPS, Estimate, largest

RTOL = 1e-9
"""Of the largest entry of the Jacobian, against the complex step."""
CENTRAL_RTOL = 1e-8
"""Of the largest entry, besides 20 times the estimated error, against central differences."""
ATOL = 1e-13


@dataclass(frozen=True)
class Verdict:
    """The outcome of comparing two Jacobians; `place` is the worst entry, (result, input)."""

    entries: int
    wrong: int
    inconclusive: int
    kinks: int
    largest_error: float
    place: tuple[int, ...]
    rule: float
    numerical: float
    allowed: float
    estimated_error: float
    method: str
    nonzero: bool
    compared: Compared


@dataclass(frozen=True)
class Compared:
    """Two Jacobians, of shape (results, inputs), and where they differ; of kinks a slope that the rule may give."""

    rule: Array
    numerical: Array
    wrong: Array


def judge(
    rule: Array,
    exact: Array | None,
    estimate: Estimate | None,
    rtol: float | None = None,
    atol: float | None = None,
) -> Verdict:
    """Compare the Jacobian of the rules with the complex step (`exact`), central differences, or both.

    Where both exist they must agree first. Where they do not, central differences decide within their own
    error, which is inconclusive if the rule passes. At a kink the rule has to lie between the slopes.
    """
    numerical = estimate.value if estimate is not None and exact is None else exact
    assert numerical is not None, "one of the two is needed"
    scale = largest(numerical)
    floor = ATOL if atol is None else atol
    target, allowed = numerical, np.full(numerical.shape, (RTOL if rtol is None else rtol) * scale + floor)
    nowhere = inconclusive = kinks = np.zeros(numerical.shape, bool)
    with np.errstate(all="ignore"):
        if estimate is not None:
            loose = 20 * estimate.error + (CENTRAL_RTOL if rtol is None else rtol) * scale + floor
            kinks = estimate.kinks
            low, high = np.minimum(estimate.left, estimate.right), np.maximum(estimate.left, estimate.right)
            slack = 1e-6 * np.maximum(np.abs(low), np.abs(high)) + floor
            if exact is None:
                inconclusive = ~kinks & ~(estimate.error <= 1e-4 * scale + 1e-8)
                allowed = loose
            else:
                differ = ~kinks & ~(np.abs(exact - estimate.value) <= loose) & np.isfinite(estimate.value)
                inconclusive = differ & (np.abs(rule - estimate.value) <= loose)
                target = np.where(differ, estimate.value, target)
                allowed = np.where(differ, loose, allowed)
            target = np.where(kinks, np.clip(rule, low, high), target)
            allowed = np.where(kinks, slack, allowed)
        equal = (rule == target) | (np.isnan(rule) & np.isnan(target))
        error = np.where(equal, 0.0, np.abs(rule - target))
    wrong = ~equal & ~(error <= allowed) & ~(inconclusive if exact is None else nowhere)
    excess = np.where(np.isfinite(error / allowed), error / allowed, np.inf) * (wrong + 1e-9)
    place = np.unravel_index(int(np.argmax(excess)), excess.shape) if excess.size else ()
    return Verdict(
        entries=rule.size,
        wrong=int(wrong.sum()),
        inconclusive=int(inconclusive.sum()),
        kinks=int(kinks.sum()),
        largest_error=float(error.max(initial=0.0)),
        place=tuple(map(int, place)),
        rule=float(np.real(rule[place])) if place else 0.0,
        numerical=float(np.real(target[place])) if place else 0.0,
        allowed=float(allowed[place]) if place else 0.0,
        estimated_error=float(estimate.error[place]) if estimate is not None and place else 0.0,
        method="complex step" if exact is not None else "central differences",
        nonzero=bool(np.any(rule != 0)),
        compared=Compared(rule, np.real(target), wrong),
    )


def same(a: ArrayLike | None, b: ArrayLike) -> bool:
    """Tell whether two arrays are equal, NaN included."""
    a, b = np.asarray(a), np.asarray(b)
    return np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f")


def close(a: ArrayLike, b: ArrayLike, rtol: float, scale: float | None = None) -> bool:
    """Tell whether two arrays agree, relative to the largest entry of `b`; without floats, are equal."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype.kind != "f" or b.dtype.kind != "f":
        return same(a, b)
    with np.errstate(all="ignore"):
        equal = (a == b) | (np.isnan(a) & np.isnan(b))
        near = np.abs(a - b) <= rtol * (largest(b) if scale is None else scale) + 1e-13
    return bool(np.all(equal | near))


def require(who: str, condition: object, text: str) -> None:
    """Raise `CheckFailed` unless a condition holds."""
    if not condition:
        raise CheckFailed(f"{who}: {text}")


def entry(xs: Sequence[Array], place: int) -> tuple[int, str]:
    """Return which of several arrays, flat one after the other, has an entry, and its index there as text."""
    for k, x in enumerate(xs):
        if place < x.size:
            return k, f"[{', '.join(map(str, np.unravel_index(place, x.shape)))}]"
        place -= x.size
    raise IndexError(place)


def spell(x: object) -> str:
    """Return Python source for an operand or a parameter, or for a collection of them."""
    if isinstance(x, (tuple, list)):
        parts = ", ".join(map(spell, x))
        return f"[{parts}]" if isinstance(x, list) else f"({parts},)" if x else "()"
    if isinstance(x, dict):
        return f"{{{', '.join(f'{key!r}: {spell(value)}' for key, value in x.items())}}}"
    if isinstance(x, np.random.Generator):
        bits = x.bit_generator
        state = f"setattr(rng.bit_generator, 'state', {spell(dict(bits.state))})"
        return f"(lambda rng: {state} or rng)(np.random.Generator(np.random.{type(bits).__name__}()))"
    if not isinstance(x, np.ndarray):
        return f"np.{x!r}" if isinstance(x, np.dtype) else repr(x)
    if not x.size:
        return f"np.zeros({x.shape}, np.{x.dtype})"
    text = f"np.array({x.tolist()!r})".replace("nan", "np.nan").replace("inf", "np.inf")
    return text if x.dtype in (np.float64, np.int64, np.bool_) else f"{text[:-1]}, np.{x.dtype})"


def reproduction(*lines: str) -> list[str]:
    """Return the last lines of a failure: the script that shows it again."""
    script = ("import numpy as np", "import tinygrad_nn as tn", *lines)
    return ["  reproduce", *[f"    {line}" for line in script]]


def mismatch(what: str, verdict: Verdict, where: Sequence[str], how: Sequence[str]) -> GradientMismatch:
    """Return the error for a verdict with wrong entries: where the worst is, and how to reproduce it."""
    steps = f"{COMPLEX_STEP:g}" if verdict.method == "complex step" else f"{STEPS[0]:g} ... {STEPS[-1]:.1g}"
    lines = [
        f"{what}: the gradient is wrong in {verdict.wrong} of {verdict.entries} entries",
        f"  worst      {' with respect to '.join(where)}",
        f"  rule       {verdict.rule!r}",
        f"  numerical  {verdict.numerical!r}   ({verdict.method}, h = {steps})",
        f"  error      {abs(verdict.rule - verdict.numerical):.3g}, allowed {verdict.allowed:.3g}; the "
        f"numerical derivative itself is good to {verdict.estimated_error:.1g}",
    ]
    return GradientMismatch("\n".join([*lines, *how]))
