"""The calls that ops are checked on, as data: what stands for the operands, and the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby, product, zip_longest
from typing import Any

import numpy as np

from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.record import Sample, Samples

Row = Sequence[object]


class _Choices(tuple[object, ...]):
    pass


def each(*choices: object) -> _Choices:
    """Stand for an operand or a parameter that is one of these after the other."""
    return _Choices(choices)


def cases(*rows: Row, **shared: object) -> Samples:
    """Return samples, written as rows: operands, then the parameters of each call with them.

    `[(3, 4), {"axis": 0}, {"axis": 1}]` are two calls with one operand, and `[(3, 4), {"axis": each(0, 1)}]` are the
    same; operands after parameters begin the next call, and operands at the end are called without parameters.
    A tuple is the shape of an array of normal numbers, a function draws another kind of array, a list is an operand
    that is a list of these; anything else is an operand as it stands. All calls have the parameters in `shared`.

    Example:
        >>> samples = cases([(2, 3), {"axis": each(0, 1)}, (4,), (4,)])
        >>> [([x.shape for x in operands], params) for operands, params in samples(np.random.default_rng(0))]
        [([(2, 3)], {'axis': 0}), ([(2, 3)], {'axis': 1}), ([(4,), (4,)], {})]
    """
    return lambda rng: [
        (tuple(_operand(x, rng) for x in operands), params)
        for row in rows
        for operands, params in _calls(row, shared)
    ]


def _calls(row: Row, shared: dict[str, object]) -> Iterator[Sample]:
    parts: list[list[Any]] = [list(part) for _, part in groupby(row, lambda x: isinstance(x, dict))]
    for operands, calls in zip_longest(parts[::2], parts[1::2]):
        for params in (call | shared for call in calls or [{}]):
            for values in product(*map(_choices, (*operands, *params.values()))):
                yield values[: len(operands)], dict(zip(params, values[len(operands) :], strict=True))


def _choices(x: object) -> list[object]:
    return [choice for part in x for choice in _choices(part)] if isinstance(x, _Choices) else [x]


def _operand(x: object, rng: np.random.Generator) -> object:
    if isinstance(x, list):
        return [_operand(part, rng) for part in x]
    if isinstance(x, tuple):
        return rng.normal(size=x)
    return x(rng) if callable(x) else x


def adjoint(
    samples: Samples, forward: Callable[..., Array], result: Callable[..., dict[str, Any]]
) -> Samples:
    """Return samples of the adjoint of a function: for its first operand a cotangent of its result.

    Args:
        samples: those of the function.
        forward: computes the function on arrays.
        result: tells from the first operand and the parameters by which parameters the adjoint knows its shape.
    """
    return lambda rng: [
        ((rng.normal(size=forward(x, *arrays, **params).shape), *arrays), params | result(x, **params))
        for (x, *arrays), params in samples(rng)
    ]


def _kind(draw: Callable[..., Array]) -> Callable[..., _Choices]:
    """Return what stands for arrays of a kind, of each of several shapes."""
    return lambda *shapes: each(*(partial(draw, shape=shape) for shape in shapes))


wide = _kind(lambda rng, shape: rng.normal(scale=3, size=shape))
positive = _kind(lambda rng, shape: rng.uniform(0.5, 2, shape))
ascending = _kind(lambda rng, shape: np.sort(rng.normal(size=shape)))
mask = _kind(lambda rng, shape: rng.normal(size=shape) > 0)
regular = _kind(lambda rng, shape: rng.uniform(-1, 1, shape) + 3 * np.eye(shape[-1]))
covariance = _kind(lambda rng, shape: (x := rng.normal(size=shape)) @ x.mT + 2 * np.eye(shape[-1]))


def integers(low: int, high: int, shape: tuple[int, ...]) -> Callable[[np.random.Generator], Array]:
    """Stand for labels or indices: integers from low on, below high."""
    return lambda rng: rng.integers(low, high, shape)


REDUCTIONS: tuple[Row, ...] = (
    [(2, 3, 4), {}, {"keepdims": True}, {"axis": each(0, (0, 2))}, {"axis": (-1, 0), "keepdims": True}],
    [(3, 4), {"axis": -1, "keepdims": True}, (3, 3), {"axis": -1}, (2, 3), {"axis": ()}],
    [each((1, 1), (0, 3)), {"axis": 1}],
)
SCALAR: Row = [(), {}, {"axis": -1}]
