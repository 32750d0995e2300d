"""gradcheck: are the gradients of this function right? Two numerical methods have to agree first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

import numpy as np

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import GradientMismatch, GraphError, SettingError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.plot import agreement
from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.case import Case
from tinygrad_nn.testing.comparison import cases_of, words_for
from tinygrad_nn.testing.diagnosis import Finding, diagnose
from tinygrad_nn.testing.numerical import (
    ArrayFunction,
    Estimate,
    Input,
    along,
    as_float64,
    away_from_zero,
    central_jacobian,
    check_repeats,
    check_uses,
    complex_jacobian,
    flat_result,
)
from tinygrad_nn.testing.subjects import (
    Differentiable,
    OfArrays,
    OfTensors,
    Pair,
    Subject,
    check_callables,
    check_count,
    with_parameters,
)
from tinygrad_nn.testing.verdict import Verdict, entry, judge, mismatch, reproduction, spell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST_JACOBIAN = 4096
LARGEST_SPELLED = 256


@dataclass(frozen=True, repr=False)
class GradcheckReport:
    """What a check has looked at; of one that failed it is the `report` of the error.

    `entries` of Jacobians (or projections) were compared, of which `kinks` lay on a kink and `inconclusive`
    could not be judged because the numerical derivative was too uncertain; `largest_error` is the largest
    difference. Of the `wrong` ones, `findings` say what they look like; `gradients` has what was compared of each
    input, (rule, numerical, wrong), arrays of shape (results, *input), of the first order or of the one that failed.

    Example:
        >>> gradcheck(lambda x: (x * x).sum(), np.array([1.0, -2.0]), order=2)
        GradcheckReport(6 entries up to order 2, complex step, largest error 0)
    """

    order: int
    mode: str
    method: str
    entries: int
    kinks: int
    inconclusive: int
    largest_error: float
    nonzero: bool
    wrong: int = 0
    findings: tuple[Finding, ...] = ()
    gradients: tuple[tuple[Array, Array, Array], ...] = field(default=(), repr=False, compare=False)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw what the rules say of every entry over what numerical derivatives say; see `tn.plot.agreement`."""
        return agreement(self.gradients, ax=ax)

    def __repr__(self) -> str:
        also = {"at kinks": self.kinks, "inconclusive": self.inconclusive, "wrong": self.wrong}
        counts = [f"{count} {what}" for what, count in also.items() if count]
        what = "entries" if self.mode == "jacobian" else "projections"
        orders = f" up to order {self.order}" if self.order > 1 else ""
        zero = [] if self.nonzero else ["all zero"]
        named = [finding.name for finding in self.findings]
        parts = [f"{self.entries} {what}{orders}", self.method, f"largest error {self.largest_error:.2g}"]
        return f"GradcheckReport({', '.join([*parts, *counts, *zero, *named])})"


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
        GradientMismatch: a gradient is wrong; names the worst entry, what it looks like, and how to reproduce it. Its
            `report` is one of what was compared.
        CheckFailed: the function does not use its argument, or is random.
        ArgumentError, ShapeError, GraphError: a call that is mistaken, as by a gradient that was called.
        DtypeError: an input is not float64.

    Example:
        >>> gradcheck(lambda x: (x * x).sum(), np.array([1.0, -2.0])).entries
        2
    """
    if order < 1:
        raise SettingError(f"gradcheck: order is at least 1, got {order}")
    check_callables(fn, inputs)
    xs = as_float64("gradcheck", inputs)
    names = [f"input {k}" for k in range(len(xs))]
    hint = "what is random is drawn once, outside"
    if isinstance(fn, Module):
        hint = "model.eval() before: dropout is random in training mode"
        parameters = {name: parameter for name, parameter in fn.named_parameters() if parameter.requires_grad}
        xs += as_float64(f"gradcheck of {type(fn).__name__}", parameters.values(), len(xs))
        names += parameters
        fn = with_parameters(fn, list(parameters.values()))
    if not xs:
        raise ValueError("gradcheck: there is nothing to differentiate; pass the inputs after the function")
    for function in fn if isinstance(fn, tuple) else (fn,):
        # Of a model its parameters came to the inputs, and to the function that calls it.
        check_count(function, xs)
    if isinstance(fn, tuple) and order > 1:
        raise ValueError("gradcheck: a (function, gradient) pair has one order only")
    entries = sum(x.size for x in xs)
    rng = np.random.default_rng(seed)
    verdicts: list[Verdict] = []
    for level in range(1, order + 1):
        subject = OfArrays(fn, xs) if isinstance(fn, tuple) else OfTensors(fn, xs, level, rng)
        if level == 1:
            check_repeats("gradcheck", subject.name, subject.value, xs, hint)
        weights = None if cotangent is None or level > 1 else subject.flat_cotangent(cotangent)
        exact, estimate, rule = _derivatives(subject, xs, weights, method, mode, directions, rng)
        whole = rule.shape[1] == entries
        verdict = judge(rule, exact, estimate, rtol, atol)
        # Whatever the gradient says: of such a function there is none to be right.
        if level == 1 and entries and not verdict.compared.numerical.any():
            check_uses("gradcheck", subject.value, xs)
        if verdict.wrong:
            what = f"{subject.name}, order {level}" if level > 1 else subject.name
            if not np.all(np.isfinite(value := subject.value(xs))):
                raise GradientMismatch(
                    f"{what}: there is no derivative where the values are {value!r}\n"
                    "  hint   inputs inside of the domain of the function, where it is finite"
                )
            where = _where(verdict, xs, names) if whole else ["the result", "a direction"]
            cases = cases_of(verdict.compared, xs, subject.value, subject.shape)
            if not whole and len(xs) > 1:
                # Each input alone tells more than all together.
                cases = []
                for k in range(len(xs)):
                    alone = _derivatives(subject, xs, weights, method, "directions", directions, rng, k)
                    compared = judge(alone[2], alone[0], alone[1], rtol, atol).compared
                    cases += cases_of(compared, xs, subject.value, subject.shape)
            words = words_for(cases, names)
            failure = mismatch(what, verdict, where, [*words, *_reproduction(inputs, order, cotangent, seed)])
            failure.report = _report(level, [*verdicts, verdict], cases, whole=whole)
            raise failure
        verdicts.append(verdict)
    return _report(
        order, verdicts, cases_of(verdicts[0].compared, xs, subject.value, subject.shape), whole=whole
    )


def _report(
    order: int, verdicts: Sequence[Verdict], cases: Sequence[Case], *, whole: bool
) -> GradcheckReport:
    return GradcheckReport(
        order=order,
        mode="jacobian" if whole else "directions",
        method=verdicts[0].method,
        entries=sum(v.entries for v in verdicts),
        kinks=sum(v.kinks for v in verdicts),
        inconclusive=sum(v.inconclusive for v in verdicts),
        largest_error=max(v.largest_error for v in verdicts),
        nonzero=verdicts[0].nonzero,
        wrong=sum(v.wrong for v in verdicts),
        findings=diagnose(cases),
        gradients=tuple((case.rule, case.numerical, case.wrong) for case in cases),
    )


def _derivatives(
    subject: Subject,
    xs: list[Array],
    weights: Array | None,
    method: str,
    mode: str,
    directions: int,
    rng: np.random.Generator,
    only: int | None = None,
) -> tuple[Array | None, Estimate | None, Array]:
    """Return the Jacobian, or projections of it, by complex step, central differences and rules.

    Projections are along all inputs, or along `only` one.
    """
    results = math.prod(subject.shape)
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
            vs = [away_from_zero(rng, x.shape) * (only in (None, k)) for k, x in enumerate(xs)]
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


def _where(verdict: Verdict, xs: list[Array], names: Sequence[str]) -> list[str]:
    row, column = verdict.place
    k, index = entry(xs, column)
    return [f"result entry {row} (flat)", f"{names[k]}{index}"]


def _reproduction(inputs: Sequence[Input], order: int, cotangent: Input | None, seed: int) -> list[str]:
    arrays = [np.asarray(x._data if isinstance(x, Tensor) else x) for x in inputs]
    names = [f"x{k}" for k in range(len(arrays))]
    lines = [
        f"{name} = {spell(x)}" if x.size <= LARGEST_SPELLED else f"# {name} is the input of shape {x.shape}"
        for name, x in zip(names, arrays, strict=True)
    ]
    options = f", order={order}" if order > 1 else ""
    if cotangent is not None:
        options += f", cotangent={spell(np.asarray(cotangent))}"
    call = f"tn.testing.gradcheck(fn, {', '.join(names)}{options}{f', seed={seed}' if seed else ''})"
    return reproduction(*lines, call + "  # fn: the function checked")
