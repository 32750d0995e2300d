"""The record of a function that has a derivative, and the registry in which everything else finds it.

There are two kinds: a `Primitive` has derivative rules, a `Composite` is made of other ops. From a record follow
NumPy's dispatch, the method of Tensor, the label in graphs, the row in the docs, and the checks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import numpy as np

from tinygrad_nn.errors import BadRule
from tinygrad_nn.primitives.operands import Function, Operands, Params

Interval = tuple[float, float]
Domain = Interval | tuple[Interval, ...]
"""Where operands are drawn from: one interval for all, or one for each."""
Sample = tuple[Operands, Params]
"""One call of an op: its operands and its parameters."""
Samples = Callable[[np.random.Generator], list[Sample]]

Home = tuple[object, ...]
"""Where a declaration stands: the name of the module first, then what tells it from others there."""


class Record:
    """What both kinds have in common.

    Attributes:
        key: the function that a user calls: NumPy's, or a kernel itself.
        function: what computes the result on plain arrays.
        name: how graphs, errors and the docs call it.
        method: whether Tensor has a method of this name.
        reference: an obviously right version of it, which the checks compare it with.
        domain, samples: what the checks call it with: random operands from there, or exactly these calls.
        analytic: whether it computes with complex numbers too, so that derivatives can be checked by a complex step.
        differentiable: whether its results require grad when an operand does.
        home: where it was declared.
        made_of_others: whether it is made of other ops and has no rule of its own; an op of a user may give it one.
    """

    key: Function
    function: Function
    name: str
    method: bool
    reference: Function | None
    domain: Domain | None
    samples: Samples | None
    analytic: bool
    differentiable: bool
    home: Home
    made_of_others = False


REGISTRY: dict[object, Record] = {}
"""Everything that has a derivative, by NumPy function (aliases too) and by name."""

_BY_NAME = ("numpy.fft", "scipy.special")
"""Modules that are not imported for our sake: what we have of theirs is registered as "numpy.fft.fftshift"."""


_MAY_BE_THERE = frozenset({*_BY_NAME, None})
"""What functions of these modules say of their origin; ufuncs say nothing."""


def find(function: Function) -> Record | None:
    """Return the record of a function that a user has called, if there is one."""
    record = REGISTRY.get(function)
    if record is None and getattr(function, "__module__", None) in _MAY_BE_THERE:
        name = getattr(function, "__name__", "")
        for home in _BY_NAME:
            if getattr(sys.modules.get(home), name, None) is function:
                return REGISTRY.get(f"{home}.{name}")
    return record


LISTENERS: list[Callable[[Record], None]] = []
"""Told of every record that is registered; Tensor listens and makes a method of it."""


def register(record: Record, keys: Iterable[object], home: Home) -> None:
    """Enter a record under its name and its keys; one that was declared in the same place before is forgotten.

    Raises:
        BadRule: one of them is taken, and not by the same code, run twice as a cell of a notebook is.
    """
    record.home = home
    names = dict.fromkeys([record.name, *keys])
    replaced = {REGISTRY[key] for key in names if key in REGISTRY}
    ours = str(home[0]).startswith("tinygrad_nn.")
    for key in names:
        old = REGISTRY.get(key)
        if old is not None and (
            ours or (old.home != home and (record.made_of_others or not old.made_of_others))
        ):
            raise BadRule(
                f"{record.name}: {key!r} is registered already, as {old!r}\n"
                "  hint   name=... gives an op another name"
            )
    for key in [key for key, old in REGISTRY.items() if old in replaced and key not in names]:
        del REGISTRY[key]
    REGISTRY.update(dict.fromkeys(names, record))
    for listener in LISTENERS:
        listener(record)
