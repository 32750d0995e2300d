"""The checks of what an op computes: value, Jacobian, linearity, second order, single precision."""

from __future__ import annotations

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.autodiff import gradients
from tinygrad_nn.engine.tensor import Tensor, as_tensor
from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.battery.calls import UNDEFINED, OpCall
from tinygrad_nn.testing.battery.failing import fail, reproduction_of
from tinygrad_nn.testing.battery.lacking import is_kernel, undefined
from tinygrad_nn.testing.comparison import cases_of, words_for
from tinygrad_nn.testing.numerical import (
    along,
    away_from_zero,
    central_jacobian,
    complex_jacobian,
    flat_result,
    largest,
    split_like,
    takes_complex,
)
from tinygrad_nn.testing.verdict import close, entry, judge, mismatch, same


def value(call: OpCall) -> bool:
    """The result is the reference's, recorded or not; it requires grad when it should."""
    op = call.op
    y = call.on_tensors(call.leaves())
    with context.changed(recording=False):
        quiet = call.on_tensors(call.leaves())
    if not isinstance(y, Tensor) or y.requires_grad != call.differentiable or quiet.requires_grad:
        fail(call, "value", f"requires_grad is {y.requires_grad}, without recording {quiet.requires_grad}")
    if y.dtype != call.result.dtype or y.shape != call.result.shape:
        on_arrays = f"on arrays {call.result.dtype} {call.result.shape}"
        fail(call, "value", f"on tensors {y.dtype} {y.shape}, {on_arrays}")
    if op.key in UNDEFINED:
        return True
    if not same(y._data, call.result) or not same(quiet._data, call.result):
        fail(call, "value", f"on tensors {y._data!r}, on arrays {call.result!r}")
    reference = op.reference or (None if is_kernel(op) or op.adapt else op.key)
    if reference is not None:
        with np.errstate(all="ignore"):
            expected = np.asarray(reference(*call.operands, **call.params))
        if not close(y._data, expected, 1e-12):
            fail(call, "value", f"the op gives {y._data!r}, its reference {expected!r}")
    return True


def jacobian(call: OpCall) -> bool:
    """The rules give the numerical Jacobian; at a kink, a slope between those on both sides."""
    if not call.differentiable:
        return False
    if not call.at_kink and not np.all(np.isfinite(call.result)):
        fail(
            call,
            "jacobian",
            f"there is no derivative where the values are {call.result!r}; {undefined(call.op)}",
        )
    tensors, y = call.recorded()
    rows = [call.pull(y, tensors, e) for e in np.eye(y.size)]
    rule = np.array(rows).reshape(y.size, call.input_size)
    if call.op.zero_gradient and not call.at_kink:
        if rule.any():
            fail(call, "jacobian", "the gradient of this op is declared to be zero, and is not")
        return True
    verdict = judge(rule, call.exact, None if call.agrees else call.estimate)
    call.verdict = verdict
    if verdict.wrong:
        row, column = verdict.place
        where = [f"flat entry {row} of the result {call.result.shape}", _entry(call, column)]
        cases = cases_of(verdict.compared, call.xs, call.plain, call.result.shape)
        words = words_for(cases, [f"operand {k}" for k in call.wanted])
        raise mismatch(f"{call.op.name}, first order", verdict, where, [*words, *reproduction_of(call)])
    _convention(call, rule)
    return True


def _entry(call: OpCall, place: int) -> str:
    """Name an entry of all operands with a rule, flat one after the other."""
    k, index = entry(call.xs, place)
    return f"operand {call.wanted[k]}{index}"


def _convention(call: OpCall, jacobian: Array) -> None:
    """At the kinks that the record maps to a slope, the rule gives this slope."""
    if not call.at_kink or not isinstance(call.op.kinks, dict) or len(call.xs) != 1:
        return
    slopes = jacobian.sum(axis=0).reshape(call.xs[0].shape)
    for kink, slope in call.op.kinks.items():
        expected = slope(**call.params) if callable(slope) else slope
        at_kink = slopes[call.xs[0] == kink]
        if np.any(at_kink != expected):
            fail(call, "kink", f"the slope at {kink} is declared to be {expected}, got {at_kink}")


