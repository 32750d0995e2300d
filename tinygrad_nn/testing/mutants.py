"""The checks are checked: every rule is broken in some thirty ways, and the battery has to notice each.

A mutator takes a rule's function and returns a broken one. A mutant that gave the same results as its rule
on every call, in float64, float32 and recorded, is equivalent as far as anyone could tell; all others must be
caught.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_nn.engine.autodiff import gradients
from tinygrad_nn.engine.tensor import Tensor, as_tensor
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.rule import Rule
from tinygrad_nn.testing.battery import CHECKS
from tinygrad_nn.testing.battery.calls import SHAPES, Call, draw_call
from tinygrad_nn.testing.battery.failing import close, largest, saved_arrays
from tinygrad_nn.testing.gradcheck import away_from_zero
from tinygrad_nn.testing.tape import home

Array = np.ndarray[Any, Any]
Broken = Callable[..., Any]
Mutator = Callable[[Broken], Broken]
MUTATORS: dict[str, Mutator] = {}
UNRELATED = ("value", "wrong_call", "out_argument")
"""Checks of the function, which a mutant of a rule does not touch."""


def _on_result(name: str, change: Callable[[Any, Any], Any]) -> None:
    """Register a mutator that changes the array a rule returns, given it and the cotangent."""

    def mutator(rule: Broken) -> Broken:
        def broken(g: Any, *values: Any, **keywords: Any) -> Any:
            r = rule(g, *values, **keywords)
            return r if isinstance(r, Tensor) else change(np.asarray(r), g)

        return broken

    MUTATORS[name] = mutator


def _on_inputs(name: str, change: Callable[[Any, tuple[Any, ...]], tuple[Any, tuple[Any, ...]]]) -> None:
    """Register a mutator that changes what a rule is given, the cotangent and the saved values."""

    def mutator(rule: Broken) -> Broken:
        def broken(g: Any, *values: Any, **keywords: Any) -> Any:
            g, values = change(g, values)
            return rule(g, *values, **keywords)

        return broken

    MUTATORS[name] = mutator


def _arrays_only(change: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda g, values: (g if isinstance(g, Tensor) else change(g), values)


def _entry(place: int, factor: float) -> Callable[[Any, Any], Any]:
    def change(r: Array, _: Any) -> Array:
        r = r.copy()
        if r.size:
            r.flat[place] *= factor
        return r

    return change


def _each(values: Any, change: Callable[[Any], Any]) -> Any:
    return tuple(_each(v, change) if isinstance(v, tuple) else change(v) for v in values)


def _real(v: Any) -> bool:
    return isinstance(v, np.ndarray) and v.dtype.kind in "fc"


def _swapped(g: Any, values: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    fits = len(values) > 1 and all(np.shape(v) == np.shape(values[0]) and _real(v) for v in values)
    return g, values[::-1] if fits else values


_on_result("scaled by 1 + 1e-6", lambda r, _: r * r.dtype.type(1 + 1e-6))
_on_result("sign", lambda r, _: -r)
_on_result("zeros", lambda r, _: np.zeros_like(r))
_on_result("doubled", lambda r, _: r + r)
_on_result("offset", lambda r, _: r + r.dtype.type(1e-3))
_on_result("absolute value", lambda r, _: np.abs(r).astype(r.dtype))
_on_result("transposed when square", lambda r, _: r.T if r.ndim == 2 and r.shape[0] == r.shape[1] else r)
_on_result("rolled", lambda r, _: np.roll(r, 1))
_on_result("reversed", lambda r, _: r[::-1] if r.ndim else r)
_on_result("first entry zero", _entry(0, 0.0))
_on_result("last entry scaled", _entry(-1, 1.001))
_on_result("summed out", lambda r, _: np.sum(r, dtype=r.dtype))
_on_result(
    "averaged over the first axis",
    lambda r, _: r.mean(0, keepdims=True, dtype=r.dtype) if len(r.shape) and len(r) else r,
)
_on_result("first row for all", lambda r, _: r[:1] if r.ndim and len(r) else r)
_on_result("double precision", lambda r, _: r.astype(np.result_type(r, np.float64)))
_on_result(
    "rounded to single", lambda r, _: r.astype(np.float32).astype(r.dtype) if r.dtype.kind == "f" else r
)
_on_result(
    "NaN for a zero cotangent", lambda r, g: r + r.dtype.type(np.nan) if np.size(g) and not np.any(g) else r
)
_on_result("None", lambda *_: None)
_on_result("a list", lambda r, _: r.tolist())
_on_inputs("ones instead of the cotangent", _arrays_only(np.ones_like))
_on_inputs("absolute cotangent", _arrays_only(lambda g: np.abs(g).astype(g.dtype)))
_on_inputs("clipped cotangent", _arrays_only(lambda g: np.clip(g.real, -1, 1).astype(g.dtype)))
_on_inputs("averaged cotangent", _arrays_only(lambda g: np.full_like(g, g.mean() if g.size else 0)))
_on_inputs(
    "saved values scaled", lambda g, v: (g, _each(v, lambda a: a * a.dtype.type(1 + 1e-6) if _real(a) else a))
)
_on_inputs("saved values swapped", _swapped)
_on_inputs("cotangent detached", lambda g, v: (g.detach() if isinstance(g, Tensor) else g, v))
_on_inputs(
    "saved values detached", lambda g, v: (g, _each(v, lambda a: a.detach() if isinstance(a, Tensor) else a))
)
_on_inputs("second order scaled", lambda g, v: (g * 1.001 if isinstance(g, Tensor) else g, v))


def _mutator(function: Mutator) -> Mutator:
    MUTATORS[function.__name__.replace("_", " ").strip()] = function
    return function


@_mutator
def writes_into_the_cotangent(rule: Broken) -> Broken:
    def broken(g: Any, *values: Any, **keywords: Any) -> Any:
        r = rule(g, *values, **keywords)
        if isinstance(g, np.ndarray):
            r = np.array(r)
            g *= 2
        return r

    return broken


@_mutator
def writes_into_saved_values(rule: Broken) -> Broken:
    def broken(g: Any, *values: Any, **keywords: Any) -> Any:
        r = rule(g, *values, **keywords)
        for v in values:
            if _real(v):
                r = np.array(r)
                v += 1
        return r

    return broken


@_mutator
def stale_saved_values(rule: Broken) -> Broken:
    before: list[Any] = []

    def broken(g: Any, *values: Any, **keywords: Any) -> Any:
        if any(isinstance(v, Tensor) for v in values):
            return rule(g, *values, **keywords)
        fits = before and [np.shape(v) for v in before[0]] == [np.shape(v) for v in values]
        used = before[0] if fits else values
        before[:] = [_each(values, lambda v: v.copy() if isinstance(v, np.ndarray) else v)]
        return rule(g, *used, **keywords)

    return broken


@_mutator
def changes_from_call_to_call(rule: Broken) -> Broken:
    calls = [0]

    def broken(g: Any, *values: Any, **keywords: Any) -> Any:
        calls[0] += 1
        r = rule(g, *values, **keywords)
        return r if isinstance(r, Tensor) else np.asarray(r) * np.asarray(r).dtype.type(1 + 1e-4 * calls[0])

    return broken


@dataclass
class MutationReport:
    """How many mutants were made, caught, and equivalent to their rule; `survivors` were not caught."""

    made: int = 0
    caught: int = 0
    equivalent: int = 0
    survivors: list[str] = field(default_factory=list)


def calls_for(op: Primitive) -> list[Call]:
    """Return a few calls that together show every difference: broadcast, square and not, every sample."""
    count = (
        len(op.samples(np.random.default_rng(0))) if op.samples is not None else len(SHAPES[len(op.rules)])
    )
    step = max(1, count // 8)
    calls = []
    for which in range(0, count, step):
        choices = iter([which + 1, 0, *([7] if op.kinks != () else []), which])
        calls.append(draw_call(op, lambda low, high, c=choices: min(max(next(c, 0), low), high)))  # type: ignore[misc]
    useful = [
        call for call in calls if call.differentiable and call.result.size and any(x.size for x in call.xs)
    ]
    return sorted(useful, key=lambda call: -call.result.size if call.result.size < 12 else 0)


@contextmanager
def replaced(rule: Rule, function: Broken) -> Iterator[None]:
    """Run the body with another function in a rule."""
    kept = rule.function
    rule.function = function
    try:
        yield
    finally:
        rule.function = kept


def _outcome(call: Call) -> list[Array]:
    """Return all that the rules of a call bring about, run in every way the battery runs them."""
    with np.errstate(all="ignore"):
        seen = []
        narrow = [x.astype(np.float32) for x in call.xs]
        for xs, g in (
            (call.xs, call.cotangent.copy()),
            (call.xs, np.zeros_like(call.cotangent)),
            (narrow, call.cotangent.astype(call.plain(narrow).dtype)),
        ):
            seen += [home(r, x.shape) for r, x in zip(call.plain_gradient(xs, g), xs, strict=True)]
            seen.append(g)
        tensors = call.leaves([x.copy() for x in call.xs])
        seed = as_tensor(call.cotangent, requires_grad=True)
        y = call.on_tensors(tensors)
        first = gradients(y, tensors, cotangent=seed, create_graph=True)
        gradients(y, tensors, cotangent=call.cotangent.copy(), retain_graph=True)
        seen += [g._data for g in first] + [t._data for t in tensors] + saved_arrays(y)
        total: Any = sum((g * w).sum() for g, w in zip(first, _weights(call), strict=True))
        if total.requires_grad:
            seen += [g._data for g in gradients(total, [*tensors, seed])]
    return seen


def _weights(call: Call) -> list[Array]:
    rng = np.random.default_rng(call.seed)
    return [away_from_zero(rng, x.shape) for x in call.xs]


def _equal(a: Sequence[Array], b: Sequence[Array]) -> bool:
    """Compare outcomes to rounding: a rule of x / y gives the same when both were scaled."""
    if len(a) != len(b) or any(x.dtype != y.dtype for x, y in zip(a, b, strict=True)):
        return False
    scale = largest(*b)
    tolerances = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 6e-7}
    return all(close(x, y, tolerances.get(x.dtype, 0.0), scale) for x, y in zip(a, b, strict=True))


def is_caught(calls: Sequence[Call]) -> bool:
    """Tell whether a check of the battery fails on one of the calls."""
    for call in calls:
        for name, check in CHECKS.items():
            if name not in UNRELATED:
                try:
                    check(call)
                except Exception:  # any error will do: a mutant may make the rule itself fail
                    return True
    return False


def mutation_test(ops: Sequence[Primitive], mutators: Mapping[str, Mutator] = MUTATORS) -> MutationReport:
    """Break every rule of `ops` in every way, and let the battery look at each mutant."""
    report = MutationReport()
    for op in ops:
        calls = calls_for(op)
        expected = [_outcome(call) for call in calls]
        for index, rule in enumerate(op.rules):
            if rule is None:
                continue
            for name, mutator in mutators.items():
                report.made += 1
                with replaced(rule, mutator(rule.function)):
                    pairs = zip(calls, expected, strict=True)
                    shown = next((call for call, seen in pairs if _differs(call, seen)), None)
                    if shown is None:
                        report.equivalent += 1
                    elif is_caught([shown]) or is_caught(calls):
                        report.caught += 1
                    else:
                        report.survivors.append(f"{op.name}, rule {index}: {name}")
    return report


def _differs(call: Call, expected: Sequence[Array]) -> bool:
    try:
        return not _equal(_outcome(call), expected)
    except Exception:  # the rule it is a mutant of does not fail
        return True
