"""What a user writes to check derivatives, as type checkers see it; tests/test_types.py runs them."""

from typing import Any, assert_type

import numpy as np
from hypothesis import given
from numpy.typing import NDArray

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.testing import (
    GradcheckReport,
    OpReport,
    check_module,
    check_op,
    check_optimizer,
    directional_derivative,
    gradcheck,
    numerical_gradient,
    numerical_jacobian,
    report,
    strategies,
)

Floats = NDArray[np.float64]


def f(t: tn.Tensor) -> tn.Tensor:
    return (t * t).sum()


def two(a: tn.Tensor, b: tn.Tensor) -> tuple[tn.Tensor, tn.Tensor]:
    return a * b, a + b


def plain(x: Floats) -> np.float64:
    return np.float64((x * x).sum())


def by_hand(x: Floats) -> Floats:
    return 2 * x


def script() -> None:
    """Never run."""
    x = np.ones((2, 3))
    assert_type(gradcheck(f, x), GradcheckReport)
    gradcheck(lambda a, b: (a * b).sum(), x, tn.tensor(2.0, dtype=np.float64), order=2)
    gradcheck(two, x, x)
    gradcheck(tn.softmax, x)
    gradcheck(np.tanh, x, cotangent=np.ones((2, 3)), mode="directions", method="complex")
    gradcheck((plain, by_hand), x)
    gradcheck(nn.Sequential(nn.Dense(3, 4, dtype=np.float64), nn.Tanh()), x)

    assert_type(numerical_gradient(f, x), NDArray[Any])
    assert_type(numerical_gradient(plain, x), NDArray[Any])
    assert_type(numerical_jacobian(two, x, x), tuple[NDArray[Any], ...])
    assert_type(directional_derivative(two, (x, x), (x, x)), NDArray[Any])

    square = tn.kernel(lambda g, x: 2 * x * g, name="squared", reference=np.square)(lambda x: x * x)
    assert_type(check_op(square), OpReport)
    check_op("tanh", max_examples=5)
    check_op(np.tanh)
    check_module(lambda seed: nn.Dense(3, 4, rng=seed), x)
    check_optimizer(lambda ps: optim.SGD(ps, lr=0.1), lambda w, g, n: w - sum(0.1 * g(k) for k in range(n)))
    print(report([np.exp, "add", square], max_examples=5).failures)


@given(strategies.arrays((2, 3), low=0.5), strategies.axes(2), strategies.labels(3, 2))
def check_sums(x: Floats, axis: int | tuple[int, ...] | None, labels: NDArray[np.int64]) -> None:
    gradcheck(lambda t: np.log(t).sum(axis=axis), x)


@given(strategies.broadcastable(2, low=0.5, high=2.0, dtype=np.float64))
def check_products(pair: tuple[Floats, ...]) -> None:
    gradcheck(lambda a, b: a * b, *pair)
