"""gradcheck: are the gradients of this function right? Two numerical methods have to agree first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from tinygrad_nn.engine.autodiff import gradients
from tinygrad_nn.engine.conversions import seed_like
from tinygrad_nn.engine.tensor import Tensor, tensor
from tinygrad_nn.errors import GraphError, ShapeError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.testing.numerical import (
    Estimate,
    Function,
    along,
    as_float64,
    central_jacobian,
    complex_jacobian,
    flat_result,
)
from tinygrad_nn.testing.tape import Tape
from tinygrad_nn.testing.verdict import Verdict, judge, mismatch, snippet, spell

Array = np.ndarray[Any, Any]
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


class Subject:
    """Something with a derivative: its value, its gradients by rules, and its value on complex arrays."""

    name: str

    def value(self, xs: list[Array]) -> Array:
        """Return the result, flat, computed afresh on float64 arrays."""
        raise NotImplementedError

    def on_complex(self) -> Function | None:
        """Return the function on complex arrays, None where it has none."""
        raise NotImplementedError

    def pull(self, cotangents: Sequence[Array]) -> Array:
        """Return one row of gradients, all inputs flat, for each flat cotangent."""
        raise NotImplementedError


class _OfTensors(Subject):
    """A function of Tensors, or its derivative of order - 1 for fixed cotangents."""

    def __init__(self, fn: Callable[..., Any], xs: list[Array], order: int, rng: np.random.Generator) -> None:
        self.name = getattr(fn, "__name__", type(fn).__name__)
        self.order = order
        self.levels: list[Callable[..., Tensor]] = [lambda *ts: _joined(fn(*ts), self.name)]
        self.tensors = [tensor(x, requires_grad=True) for x in xs]
        self.cotangents: list[Array] = []
        for _ in range(order - 1):
            y = self.levels[-1](*self.tensors)
            self.cotangents.append(away_from_zero(rng, y.shape))
            self.levels.append(self._gradient(self.levels[-1], self.cotangents[-1]))
        self.result = self.levels[-1](*self.tensors)

    @staticmethod
    def _gradient(lower: Callable[..., Tensor], cotangent: Array) -> Callable[..., Tensor]:
        def first(*ts: Tensor) -> Tensor:
            found = _gradients(lower(*ts), list(ts), cotangent, create_graph=True)
            joined: Any = np.concatenate([g.reshape(-1) for g in found])
            return joined  # type: ignore[no-any-return]

        return first

    def value(self, xs: list[Array]) -> Array:
        ts = [tensor(x, requires_grad=self.order > 1) for x in xs]
        if self.order == 1:
            return flat_result(self.levels[0](*ts))
        y = self.levels[-2](*ts)
        return flat_result(_gradients(y, ts, self.cotangents[-1]))

    def on_complex(self) -> Function | None:
        if self.order == 1:
            tape = Tape(self.result, self.tensors)
            return tape.run if tape.analytic else None
        tape = Tape(self.levels[-2](*self.tensors), self.tensors)
        if not tape.analytic:
            return None
        cotangent = self.cotangents[-1]

        def gradient(zs: list[Array]) -> Array:
            tape.run(zs)
            return np.concatenate([g.ravel() for g in tape.pull(cotangent)])

        return gradient

    def pull(self, cotangents: Sequence[Array]) -> Array:
        rows = []
        for c in cotangents:
            seed = c.reshape(self.result.shape)
            found = _gradients(self.result, self.tensors, seed, retain_graph=True)
            rows.append(flat_result(found))
        return np.array(rows).reshape(len(rows), sum(x.size for x in self.tensors))


def _gradients(y: Tensor, xs: list[Tensor], cotangent: Array, **options: bool) -> list[Tensor]:
    """Return gradients; zeros where the result is a constant, as derivatives of linear functions are."""
    if not y.requires_grad:
        return [tensor(np.zeros(x.shape)) for x in xs]
    found: list[Tensor] = gradients(y, xs, cotangent=cotangent, **options)
    return found


class _Pair(Subject):
    """A plain NumPy function with a scalar result, and its gradient as someone wrote it."""

    def __init__(self, function: Callable[..., Any], gradient: Callable[..., Any], xs: list[Array]) -> None:
        self.name = getattr(gradient, "__name__", "gradient")
        self.function, self.gradient, self.xs = function, gradient, xs
        if np.size(function(*xs)) != 1:
            raise ShapeError(
                f"gradcheck: the function of a (function, gradient) pair returns one number, got shape "
                f"{np.shape(function(*xs))}"
            )

    def value(self, xs: list[Array]) -> Array:
        return flat_result(self.function(*xs))

    def on_complex(self) -> Function | None:
        def function(zs: list[Array]) -> Array:
            return np.asarray(self.function(*zs))

        try:
            result = function([x.astype(complex) for x in self.xs])
        except Exception:  # whatever it raises, it is not made for complex numbers
            return None
        return function if result.dtype.kind == "c" else None

    def pull(self, cotangents: Sequence[Array]) -> Array:
        found = self.gradient(*self.xs)
        parts = found if isinstance(found, (tuple, list)) else (found,)
        for k, (g, x) in enumerate(zip(parts, self.xs, strict=True)):
            if np.shape(g) != x.shape:
                raise ShapeError(
                    f"gradcheck: gradient {k} has shape {np.shape(g)}, its input has shape {x.shape}"
                )
        return np.array([c * flat_result(tuple(parts)) for c in cotangents])


def gradcheck(
    fn: Any,
    *inputs: Any,
    order: int = 1,
    cotangent: Any = None,
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
        DtypeError: an input is not float64.

    Example:
        >>> gradcheck(lambda x: (x * x).sum(), np.array([1.0, -2.0])).entries
        2
    """
    if order < 1:
        raise ValueError(f"gradcheck: order is at least 1, got {order}")
    xs = [as_float64(x, "gradcheck", k) for k, x in enumerate(inputs)]
    parameters: list[Tensor] = []
    if isinstance(fn, Module):
        parameters = fn.parameters()
        xs += [
            as_float64(p, f"gradcheck of {type(fn).__name__}", k) for k, p in enumerate(parameters, len(xs))
        ]
    if not xs:
        raise ValueError("gradcheck: there is nothing to differentiate; pass the inputs after the function")
    rng = np.random.default_rng(seed)
    function = _with_parameters(fn, parameters) if isinstance(fn, Module) else fn
    verdicts = []
    for level in range(1, order + 1):
        subject = _subject(function, xs, level, rng)
        rows = None if cotangent is None or level > 1 else _fitting(cotangent, function, xs)
        exact, estimate, rule = _derivatives(subject, xs, rows, method, mode, directions, rng)
        verdict = judge(rule, exact, estimate, rtol, atol)
        if verdict.wrong:
            what = f"{subject.name}, order {level}" if level > 1 else subject.name
            where = (
                ["the result", "a direction"]
                if rule.shape[1] != sum(x.size for x in xs)
                else _where(verdict, xs)
            )
            raise mismatch(what, verdict, where, _script(inputs, order, cotangent, seed))
        verdicts.append(verdict)
    return GradcheckReport(
        order=order,
        mode="jacobian" if rule.shape[1] == sum(x.size for x in xs) else "directions",
        method=verdicts[0].method,
        entries=sum(v.entries for v in verdicts),
        kinks=sum(v.kinks for v in verdicts),
        inconclusive=sum(v.inconclusive for v in verdicts),
        largest_error=max(v.largest_error for v in verdicts),
        nonzero=verdicts[0].nonzero,
    )


