"""What gradcheck can look at: functions of tensors, modules, pairs of a NumPy function and its gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.autodiff import gradients
from tinygrad_nn.engine.conversions import seed_like
from tinygrad_nn.engine.tensor import Tensor, as_tensor, tensor
from tinygrad_nn.errors import ArgumentError, CheckFailed, GraphError, ShapeError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.numerical import (
    ArrayFunction,
    Input,
    away_from_zero,
    flat_result,
    returned,
    takes_complex,
)
from tinygrad_nn.testing.tape import Tape
from tinygrad_nn.testing.verdict import same

Differentiable = Callable[..., Tensor | Sequence[Tensor]]
"""A function of tensors."""
Pair = tuple[Callable[..., ArrayLike], Callable[..., ArrayLike | Sequence[ArrayLike]]]
"""A plain NumPy function with a scalar result, and its gradient, one array per input, written by hand."""


class Subject(Protocol):
    """Something with a derivative: its value, its gradients by rules, and its value on complex arrays."""

    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result."""

    def value(self, xs: list[Array]) -> Array:
        """Return the result, flat, computed afresh on float64 arrays."""

    def on_complex(self) -> ArrayFunction | None:
        """Return the function on complex arrays, None where it has none."""

    def pull(self, cotangents: Sequence[Array]) -> Array:
        """Return one row of gradients, all inputs flat, for each flat cotangent."""

    def flat_cotangent(self, cotangent: Input) -> Array:
        """Return a cotangent for the result as the user wrote it, flat."""


class OfTensors(Subject):
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

    @property
    def shape(self) -> tuple[int, ...]:
        return self.result.shape

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
    parts = list(trees.leaves(returned("gradcheck", name, y)))
    for part in parts:
        if not isinstance(part, Tensor):
            raise GraphError(
                f"gradcheck: {name} returned {type(part).__name__}, expected Tensors\n"
                "  hint   a NumPy function comes with its gradient: gradcheck((function, gradient), x)"
            )
    return y if isinstance(y, Tensor) else _joined(parts)


