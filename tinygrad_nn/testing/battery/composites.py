"""Functions made of other ops have no rules: value, dtype and derivatives are checked as a whole."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_nn.engine.tensor import Tensor, as_tensor
from tinygrad_nn.errors import CheckFailed, GraphError
from tinygrad_nn.primitives.composite import Composite
from tinygrad_nn.testing.battery.calls import SHAPES, are_apart, draw_values
from tinygrad_nn.testing.gradcheck import GradcheckReport, gradcheck
from tinygrad_nn.testing.verdict import snippet, spell

Array = np.ndarray[Any, Any]


def draw_arguments(
    record: Composite, integer: Callable[[int, int], int]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments for a composite: one of its samples, or an array for each positional parameter."""
    rng = np.random.default_rng(integer(0, 2**32 - 1))
    which = integer(0, 10**6)
    if record.samples is not None:
        for _ in range(50):
            calls = record.samples(rng)
            args, params = calls[which % len(calls)]
            if are_apart(list(_floats(args))):
                break
        return args, params
    positional = [
        p
        for p in inspect.signature(record.function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    if len(positional) not in SHAPES:
        raise CheckFailed(
            f"{record.name}: the composite has no calls to check; paste and complete\n"
            "    samples=lambda rng: [((rng.normal(size=(2, 3)),), {})],"
        )
    choices = SHAPES[len(positional)]
    return draw_values(record, choices[which % len(choices)], rng, False), {}


def _floats(x: Any) -> Iterator[Array]:
    for part in x if isinstance(x, (tuple, list)) else (x,):
        if isinstance(part, (tuple, list)):
            yield from _floats(part)
        elif getattr(part, "dtype", np.dtype(bool)).kind == "f":
            yield np.asarray(part)


def _with(x: Any, replacements: Iterator[Any]) -> Any:
    """Return the arguments with their floating arrays replaced, one after the other."""
    if isinstance(x, (tuple, list)):
        return type(x)([_with(part, replacements) for part in x])
    return next(replacements) if getattr(x, "dtype", np.dtype(bool)).kind == "f" else x


def _parts(y: Any) -> list[Any]:
    return [part for item in y for part in _parts(item)] if isinstance(y, (tuple, list)) else [y]


def check_composite_call(
    record: Composite, args: tuple[Any, ...], params: dict[str, Any]
) -> GradcheckReport | None:
    """Check one call; None where there is no derivative to check."""
    xs = list(_floats(args))

    def function(*tensors: Any) -> Any:
        with np.errstate(all="ignore"):
            y = record.function(*_with(args, iter(tensors)), **params)
        return tuple(_parts(y)) if isinstance(y, (tuple, list)) else y

    script = snippet(
        f"args = {tuple(spell(a) for a in args)}".replace('"', ""), f"tn.{record.name}(*args, **{params!r})"
    )
    if record.reference is not None:
        with np.errstate(all="ignore"):
            expected = _parts(record.reference(*args, **params))
        found = _parts(function(*[as_tensor(x) for x in xs]))
        for a, b in zip(found, expected, strict=True):
            a, b = np.asarray(a._data if isinstance(a, Tensor) else a), np.asarray(b)
            if a.shape != b.shape or not np.allclose(a, b, rtol=1e-11, atol=1e-13, equal_nan=True):
                raise CheckFailed(
                    "\n    ".join([f"{record.name}: value {a!r}, the reference gives {b!r}", *script])
                )
    if not record.differentiable:
        return None
    for y in _parts(function(*[as_tensor(x.astype(np.float32), requires_grad=True) for x in xs])):
        if not y.requires_grad or y.dtype != np.float32:
            raise CheckFailed(
                f"{record.name}: float32 tensors that require grad give {y.dtype}, "
                f"requires_grad={y.requires_grad}"
            )
    if not sum(x.size for x in xs) or not sum(y.size for y in _parts(function(*map(as_tensor, xs)))):
        return GradcheckReport(1, "jacobian", "empty", 0, 0, 0, 0.0, True)
    gradcheck(function, *xs, order=2, mode="directions", directions=1)
    try:
        return gradcheck(function, *xs, mode="jacobian", method="complex")
    except GraphError:  # an op of it is not analytic, and central differences are many
        few = sum(x.size for x in xs) <= 8
        return gradcheck(function, *xs, mode="jacobian" if few else "directions", method="central")