def _subject(fn: Any, xs: list[Array], order: int, rng: np.random.Generator) -> Subject:
    if isinstance(fn, tuple):
        if order > 1:
            raise ValueError("gradcheck: a (function, gradient) pair has one order only")
        function, gradient = fn
        return _Pair(function, gradient, xs)
    return _OfTensors(fn, xs, order, rng)


def _fitting(cotangent: Any, fn: Any, xs: list[Array]) -> list[Array]:
    if isinstance(fn, tuple):
        return [np.reshape(np.asarray(cotangent, float), 1)]
    y = fn(*[tensor(x) for x in xs])
    return [seed_like(y, cotangent).ravel()]


def _derivatives(
    subject: Subject,
    xs: list[Array],
    rows: list[Array] | None,
    method: str,
    mode: str,
    directions: int,
    rng: np.random.Generator,
) -> tuple[Array | None, Estimate | None, Array]:
    """Return the Jacobian, or projections of it, by complex step, central differences and rules."""
    results = subject.value(xs).size
    inputs = sum(x.size for x in xs)
    complex_value = None if method == "central" else subject.on_complex()
    if method == "complex" and complex_value is None:
        raise GraphError(
            f"gradcheck: {subject.name} has no complex step: one of its ops is not analytic or not NumPy\n"
            '  hint   method="central"'
        )
    values: list[Function | None] = [complex_value, None if method == "complex" else subject.value]
    whole = mode == "jacobian" or (mode == "auto" and results * inputs <= LARGEST_JACOBIAN)
    if whole:
        cotangents = list(np.eye(results)) if rows is None else rows
        f_complex, f_real = [v if rows is None or v is None else _weighted(v, rows[0]) for v in values]
        exact = None if f_complex is None else complex_jacobian(f_complex, xs)
        estimate = None if f_real is None else central_jacobian(f_real, xs)
        return exact, estimate, subject.pull(cotangents)
    found: list[tuple[Array | None, Estimate | None, Array]] = []
    for _ in range(directions):
        vs = [away_from_zero(rng, x.shape) for x in xs]
        c = away_from_zero(rng, (results,)) if rows is None else rows[0]
        f_complex, f_real = [None if v is None else along(_weighted(v, c), xs, vs) for v in values]
        origin = [np.zeros(())]
        found.append(
            (
                None if f_complex is None else complex_jacobian(f_complex, origin),
                None if f_real is None else central_jacobian(f_real, origin),
                np.sum(subject.pull([c]) * flat_result(vs), axis=1, keepdims=True),
            )
        )
    exacts, estimates, rules = zip(*found, strict=True)
    return (
        None if complex_value is None else np.concatenate(exacts),
        None if method == "complex" else _stacked(estimates),
        np.concatenate(rules),
    )


