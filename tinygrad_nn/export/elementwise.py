"""Element by element: arithmetic, functions of one number, activations, elements of losses."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_nn.export.conversion import Conversion, Converter, Setting


def plain(kind: str, **settings: Setting) -> Converter:
    """Return a converter to one operator, whose operands have one dtype."""
    return lambda c: c.op(kind, *c.all(), **settings)


def logical(kind: str) -> Converter:
    """Return a converter to one operator on bools."""
    return lambda c: c.op(kind, *[c.x(k, np.dtype(bool)) for k in range(len(c.values))])


def not_equal(c: Conversion) -> str:
    return c.op("Not", c.op("Equal", *c.all()))


def square(c: Conversion) -> str:
    return c.op("Mul", c.x(), c.x())


def float_power(c: Conversion) -> str:
    return c.op("Pow", c.x(0, c.dtype), c.x(1, c.dtype))


def hypot(c: Conversion) -> str:
    a, b = c.all()
    return c.op("Sqrt", c.op("Add", c.op("Mul", a, a), c.op("Mul", b, b)))


def log_of_sum(c: Conversion, base: float) -> str:
    """log(base**a + base**b) without overflow, the larger one in front."""
    a, b = c.all()
    gap = c.op("Mul", c.op("Neg", c.op("Abs", c.op("Sub", a, b))), c.like(math.log(base)))
    rest = c.op("Log", c.op("Add", c.op("Exp", gap), c.like(1)))
    return c.op("Add", c.op("Max", a, b), c.op("Div", rest, c.like(math.log(base))))


def exp_of(base: float) -> Converter:
    return lambda c: c.op("Exp", c.op("Mul", c.x(), c.like(math.log(base))))


def log_to(base: float) -> Converter:
    return lambda c: c.op("Div", c.op("Log", c.x()), c.like(math.log(base)))


def expm1(c: Conversion) -> str:
    # exp(x) - 1 = 2 sinh(x / 2) exp(x / 2), which keeps small numbers.
    half = c.op("Mul", c.x(), c.like(0.5))
    return c.op("Mul", c.op("Mul", c.op("Sinh", half), c.op("Exp", half)), c.like(2))


def log1p(c: Conversion) -> str:
    # 2 artanh(x / (x + 2)), which keeps small numbers; elsewhere as it is written.
    x = c.x()
    near = c.op("Mul", c.op("Atanh", c.op("Div", x, c.op("Add", x, c.like(2)))), c.like(2))
    small = c.op("Less", c.op("Abs", x), c.like(0.5))
    return c.op("Where", small, near, c.op("Log", c.op("Add", x, c.like(1))))


def cbrt(c: Conversion) -> str:
    x = c.x()
    return c.op("Mul", c.op("Sign", x), c.op("Pow", c.op("Abs", x), c.like(1 / 3)))


def scaled(factor: float) -> Converter:
    return lambda c: c.op("Mul", c.x(), c.like(factor))


def zero_at_zero(kind: str, c: Conversion) -> str:
    """a kind b, and 0 where one of them is 0."""
    a, b = c.all()
    zero = c.like(0)
    at_zero = c.op("Or", c.op("Equal", a, zero), c.op("Equal", b, zero))
    return c.op("Where", at_zero, zero, c.op(kind, a, b))


def ldexp(c: Conversion) -> str:
    return c.op("Mul", c.x(0, c.dtype), c.op("Pow", c.like(2), c.x(1, c.dtype)))


def trunc(c: Conversion) -> str:
    return c.op("Mul", c.op("Sign", c.x()), c.op("Floor", c.op("Abs", c.x())))


def rounded(c: Conversion) -> str:
    scale = 10.0 ** c.params.get("decimals", 0)
    return c.op("Div", c.op("Round", c.op("Mul", c.x(), c.like(scale))), c.like(scale))


def floor_divide(c: Conversion) -> str:
    return c.op("Floor", c.op("Div", *c.all()))


def remainder(c: Conversion) -> str:
    a, b = c.all()
    return c.op("Sub", a, c.op("Mul", c.op("Floor", c.op("Div", a, b)), b))


def heaviside(c: Conversion) -> str:
    x, at_zero = c.all()
    zero = c.like(0)
    step = c.op("Cast", c.op("Greater", x, zero), to=c.writer.dtype(c.dtype))
    return c.op("Where", c.op("Equal", x, zero), at_zero, step)


def copysign(c: Conversion) -> str:
    x, sign = c.all()
    size = c.op("Abs", x)
    return c.op("Where", c.op("Less", sign, c.like(0)), c.op("Neg", size), size)


def arctan2(c: Conversion) -> str:
    y, x = c.all()
    zero = c.like(0)
    turned = c.op("Where", c.op("Less", y, zero), c.like(-math.pi), c.like(math.pi))
    angle = c.op("Atan", c.op("Div", y, x))
    return c.op("Where", c.op("Less", x, zero), c.op("Add", angle, turned), angle)


def angle(c: Conversion) -> str:
    half_turn = 180.0 if c.params.get("deg") else math.pi
    return c.op("Where", c.op("Less", c.x(), c.constant(0, c.values[0].dtype)), c.like(half_turn), c.like(0))


def imaginary(c: Conversion) -> str:
    return c.op("Mul", c.x(), c.like(0))


def nan_to_num(c: Conversion) -> str:
    limits = np.finfo(c.dtype)
    nan, top, low = (c.params.get(name) for name in ("nan", "posinf", "neginf"))
    x = c.op("Where", c.op("IsNaN", c.x()), c.like(nan or 0), c.x())
    x = c.op("Where", c.op("IsInf", x, detect_negative=0), c.like(limits.max if top is None else top), x)
    return c.op("Where", c.op("IsInf", x, detect_positive=0), c.like(limits.min if low is None else low), x)


def clip(c: Conversion) -> str:
    x, low, high = c.all()
    return c.op("Min", c.op("Max", x, low), high)


def where(c: Conversion) -> str:
    return c.op("Where", c.x(0, np.dtype(bool)), c.x(1, c.dtype), c.x(2, c.dtype))


def silu(c: Conversion) -> str:
    return c.op("Mul", c.x(), c.op("Sigmoid", c.x()))


def gelu_tanh_slope(c: Conversion) -> str:
    """p + x p (1 - p) z' for the logistic function p of z, twice what gelu takes the tanh of."""
    x, scale = c.x(), 2 * math.sqrt(2 / math.pi)
    square = c.op("Mul", x, x)

    def line(slope: float) -> str:
        return c.op("Mul", c.op("Add", c.op("Mul", square, c.like(slope)), c.like(1)), c.like(scale))

    p = c.op("Sigmoid", c.op("Mul", x, line(0.044715)))
    rest = c.op("Mul", c.op("Mul", p, c.op("Sub", c.like(1), p)), c.op("Mul", x, line(3 * 0.044715)))
    return c.op("Add", p, rest)


