"""Mistakes that are told by where a derivative is wrong; each function says so where it fits."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_nn.testing.case import Case, count_in, is_near, ratio

CHANCE = 20
"""A wrong part is told by a threshold only where it is one of at least so many parts of its size."""


def exchanged(case: Case) -> str | None:
    """Two inputs have each other's derivative."""
    for k, (rule, numerical) in case.others.items():
        if case.agree(case.rule, numerical) and case.agree(rule, case.numerical):
            return f"it is the derivative by input {k}: gradients come in the order of the inputs"
    return None


def transposed(case: Case) -> str | None:
    """The transpose."""
    if case.rule.ndim == 3 and case.agree(case.rule.swapaxes(1, 2), case.numerical):
        return "the transpose of the derivative: .T is missing, or too many"
    size = len(case.rule)
    flat = case.rule.reshape(size, -1), case.numerical.reshape(size, -1)
    if case.square and case.agree(flat[0].T, flat[1]):
        return "the Jacobian is transposed: g @ W where g @ W.T is right, or the other way round"
    return None


def one_hot(case: Case) -> str | None:
    """The same number too much at one entry of each row."""
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


def one_hot_of_softmax(case: Case) -> str | None:
    """The same, of scores whose derivatives sum to 0, as those of a softmax do."""
    # The scores of a row may all be raised by the same, so that their derivatives have no sum.
    balanced = case.numerical.ndim == 3 and np.all(np.abs(case.numerical.sum(axis=2)) <= 10 * case.tolerance)
    return one_hot(case) if balanced else None


def one_hot_of_bias(case: Case) -> str | None:
    """A bias of scores with probabilities for a derivative."""
    rule, numerical = case.rule[0], case.numerical[0]
    if len(case.rule) != 1 or rule.ndim != 1 or rule.size < 2 or not np.all(rule > 0):
        return None
    total = float(rule.sum())
    if abs(numerical.sum()) > 10 * case.tolerance or total < 0.5 or not is_near(total, round(total)):
        return None
    return (
        f"positive numbers, which sum to {round(total)}, and the derivative sums to 0: probabilities, from which the "
        "one-hot row of the label is not subtracted"
    )


def elementwise(case: Case) -> str | None:
    """A diagonal Jacobian, or one whose diagonal alone is wrong."""
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


def sure_branch(case: Case) -> str | None:
    """Right up to a threshold, as few other parts of the input are."""
    return branch(case) if _parts(case) >= CHANCE else None


def branch(case: Case) -> str | None:
    """Right up to a threshold."""
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


def one_place(case: Case) -> str | None:
    """One entry, row, column or result."""
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


def other_order(case: Case) -> str | None:
    """The right numbers in another order."""
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
    known = found is not None and (is_near(found, -1) or count_in(found) or count_in(1 / found))
    return f" ({found:.4g} times the derivative there)" if known else ""
