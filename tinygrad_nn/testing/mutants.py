"""The checks are checked: every rule is broken in some thirty ways, and the battery has to notice each.

A mutator takes a rule's function and returns a broken one. A mutant that gave the same results as its rule
on every call, in float64, float32 and recorded, is equivalent as far as anyone could tell; all others must be
caught.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from tinygrad_nn.engine.autodiff import gradients
from tinygrad_nn.engine.tensor import Tensor, as_tensor
from tinygrad_nn.primitives import Array, Primitive, Record
from tinygrad_nn.primitives.rule import Rule
from tinygrad_nn.testing.battery import CHECKS, derivatives, duties
from tinygrad_nn.testing.battery.calls import SHAPES, Chooser, OpCall, draw_call, saved_arrays
from tinygrad_nn.testing.battery.lacking import missing_data
from tinygrad_nn.testing.numerical import away_from_zero, largest
from tinygrad_nn.testing.tape import home
from tinygrad_nn.testing.verdict import close

Value = Array | Tensor
"""A cotangent, or a saved value: an array, or a Tensor at higher orders."""
RuleFunction = Callable[..., object]
Mutator = Callable[[RuleFunction], RuleFunction]
Values = tuple[Value, ...]


def _on_result(change: Callable[[Array, Array], object]) -> Mutator:
    """Return a mutator that changes the array a rule returns, given it and the cotangent."""

    def mutator(rule: RuleFunction) -> RuleFunction:
        def broken(g: Value, *values: Value, **keywords: object) -> object:
            r = rule(g, *values, **keywords)
            if isinstance(r, Tensor):
                return r
            return change(np.asarray(r), g._data if isinstance(g, Tensor) else g)

        return broken

    return mutator


def _on_inputs(change: Callable[[Value, Values], tuple[Value, Values]]) -> Mutator:
    """Return a mutator that changes what a rule is given, the cotangent and the saved values."""

    def mutator(rule: RuleFunction) -> RuleFunction:
        def broken(g: Value, *values: Value, **keywords: object) -> object:
            g, values = change(g, values)
            return rule(g, *values, **keywords)

        return broken

    return mutator


def _on_arrays(change: Callable[[Array], Array]) -> Mutator:
    """Return a mutator that changes the cotangent at first order."""
    return _on_inputs(lambda g, values: (g if isinstance(g, Tensor) else change(g), values))


def _on_tensors(change: Callable[[Tensor], Value]) -> Mutator:
    """Return a mutator that changes the cotangent at higher orders."""
    return _on_inputs(lambda g, values: (change(g) if isinstance(g, Tensor) else g, values))


def _on_saved(change: Callable[[Value], Value]) -> Mutator:
    """Return a mutator that changes each saved value."""
    return _on_inputs(lambda g, values: (g, _each(values, change)))


def _each(values: Values, change: Callable[[Value], Value]) -> Values:
    return tuple(_each(v, change) if isinstance(v, tuple) else change(v) for v in values)


def _scaled_entries(places: slice, factor: float) -> Callable[[Array, Array], Array]:
    def change(r: Array, _: Array) -> Array:
        r = r.copy()
        r.flat[places] *= factor
        return r

    return change


def _real(v: object) -> bool:
    return isinstance(v, np.ndarray) and v.dtype.kind in "fc"


def _swapped(g: Value, values: Values) -> tuple[Value, Values]:
    fits = len(values) > 1 and all(np.shape(v) == np.shape(values[0]) and _real(v) for v in values)
    return g, values[::-1] if fits else values


def _writes_into_the_cotangent(rule: RuleFunction) -> RuleFunction:
    def broken(g: Value, *values: Value, **keywords: object) -> object:
        r = rule(g, *values, **keywords)
        if isinstance(g, np.ndarray):
            r = np.array(r)
            g *= 2
        return r

    return broken


def _writes_into_saved_values(rule: RuleFunction) -> RuleFunction:
    def broken(g: Value, *values: Value, **keywords: object) -> object:
        r = rule(g, *values, **keywords)
        for v in filter(_real, values):
            r = np.array(r)
            v += 1
        return r

    return broken


def _stale_saved_values(rule: RuleFunction) -> RuleFunction:
    before: list[Values] = []

    def broken(g: Value, *values: Value, **keywords: object) -> object:
        if any(isinstance(v, Tensor) for v in values):
            return rule(g, *values, **keywords)
        fits = before and [np.shape(v) for v in before[0]] == [np.shape(v) for v in values]
        stale = before[0] if fits else values
        before[:] = [_each(values, lambda v: v.copy() if isinstance(v, np.ndarray) else v)]
        return rule(g, *stale, **keywords)

    return broken


def _changes_from_call_to_call(rule: RuleFunction) -> RuleFunction:
    count = itertools.count(1)
    return _on_result(lambda r, _: r * r.dtype.type(1 + 1e-4 * next(count)))(rule)


MUTATORS: dict[str, Mutator] = {
    "scaled by 1 + 1e-6": _on_result(lambda r, _: r * r.dtype.type(1 + 1e-6)),
    "sign": _on_result(lambda r, _: -r),
    "zeros": _on_result(lambda r, _: np.zeros_like(r)),
    "doubled": _on_result(lambda r, _: r + r),
    "offset": _on_result(lambda r, _: r + r.dtype.type(1e-3)),
    "absolute value": _on_result(lambda r, _: np.abs(r).astype(r.dtype)),
    "transposed when square": _on_result(lambda r, _: r.T if r.ndim == 2 and len(r) == r.shape[1] else r),
    "rolled": _on_result(lambda r, _: np.roll(r, 1)),
    "reversed": _on_result(lambda r, _: r[::-1] if r.ndim else r),
    "first entry zero": _on_result(_scaled_entries(slice(1), 0.0)),
    "last entry scaled": _on_result(_scaled_entries(slice(-1, None), 1.001)),
    "summed out": _on_result(lambda r, _: np.sum(r, dtype=r.dtype)),
    "averaged over the first axis": _on_result(
        lambda r, _: r.mean(0, keepdims=True, dtype=r.dtype) if r.ndim and len(r) else r
    ),
    "first row for all": _on_result(lambda r, _: r[:1] if r.ndim and len(r) else r),
    "double precision": _on_result(lambda r, _: r.astype(np.result_type(r, np.float64))),
    "rounded to single": _on_result(
        lambda r, _: r.astype(np.float32).astype(r.dtype) if r.dtype.kind == "f" else r
    ),
    "NaN for a zero cotangent": _on_result(
        lambda r, g: r + r.dtype.type(np.nan) if np.size(g) and not np.any(g) else r
    ),
    "None": _on_result(lambda *_: None),
    "a list": _on_result(lambda r, _: r.tolist()),
    "ones instead of the cotangent": _on_arrays(np.ones_like),
    "absolute cotangent": _on_arrays(lambda g: np.abs(g).astype(g.dtype)),
    "clipped cotangent": _on_arrays(lambda g: np.clip(g.real, -1, 1).astype(g.dtype)),
    "averaged cotangent": _on_arrays(lambda g: np.full_like(g, g.mean() if g.size else 0)),
    "saved values scaled": _on_saved(lambda v: v * v.dtype.type(1 + 1e-6) if _real(v) else v),
    "saved values swapped": _on_inputs(_swapped),
    "saved values detached": _on_saved(lambda v: v.detach() if isinstance(v, Tensor) else v),
    "cotangent detached": _on_tensors(lambda g: g.detach()),
    "second order scaled": _on_tensors(lambda g: g * 1.001),
    "writes into the cotangent": _writes_into_the_cotangent,
    "writes into saved values": _writes_into_saved_values,
    "stale saved values": _stale_saved_values,
    "changes from call to call": _changes_from_call_to_call,
}
"""What each does to a rule's function, by the bug it plants."""