def _stacked(estimates: Sequence[Any]) -> Estimate:
    return Estimate(*[np.concatenate([getattr(e, f.name) for e in estimates]) for f in fields(Estimate)])


def _weighted(f: Function, cotangent: Array) -> Function:
    return lambda xs: np.asarray(np.sum(cotangent * f(xs).ravel()))


def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return random numbers between 0.5 and 1.5 in size: a projection with them overlooks no entry."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def _joined(y: Any, name: str) -> Tensor:
    """Return what a function returned, one tensor or several, as one tensor."""
    parts = y if isinstance(y, (tuple, list)) else (y,)
    for part in parts:
        if not isinstance(part, Tensor):
            raise GraphError(f"gradcheck: {name} returned {type(part).__name__}, expected Tensors")
    if not isinstance(y, (tuple, list)):
        return parts[0]  # type: ignore[no-any-return]
    joined: Any = np.concatenate([part.reshape(-1) for part in parts])
    return joined  # type: ignore[no-any-return]


def _with_parameters(module: Module, parameters: list[Tensor]) -> Callable[..., Any]:
    """Return the module as a function of its inputs and then its parameters."""

    def function(*ts: Tensor) -> Any:
        kept = [(p, p._data, p._node) for p in parameters]
        try:
            for p, t in zip(parameters, ts[len(ts) - len(parameters) :], strict=True):
                p._data, p._node = t._data, t._node
            return module(*ts[: len(ts) - len(parameters)])
        finally:
            for p, data, node in kept:
                p._data, p._node = data, node

    function.__name__ = type(module).__name__
    return function


def _where(verdict: Verdict, xs: list[Array]) -> list[str]:
    row, column = verdict.place
    for k, x in enumerate(xs):
        if column < x.size:
            index = ", ".join(map(str, np.unravel_index(column, x.shape)))
            return [f"result entry {row} (flat)", f"input {k}[{index}]"]
        column -= x.size
    raise IndexError(verdict.place)


def _script(inputs: Sequence[Any], order: int, cotangent: Any, seed: int) -> list[str]:
    names = [f"x{k}" for k in range(len(inputs))]
    lines = [
        f"{name} = {spell(np.asarray(x._data if isinstance(x, Tensor) else x))}"
        for name, x in zip(names[:5], inputs, strict=False)
    ]
    options = f", order={order}" if order > 1 else ""
    if cotangent is not None:
        options += f", cotangent={spell(np.asarray(cotangent))}"
    call = f"tn.testing.gradcheck(fn, {', '.join(names)}{options}{f', seed={seed}' if seed else ''})"
    return snippet(*lines, call + "  # fn: the function checked")
