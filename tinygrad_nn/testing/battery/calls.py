"""The calls an op is checked on, made from what its record says: domain, kinks, samples."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_nn.engine.autodiff import gradients
from tinygrad_nn.engine.backward import backward
from tinygrad_nn.engine.node import Node
from tinygrad_nn.engine.tensor import Tensor, apply, as_tensor
from tinygrad_nn.primitives import Array, Primitive, Record
from tinygrad_nn.primitives.primitive import Kinks
from tinygrad_nn.primitives.record import Interval
from tinygrad_nn.states import is_random_source
from tinygrad_nn.testing.battery.lacking import DOMAIN
from tinygrad_nn.testing.numerical import (
    Estimate,
    along,
    away_from_zero,
    central_jacobian,
    complex_jacobian,
    flat_result,
    takes_complex,
)
from tinygrad_nn.testing.tape import compute, compute_and_save, home, rule_results
from tinygrad_nn.testing.verdict import Verdict

Chooser = Callable[[int, int], int]
"""Chooses an integer between two, both included: Hypothesis does, or a generator."""
Arrays = Sequence[Array]
"""Operands of an op: arrays, or what stands for one, Tensors and Python numbers."""

UNDEFINED = (np.empty_like,)
"""Functions whose values are not defined, only shape and dtype."""

SHAPES: dict[int, list[tuple[tuple[int, ...], ...]]] = {
    1: [((3,),), ((2, 3),), ((3, 3),), ((),), ((1,),), ((2, 1, 3),), ((1, 4),), ((0, 2),)],
    2: [
        ((3,), (3,)),
        ((2, 3), (2, 3)),
        ((3, 3), (3, 3)),
        ((2, 3), (3,)),
        ((2, 3), (2, 1)),
        ((3,), ()),
        ((), (2, 2)),
        ((1, 3), (3, 1)),
        ((2, 1, 2), (3, 1)),
        ((), ()),
        ((1,), (1,)),
        ((0, 3), (1, 3)),
    ],
    3: [((3,), (3,), (3,)), ((2, 3), (3,), (2, 1)), ((2, 2), (2, 2), (2, 2)), ((), (3,), (1,)), ((), (), ())],
}


def with_random(rng: np.random.Generator) -> Chooser:
    """Return a chooser that draws from a generator."""
    return lambda low, high: int(rng.integers(low, high, endpoint=True))


@dataclass
class OpCall:
    """One call of an op on float64 operands, with a cotangent for its result; what it draws is the same each time."""

    op: Primitive
    operands: tuple[Array, ...]
    given: dict[str, Any]
    seed: int = 0
    scale: float = 1.0
    at_kink: bool = False
    cotangent: Array = field(init=False)
    verdict: Verdict | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.wanted = tuple(k for k, x in enumerate(self.operands) if self._has_rule(k) and _is_float(x))
        self.xs = [_read_only(np.array(self.operands[k])) for k in self.wanted]
        with np.errstate(all="ignore"):
            # That a function writes into its operands is told by a check.
            copies = [x.copy() if isinstance(x, np.ndarray) else x for x in self.operands]
            self.result = compute(self.op, copies, self.params)[0]
        self.cotangent = _read_only(np.asarray(self.scale * away_from_zero(self.rng, self.result.shape)))

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, with generators that stand where the given ones do."""
        return renewed(self.given)

    def _has_rule(self, k: int) -> bool:
        return self.op.rules[0 if self.op.variadic else k] is not None

    @property
    def differentiable(self) -> bool:
        """Whether the result requires grad when the operands do."""
        return bool(self.op.differentiable and self.wanted and self.result.dtype.kind == "f")

    @property
    def input_size(self) -> int:
        """How many numbers the operands that have a rule hold."""
        return sum(x.size for x in self.xs)

    def with_operands(self, xs: Sequence[object]) -> tuple[Any, ...]:
        """Return all operands, with other values for those that have a rule."""
        values: dict[int, Any] = dict(zip(self.wanted, xs, strict=True))
        if self.op.symmetric:
            values = {k: symmetric_part(x) for k, x in values.items()}
        return tuple(values.get(k, x) for k, x in enumerate(self.operands))

    def leaves(self, xs: Arrays | None = None) -> list[Tensor]:
        """Return fresh leaves for the operands that have a rule; memory is shared with the arrays."""
        return [as_tensor(x, requires_grad=True) for x in (self.xs if xs is None else xs)]

    def on_tensors(self, tensors: Sequence[Array | Tensor]) -> Tensor:
        """Return the result for tensors in place of the operands that have a rule."""
        with np.errstate(all="ignore"):
            return apply(self.op, self.with_operands(tensors), self.params)

    def recorded(self, xs: Arrays | None = None) -> tuple[list[Tensor], Tensor]:
        """Return fresh leaves and the result for them."""
        leaves = self.leaves(xs)
        return leaves, self.on_tensors(leaves)

    def outcome(self, xs: Arrays | None = None, cotangent: Array | None = None) -> list[Array]:
        """Return the value and, where there are some, the gradients from the engine."""
        leaves, y = self.recorded(xs)
        if not self.differentiable:
            return [y._data]
        g = self.cotangent if cotangent is None else cotangent
        return [y._data, *[t._data for t in gradients(y, leaves, cotangent=g)]]

    def plain(self, xs: Arrays) -> Array:
        """Return the result on plain arrays."""
        return compute(self.op, self.with_operands(xs), self.params)[0]

    def plain_gradient(self, xs: Arrays, cotangent: Array) -> list[Array]:
        """Return what the rules themselves return on plain arrays, as they return it, without the engine."""
        operands = self.with_operands(xs)
        plan = self.op.plan(sum(1 << k for k in self.wanted), len(operands))
        _, saved = compute_and_save(self.op, operands, self.params, plan)
        shapes = tuple(map(np.shape, operands))
        return [r for _, r in rule_results(plan, saved, cotangent, self.params, shapes)]

    def gradient_at(self, xs: Arrays) -> Array:
        """Return the gradients, flat, from the rules on plain arrays, complex ones too."""
        results = self.plain_gradient(xs, self.cotangent)
        return np.concatenate([home(r, np.shape(x)).ravel() for r, x in zip(results, xs, strict=True)])

    @cached_property
    def exact(self) -> Array | None:
        """The Jacobian by the complex step, of the function or else of its reference; None where neither has one."""
        if not self.op.analytic or self.at_kink:
            return None
        for function in (self.plain, self._reference):
            if takes_complex(function, self.xs):
                return complex_jacobian(function, self.xs)
        return None

    def _reference(self, xs: Arrays) -> Array:
        if self.op.reference is None:
            raise TypeError
        return np.asarray(self.op.reference(*self.with_operands(xs), **self.params))

    @cached_property
    def estimate(self) -> Estimate:
        """The Jacobian by central differences."""
        return central_jacobian(self.plain, self.xs)

    @cached_property
    def agrees(self) -> bool:
        """Whether the complex step agrees with central differences along a random direction."""
        if self.exact is None:
            return False
        vs = [away_from_zero(self.rng, x.shape) for x in self.xs]
        estimate = central_jacobian(along(self.plain, self.xs, vs), [np.zeros(())])
        expected = self.exact @ flat_result(vs)[:, None]
        size = np.abs(self.exact).max(initial=1e-5)
        with np.errstate(all="ignore"):
            return bool(np.all(np.abs(expected - estimate.value) <= 20 * estimate.error + 1e-8 * size))

    @cached_property
    def jacobian(self) -> Array:
        """The Jacobian as the checks take it to be: the complex step where there is one."""
        return self.estimate.value if self.exact is None else self.exact

    def pull(self, y: Tensor, tensors: Sequence[Tensor], cotangent: Array) -> Array:
        """Return the gradients of a result, flat, from the engine; it can be asked again."""
        root: Any = y._node
        leaves: list[Any] = [t._node for t in tensors]
        gs = backward(root, cotangent.reshape(y.shape), wanted=set(leaves), retain=True)
        return np.concatenate([gs[n].ravel() if n in gs else np.zeros(n.data.size) for n in leaves])