UNRELATED = (derivatives.value, duties.wrong_call, duties.out_argument)
"""Checks of the function, which a mutant of a rule does not touch."""


@dataclass
class MutationReport:
    """How many mutants there were, were caught, and were equivalent to their rule; `survivors` were not caught."""

    mutants: int = 0
    caught: int = 0
    equivalent: int = 0
    survivors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"{self.mutants} mutants: {self.caught} caught, {self.equivalent} equivalent"
        return "\n".join([f"{counts}, {len(self.survivors)} survived", *self.survivors])

    __repr__ = __str__


def calls_for(op: Primitive) -> list[OpCall]:
    """Return a few calls that together show every difference: broadcast, square and not, every sample."""
    samples = SHAPES[len(op.rules)] if op.samples is None else op.samples(np.random.default_rng(0))
    at_kink = [7] if op.kinks != () else []
    calls = [
        draw_call(op, _in_order([which + 1, 0, *at_kink, which]))
        for which in range(0, len(samples), max(1, len(samples) // 8))
    ]
    useful = [call for call in calls if call.differentiable and call.result.size and call.input_size]
    return sorted(useful, key=lambda call: -call.result.size if call.result.size < 12 else 0)


def _in_order(choices: Sequence[int]) -> Chooser:
    rest = iter(choices)
    return lambda low, high: min(max(next(rest, 0), low), high)


@contextmanager
def replaced(rule: Rule, function: RuleFunction) -> Iterator[None]:
    """Run the body with another function in a rule."""
    original = rule.function
    rule.function = function
    try:
        yield
    finally:
        rule.function = original


def _outcome(call: OpCall) -> list[Array]:
    """Return all that the rules of a call bring about, run in every way the battery runs them."""
    outcome: list[Array] = []
    with np.errstate(all="ignore"):
        narrow = [x.astype(np.float32) for x in call.xs]
        for xs, g in (
            (call.xs, call.cotangent.copy()),
            (call.xs, np.zeros_like(call.cotangent)),
            (narrow, call.cotangent.astype(call.plain(narrow).dtype)),
        ):
            outcome += [home(r, x.shape) for r, x in zip(call.plain_gradient(xs, g), xs, strict=True)]
            outcome.append(g)
        tensors, y = call.recorded([x.copy() for x in call.xs])
        seed = as_tensor(call.cotangent, requires_grad=True)
        first = gradients(y, tensors, cotangent=seed, create_graph=True)
        gradients(y, tensors, cotangent=call.cotangent.copy(), retain_graph=True)
        outcome += [g._data for g in first] + [t._data for t in tensors] + saved_arrays(y)
        rng = np.random.default_rng(call.seed)
        terms = [(g * away_from_zero(rng, g.shape)).sum() for g in first]
        total = sum(terms[1:], terms[0])
        if total.requires_grad:
            outcome += [g._data for g in gradients(total, [*tensors, seed])]
    return outcome


def _equal(a: Sequence[Array], b: Sequence[Array], scale: float) -> bool:
    """Compare outcomes to rounding: a rule of x / y gives the same when both were scaled."""
    if len(a) != len(b) or any(x.dtype != y.dtype for x, y in zip(a, b, strict=True)):
        return False
    tolerances = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 6e-7}
    return all(close(x, y, tolerances.get(x.dtype, 0.0), scale) for x, y in zip(a, b, strict=True))


def is_caught(calls: Sequence[OpCall]) -> bool:
    """Tell whether a check of the battery fails on one of the calls."""
    for call in calls:
        for check in CHECKS:
            if check not in UNRELATED:
                try:
                    check(call)
                except Exception:  # any error will do: a mutant may make the rule itself fail
                    return True
    return False


def breakable(records: Iterable[Record]) -> list[Primitive]:
    """Return the ops that have rules to break, and all that their checks need."""
    ops = [op for op in dict.fromkeys(records) if isinstance(op, Primitive) and op.differentiable]
    return [op for op in ops if not (op.writes or op.made_of_others or missing_data(op))]


def mutation_test(ops: Iterable[Primitive], mutators: Mapping[str, Mutator] = MUTATORS) -> MutationReport:
    """Break every rule of `ops` in every way, and let the battery look at each mutant."""
    report = MutationReport()
    for op in ops:
        calls = calls_for(op)
        outcomes = [_outcome(call) for call in calls]
        scales = [largest(*outcome) for outcome in outcomes]
        rules = [(index, rule) for index, rule in enumerate(op.rules) if rule is not None]
        for (index, rule), (name, mutator) in itertools.product(rules, mutators.items()):
            report.mutants += 1
            with replaced(rule, mutator(rule.function)):
                expected = zip(calls, outcomes, scales, strict=True)
                first = next((call for call, o, scale in expected if _differs(call, o, scale)), None)
                if first is None:
                    report.equivalent += 1
                elif is_caught([first]) or is_caught(calls):
                    report.caught += 1
                else:
                    report.survivors.append(f"{op.name}, rule {index}: {name}")
    return report


def _differs(call: OpCall, expected: Sequence[Array], scale: float) -> bool:
    try:
        return not _equal(_outcome(call), expected, scale)
    except Exception:  # the rule it is a mutant of does not fail
        return True
