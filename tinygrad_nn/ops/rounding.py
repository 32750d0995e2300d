"""Steps and remainders. A step has the derivative 0 wherever it has one; its results still require grad."""

from __future__ import annotations

from functools import partial

import numpy as np

from tinygrad_nn.ops.arithmetic import NONZERO_DIVISOR, product
from tinygrad_nn.ops.samples import cases, each, integers
from tinygrad_nn.primitives import Array, op


def _to_integer(x: Array) -> Array:
    return x - np.rint(x)


_zero = lambda g: np.zeros_like(g)
_step = partial(op, zero_gradient=True, analytic=False)
sign = _step(np.sign, _zero, kinks=(0.0,))
floor = _step(np.floor, _zero, kinks=_to_integer)
ceil = _step(np.ceil, _zero, kinks=_to_integer)
trunc = _step(np.trunc, _zero, kinks=_to_integer)
rint = _step(np.rint, _zero, kinks=lambda x: _to_integer(x + 0.5))
round_ = _step(
    np.round,
    lambda g, *, decimals=0: np.zeros_like(g),
    also=(np.around,),
    kinks=lambda x, decimals=0: _to_integer(x * 10.0**decimals + 0.5),
    samples=cases([(5,), {"decimals": 1}, (), {"decimals": 2}, each((3, 4), (0, 2))]),
)

# What depends on floor(a / b) jumps where a is a multiple of b.
_division = partial(op, domain=NONZERO_DIVISOR, kinks=lambda a, b: _to_integer(a / b), analytic=False)
floor_divide = _division(np.floor_divide, _zero, _zero, zero_gradient=True)
remainder = _division(np.remainder, lambda g: g, lambda g, a, b: -product(g, np.floor_divide(a, b)))
fmod = _division(np.fmod, lambda g: g, lambda g, a, b: -product(g, np.trunc(a / b)))
heaviside = _step(
    np.heaviside,
    _zero,
    None,
    kinks=lambda a, b: a,
    promotes=True,
    samples=cases([(3, 4), 0.5], [(0, 2), np.array(0.5)], [(), np.array(1)]),
)
copysign = op(
    np.copysign,
    lambda g, a, b: product(g, np.sign(a) * np.copysign(1, b)),
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
    samples=cases([(3, 4), integers(-3, 4, (3, 4))], [(3, 1), np.array([1, -2])], [(), np.array(3)]),
)