def log_sigmoid(c: Conversion) -> str:
    return c.op("Neg", c.op("Softplus", c.op("Neg", c.x())))


def with_setting(kind: str, ours: str, default: float) -> Converter:
    """Return a converter of an activation whose one setting ONNX calls alpha."""
    return lambda c: c.op(kind, c.x(), alpha=float(c.params.get(ours, default)))


def xlogy(c: Conversion) -> str:
    x, y = c.all()
    zero = c.like(0)
    return c.op("Where", c.op("Equal", x, zero), zero, c.op("Mul", x, c.op("Log", y)))


def one_minus_erf(c: Conversion) -> str:
    return c.op("Sub", c.like(1), c.op("Erf", c.x()))


def ndtr(c: Conversion) -> str:
    share = c.op("Erf", c.op("Mul", c.x(), c.like(math.sqrt(0.5))))
    return c.op("Mul", c.op("Add", share, c.like(1)), c.like(0.5))


def logit(c: Conversion) -> str:
    return c.op("Sub", c.op("Log", c.x()), c.op("Log", c.op("Sub", c.like(1), c.x())))


def sinc(c: Conversion) -> str:
    turn = c.op("Mul", c.x(), c.like(math.pi))
    return c.op("Where", c.op("Equal", turn, c.like(0)), c.like(1), c.op("Div", c.op("Sin", turn), turn))


def binary_cross_entropy(c: Conversion) -> str:
    logits, targets = c.all()
    return c.op("Sub", c.op("Softplus", logits), c.op("Mul", targets, logits))


def huber(c: Conversion) -> str:
    delta = c.params["delta"]
    near = c.op("Min", c.op("Max", c.x(), c.like(-delta)), c.like(delta))
    return c.op("Mul", near, c.op("Sub", c.x(), c.op("Mul", near, c.like(0.5))))
