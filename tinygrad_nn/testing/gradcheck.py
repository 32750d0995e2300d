"""gradcheck: are the gradients of this function right? Two numerical methods have to agree first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.autodiff import gradients
from tinygrad_nn.engine.conversions import seed_like
from tinygrad_nn.engine.tensor import Tensor, as_tensor, tensor
from tinygrad_nn.errors import GradientMismatch, GraphError, SettingError, ShapeError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.numerical import (
    ArrayFunction,
    Estimate,
    Input,
    along,
    as_float64,
    away_from_zero,
    central_jacobian,
    check_uses,
    complex_jacobian,
    flat_result,
    takes_complex,
)
from tinygrad_nn.testing.tape import Tape
from tinygrad_nn.testing.verdict import Verdict, entry, judge, mismatch, reproduction, spell

Differentiable = Callable[..., Tensor | Sequence[Tensor]]
"""A function of tensors."""
Pair = tuple[Callable[..., ArrayLike], Callable[..., ArrayLike | Sequence[ArrayLike]]]
"""A plain NumPy function with a scalar result, and its gradient, one array per input, written by hand."""

LARGEST_JACOBIAN = 4096


@dataclass(frozen=True)
class GradcheckReport:
    """What a passed check has looked at.

    `entries` of Jacobians (or projections) were compared, of which `kinks` lay on a kink and `inconclusive`
    could not be judged because the numerical derivative was too uncertain; `largest_error` is the largest
    difference.
    """

    order: int
    mode: str
    method: str
    entries: int
    kinks: int
    inconclusive: int
    largest_error: float
    nonzero: bool

    def __repr__(self) -> str:
        order = "" if self.order == 1 else f" to order {self.order}"
        left = [(self.kinks, "on a kink"), (self.inconclusive, "inconclusive")]
        notes = "".join(f", {count} {what}" for count, what in left if count)
        zero = "" if self.nonzero else ", all of them zero"
        looked = f"{self.entries} entries by {self.method}{zero}{notes}"
        return f"<gradcheck{order} passed: {looked}, largest error {self.largest_error:.1g}>"


class Subject(Protocol):
    """Something with a derivative: its value, its gradients by rules, and its value on complex arrays."""

    name: str

    def value(self, xs: list[Array]) -> Array:
        """Return the result, flat, computed afresh on float64 arrays."""

    def on_complex(self) -> ArrayFunction | None:
        """Return the function on complex arrays, None where it has none."""

    def pull(self, cotangents: Sequence[Array]) -> Array:
        """Return one row of gradients, all inputs flat, for each flat cotangent."""

    def flat_cotangent(self, cotangent: Input) -> Array:
        """Return a cotangent for the result as the user wrote it, flat."""


class _OfTensors(Subject):
    """A function of Tensors, or its derivative of order - 1 for fixed cotangents."""

    def __init__(self, fn: Differentiable, xs: list[Array], order: int, rng: np.random.Generator) -> None:
        self.name = getattr(fn, "__name__", type(fn).__name__)
        self.order = order
        self.levels: list[Callable[..., Tensor]] = [lambda *ts: _one_tensor(fn(*ts), self.name)]
        self.tensors = [tensor(x, requires_grad=True) for x in xs]
        self.cotangents: list[Array] = []
        for _ in range(order - 1):
            y = self.levels[-1](*self.tensors)
            self.cotangents.append(away_from_zero(rng, y.shape))
            self.levels.append(_gradient_of(self.levels[-1], self.cotangents[-1]))
        self.result = self.levels[-1](*self.tensors)

    def value(self, xs: list[Array]) -> Array:
        ts = [tensor(x, requires_grad=self.order > 1) for x in xs]
        if self.order == 1:
            return flat_result(self.levels[0](*ts))
        return flat_result(_gradients(self.levels[-2](*ts), ts, self.cotangents[-1]))

    def on_complex(self) -> ArrayFunction | None:
        y = self.result if self.order == 1 else self.levels[-2](*self.tensors)
        tape = Tape(y, self.tensors)
        if not tape.analytic:
            return None
        if self.order == 1:
            return tape.run

        def gradient(zs: list[Array]) -> Array:
            tape.run(zs)
            return np.concatenate([g.ravel() for g in tape.pull(self.cotangents[-1])])

        # A function of complex numbers may have a rule that is none: that of arcsinh uses np.hypot.
        return gradient if takes_complex(gradient, [t._data for t in self.tensors]) else None

    def pull(self, cotangents: Sequence[Array]) -> Array:
        seeds = [c.reshape(self.result.shape) for c in cotangents]
        rows = [flat_result(_gradients(self.result, self.tensors, seed, retain_graph=True)) for seed in seeds]
        return np.array(rows).reshape(len(rows), sum(x.size for x in self.tensors))

    def flat_cotangent(self, cotangent: Input) -> Array:
        return seed_like(self.result, cotangent).ravel()


def _gradients(y: Tensor, xs: list[Tensor], cotangent: Array, **options: bool) -> list[Tensor]:
    """Return gradients; zeros where the result is a constant, as derivatives of linear functions are."""
    if not y.requires_grad:
        return [tensor(np.zeros(x.shape)) for x in xs]
    return list(gradients(y, xs, cotangent=cotangent, **options))


def _gradient_of(lower: Callable[..., Tensor], cotangent: Array) -> Callable[..., Tensor]:
    return lambda *ts: _joined(_gradients(lower(*ts), list(ts), cotangent, create_graph=True))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return as_tensor(np.concatenate([part.reshape(-1) for part in parts]))


def _one_tensor(y: Tensor | Sequence[Tensor], name: str) -> Tensor:
    """Return what a function returned, one tensor or several, nested too, as one tensor."""
    parts = list(trees.leaves(y))
    for part in parts:
        if not isinstance(part, Tensor):
            raise GraphError(f"gradcheck: {name} returned {type(part).__name__}, expected Tensors")
    return y if isinstance(y, Tensor) else _joined(parts)


class _OfArrays(Subject):
    """A plain NumPy function with a scalar result, and its gradient as someone wrote it."""

    def __init__(self, pair: Pair, xs: list[Array]) -> None:
        self.function, self.gradient = pair
        self.name = getattr(self.gradient, "__name__", "gradient")
        self.xs = xs
        shape = np.shape(self.function(*xs))
        if np.prod(shape) != 1:
            raise ShapeError(
                f"gradcheck: the function of a (function, gradient) pair returns one number, got shape {shape}"
            )

    def value(self, xs: list[Array]) -> Array:
        return flat_result(self.function(*xs))

    def on_complex(self) -> ArrayFunction | None:
        function: ArrayFunction = lambda zs: np.asarray(self.function(*zs))
        return function if takes_complex(function, self.xs) else None

    def pull(self, cotangents: Sequence[Array]) -> Array:
        parts = self.gradient(*self.xs)
        parts = parts if isinstance(parts, (tuple, list)) else (parts,)
        for k, (g, x) in enumerate(zip(parts, self.xs, strict=True)):
            if np.shape(g) != x.shape:
                raise ShapeError(
                    f"gradcheck: gradient {k} has shape {np.shape(g)}, its input has shape {x.shape}"
                )
        return np.array([c * flat_result(parts) for c in cotangents])

    def flat_cotangent(self, cotangent: Input) -> Array:
        return np.reshape(np.asarray(cotangent, float), 1)


def gradcheck(
    fn: Differentiable | Module | Pair,
    *inputs: Input,
    order: int = 1,
    cotangent: Input | None = None,
    method: Literal["auto", "complex", "central"] = "auto",
    mode: Literal["auto", "jacobian", "directions"] = "auto",
    directions: int = 3,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
) -> GradcheckReport:
    """Compare the gradients of `fn` with numerical derivatives; raise where they differ.

    Args:
        fn: a function of Tensors; a Module, whose parameters are checked too; or a pair (NumPy function
            with a scalar result, hand-written gradient with one array per input).
        inputs: float64 arrays, Tensors or floats.
        order: highest order of derivative to check; all lower ones are checked first.
        cotangent: check only the gradient of `(cotangent * fn(...)).sum()`.
        method: the complex step, central differences, or both where the ops allow it.
        mode: the whole Jacobian (the default up to 4,096 entries), or random projections.
        directions: number of projections.
        rtol: tolerance relative to the largest entry; by default 1e-9 against the complex step, and 1e-8
            plus 20 times the estimated error against central differences.
        atol: absolute tolerance; 1e-13 by default.
        seed: of the random directions and cotangents.

    Raises:
        GradientMismatch: a gradient is wrong; names the worst entry and how to reproduce it.
        CheckFailed: the function does not use its argument.
        DtypeError: an input is not float64.

    Example:
        >>> gradcheck(lambda x: (x * x).sum(), np.array([1.0, -2.0])).entries
        2
    """
    if order < 1:
        raise SettingError(f"gradcheck: order is at least 1, got {order}")
    xs = as_float64("gradcheck", inputs)
    if isinstance(fn, Module):
        parameters = [parameter for parameter in fn.parameters() if parameter.requires_grad]
        xs += as_float64(f"gradcheck of {type(fn).__name__}", parameters, len(xs))
        fn = _with_parameters(fn, parameters)
    if not xs:
        raise ValueError("gradcheck: there is nothing to differentiate; pass the inputs after the function")
    if isinstance(fn, tuple) and order > 1:
        raise ValueError("gradcheck: a (function, gradient) pair has one order only")
    entries = sum(x.size for x in xs)
    rng = np.random.default_rng(seed)
    verdicts = []
    for level in range(1, order + 1):
        subject = _OfArrays(fn, xs) if isinstance(fn, tuple) else _OfTensors(fn, xs, level, rng)
        weights = None if cotangent is None or level > 1 else subject.flat_cotangent(cotangent)
        exact, estimate, rule = _derivatives(subject, xs, weights, method, mode, directions, rng)
        whole = rule.shape[1] == entries
        verdict = judge(rule, exact, estimate, rtol, atol)
        if verdict.wrong:
            what = f"{subject.name}, order {level}" if level > 1 else subject.name
            if not np.all(np.isfinite(value := subject.value(xs))):
                raise GradientMismatch(
                    f"{what}: there is no derivative where the values are {value!r}\n"
                    "  hint   inputs inside of the domain of the function, where it is finite"
                )
            where = _where(verdict, xs) if whole else ["the result", "a direction"]
            raise mismatch(what, verdict, where, _reproduction(inputs, order, cotangent, seed))
        verdicts.append(verdict)
        if level == 1 and entries and not verdict.nonzero:
            check_uses("gradcheck", subject.value, xs)
    return GradcheckReport(
        order=order,
        mode="jacobian" if whole else "directions",
        method=verdicts[0].method,
        entries=sum(v.entries for v in verdicts),
        kinks=sum(v.kinks for v in verdicts),
        inconclusive=sum(v.inconclusive for v in verdicts),
        largest_error=max(v.largest_error for v in verdicts),
        nonzero=verdicts[0].nonzero,
    )


def _derivatives(
    subject: Subject,
    xs: list[Array],
    weights: Array | None,
    method: str,
    mode: str,
    directions: int,
    rng: np.random.Generator,
) -> tuple[Array | None, Estimate | None, Array]:
    """Return the Jacobian, or projections of it, by complex step, central differences and rules."""
    results = subject.value(xs).size
    inputs = sum(x.size for x in xs)
    on_complex = None if method == "central" else subject.on_complex()
    if method == "complex" and on_complex is None:
        raise GraphError(
            f"gradcheck: {subject.name} has no complex step: one of its ops is not analytic or not NumPy\n"
            '  hint   method="central"'
        )
    # How each look at the function changes it, where it looks, and what the rules say there.
    looks: list[tuple[Callable[[ArrayFunction], ArrayFunction], list[Array], Array]] = []
    if mode == "jacobian" or (mode == "auto" and results * inputs <= LARGEST_JACOBIAN):
        rows = list(np.eye(results)) if weights is None else [weights]
        looks.append((lambda f: _weighted(f, weights), xs, subject.pull(rows)))
    else:
        for _ in range(directions):
            vs = [away_from_zero(rng, x.shape) for x in xs]
            c = away_from_zero(rng, (results,)) if weights is None else weights
            rule = np.sum(subject.pull([c]) * flat_result(vs), axis=1, keepdims=True)
            looks.append((_projection(c, xs, vs), [np.zeros(())], rule))
    exact = estimate = None
    if on_complex is not None:
        exact = np.concatenate([complex_jacobian(change(on_complex), at) for change, at, _ in looks])
    if method != "complex":
        estimate = _stacked([central_jacobian(change(subject.value), at) for change, at, _ in looks])
    return exact, estimate, np.concatenate([rule for *_, rule in looks])


def _stacked(estimates: Sequence[Estimate]) -> Estimate:
    return Estimate(*[np.concatenate([getattr(e, f.name) for e in estimates]) for f in fields(Estimate)])


def _projection(
    cotangent: Array, xs: list[Array], vs: list[Array]
) -> Callable[[ArrayFunction], ArrayFunction]:
    return lambda f: along(_weighted(f, cotangent), xs, vs)


def _weighted(f: ArrayFunction, cotangent: Array | None) -> ArrayFunction:
    return f if cotangent is None else lambda xs: np.asarray(np.sum(cotangent * f(xs).ravel()))


def _with_parameters(module: Module, parameters: list[Tensor]) -> Differentiable:
    """Return the module as a function of its inputs and then its parameters."""

    def function(*ts: Tensor) -> Tensor | Sequence[Tensor]:
        before = [(p, p._data, p._node) for p in parameters]
        inputs, values = ts[: len(ts) - len(parameters)], ts[len(ts) - len(parameters) :]
        try:
            for p, t in zip(parameters, values, strict=True):
                p._data, p._node = t._data, t._node
            result: Tensor | Sequence[Tensor] = module(*inputs)
            return result
        finally:
            for p, data, node in before:
                p._data, p._node = data, node

    function.__name__ = type(module).__name__
    return function


def _where(verdict: Verdict, xs: list[Array]) -> list[str]:
    row, column = verdict.place
    k, index = entry(xs, column)
    return [f"result entry {row} (flat)", f"input {k}{index}"]


def _reproduction(inputs: Sequence[Input], order: int, cotangent: Input | None, seed: int) -> list[str]:
    arrays = [np.asarray(x._data if isinstance(x, Tensor) else x) for x in inputs]
    names = [f"x{k}" for k in range(len(arrays))]
    lines = [f"{name} = {spell(x)}" for name, x in zip(names, arrays, strict=True)]
    options = f", order={order}" if order > 1 else ""
    if cotangent is not None:
        options += f", cotangent={spell(np.asarray(cotangent))}"
    call = f"tn.testing.gradcheck(fn, {', '.join(names)}{options}{f', seed={seed}' if seed else ''})"
    return reproduction(*lines, call + "  # fn: the function checked")