class OfArrays(Subject):
    """A plain NumPy function with a scalar result, and its gradient as someone wrote it."""

    def __init__(self, pair: Pair, xs: list[Array]) -> None:
        self.function, self.gradient = pair
        self.name = getattr(self.gradient, "__name__", "gradient")
        self.xs = xs
        what = getattr(self.function, "__name__", "the function")
        shape = np.asarray(returned("gradcheck", what, self.function(*_copies(xs)))).shape
        if np.prod(shape) != 1:
            swapped = (
                len(xs) == 1 and flat_result(self.gradient(*_copies(xs))).size == 1 and shape == xs[0].shape
            )
            hint = (
                "\n  hint   the function comes first: gradcheck((function, gradient), x)" if swapped else ""
            )
            raise ShapeError(
                f"gradcheck: the function of a (function, gradient) pair returns one number, got shape {shape}{hint}"
            )

    def value(self, xs: list[Array]) -> Array:
        return flat_result(self.function(*_copies(xs)))

    def on_complex(self) -> ArrayFunction | None:
        function: ArrayFunction = lambda zs: np.asarray(self.function(*_copies(zs)))
        return function if takes_complex(function, self.xs) else None

    def pull(self, cotangents: Sequence[Array]) -> Array:
        flat = self._flat_gradient()
        if not same(flat, self._flat_gradient()):
            raise CheckFailed(
                f"gradcheck: the gradient {self.name} is random: two calls give different numbers"
            )
        return np.array([c * flat for c in cotangents])

    def _flat_gradient(self) -> Array:
        """Return what the gradient returns, flat, if it is one array for each input."""
        result = returned("gradcheck", self.name, self.gradient(*_copies(self.xs)))
        parts: list[ArrayLike] = list(result) if isinstance(result, (tuple, list)) else [np.asarray(result)]
        shapes, expected = [np.shape(g) for g in parts], [x.shape for x in self.xs]
        if shapes == expected:
            return flat_result(parts)
        if isinstance(result, list) and all(shape == () for shape in shapes):
            raise ShapeError(
                f"gradcheck: {self.name} returned a list of {len(parts)} numbers, expected an array for each input\n"
                "  hint   return np.array([...])"
            )
        if len(parts) != len(self.xs):
            counts = f"{_count(len(parts), 'gradient')} for {_count(len(self.xs), 'input')}"
            names = ", ".join(f"d{k}" for k in range(len(self.xs)))
            raise ShapeError(
                f"gradcheck: {self.name} returned {counts}, expected one for each\n  hint   return {names}"
            )
        k = next(k for k, shape in enumerate(shapes) if shape != expected[k])
        hint = ""
        if sorted(shapes) == sorted(expected):
            hint = "\n  hint   gradients come in the order of the inputs"
        elif shapes[k] == expected[k][::-1]:
            hint = "\n  hint   return the transpose, .T"
        elif len(shapes[k]) > len(expected[k]):
            hint = "\n  hint   .sum(axis=0): what was broadcast to rows is summed over them"
        raise ShapeError(
            f"gradcheck: gradient {k} has shape {shapes[k]}, its input has shape {expected[k]}{hint}"
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def flat_cotangent(self, cotangent: Input) -> Array:
        return np.reshape(np.asarray(cotangent, float), 1)


def with_parameters(module: Module, parameters: list[Tensor]) -> Differentiable:
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


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _copies(xs: Sequence[Array]) -> list[Array]:
    """Return arrays that a function may write into."""
    return [x.copy() for x in xs]


def check_callables(fn: object, inputs: Sequence[object]) -> None:
    """Refuse what is no function, and a pair that is none.

    Raises:
        ArgumentError: says what was given, and the line to write.
    """
    pair = "gradcheck((function, gradient), x)"
    if isinstance(fn, (tuple, list)):
        if isinstance(fn, list) or len(fn) != 2:
            raise ArgumentError(
                f"gradcheck: a function and its gradient are a tuple of two, got a {type(fn).__name__} of {len(fn)}\n"
                f"  hint   {pair}"
            )
        for what, part in zip(("function", "gradient"), fn, strict=True):
            if not callable(part):
                raise ArgumentError(
                    f"gradcheck: the {what} of the pair is no function, but of type {type(part).__name__}\n"
                    f"  hint   {pair}: the {what} itself, not what it returns"
                )
    elif not callable(fn):
        raise ArgumentError(
            f"gradcheck: what comes first is no function, but of type {type(fn).__name__}\n"
            "  hint   gradcheck(function, x): the function, and then its inputs"
        )
    elif any(callable(x) and not isinstance(x, Tensor) for x in inputs):
        raise ArgumentError(
            f"gradcheck: an input is a function; a function and its gradient are one argument\n  hint   {pair}"
        )


def check_count(function: Callable[..., object], inputs: Sequence[object]) -> None:
    """Refuse inputs of another number than a function takes; some of C do not say what they take.

    Raises:
        ArgumentError: says what it takes, and the line to write.
    """
    with suppress(ValueError):
        takes = inspect.signature(function)
        try:
            takes.bind(*inputs)
        except TypeError as error:
            name = getattr(function, "__name__", type(function).__name__)
            needs = [p for p in takes.parameters.values() if p.default is p.empty]
            given = [f"*{p.name}" if p.kind is p.VAR_POSITIONAL else p.name for p in needs if _by_place(p)]
            named = [f"{p.name}=..." for p in needs if p.kind is p.KEYWORD_ONLY]
            f = f"lambda {', '.join(given)}: f({', '.join([*given, *named])})" if named else "f"
            raise ArgumentError(
                f"gradcheck: {name} does not take {_count(len(inputs), 'input')}: {error}\n"
                f"  hint   gradcheck({', '.join([f, *given])})"
            ) from None


def _by_place(parameter: inspect.Parameter) -> bool:
    return parameter.kind not in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
