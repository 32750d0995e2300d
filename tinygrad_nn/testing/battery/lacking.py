"""What the record of an op lacks: told before a check as text to paste, and after it as what was not compared."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.primitives import Array, Primitive
from tinygrad_nn.primitives.signature import parameters_of
from tinygrad_nn.testing.tape import compute

DOMAIN = (-3.0, 3.0)
"""Where operands are drawn from whose record does not say it."""

NARROWER = (
    "a domain=(low, high) inside of which they are finite, or samples=, says where the op is to be checked"
)
"""What a record lacks whose calls have no finite values."""


def is_kernel(op: Primitive) -> bool:
    """Tell whether neither NumPy nor SciPy has this function, so that a reference is needed."""
    package = (getattr(op.key, "__module__", None) or "").partition(".")[0]
    return not isinstance(op.key, np.ufunc) and package not in ("numpy", "scipy")


def missing_data(op: Primitive) -> str | None:
    """Return what the record of an op lacks to be checked, as text to paste; None if nothing."""
    if not op.differentiable or op.made_of_others:
        return None
    rules = [rule for rule in op.rules if rule is not None]
    if not rules and not op.writes:
        return f"{op.name}: has no rule; if that is right, declare it:\n    differentiable=False,"
    if op.samples is not None:
        return None
    needed = [k for rule in rules for k in rule.keywords if k not in rule.defaults]
    if without := _without_rule(op, needed):
        counts = f"{len(op.rules) + len(without)} operands, {len(op.rules)} rule{'s' * (len(op.rules) != 1)}"
        return (
            f"{op.name}: {counts}: each operand has one, and one without a derivative has None; for "
            f"{', '.join(without)} paste and complete\n    lambda g, {without[0]}: ...,"
        )
    integers = [name for name, rule in zip(op.operand_names, op.rules, strict=False) if rule is None]
    if op.variadic or needed or integers or not op.broadcasts or len(op.rules) > 3:
        operands = ", ".join(["rng.normal(size=(2, 3))"] * (2 if op.variadic else len(op.rules)))
        params = ", ".join(f'"{name}": ...' for name in dict.fromkeys(needed))
        needs = ", ".join([*needed, *integers]) or "its own shapes"
        why = "is variadic" if op.variadic else f"needs {needs}"
        return (
            f"{op.name}: {why}, and the record has no calls to check; paste and complete\n"
            f"    samples=lambda rng: [(({operands},), {{{params}}})],"
        )
    return None


def _without_rule(op: Primitive, params: list[str]) -> list[str]:
    """Return the operands behind those that have rules, which a function cannot do without."""
    if op.variadic or isinstance(op.function, np.ufunc):
        return []
    positional = [
        p
        for p in parameters_of(op.function) or ()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    return [p.name for p in positional[len(op.rules) :] if p.name not in params]


def no_reference(op: Primitive) -> str | None:
    """Return what is said of an op whose values are compared with nothing; None where they are."""
    if (
        not is_kernel(op)
        or op.reference is not None
        or op.made_of_others
        or op.writes
        or not op.differentiable
    ):
        return None
    names = "*xs" if op.variadic else ", ".join(op.operand_names)
    return f"values not compared: reference=lambda {names}: ... (plain NumPy, obviously right) is missing"


def undefined(op: Primitive) -> str:
    """Return where an op of one operand has no finite values, and the domain to declare; else that one is needed."""
    if len(op.rules) != 1 or op.samples is not None or op.variadic:
        return NARROWER
    first, last = np.reshape(DOMAIN if op.domain is None else op.domain, -1)[:2].tolist()
    x = np.linspace(first, last, 121).round(12)
    try:
        with np.errstate(all="ignore"):
            y = compute(op, [x], {})[0]
    except Exception:  # whatever it raises, it is not made for rows of numbers
        return NARROWER
    run = _longest(np.isfinite(y)) if y.shape == x.shape else (0, 0)
    if run[1] - run[0] < 4:
        return NARROWER
    nan = np.isnan(y)
    kind, bad = ("NaN", nan) if nan.any() else ("infinite", ~np.isfinite(y))
    left, right = np.flatnonzero(bad[: run[0]]), np.flatnonzero(bad[run[1] :]) + run[1]
    name = op.operand_names[0]
    sides = [f"{name} < {x[left[-1] + 1]:.4g}"] if len(left) else []
    sides += [f"{name} > {x[right[0] - 1]:.4g}"] if len(right) else []
    # At its ends a function may be finite, and its slope not.
    low, high = x[run[0] + bool(run[0])], x[run[1] - 1 - (run[1] < len(x))]
    return f"{kind} for {' and '.join(sides)}: say domain=({low:.4g}, {high:.4g}), or samples="


def _longest(good: Array) -> tuple[int, int]:
    """Return where the longest run of True begins and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(int), [0]])))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    return max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
