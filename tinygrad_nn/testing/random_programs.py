"""Random computations: reuse, views, detach and no_grad, on Tensors and, for the complex step, on plain arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.tensor import Tensor, tensor
from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.numerical import complex_jacobian
from tinygrad_nn.testing.verdict import close, reproduction, spell

SHAPES = ((), (3,), (2, 3), (3, 1), (1, 3), (3, 3))


def _detach(x: Array) -> Array:
    # In the replay, a constant has no imaginary part.
    return x.detach() if isinstance(x, Tensor) else x.real + 0j


def _unrecorded(x: Array) -> Array:
    if not isinstance(x, Tensor):
        return np.tanh(x).real + 0j
    with context.changed(recording=False):
        return np.tanh(x)


def _paired(f: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """Return `f` for values that may not broadcast: then it gets the mean of the second."""

    def paired(a: Array, b: Array) -> Array:
        try:
            np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            b = b.mean()
        return f(a, b)

    return paired


def _added_in_place(a: Array, b: Array) -> Array:
    # Of the full shape, as += needs it.
    total = a * 1.0 + 0.0 * b
    total += b
    return np.sin(total)


def _alternating(a: Array, b: Array) -> Array:
    both = np.broadcast_shapes(a.shape, b.shape)
    return np.where(np.arange(math.prod(both)).reshape(both) % 2 == 0, a, b)


def _at(x: Array, k: int) -> Array:
    return x[k % x.shape[0]] if x.ndim else x


def _matmul(a: Array, b: Array) -> Array:
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    if flat_a.shape == flat_b.shape:
        return flat_a @ flat_b
    return flat_a.reshape(-1, 1) @ flat_b.reshape(1, -1) if a.size * b.size <= 12 else np.mean(a) * b


UNARY: dict[str, Callable[[Array, int], Array]] = {
    "tanh": lambda x, _: np.tanh(x),
    "sin": lambda x, _: np.sin(x),
    "exp of tanh": lambda x, _: np.exp(np.tanh(x)),
    "square": lambda x, _: np.tanh(x * x),
    "half": lambda x, _: x * 0.5,
    "detach": lambda x, _: _detach(x),
    "no_grad": lambda x, _: _unrecorded(x),
    "transpose": lambda x, _: x.T,
    "flatten": lambda x, _: x.reshape(-1),
    "reverse": lambda x, _: x[::-1] if x.ndim else x,
    "row": _at,
    "rows twice": lambda x, k: x[np.array([k % x.shape[0], 0, k % x.shape[0]])] if x.ndim else x,
    "new axis": lambda x, _: x[None] if x.ndim < 3 else x,
    "sum": lambda x, k: np.sum(x, axis=k % x.ndim, keepdims=bool(k % 2)) if x.ndim else x,
    "mean": lambda x, _: x.mean(),
    "broadcast": lambda x, _: np.broadcast_to(x, (2, *x.shape)) if x.size <= 6 else x,
}
BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": _paired(np.add),
    "subtract": _paired(np.subtract),
    "multiply": _paired(lambda a, b: np.tanh(a * b)),
    "divide": _paired(lambda a, b: a / (b * b + 2.0)),
    "add in place": _paired(_added_in_place),
    "matmul": lambda a, b: np.sin(_matmul(a, b)),
    "concatenate": lambda a, b: np.concatenate([a.reshape(-1), b.reshape(-1)]),
    "where": _paired(_alternating),
}


@dataclass(frozen=True)
class RandomStep:
    """One step of a random program: what to do, with which earlier values, and a number for what can be chosen."""

    name: str
    operands: tuple[int, ...]
    choice: int = 0

    def compute(self, values: Sequence[Any]) -> Any:
        """Return the result for the values so far, Tensors or arrays."""
        if self.name in UNARY:
            return UNARY[self.name](values[self.operands[0]], self.choice)
        return BINARY[self.name](values[self.operands[0]], values[self.operands[1]])


@dataclass(frozen=True)
class RandomProgram:
    """Input arrays and steps; the result is a weighted sum of all values, used and unused."""

    inputs: tuple[Array, ...]
    steps: tuple[RandomStep, ...] = ()

    def run(self, inputs: Sequence[Array | Tensor]) -> Any:
        """Return the result, a scalar, on Tensors or arrays."""
        values: list[Any] = list(inputs)
        for step in self.steps:
            values.append(step.compute(values))
        total = np.mean(values[0]) * 0.0
        for k, value in enumerate(values):
            total = total + np.mean(np.sin(value)) * (0.5 + 0.1 * k)
        return total

    def check(self) -> Array:
        """Compare the gradients with the complex step of the same program on arrays; return them."""
        leaves = [tensor(x, requires_grad=True) for x in self.inputs]
        result = self.run(leaves)
        result.backward()
        gradients = np.concatenate([np.zeros(x.size) if x.grad is None else x.grad.ravel() for x in leaves])
        expected = complex_jacobian(lambda zs: np.asarray(self.run(zs)), self.inputs)[0]
        value = self.run([x.astype(complex) for x in self.inputs])
        if not close(result._data, np.asarray(value).real, 1e-12) or not close(gradients, expected, 1e-9):
            text = f"gradients {gradients!r}, the complex step gives {expected!r}"
            imports = "from tinygrad_nn.testing.random_programs import RandomProgram, RandomStep"
            call = f"RandomProgram({spell(self.inputs)}, {self.steps!r}).check()"
            raise AssertionError("\n".join([text, *reproduction(imports, call)]))
        return gradients
