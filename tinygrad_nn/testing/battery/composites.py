"""Functions made of other ops have no rules: value, dtype and derivatives are checked as a whole."""

from __future__ import annotations

import inspect
from functools import partial

import numpy as np

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.tensor import Tensor, as_tensor
from tinygrad_nn.errors import CheckFailed, GraphError
from tinygrad_nn.primitives import Array, Composite
from tinygrad_nn.primitives.record import Sample
from tinygrad_nn.testing.battery.calls import (
    SHAPES,
    Chooser,
    are_apart,
    draw_values,
    renewed,
    symmetric_part,
)
from tinygrad_nn.testing.battery.lacking import NARROWER
from tinygrad_nn.testing.gradcheck import GradcheckReport, gradcheck
from tinygrad_nn.testing.verdict import reproduction, require, spell


def draw_arguments(record: Composite, choose: Chooser) -> Sample:
    """Return arguments for a composite: one of its samples, or an array for each positional parameter."""
    rng = np.random.default_rng(choose(0, 2**32 - 1))
    which = choose(0, 10**6)
    if record.samples is not None:
        for _ in range(50):
            samples = record.samples(rng)
            args, params = samples[which % len(samples)]
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


def _is_float_array(x: object) -> bool:
    return bool(getattr(x, "dtype", np.dtype(bool)).kind == "f")


def _floats(args: object) -> list[Array]:
    return [np.asarray(x) for x in trees.leaves(args) if _is_float_array(x)]


def check_composite_call(
    record: Composite, args: tuple[object, ...], params: dict[str, object]
) -> GradcheckReport | None:
    """Check one call; None where there is no derivative to check."""
    xs = _floats(args)

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        replacements = iter(symmetric_part(x) for x in tensors) if record.symmetric else iter(tensors)
        operands = trees.mapped(lambda x: next(replacements) if _is_float_array(x) else x, args)
        with np.errstate(all="ignore"):
            return tuple(trees.leaves(record.function(*operands, **renewed(params))))

    results = function(*map(as_tensor, xs))
    if record.reference is not None:
        call = f"tn.{record.name}(*{spell(args)}, **{spell(params)})"
        with np.errstate(all="ignore"):
            expected = trees.leaves(record.reference(*args, **renewed(params)))
        for result, other in zip(results, expected, strict=True):
            a, b = np.asarray(result._data if isinstance(result, Tensor) else result), np.asarray(other)
            if a.shape != b.shape or not np.allclose(a, b, rtol=1e-11, atol=1e-13, equal_nan=True):
                text = f"{record.name}: value {a!r}, the reference gives {b!r}"
                raise CheckFailed("\n".join([text, *reproduction(call)]))
    if not record.differentiable:
        return None

    def derived(*tensors: Tensor) -> tuple[Tensor, ...]:
        # Of a rank and the like there is no derivative.
        return tuple(y for y in function(*tensors) if _is_float_array(y))

    results = derived(*map(as_tensor, xs))
    values = [y.data for y in results]
    require(
        record.name,
        all(np.isfinite(value).all() for value in values),
        f"there is no derivative where the values are {values!r}; {NARROWER}",
    )
    for y in derived(*[as_tensor(x.astype(np.float32), requires_grad=True) for x in xs]):
        require(
            record.name,
            y.requires_grad and y.dtype == np.float32,
            f"float32 tensors that require grad give {y.dtype}, requires_grad={y.requires_grad}",
        )
    if not sum(x.size for x in xs) or not sum(y.size for y in results):
        return GradcheckReport(1, "jacobian", "empty", 0, 0, 0, 0.0, nonzero=False)
    second_order = partial(gradcheck, derived, *xs, order=2, mode="directions", directions=1)
    try:
        # Exact, and one gradient where central differences are a dozen.
        second_order(method="complex")
    except GraphError:  # an op of it or of its gradient is not analytic
        second_order()
    try:
        return gradcheck(derived, *xs, mode="jacobian", method="complex")
    except GraphError:  # an op of it is not analytic, and central differences are many
        few = sum(x.size for x in xs) <= 8
        return gradcheck(derived, *xs, mode="jacobian" if few else "directions", method="central")
