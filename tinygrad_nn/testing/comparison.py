"""Two gradients side by side: what differs, told in words, as a table, as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.case import Case
from tinygrad_nn.testing.diagnosis import Finding, diagnose
from tinygrad_nn.testing.numerical import ArrayFunction, ignores, split_like
from tinygrad_nn.testing.verdict import Compared

ROWS, COLUMNS = 16, 6
"""The largest table that is written out."""


def cases_of(compared: Compared, xs: Sequence[Array], f: ArrayFunction, shape: tuple[int, ...]) -> list[Case]:
    """Return what was compared, input by input, of a function with results of a shape; projections as one."""
    y = f(list(xs)).ravel()
    whole = compared.rule.shape[1] == sum(x.size for x in xs)
    arrays = compared.rule, compared.numerical, compared.wrong
    if not whole:
        return [Case(*arrays, None, y, _lengths(xs, shape), {}, lambda: False)]
    rules, numbers, wrong = (split_like(array, xs) for array in arrays)
    return [
        Case(
            rules[k],
            numbers[k],
            wrong[k],
            x,
            y,
            _lengths([x, *xs[:k], *xs[k + 1 :]], shape),
            {j: (rules[j], other) for j, other in enumerate(numbers) if j != k},
            _ignored(f, xs, k),
        )
        for k, x in enumerate(xs)
    ]


def _ignored(f: ArrayFunction, xs: Sequence[Array], k: int) -> Callable[[], bool]:
    return lambda: ignores(f, xs, [k])


def _lengths(xs: Sequence[Array], result: tuple[int, ...]) -> dict[int, str]:
    """Return the numbers that the shapes at hand have, each with what it counts."""
    found: dict[int, str] = {}
    for x in xs:
        rows = [(x.shape[0], "the number of rows of an input")] if x.ndim else []
        for length, what in [*rows, (x.size, "the number of entries of an input")]:
            found.setdefault(length, what)
        for axis, length in enumerate(x.shape):
            found.setdefault(length, f"the length of axis {axis} of an input")
    for length in result:
        found.setdefault(length, "a length of the result")
    return found


def words_for(cases: Sequence[Case], names: Sequence[str]) -> list[str]:
    """Return the lines of a failure that name the mistake and show small arrays side by side."""
    lines = [_line(finding, names if len(cases) > 1 else ()) for finding in diagnose(cases)]
    return [*lines, *_table(cases, names)]


def _line(finding: Finding, names: Sequence[str]) -> str:
    who = f"{names[finding.input]}: " if names and finding.input is not None else ""
    return f"  looks like {who}{finding.text}"


def _table(cases: Sequence[Case], names: Sequence[str]) -> list[str]:
    lines = []
    for k, case in enumerate(cases):
        if case.x is None or not case.wrong.any():
            continue
        shape = _shape(case)
        rule, numerical, wrong = (array.reshape(shape) for array in (case.rule, case.numerical, case.wrong))
        if not rule.size or shape[0] > ROWS or shape[1] > COLUMNS:
            continue
        of = "" if len(case.rule) == 1 else ", a line for each result"
        lines.append(f"  {names[k]}    rule | numerical   (* differs{of})")
        lines += [f"    {row}" for row in _side_by_side(rule, numerical, wrong)]
    return lines


def _shape(case: Case) -> tuple[int, int]:
    """Return the shape of the table for an input: its own, if it is a matrix and there is one result."""
    if len(case.rule) > 1:
        return len(case.rule), case.rule[0].size
    size = case.rule.size
    if case.rule.ndim == 2:
        return (1, size) if size <= COLUMNS else (size, 1)
    last = case.rule.shape[-1]
    return size // max(last, 1), last


def _side_by_side(rule: Array, numerical: Array, wrong: Array) -> list[str]:
    digits = next(
        n
        for n in (4, 7, 10, 17)
        if n == 17
        or all(f"{a:.{n}g}" != f"{b:.{n}g}" for a, b in zip(rule[wrong], numerical[wrong], strict=True))
    )
    # No zero has a sign.
    left, right = ([[f"{v:.{digits}g}" for v in row] for row in side + 0.0] for side in (rule, numerical))
    width = max(len(cell) for row in (*left, *right) for cell in row)
    lines = []
    for of_rule, of_numbers, marks in zip(left, right, wrong, strict=True):
        cells = [f"{cell:>{width}}{'*' if mark else ' '}" for cell, mark in zip(of_rule, marks, strict=True)]
        lines.append(f"{' '.join(cells)} | {'  '.join(f'{cell:>{width}}' for cell in of_numbers)}")
    return lines