def cotangents(call: OpCall) -> bool:
    """The gradient is linear in the cotangent at every size, and zero for zero."""
    if not call.differentiable or not call.result.size:
        return False
    tensors, y = call.recorded()
    other = away_from_zero(call.rng, y.shape)
    first = call.pull(y, tensors, call.cotangent)
    second = call.pull(y, tensors, other)
    both = call.pull(y, tensors, 3.0 * call.cotangent - other)
    if not close(both, 3.0 * first - second, 1e-11, largest(first, second)):
        fail(call, "cotangents", "the gradient is not linear in the cotangent")
    zero = call.pull(y, tensors, np.zeros(y.shape))
    if zero.any():
        fail(call, "cotangents", f"a zero cotangent gives the gradient {zero}")
    return True


def second_order(call: OpCall) -> bool:
    """The gradient of the gradient is right, symmetric, and zero for linear ops."""
    if not call.differentiable or call.at_kink or not call.result.size or not call.input_size:
        return False
    tensors, y = call.recorded()
    seed = as_tensor(call.cotangent, requires_grad=True)
    parts = gradients(y, tensors, cotangent=seed, create_graph=True)
    first = as_tensor(np.concatenate([g.reshape(-1) for g in parts]))
    if not close(first._data, call.gradient_at(call.xs), 1e-12):
        fail(call, "second order", "the gradient differs when it is recorded itself")
    w = away_from_zero(call.rng, first.shape)
    along_x, along_g = np.zeros(first.size), np.zeros(y.size)
    if first.requires_grad:
        along_x = call.pull(first, tensors, w)
        along_g = flat_result(gradients(first, seed, cotangent=w))
    if call.op.zero_gradient or call.op.linear:
        if along_x.any():
            fail(call, "second order", "the op is declared linear, and its gradient depends on the operands")
    else:
        _hessian(call, along_x, w)
    expected = 0 * along_g if call.op.zero_gradient else call.jacobian @ w
    if not close(along_g, expected, 1e-9 if call.exact is not None else 1e-5):
        fail(call, "second order", f"the derivative by the cotangent is {along_g!r}, expected {expected!r}")
    return True


def _hessian(call: OpCall, rule: Array, w: Array) -> None:
    """Compare w @ H from the engine with H @ w, the derivative of the gradient along w: H is right and symmetric."""
    gradient = along(call.gradient_at, call.xs, split_like(w, call.xs))
    here = [np.zeros(())]
    analytic = call.exact is not None and takes_complex(gradient, here)
    exact = complex_jacobian(gradient, here) if analytic else None
    verdict = judge(rule[:, None], exact, central_jacobian(gradient, here), atol=1e-12 * call.scale)
    if verdict.wrong:
        where = [f"{_entry(call, verdict.place[0])} of the gradient", "a random direction of all operands"]
        raise mismatch(f"{call.op.name}, second order", verdict, where, reproduction_of(call))


def single_precision(call: OpCall) -> bool:
    """float32 value and gradient are those of float64, to rounding and the condition of the function."""
    if not call.differentiable or "dtype" in call.params or call.at_kink:
        return False  # at a jump, rounding decides which side it is
    xs = [x.astype(np.float32) for x in call.xs]
    wide = [x.astype(np.float64) for x in xs]
    g32 = call.cotangent.astype(np.float32)
    g64 = g32.astype(np.float64)
    # The condition, by the answer's own reaction to a relative change of 1e-6.
    nudged = [x * (1 + 1e-6 * call.rng.choice([-1.0, 1.0], x.shape)) for x in wide]
    eps = 200 * float(np.finfo(np.float32).eps)
    outcomes = call.outcome(xs, g32), call.outcome(wide, g64), call.outcome(nudged, g64)
    for a, b, c in zip(*outcomes, strict=True):
        if not close(a.astype(np.float64), b, eps, largest(b) + 1e6 * largest(c - b)):
            fail(call, "single precision", f"float32 gives {a!r}, float64 gives {b!r}")
    return True
