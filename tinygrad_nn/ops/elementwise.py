"""Functions of one array, element by element. Start reading here: a derivative rule is one line of NumPy.

Why `product(g, y)` and not `g * y`: where a result is not used, its cotangent g is 0, and 0 times infinity is NaN.
`product` and `quotient` keep a zero cotangent zero, so that np.where(x > 0, np.log(x), 0) has the gradient 0 at 0.

Rules run on arrays, and on tensors where derivatives of derivatives are wanted; `Array` stands for both.
"""

import math

import numpy as np

from tinygrad_nn.ops.arithmetic import product, quotient
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, composite, op

_POSITIVE = (0.1, 9)

exp = op(np.exp, lambda g, y: product(g, y))
exp2 = op(np.exp2, lambda g, y: product(g, y * math.log(2)))
expm1 = op(np.expm1, lambda g, x: product(g, np.exp(x)))
log = op(np.log, lambda g, x: quotient(g, x), domain=_POSITIVE)
log2 = op(np.log2, lambda g, x: quotient(g, x * math.log(2)), domain=_POSITIVE)
log10 = op(np.log10, lambda g, x: quotient(g, x * math.log(10)), domain=_POSITIVE)
log1p = op(np.log1p, lambda g, x: quotient(g, 1 + x), domain=(-0.9, 9))
sqrt = op(np.sqrt, lambda g, y: quotient(g, 2 * y), domain=_POSITIVE)
cbrt = op(np.cbrt, lambda g, y: quotient(g, 3 * y * y), domain=_POSITIVE, analytic=False)
square = op(np.square, lambda g, x: product(g, 2 * x))
reciprocal = op(np.reciprocal, lambda g, x: -quotient(quotient(g, x), x), domain=_POSITIVE)
absolute = op(np.absolute, lambda g, x: product(g, np.sign(x)), kinks={0.0: 0.0}, analytic=False)
fabs = op(np.fabs, lambda g, x: product(g, np.sign(x)), kinks={0.0: 0.0}, analytic=False)
conjugate = op(np.conjugate, lambda g: g, linear=True, analytic=False)
nan_to_num = op(
    np.nan_to_num,
    lambda g, x, *, copy=True, nan=0.0, posinf=None, neginf=None: np.where(np.isfinite(x), g, 0),
    # With copy=False NumPy would overwrite the operand.
    call=lambda x, copy=True, **values: np.nan_to_num(x, **values),
    linear=True,
    analytic=False,
)

# Real numbers have a real part, themselves, and the rest of what complex numbers have is constant.
imag = op(np.imag, lambda g: np.zeros_like(g), linear=True, zero_gradient=True, analytic=False, method=False)
angle = op(
    np.angle,
    lambda g, *, deg=False: np.zeros_like(g),
    kinks=(0.0,),
    zero_gradient=True,
    analytic=False,
    method=False,
    samples=cases([each((3, 4), (), (0, 2)), {}, {"deg": True}]),
)


@composite(np.real, analytic=False, samples=cases([each((3, 4), ())]))
def real(val: Array) -> Array:
    """The array itself: its elements are real."""
    return val[...]
