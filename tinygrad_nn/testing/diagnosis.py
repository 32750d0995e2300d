"""What a wrong gradient looks like: each usual mistake is a row, which says so in plain words where it fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinygrad_nn.testing import everywhere, somewhere
from tinygrad_nn.testing.case import Case


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


DIAGNOSES = (
    Diagnosis("unused-argument", everywhere.unused),
    Diagnosis("not-finite", everywhere.not_finite, entries=False),
    Diagnosis("no-gradient", everywhere.no_gradient, entries=False),
    Diagnosis("exchanged-inputs", somewhere.exchanged),
    Diagnosis("opposite-sign", everywhere.opposite, entries=False),
    Diagnosis("times-n", everywhere.times, entries=False),
    Diagnosis("divided-by-n", everywhere.divided, entries=False),
    Diagnosis("constant-ratio", everywhere.constant, entries=False),
    Diagnosis("transposed", somewhere.transposed),
    Diagnosis("one-hot-forgotten", somewhere.one_hot_of_softmax),
    Diagnosis("one-hot-forgotten", somewhere.one_hot_of_bias),
    Diagnosis("branch", somewhere.sure_branch),
    Diagnosis("one-hot-forgotten", somewhere.one_hot),
    Diagnosis("penalty", everywhere.penalty),
    Diagnosis("offset", everywhere.offset),
    Diagnosis("variable-factor", everywhere.variable_factor),
    Diagnosis("elementwise", somewhere.elementwise),
    Diagnosis("branch", somewhere.branch),
    Diagnosis("one-place", somewhere.one_place),
    Diagnosis("other-order", somewhere.other_order),
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