def renewed(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with a copy of each random generator, so that whoever calls with them draws the same."""
    if not any(map(is_random_source, params.values())):
        return params
    return {name: copy.deepcopy(x) if is_random_source(x) else x for name, x in params.items()}


def saved_arrays(y: Tensor) -> list[Array]:
    """Return what the node of a result has saved."""
    saved = (y._node.saved if isinstance(y._node, Node) else None) or ()
    flat = [a for item in saved for a in (item if isinstance(item, tuple) else (item,))]
    return [a for a in flat if isinstance(a, np.ndarray)]


def symmetric_part(x: Any) -> Any:
    """Return the symmetric part of matrices: what changes one entry changes half of it on the other side."""
    return (x + np.swapaxes(x, -1, -2)) / 2


def _read_only(x: Array) -> Array:
    """Return an array that no rule can spoil for the checks that follow."""
    x.flags.writeable = False
    return x


def _is_float(x: object) -> bool:
    return bool(getattr(x, "dtype", np.dtype(type(x))).kind == "f")


def draw_call(op: Primitive, choose: Chooser) -> OpCall:
    """Return a call of `op` as `choose` chooses it."""
    rng = np.random.default_rng(choose(0, 2**32 - 1))
    scale = 10.0 ** choose(-3, 3)
    at_kink = _has_kinks(op) and choose(0, 7) == 0
    which = choose(0, 10**6)
    for _ in range(50):
        operands, params = _draw_operands(op, which, rng, at_kink)
        if _has_kinks(op) and not _fits_kinks(op.kinks, operands, params, at_kink):
            continue
        if not op.analytic and not op.zero_gradient and not at_kink and not are_apart(operands):
            continue
        if op.differentiable or _is_defined(op, operands, params):
            break
        which += 1
    return OpCall(op, operands, params, seed=int(rng.integers(2**31)), scale=scale, at_kink=at_kink)


def are_apart(operands: Arrays) -> bool:
    """Tell whether no two values are so close that the steps of central differences cross a tie."""
    values = np.sort(np.concatenate([np.ravel(x) for x in operands if _is_float(x)] or [np.zeros(0)]))
    return not np.any(np.diff(values) < 1e-3)


def _is_defined(op: Primitive, operands: Arrays, params: dict[str, object]) -> bool:
    """Tell whether a function without a derivative takes these operands: not all take empty ones."""
    try:
        compute(op, operands, renewed(params))
    except ValueError:
        return False
    return True


def _has_kinks(op: Primitive) -> bool:
    return callable(op.kinks) or len(op.kinks) > 0


def _draw_operands(
    op: Primitive, which: int, rng: np.random.Generator, at_kink: bool
) -> tuple[tuple[Array, ...], dict[str, object]]:
    if op.samples is None:
        choices = SHAPES[len(op.rules)]
        operands = draw_values(op, choices[which % len(choices)], rng, at_kink)
        return operands if takes_floats(op) else tuple(x.astype(np.int64) for x in operands), {}
    samples = op.samples(rng)
    operands, params = samples[which % len(samples)]
    operands = tuple(np.array(x) if isinstance(x, (np.ndarray, np.generic)) else x for x in operands)
    if at_kink:
        operands = tuple(np.asarray(np.round(x)) if _is_float(x) else x for x in operands)
    return operands, params


def takes_floats(op: Record) -> bool:
    """Tell whether an op is one of real numbers; others are of integers and bools."""
    return not isinstance(op.key, np.ufunc) or any(set(t.split("->")[0]) & set("fd") for t in op.key.types)


def _fits_kinks(kinks: Kinks, operands: Arrays, params: dict[str, object], at_kink: bool) -> bool:
    """Tell whether operands are far from every kink, or, where kinks are wanted, exactly on one."""
    with np.errstate(all="ignore"):
        if callable(kinks):
            d = np.ravel(kinks(*operands, **params))
        else:
            d = np.concatenate([np.ravel(x) - kink for x in operands if _is_float(x) for kink in kinks])
    return bool(np.any(d == 0)) if at_kink else not np.any(np.abs(d) < 0.02)


def domains(record: Record, count: int) -> list[Interval]:
    """Return the domain of each operand."""
    intervals = np.reshape(DOMAIN if record.domain is None else record.domain, (-1, 2)).tolist()
    return [tuple(intervals[min(k, len(intervals) - 1)]) for k in range(count)]


def draw_values(
    record: Record, shapes: Sequence[tuple[int, ...]], rng: np.random.Generator, at_kink: bool
) -> tuple[Array, ...]:
    """Return operands inside of the domain, far from kinks and ties, or with some on a kink."""
    total = sum(math.prod(shape) for shape in shapes)
    # Evenly spread and shuffled rather than drawn: no two values are close, also not across operands.
    places = (rng.permutation(total) + rng.uniform(0.3, 0.7, total)) / max(total, 1)
    kinks = record.kinks if isinstance(record, Primitive) else ()
    operands = []
    for shape, (low, high) in zip(shapes, domains(record, len(shapes)), strict=True):
        size = math.prod(shape)
        x = low + (high - low) * places[:size]
        places = places[size:]
        for kink in () if callable(kinks) else kinks:
            near = np.abs(x - kink) < 0.05
            x = np.where(near, kink + np.copysign(0.05 + np.abs(x - kink), x - kink), x)
        if at_kink and callable(kinks):
            x = np.clip(np.round(x), low, high)
        elif at_kink and not callable(kinks):
            x = np.where(rng.random(size) < 0.5, rng.choice(list(kinks), size), x)
        operands.append(x.reshape(shape))
    return tuple(operands)
