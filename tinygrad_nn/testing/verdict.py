"""Comparing what rules say with what numerical derivatives say, and wording the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_nn.errors import GradientMismatch
from tinygrad_nn.testing.numerical import COMPLEX_STEP, STEPS, Estimate

Array = np.ndarray[Any, Any]

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
    numerical = exact if exact is not None else estimate.value  # type: ignore[union-attr]
    finite = np.abs(numerical[np.isfinite(numerical)])
    scale = float(finite.max()) if finite.size else 0.0
    floor = ATOL if atol is None else atol
    loose = np.zeros(numerical.shape)
    inconclusive = np.zeros(numerical.shape, bool)
    kinks = np.zeros(numerical.shape, bool)
    tight = np.full(numerical.shape, (RTOL if rtol is None else rtol) * scale + floor)
    allowed, target = tight, numerical
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
        same = (rule == target) | (np.isnan(rule) & np.isnan(target))
        error = np.where(same, 0.0, np.abs(rule - target))
    unknown = inconclusive if exact is None else np.zeros(numerical.shape, bool)
    wrong = ~same & ~(error <= allowed) & ~unknown
    excess = np.where(np.isfinite(error / allowed), error / allowed, np.inf) * (wrong + 1e-9)
    place = np.unravel_index(int(np.argmax(excess)), excess.shape) if excess.size else ()
    return Verdict(
        entries=rule.size,
        wrong=int(wrong.sum()),
        inconclusive=int(inconclusive.sum()),
        kinks=int(kinks.sum()),
        largest_error=float(error.max()) if error.size else 0.0,
        place=tuple(map(int, place)),
        rule=float(np.real(rule[place])) if place else 0.0,
        numerical=float(np.real(target[place])) if place else 0.0,
        allowed=float(allowed[place]) if place else 0.0,
        estimated_error=float(estimate.error[place]) if estimate is not None and place else 0.0,
        method="complex step" if exact is not None else "central differences",
        nonzero=bool(np.any(rule != 0)),
    )


def spell(x: Any) -> str:
    """Return Python source for an operand."""
    if not isinstance(x, np.ndarray):
        return repr(x)
    if not x.size:
        return f"np.zeros({x.shape}, np.{x.dtype})"
    text = f"np.array({x.tolist()!r})".replace("nan", "np.nan").replace("inf", "np.inf")
    return text if x.dtype in (np.float64, np.int64, np.bool_) else f"{text}.astype(np.{x.dtype})"


def snippet(*lines: str) -> list[str]:
    """Return the lines of a script that reproduces a failure."""
    return ["import numpy as np", "import tinygrad_nn as tn", *lines]


def mismatch(what: str, verdict: Verdict, where: Sequence[str], script: Sequence[str]) -> GradientMismatch:
    """Return the error for a verdict with wrong entries."""
    step = (
        f"h = {COMPLEX_STEP:g}"
        if verdict.method == "complex step"
        else f"h = {STEPS[0]:g} ... {STEPS[-1]:.1g}"
    )
    lines = [
        f"{what}: the gradient is wrong in {verdict.wrong} of {verdict.entries} entries",
        f"  worst      {' with respect to '.join(where)}",
        f"  rule       {verdict.rule!r}",
        f"  numerical  {verdict.numerical!r}   ({verdict.method}, {step})",
        f"  error      {abs(verdict.rule - verdict.numerical):.3g}, allowed {verdict.allowed:.3g}; the "
        f"numerical derivative itself is good to {verdict.estimated_error:.1g}",
        "  reproduce",
        *[f"    {line}" for line in script],
    ]
    return GradientMismatch("\n".join(lines))
