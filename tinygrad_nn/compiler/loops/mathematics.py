"""Compiled loops: elementary functions that vectorise, cross-entropy, updates. Needs Numba (extra `jit`).

exp is 2**n * exp(r) with |r| <= log(2) / 2 and a Taylor polynomial, without branches, so that LLVM computes eight or
sixteen at a time (Cody and Waite 1980); tanh(x) = e / (e + 2) with e = exp(2x) - 1 from the same polynomial, which
keeps small arguments exact. Measured at 3.5 million points, errors are below 1.1 units in the last place for exp and
2.6 for tanh and sigmoid.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from tinygrad_nn.compiler.loops.machine_code import compiled

f4, f8, i4 = np.float32, np.float64, np.int32


def _bits(source, target):
    @intrinsic
    def cast(typing, x):
        def generate(context, builder, signature, args):
            return builder.bitcast(args[0], context.get_value_type(target))

        return (target(source), generate) if x == source else None

    return cast


_to_f4, _to_f8 = _bits(types.int32, types.float32), _bits(types.int64, types.float64)
_from_f4, _from_f8 = _bits(types.float32, types.int32), _bits(types.float64, types.int64)

_SUMS = {"contract", "reassoc"}
element = compiled(error_model="numpy", fastmath={"contract"}, no_cpython_wrapper=True)
"""Compile what only compiled functions call, one element or a few rows at a time; Python cannot."""
inner = compiled(error_model="numpy", fastmath=_SUMS, no_cpython_wrapper=True)
"""Compile loops that only compiled functions call; Python cannot."""
loop = compiled(error_model="numpy", fastmath=_SUMS, nogil=True)
"""Compile loops."""
outer = compiled(error_model="numpy", fastmath=_SUMS, nogil=True, _nrt=False)
"""Compile loops that make no arrays, so that references to arrays need not be counted."""

_ROUND4, _LOG2E4, _HIGH4, _LOW4 = f4(12582912.0), f4(1.4426950408889634), f4(0.693359375), f4(-2.12194440e-4)
_A2, _A3, _A4, _A5, _A6, _A7 = (f4(1 / math.factorial(k)) for k in range(2, 8))
_BITS4 = int(np.array(_ROUND4).view(np.int32))
_ROUND8, _LOG2E8 = 6755399441055744.0, 1.4426950408889634
_HIGH8, _LOW8 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_B2, _B3, _B4, _B5, _B6, _B7, _B8, _B9, _B10, _B11, _B12, _B13 = (1 / math.factorial(k) for k in range(2, 14))
_BITS8 = int(np.array(_ROUND8).view(np.int64))


@element
def _reduced4(x):
    """Return exp(r) - 1 and n."""
    t = x * _LOG2E4 + _ROUND4
    n = t - _ROUND4
    r = (x - n * _HIGH4) - n * _LOW4
    p = ((((_A7 * r + _A6) * r + _A5) * r + _A4) * r + _A3) * r + _A2
    return p * r * r + r, i4(_from_f4(t) - i4(_BITS4))


@element
def exp4(x):
    x = f4(89) if x > f4(89) else f4(-104) if x < f4(-104) else x
    p, n = _reduced4(x)
    half = n >> 1
    s = _to_f4(i4((half + 127) << 23))
    return (p * s + s) * _to_f4(i4((n - half + 127) << 23))


@element
def expm1_4(x):
    x = f4(89) if x > f4(89) else f4(-20) if x < f4(-20) else x
    p, n = _reduced4(x)
    half = n >> 1
    s, t, u = (
        _to_f4(i4((half + 127) << 23)),
        _to_f4(i4((n - half + 127) << 23)),
        _to_f4(i4((half - n + 127) << 23)),
    )
    # The last doubling comes last: before it, nothing overflows that is finite in the end.
    return (p * s + (s - u)) * t


@element
def tanh4(x):
    a = abs(x) * f4(2)
    p, n = _reduced4(f4(20) if a > f4(20) else a)
    s = _to_f4(i4((n + 127) << 23))
    e = p * s + (s - f4(1))
    return math.copysign(e / (e + f4(2)), x)


@element
def sigmoid4(x):
    return f4(1) / (f4(1) + exp4(-x))


_CUBIC, _TWICE = 0.044715, 2 * math.sqrt(2 / math.pi)
_CUBIC4, _TWICE4 = f4(_CUBIC), f4(_TWICE)


@element
def gelu_tanh4(x):
    # (1 + tanh(u)) / 2 is sigmoid(2 * u); beyond 10 it is 0 or 1.
    z = f4(10) if x > f4(10) else f4(-10) if x < f4(-10) else x
    return (x if not x < f4(-10) else f4(-10)) * sigmoid4(_TWICE4 * (z + _CUBIC4 * z * z * z))


@element
def gelu_tanh_slope4(x):
    z = f4(10) if x > f4(10) else f4(-10) if x < f4(-10) else x
    p = sigmoid4(_TWICE4 * (z + _CUBIC4 * z * z * z))
    return p + p * (f4(1) - p) * _TWICE4 * (f4(1) + f4(3) * _CUBIC4 * z * z) * z


@element
def _reduced8(x):
    t = x * _LOG2E8 + _ROUND8
    n = t - _ROUND8
    r = (x - n * _HIGH8) - n * _LOW8
    p = ((((_B13 * r + _B12) * r + _B11) * r + _B10) * r + _B9) * r + _B8
    p = (((((p * r + _B7) * r + _B6) * r + _B5) * r + _B4) * r + _B3) * r + _B2
    return p * r * r + r, _from_f8(t) - _BITS8


@element
def exp8(x):
    x = 710.0 if x > 710.0 else -746.0 if x < -746.0 else x
    p, n = _reduced8(x)
    half = n >> 1
    s = _to_f8((half + 1023) << 52)
    return (p * s + s) * _to_f8((n - half + 1023) << 52)


@element
def expm1_8(x):
    x = 710.0 if x > 710.0 else -40.0 if x < -40.0 else x
    p, n = _reduced8(x)
    half = n >> 1
    s, t, u = _to_f8((half + 1023) << 52), _to_f8((n - half + 1023) << 52), _to_f8((half - n + 1023) << 52)
    return (p * s + (s - u)) * t


@element
def tanh8(x):
    a = abs(x) * 2
    p, n = _reduced8(40.0 if a > 40.0 else a)
    s = _to_f8((n + 1023) << 52)
    e = p * s + (s - 1.0)
    return math.copysign(e / (e + 2.0), x)


@element
def sigmoid8(x):
    return 1.0 / (1.0 + exp8(-x))


@element
def gelu_tanh8(x):
    z = 10.0 if x > 10.0 else -10.0 if x < -10.0 else x
    return (x if not x < -10.0 else -10.0) * sigmoid8(_TWICE * (z + _CUBIC * z * z * z))


@element
def gelu_tanh_slope8(x):
    z = 10.0 if x > 10.0 else -10.0 if x < -10.0 else x
    p = sigmoid8(_TWICE * (z + _CUBIC * z * z * z))
    return p + p * (1.0 - p) * _TWICE * (1.0 + 3.0 * _CUBIC * z * z) * z


def _by_width(narrow, wide):
    """Return a function that compiled ones know, which is one of two by the type of its argument."""

    def function(x):
        raise NotImplementedError

    @overload(function)
    def _chosen(x):
        return (lambda x: narrow(x)) if x == types.float32 else lambda x: wide(x)

    return function


tanh, sigmoid = _by_width(tanh4, tanh8), _by_width(sigmoid4, sigmoid8)


@inner
def _exp_of4(d):
    for i in range(d.size):
        d[i] = exp4(d[i])


@inner
def _exp_of8(d):
    for i in range(d.size):
        d[i] = exp8(d[i])


@loop
def cross_entropy4(logits, labels, out, d, rows, classes, mean):
    """Fill d with softmax - onehot, and out with the losses of the rows, or their mean (1) or sum (0)."""
    total = _shift(logits, labels, out, d, rows, classes, mean)
    _exp_of4(d)
    _finish(labels, out, d, rows, classes, mean, total)


@loop
def cross_entropy8(logits, labels, out, d, rows, classes, mean):
    """Fill d with softmax - onehot, and out with the losses of the rows, or their mean (1) or sum (0)."""
    total = _shift(logits, labels, out, d, rows, classes, mean)
    _exp_of8(d)
    _finish(labels, out, d, rows, classes, mean, total)


@inner
def _shift(logits, labels, out, d, rows, classes, mean):
    """Subtract the largest logit of each row; return minus the sum of the chosen ones."""
    total = 0.0
    for i in range(rows):
        start = i * classes
        top = logits[start]
        for j in range(start + 1, start + classes):
            top = logits[j] if logits[j] > top else top  # a NaN makes all of its row NaN in any case
        for j in range(start, start + classes):
            d[j] = logits[j] - top
        chosen = d[start + labels[i]]
        if mean < 0:
            out[i] = -chosen
        total -= chosen
    return total


@inner
def _finish(labels, out, d, rows, classes, mean, total):
    one = d.dtype.type(1)
    for i in range(rows):
        start = i * classes
        s = d.dtype.type(0)
        for j in range(start, start + classes):
            s += d[j]
        factor = one / s
        for j in range(start, start + classes):
            d[j] *= factor
        d[start + labels[i]] -= one
        loss = math.log(s)
        if mean < 0:
            out[i] += loss
        total += loss
    if mean >= 0:
        out[0] = total / rows if mean else total


@loop
def labels_fit(labels, classes):
    """Tell whether all labels name one of the classes."""
    good = True
    for i in range(labels.size):
        good &= (labels[i] >= 0) & (labels[i] < classes)
    return good


@loop
def sgd(p, g, v, rate, momentum, nesterov, weight_decay):
    kind = p.dtype.type
    r, keep, decay = kind(rate[0]), kind(momentum), kind(weight_decay)
    if momentum == 0:
        for i in range(p.size):
            p[i] -= r * (g[i] + decay * p[i])
    else:
        for i in range(p.size):
            x = g[i] + decay * p[i]
            v[i] = keep * v[i] + x
            p[i] -= r * (x + keep * v[i] if nesterov else v[i])


@loop
def sgd_plain(p, g, rate):
    r = p.dtype.type(rate[0])
    for i in range(p.size):
        p[i] -= r * g[i]


@loop
def adam(p, g, m, v, rate, count, b1, b2, eps, weight_decay, decoupled):
    kind = p.dtype.type
    lr, t = rate[0], count[0]
    first, second, keep, small = kind(1 - b1), kind(1 - b2), kind(b2), kind(eps)
    root, scale = kind(1 / math.sqrt(1 - b2**t)), kind(lr / (1 - b1**t))
    shrink, decay = kind(1 - lr * weight_decay if decoupled else 1), kind(0 if decoupled else weight_decay)
    for i in range(p.size):
        x = p[i] * shrink
        d = g[i] + decay * x
        m[i] += first * (d - m[i])
        v[i] = keep * v[i] + second * (d * d)
        p[i] = x - scale * (m[i] / (math.sqrt(v[i]) * root + small))


__all__ = [
    "adam",
    "cross_entropy4",
    "cross_entropy8",
    "exp4",
    "exp8",
    "expm1_4",
    "expm1_8",
    "f4",
    "f8",
    "gelu_tanh4",
    "gelu_tanh8",
    "gelu_tanh_slope4",
    "gelu_tanh_slope8",
    "labels_fit",
    "outer",
    "sgd",
    "sgd_plain",
    "sigmoid4",
    "sigmoid8",
    "tanh4",
    "tanh8",
]
