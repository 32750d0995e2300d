"""Steps and remainders. A step has the derivative 0 wherever it has one; its results still require grad."""

from typing import Any

import numpy as np

from tinygrad_nn.ops.arithmetic import product
from tinygrad_nn.primitives.declare import op


def _zero(g: Any) -> Any:
    return np.zeros_like(g)


def _whole(a: Any, b: Any) -> Any:
    """Zero where a is a multiple of b: the places where floor(a / b) jumps."""
    return a / b - np.rint(a / b)


def _to_integer(x: Any) -> Any:
    return x - np.rint(x)


sign = op(np.sign, _zero, zero_gradient=True, kinks=(0.0,), analytic=False)
floor = op(np.floor, _zero, zero_gradient=True, kinks=_to_integer, analytic=False)
ceil = op(np.ceil, _zero, zero_gradient=True, kinks=_to_integer, analytic=False)
trunc = op(np.trunc, _zero, zero_gradient=True, kinks=_to_integer, analytic=False)
rint = op(np.rint, _zero, zero_gradient=True, kinks=lambda x: _to_integer(x + 0.5), analytic=False)
round_ = op(
    np.round,
    lambda g, *, decimals=0: np.zeros_like(g),
    name="round",
    also=(np.around,),
    zero_gradient=True,
    kinks=lambda x, decimals=0: _to_integer(x * 10.0**decimals + 0.5),
    analytic=False,
    samples=lambda rng: [
        ((rng.normal(size=shape),), params)
        for shape, params in (((3, 4), {}), ((5,), {"decimals": 1}), ((), {"decimals": 2}), ((0, 2), {}))
    ],
)

_BINARY: dict[str, Any] = {"domain": ((-3, 3), (0.3, 3)), "kinks": _whole, "analytic": False}
floor_divide = op(np.floor_divide, _zero, _zero, zero_gradient=True, **_BINARY)
remainder = op(np.remainder, lambda g: g, lambda g, a, b: -product(g, np.floor_divide(a, b)), **_BINARY)
fmod = op(np.fmod, lambda g: g, lambda g, a, b: -product(g, np.trunc(a / b)), **_BINARY)
heaviside = op(
    np.heaviside,
    _zero,
    None,
    zero_gradient=True,
    kinks=lambda a, b: a,
    analytic=False,
    promotes=True,
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)), 0.5), {}),
        ((rng.normal(size=(0, 2)), np.array(0.5)), {}),
        ((rng.normal(size=()), np.array(1)), {}),
    ],
)
copysign = op(
    np.copysign,
    lambda g, a, b: np.where(np.signbit(a) == np.signbit(b), g, -g),
    _zero,
    kinks=lambda a, b: a * b,
    analytic=False,
)
ldexp = op(
    np.ldexp,
    lambda g, b: np.ldexp(g, b),
    None,
    linear=True,
    analytic=False,
    samples=lambda rng: [
        ((rng.normal(size=(3, 4)), rng.integers(-3, 4, size=(3, 4))), {}),
        ((rng.normal(size=(3, 1)), np.array([1, -2])), {}),
        ((rng.normal(size=()), np.array(3)), {}),
    ],
)
