"""How this library says what PyTorch's OpInfo calls each op, and where the two are known to differ.

A function takes what the op takes in PyTorch: tensors, arrays for integers and truth values, plain settings.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_nn as tn
from tests.oracle.compare import results
from tinygrad_nn.nn import losses


class NotHere(Exception):
    """A sample uses something that does not exist here."""


def absent(reason):
    raise NotHere(reason)


def _axis(dim):
    """Return the axes of a reduction; PyTorch reduces all where it is given none."""
    if isinstance(dim, (list, tuple)):
        return dim[0] if len(dim) == 1 else tuple(dim) or None
    return dim


def _dims(x, dim):
    dims = range(x.ndim) if _axis(dim) is None else dim if isinstance(dim, (list, tuple)) else (dim,)
    return tuple(k % max(x.ndim, 1) for k in dims)


def _cast(y, dtype):
    return y if dtype is None else y.astype(dtype)


# Elementwise


def _rounded(x, decimals=0):
    return np.round(x, decimals=decimals)


def _softplus(x, beta=1.0, threshold=20.0):
    return np.where(x * beta > threshold, x, tn.softplus(x * beta) / beta)


def _logit(x, eps=None):
    x = x if eps is None else np.clip(x, eps, 1 - eps)
    return np.log(x / (1 - x))


def _prelu(x, weight):
    weight = np.reshape(weight, (-1,) + (1,) * (x.ndim - 2)) if x.ndim > 1 else np.reshape(weight, ())
    return np.where(x > 0, x, weight * x)


def _glu(x, dim=-1):
    a, b = np.split(x, 2, axis=dim)
    return a * tn.sigmoid(b)


def _selu(x, inplace=False):
    return 1.0507009873554804934193349852946 * tn.elu(x, alpha=1.6732632423543772848170429916717)


def _softshrink(x, lambd=0.5):
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0 * x))


def _threshold(x, threshold, value, inplace=False):
    return np.where(x <= threshold, value, x)


def _clamp(x, min=None, max=None):
    x = x if min is None else np.maximum(x, min)
    return x if max is None else np.minimum(x, max)


def _scaled(function):
    return lambda x, other, alpha=1: function(x, other if alpha == 1 else alpha * other)


def _swapped(function):
    return lambda x, other: function(other, x)


def _divided(x, other, rounding_mode=None):
    if rounding_mode is None:
        return x / other
    return np.trunc(x / other) if rounding_mode == "trunc" else np.floor_divide(x, other)


UNARY = {
    "abs": np.absolute,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "conj": np.conjugate,
    "conj_physical": np.conjugate,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg2rad": np.deg2rad,
    "double": lambda x, memory_format=None: x.astype(np.float64),
    "erf": tn.erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "float": lambda x, memory_format=None: x.astype(np.float32),
    "floor": np.floor,
    "frac": lambda x: x - np.trunc(x),
    "half": lambda x, memory_format=None: x.astype(np.float16),
    "isfinite": np.isfinite,
    "isinf": np.isinf,
    "isnan": np.isnan,
    "isneginf": np.isneginf,
    "isposinf": np.isposinf,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "logical_not": np.logical_not,
    "logit": _logit,
    "nan_to_num": np.nan_to_num,
    "neg": np.negative,
    "nn.functional.celu": lambda x, alpha=1.0, inplace=False: alpha * tn.elu(x / alpha),
    "nn.functional.elu": lambda x, alpha=1.0, inplace=False: tn.elu(x, alpha=alpha),
    "nn.functional.gelu": tn.gelu,
    "nn.functional.glu": _glu,
    "nn.functional.hardshrink": lambda x, lambd=0.5: np.where(np.absolute(x) > lambd, x, 0 * x),
    "nn.functional.hardsigmoid": lambda x, inplace=False: np.clip(x + 3, 0, 6) / 6,
    "nn.functional.hardswish": lambda x, inplace=False: x * np.clip(x + 3, 0, 6) / 6,
    "nn.functional.hardtanh": lambda x, min_val=-1.0, max_val=1.0, inplace=False: np.clip(
        x, min_val, max_val
    ),
    "nn.functional.leaky_relu": lambda x, negative_slope=0.01, inplace=False: tn.leaky_relu(
        x, negative_slope=negative_slope
    ),
    "nn.functional.logsigmoid": tn.log_sigmoid,
    "nn.functional.mish": lambda x, inplace=False: x * np.tanh(tn.softplus(x)),
    "nn.functional.prelu": _prelu,
    "nn.functional.relu": lambda x, inplace=False: tn.relu(x),
    "nn.functional.relu6": lambda x, inplace=False: np.clip(x, 0, 6),
    "nn.functional.selu": _selu,
    "nn.functional.silu": lambda x, inplace=False: tn.silu(x),
    "nn.functional.softplus": _softplus,
    "nn.functional.softshrink": _softshrink,
    "nn.functional.softsign": lambda x: x / (1 + np.absolute(x)),
    "nn.functional.tanhshrink": lambda x: x - np.tanh(x),
    "nn.functional.threshold": _threshold,
    "positive": np.positive,
    "rad2deg": np.rad2deg,
    "reciprocal": np.reciprocal,
    "round": _rounded,
    "round/decimals_0": _rounded,
    "round/decimals_3": _rounded,
    "round/decimals_neg_3": _rounded,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sgn": np.sign,
    "sigmoid": tn.sigmoid,
    "sign": np.sign,
    "signbit": np.signbit,
    "sin": np.sin,
    "sinh": np.sinh,
    "special.entr": lambda x: np.where(x < 0, -np.inf, -tn.xlogy(x, x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
    "angle": np.angle,
    "digamma": tn.digamma,
    "erfc": tn.erfc,
    "erfinv": tn.erfinv,
    "i0": np.i0,
    "lgamma": tn.gammaln,
    "real": np.real,
    "sinc": np.sinc,
    "special.erfcx": tn.erfcx,
    "special.i1": tn.i1,
    "special.log_ndtr": tn.log_ndtr,
    "special.ndtr": tn.ndtr,
}
BINARY = {
    "__radd__": _swapped(operator.add),
    "__rdiv__": _swapped(operator.truediv),
    "__rmod__": _swapped(operator.mod),
    "__rmul__": _swapped(operator.mul),
    "__rpow__": _swapped(operator.pow),
    "__rsub__": _swapped(operator.sub),
    "add": _scaled(np.add),
    "addcdiv": lambda x, a, b, value=1: x + value * (a / b),
    "addcmul": lambda x, a, b, value=1: x + value * (a * b),
    "allclose": lambda x, other, **params: np.allclose(x, other, **params),
    "atan2": np.arctan2,
    "clamp": _clamp,
    "clamp_max": np.minimum,
    "clamp_min": np.maximum,
    "copysign": np.copysign,
    "div/floor_rounding": _divided,
    "div/no_rounding_mode": _divided,
    "div/trunc_rounding": _divided,
    "eq": np.equal,
    "fill": lambda x, value: np.full_like(x, value),
    "float_power": np.float_power,
    "floor_divide": np.floor_divide,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "fmod": np.fmod,
    "ge": np.greater_equal,
    "gt": np.greater,
    "heaviside": np.heaviside,
    "hypot": np.hypot,
    "isclose": lambda x, other, **params: np.isclose(x, other, **params),
    "ldexp": lambda x, other: x * np.exp2(other),
    "le": np.less_equal,
    "lerp": lambda x, end, weight: x + weight * (end - x),
    "logaddexp": np.logaddexp,
    "logaddexp2": np.logaddexp2,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "lt": np.less,
    "masked_fill": lambda x, mask, value: np.where(mask, value, x),
    "max/binary": np.maximum,
    "maximum": np.maximum,
    "min/binary": np.minimum,
    "minimum": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "pow": np.power,
    "remainder": np.remainder,
    "rsub": lambda x, other, alpha=1: other - alpha * x,
    "special.xlog1py": lambda x, other: tn.xlogy(x, 1 + other),
    "sub": _scaled(np.subtract),
    "true_divide": np.true_divide,
    "where": lambda x, mask, other: np.where(mask, x, other),
    "xlogy": tn.xlogy,
}


# Reductions


def _reduction(function):
    return lambda x, dim=None, keepdim=False, dtype=None: function(
        _cast(x, dtype), axis=_axis(dim), keepdims=keepdim
    )


def _spread(function):
    def call(x, dim=None, unbiased=True, keepdim=False, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        ddof = int(unbiased) if correction is None else correction
        return function(x, axis=_axis(dim), ddof=ddof, keepdims=keepdim)

    return call


def _with_mean(function):
    def call(x, *args, **params):
        mean = {key: params[key] for key in ("dim", "keepdim") if key in params}
        return _spread(function)(x, *args, **params), _reduction(np.mean)(x, **mean)

    return call


def _count_nonzero(x, dim=None, keepdim=False):
    return np.count_nonzero(x, axis=_axis(dim), keepdims=keepdim)


def _position(function):
    def call(x, dim=None, keepdim=False):
        return function(x, axis=dim, keepdims=keepdim)

    return call


def _quantile(x, q, dim=None, keepdim=False, interpolation="linear"):
    return np.quantile(x, q, axis=dim, keepdims=keepdim, method=interpolation)


def _lower_median(x, dim=None, keepdim=False):
    if dim is None or not x.ndim:
        flat = np.sort(np.ravel(x))
        return flat[(flat.size - 1) // 2]
    return np.take(np.sort(x, axis=dim), np.array([(x.shape[dim] - 1) // 2]), axis=dim)[
        (slice(None),) * (dim % x.ndim) + ((slice(None),) if keepdim else (0,))
    ]


def _kth_value(x, k, dim=-1, keepdim=False):
    if not x.ndim:
        return x * 1
    y = np.take(np.sort(x, axis=dim), k - 1, axis=dim)
    return np.expand_dims(y, dim) if keepdim else y


def _top(x, k, dim=-1, largest=True, sorted=True):
    if not x.ndim:
        return x * 1
    y = np.sort(x, axis=dim)
    y = np.flip(y, axis=dim) if largest else y
    return y[(slice(None),) * (dim % x.ndim) + (slice(0, k),)]


def _sorted(x, dim=-1, descending=False, stable=False):
    if not x.ndim:
        return x * 1
    y = np.sort(x, axis=dim)
    return np.flip(y, axis=dim) if descending else y


def _argsorted(x, dim=-1, descending=False, stable=False):
    if not x.ndim:
        return np.zeros((), int)
    return np.argsort(-x if descending else x, axis=dim, stable=True)


def _running(function):
    return lambda x, dim, dtype=None: np.reshape(function(_cast(x, dtype), axis=dim), x.shape)


def _along(function):
    return lambda x, dim, dtype=None, **options: function(_cast(x, dtype), axis=dim)


def _difference(x, n=1, dim=-1, prepend=None, append=None):
    if not n:
        return x * 1
    parts = [part for part in (prepend, x, append) if part is not None]
    return np.diff(np.concatenate(parts, axis=dim) if len(parts) > 1 else x, n=n, axis=dim)


def _trapezoid(y, x=None, dx=None, dim=-1):
    return np.trapezoid(y, x, dx=1.0 if dx is None else dx, axis=dim)


def _covariances(x, correction=1, fweights=None, aweights=None):
    return np.cov(x, ddof=correction, fweights=fweights, aweights=aweights)


def _searchsorted(x, values, out_int32=False, right=False, side=None, sorter=None):
    if x.ndim != 1:
        absent("np.searchsorted takes one row")
    return np.searchsorted(x, values, side=side or ("right" if right else "left"), sorter=sorter)


def _gradient(x, spacing=None, dim=None, edge_order=1):
    if spacing is None:
        spacing = ()
    spacing = spacing if isinstance(spacing, (list, tuple)) else (spacing,)
    axes = _dims(x, dim)
    return np.gradient(x, *spacing, axis=axes, edge_order=edge_order)


def _aminmax(x, dim=None, keepdim=False):
    return np.min(x, axis=dim, keepdims=keepdim), np.max(x, axis=dim, keepdims=keepdim)


def _masked(function, nothing):
    """Return a reduction of the elements under a mask; the others count as `nothing`."""

    def call(x, dim=None, *, keepdim=False, dtype=None, mask=None):
        x = x if mask is None else np.where(mask, x, nothing)
        return function(_cast(x, dtype), axis=_axis(dim), keepdims=keepdim)

    return call


def _masked_along(function, nothing):
    def call(x, dim, *, dtype=None, mask=None):
        x = x if mask is None else np.where(mask, x, nothing)
        return _cast(np.reshape(function(x, axis=dim), x.shape), dtype)

    return call


def _masked_mean(x, dim=None, *, keepdim=False, dtype=None, mask=None):
    mask = np.broadcast_to(True if mask is None else mask, x.shape)
    number = np.sum(mask, axis=_axis(dim), keepdims=keepdim)
    return np.sum(np.where(mask, x, 0.0), axis=_axis(dim), keepdims=keepdim) / number


def _cumulative_trapezoid(y, x=None, dx=1.0, dim=-1):
    before, after = _slice(y, dim, end=-1), _slice(y, dim, start=1)
    width = dx
    if x is not None:
        width = np.diff(x, axis=dim if x.ndim == y.ndim else -1)
        if x.ndim == 1:
            width = np.reshape(width, (-1,) + (1,) * (y.ndim - 1 - dim % y.ndim))
    return np.cumsum(width * (before + after) / 2, axis=dim)


REDUCTIONS = {
    "cumulative_trapezoid": _cumulative_trapezoid,
    "gradient": _gradient,
    "nanquantile": lambda x, q, dim=None, keepdim=False, interpolation="linear": np.nanquantile(
        x, q, axis=dim, keepdims=keepdim, method=interpolation
    ),
    "masked.amax": _masked(np.max, -np.inf),
    "masked.amin": _masked(np.min, np.inf),
    "masked.cumprod": _masked_along(np.cumprod, 1.0),
    "masked.cumsum": _masked_along(np.cumsum, 0.0),
    "masked.log_softmax": _masked_along(tn.log_softmax, -np.inf),
    "masked.logsumexp": _masked(tn.logsumexp, -np.inf),
    "masked.mean": _masked_mean,
    "masked.prod": _masked(np.prod, 1.0),
    "masked.softmax": _masked_along(tn.softmax, -np.inf),
    "masked.softmin": _masked_along(lambda x, axis: tn.softmax(-x, axis=axis), np.inf),
    "masked.sum": _masked(np.sum, 0.0),
    "all": _reduction(np.all),
    "amax": _reduction(np.max),
    "amin": _reduction(np.min),
    "aminmax": _aminmax,
    "any": _reduction(np.any),
    "argmax": _position(np.argmax),
    "argmin": _position(np.argmin),
    "argsort": _argsorted,
    "corrcoef": np.corrcoef,
    "count_nonzero": _count_nonzero,
    "cov": _covariances,
    "cumprod": _running(np.cumprod),
    "cumsum": _running(np.cumsum),
    "diff": _difference,
    "kthvalue": _kth_value,
    "log_softmax": _along(tn.log_softmax),
    "log_softmax/with_dtype": _along(tn.log_softmax),
    "logsumexp": _reduction(tn.logsumexp),
    "max/reduction_no_dim": _reduction(np.max),
    "max/reduction_with_dim": _reduction(np.max),
    "mean": _reduction(np.mean),
    "median": _lower_median,
    "min/reduction_no_dim": _reduction(np.min),
    "min/reduction_with_dim": _reduction(np.min),
    "msort": lambda x: np.sort(x, axis=0),
    "nanmean": _reduction(np.nanmean),
    "nansum": _reduction(np.nansum),
    "nn.functional.softmin": _along(lambda x, axis: tn.softmax(-x, axis=axis)),
    "nn.functional.softmin/with_dtype": _along(lambda x, axis: tn.softmax(-x, axis=axis)),
    "prod": _reduction(np.prod),
    "quantile": _quantile,
    "searchsorted": _searchsorted,
    "softmax": _along(tn.softmax),
    "softmax/with_dtype": _along(tn.softmax),
    "sort": _sorted,
    "std": _spread(np.std),
    "std/unbiased": _spread(np.std),
    "std_mean": _with_mean(np.std),
    "std_mean/unbiased": _with_mean(np.std),
    "sum": _reduction(np.sum),
    "topk": _top,
    "trapezoid": _trapezoid,
    "trapz": _trapezoid,
    "var": _spread(np.var),
    "var/unbiased": _spread(np.var),
    "var_mean": _with_mean(np.var),
    "var_mean/unbiased": _with_mean(np.var),
}


# Shape, joining, indexing


def _shape_of(shape):
    return tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else tuple(shape)


def _expanded(x, *shape):
    shape = _shape_of(shape)
    kept = (1,) * (len(shape) - x.ndim) + x.shape
    return np.broadcast_to(x, tuple(b if a == -1 else a for a, b in zip(shape, kept, strict=True)))


def _broadcast(*xs):
    shape = np.broadcast_shapes(*(x.shape for x in xs))
    return [np.broadcast_to(x, shape) for x in xs]


def _lengths_split(x, lengths, dim=0):
    return np.split(x, list(np.cumsum(lengths)[:-1]), axis=dim)


def _split(x, size, dim=0):
    if not isinstance(size, int):
        return _lengths_split(x, size, dim)
    return np.split(x, list(range(size, x.shape[dim], size)), axis=dim)


def _chunk(x, chunks, dim=0):
    return _split(x, max(1, -(-x.shape[dim] // chunks)), dim)


def _tensor_split(x, parts, dim=0):
    return np.array_split(x, np.asarray(parts).tolist(), axis=dim)


def _parts(axis):
    def call(x, parts):
        return np.split(x, parts if isinstance(parts, int) else list(parts), axis=axis if x.ndim > 1 else 0)

    return call


def _unbind(x, dim=0):
    return [x[(slice(None),) * (dim % x.ndim) + (k,)] for k in range(x.shape[dim])]


def _flatten(x, start_dim=0, end_dim=-1):
    if not x.ndim:
        return np.reshape(x, (1,))
    start, end = start_dim % x.ndim, end_dim % x.ndim
    return np.reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def _unflatten(x, dim, sizes):
    dim %= x.ndim
    return np.reshape(x, (*x.shape[:dim], *sizes, *x.shape[dim + 1 :]))


def _squeeze(x, dim=None):
    if dim is None:
        return np.squeeze(x)
    dims = dim if isinstance(dim, (list, tuple)) else (dim,)
    return np.squeeze(x, tuple(k for k in dims if x.ndim and x.shape[k] == 1))


def _repeat(x, *repeats):
    repeats = _shape_of(repeats)
    return np.tile(np.reshape(x, (1,) * (len(repeats) - x.ndim) + x.shape), repeats)


def _narrow(x, dim, start, length):
    start = int(np.asarray(start)) % x.shape[dim] if x.shape[dim] else int(np.asarray(start))
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, start + length),)]


def _slice(x, dim=0, start=None, end=None, step=1):
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]


def _select(x, dim, index):
    return x[(slice(None),) * (dim % x.ndim) + (index,)]


def _transposed(x, dim0, dim1):
    return np.swapaxes(x, dim0, dim1) if x.ndim else x * 1


def _t(x):
    return np.transpose(x)


def _gather(x, dim, index):
    if not x.ndim:
        return np.broadcast_to(x, index.shape)
    if index.ndim < x.ndim or index.size == 0:
        return np.zeros(index.shape)
    kept = tuple(slice(None) if k == dim % x.ndim else slice(0, n) for k, n in enumerate(index.shape))
    return np.take_along_axis(x[kept], index.astype(np.int64), axis=dim)


def _take_along_dim(x, index, dim=None):
    if dim is None:
        return np.take_along_axis(np.ravel(x), np.ravel(index), axis=0)
    shape = np.broadcast_shapes(
        *(tuple(1 if k == dim % x.ndim else n for k, n in enumerate(part.shape)) for part in (x, index))
    )
    wide = [
        np.broadcast_to(part, tuple(part.shape[k] if k == dim % x.ndim else n for k, n in enumerate(shape)))
        for part in (x, index)
    ]
    return np.take_along_axis(*wide, axis=dim)


def _index_select(x, dim, index):
    return np.take(x, index, axis=dim) if x.ndim else x * 1


def _index_fill(x, dim, index, value):
    if not x.ndim:
        return np.full_like(x, value)
    mask = np.zeros(x.shape[dim], bool)
    mask[index] = True
    return np.where(np.reshape(mask, (-1,) + (1,) * (x.ndim - 1 - dim % x.ndim)), value, x)


def _masked_select(x, mask):
    x, mask = (np.broadcast_to(part, np.broadcast_shapes(x.shape, mask.shape)) for part in (x, mask))
    return x[mask]


def _diag_embed(x, offset=0, dim1=-2, dim2=-1):
    places, n = np.arange(x.shape[-1]), x.shape[-1] + abs(offset)
    one_hot = np.zeros((x.shape[-1], n, n))
    one_hot[places, places + max(0, -offset), places + max(0, offset)] = 1
    return np.moveaxis(np.einsum("...i,ijk->...jk", x, one_hot), (-2, -1), (dim1, dim2))


def _unfold(x, dimension, size, step):
    if not x.ndim:
        return np.reshape(x, (1,))[:size]
    dim = dimension % x.ndim
    windows = np.arange(0, x.shape[dim] - size + 1, step)[:, None] + np.arange(size)
    return np.moveaxis(np.take(x, windows, axis=dim), dim + 1, -1)


def _padded(x, pad, mode="constant", value=None):
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    options = {"constant": {"constant_values": 0 if value is None else value}}.get(mode, {})
    mode = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    added = [(max(0, a), max(0, b)) for a, b in pairs]
    # Only what replicates the edge sees what is cut off.
    if min(pad) >= 0 or mode == "edge":
        return _cropped(np.pad(x, added, mode=mode, **options), pairs)
    return np.pad(_cropped(x, pairs), added, mode=mode, **options)


def _cropped(x, pairs):
    return x[tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(pairs, x.shape, strict=True))]


def _repeat_interleave(x, repeats, dim=None, output_size=None):
    return np.repeat(x, repeats, axis=dim)


def _take(x, index):
    return np.take(x, index)


def _getitem(x, index):
    return x[index]


def _joined(function, axis=0):
    return lambda xs, dim=axis: function(xs, axis=dim)


def _cat(xs, dim=0):
    # PyTorch has an exception from long ago: empty rows fit everything.
    kept = [x for x in xs if x.shape != (0,)]
    return np.concatenate(kept or xs, axis=dim)


def _embedding(
    weight, index, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False
):
    if padding_idx is not None or max_norm is not None or scale_grad_by_freq:
        absent("gradients that are left out or scaled")
    return weight[index]


def _pixel_shuffle(x, upscale_factor):
    *batch, channels, h, w = x.shape
    r, n = upscale_factor, len(batch)
    x = np.reshape(x, (*batch, channels // r**2, r, r, h, w))
    x = np.transpose(x, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return np.reshape(x, (*batch, channels // r**2, h * r, w * r))


def _pixel_unshuffle(x, downscale_factor):
    *batch, channels, h, w = x.shape
    r, n = downscale_factor, len(batch)
    x = np.reshape(x, (*batch, channels, h // r, r, w // r, r))
    x = np.transpose(x, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return np.reshape(x, (*batch, channels * r**2, h // r, w // r))


def _channel_shuffle(x, groups):
    grouped = np.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    return np.reshape(np.swapaxes(grouped, 1, 2), x.shape)


def _meshgrid(*xs, indexing="ij"):
    xs = list(xs[0]) if isinstance(xs[0], (list, tuple)) else list(xs)
    xs = [np.reshape(x, (-1,)) for x in xs]
    swapped = indexing == "xy" and len(xs) > 1
    xs = [xs[1], xs[0], *xs[2:]] if swapped else xs
    shape = tuple(x.size for x in xs)
    grids = [
        np.broadcast_to(np.reshape(x, (-1,) + (1,) * (len(xs) - 1 - k)), shape) for k, x in enumerate(xs)
    ]
    return [grids[1], grids[0], *grids[2:]] if swapped else grids


def _block_diag(*xs):
    xs = [np.reshape(x, (1, -1)) if x.ndim < 2 else x for x in xs]
    width = sum(x.shape[1] for x in xs)
    before = np.cumsum([0, *(x.shape[1] for x in xs)])
    return np.concatenate(
        [np.pad(x, ((0, 0), (a, width - a - x.shape[1]))) for a, x in zip(before.tolist(), xs, strict=False)]
    )


def _one_hot(index, length):
    return np.asarray(np.reshape(index, (-1,))[:, None] == np.arange(length), float)


def _index_add(x, dim, index, source, alpha=1):
    if not x.ndim:
        return x + alpha * np.sum(source)
    rows = np.tensordot(_one_hot(index, x.shape[dim]), np.moveaxis(source, dim, 0), axes=([0], [0]))
    return x + alpha * np.moveaxis(rows, 0, dim)


def _index_copy(x, dim, index, source):
    if len(np.unique(index)) < np.size(index):
        absent("which of two copies to one place is the last")
    if not x.ndim:
        return np.reshape(source, ())
    kept = np.reshape(
        1 - _one_hot(index, x.shape[dim]).sum(axis=0), (-1,) + (1,) * (x.ndim - 1 - dim % x.ndim)
    )
    return _index_add(x * kept, dim, index, source)


SHAPES = {
    "block_diag": _block_diag,
    "diagflat": lambda x, offset=0: np.diagflat(x, offset),
    "fft.fftshift": lambda x, dim=None: np.fft.fftshift(x, dim),
    "fft.ifftshift": lambda x, dim=None: np.fft.ifftshift(x, dim),
    "index_put": lambda x, index, values, accumulate=False: (
        x.at[index].add(values) if accumulate else x.at[index].set(values)
    ),
    "rot90": lambda x, k=1, dims=(0, 1): np.rot90(x, k, dims),
    "select_scatter": lambda x, values, dim, index: x.at[(slice(None),) * (dim % x.ndim) + (index,)].set(
        values
    ),
    "index_add": _index_add,
    "index_copy": _index_copy,
    "meshgrid/list_of_tensors": _meshgrid,
    "meshgrid/variadic_tensors": _meshgrid,
    "nn.functional.channel_shuffle": _channel_shuffle,
    "nn.functional.embedding": _embedding,
    "nn.functional.pixel_shuffle": _pixel_shuffle,
    "nn.functional.pixel_unshuffle": _pixel_unshuffle,
    "H": lambda x: np.transpose(x),
    "T": lambda x: np.transpose(x),
    "__getitem__": _getitem,
    "broadcast_tensors": _broadcast,
    "broadcast_to": lambda x, shape: np.broadcast_to(x, shape),
    "cat": _cat,
    "chunk": _chunk,
    "clone": lambda x, memory_format=None: +x,
    "column_stack": np.column_stack,
    "constant_pad_nd": lambda x, pad, value=0: _padded(x, pad, "constant", value),
    "contiguous": lambda x, memory_format=None: +x,
    "diag": lambda x, diagonal=0: np.diag(x, diagonal),
    "diag_embed": _diag_embed,
    "diagonal": lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    "diagonal_copy": lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    "dsplit": _parts(2),
    "dstack": np.dstack,
    "expand": _expanded,
    "expand_as": lambda x, other: np.broadcast_to(x, other.shape),
    "expand_copy": _expanded,
    "flatten": _flatten,
    "flip": lambda x, dims: np.flip(x, dims),
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "gather": _gather,
    "hsplit": _parts(1),
    "hstack": np.hstack,
    "index_fill": _index_fill,
    "index_select": _index_select,
    "linalg.diagonal": lambda x, offset=0, dim1=-2, dim2=-1: np.diagonal(x, offset, dim1, dim2),
    "mH": lambda x: np.matrix_transpose(x),
    "mT": lambda x: np.matrix_transpose(x),
    "masked_select": _masked_select,
    "movedim": np.moveaxis,
    "narrow": _narrow,
    "narrow_copy": _narrow,
    "nn.functional.pad/circular": _padded,
    "nn.functional.pad/constant": _padded,
    "nn.functional.pad/reflect": _padded,
    "nn.functional.pad/replicate": _padded,
    "nn.functional.pad/replicate_negative": _padded,
    "permute": lambda x, dims: np.transpose(x, dims),
    "permute_copy": lambda x, dims: np.transpose(x, dims),
    "ravel": np.ravel,
    "repeat": _repeat,
    "repeat_interleave": _repeat_interleave,
    "reshape": np.reshape,
    "reshape_as": lambda x, other: np.reshape(x, other.shape),
    "roll": lambda x, shifts, dims=None: np.roll(x, shifts, dims if dims != () else None),
    "select": _select,
    "slice": _slice,
    "split": _split,
    "split/list_args": _split,
    "split_with_sizes": _lengths_split,
    "split_with_sizes_copy": _lengths_split,
    "squeeze": _squeeze,
    "squeeze/multiple": _squeeze,
    "squeeze_copy": _squeeze,
    "stack": _joined(np.stack),
    "t": _t,
    "t_copy": _t,
    "take": _take,
    "take_along_dim": _take_along_dim,
    "tensor_split": _tensor_split,
    "tile": lambda x, reps: np.tile(x, reps),
    "transpose": _transposed,
    "transpose_copy": _transposed,
    "tril": lambda x, diagonal=0: np.tril(x, diagonal),
    "triu": lambda x, diagonal=0: np.triu(x, diagonal),
    "unbind": _unbind,
    "unbind_copy": _unbind,
    "unflatten": _unflatten,
    "unfold": _unfold,
    "unfold_copy": _unfold,
    "unsafe_chunk": _chunk,
    "unsafe_split": _split,
    "unsqueeze": lambda x, dim: np.expand_dims(x, dim),
    "unsqueeze_copy": lambda x, dim: np.expand_dims(x, dim),
    "view": np.reshape,
    "view_as": lambda x, other: np.reshape(x, other.shape),
    "view_copy": np.reshape,
    "vsplit": _parts(0),
    "vstack": np.vstack,
}


# Linear algebra


def _plus_product(product):
    def call(x, a, b, beta=1, alpha=1):
        y = alpha * product(a, b)
        return y if beta == 0 else beta * x + y

    return call


def _tensordot(a, b, dims=2):
    return np.tensordot(a, b, axes=dims)


def _cholesky(x, upper=False, check_errors=False):
    # PyTorch takes the gradient of the symmetric part, as if both triangles were read.
    y = np.linalg.cholesky((x + np.matrix_transpose(x)) / 2)
    return np.matrix_transpose(y) if upper else y


def _solve(a, b, left=True, check_errors=False):
    if not left:
        return np.matrix_transpose(_solve(np.matrix_transpose(a), np.matrix_transpose(b)))
    if b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]):
        return np.linalg.solve(a, b[..., None])[..., 0]
    return np.linalg.solve(a, b)


def _solve_triangular(a, b, upper, left=True, unitriangular=False):
    a = np.triu(a, int(unitriangular)) if upper else np.tril(a, -int(unitriangular))
    a = a + np.eye(a.shape[-1]) if unitriangular else a
    return _solve(a, b, left)


def _triangular_solve(b, given, upper=True, transpose=False, unitriangular=False):
    a = np.triu(given, int(unitriangular)) if upper else np.tril(given, -int(unitriangular))
    a = a + np.eye(a.shape[-1]) if unitriangular else a
    return np.linalg.solve(np.matrix_transpose(a) if transpose else a, b), given


def _matrix_power(x, n):
    return np.linalg.matrix_power(x, n)


def _vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None):
    return np.linalg.vector_norm(_cast(x, dtype), ord=ord, axis=_axis(dim), keepdims=keepdim)


def _matrix_norm(x, ord="fro", dim=(-2, -1), keepdim=False, dtype=None):
    return np.linalg.norm(_cast(x, dtype), ord, axis=tuple(dim), keepdims=keepdim)


def _linalg_norm(x, ord=None, dim=None, keepdim=False, dtype=None):
    x = _cast(x, dtype)
    if ord is None:
        return _vector_norm(x, 2, dim, keepdim)
    if dim is None and x.ndim == 0:
        return _vector_norm(x, ord, None, keepdim)
    return np.linalg.norm(x, ord, axis=_axis(dim), keepdims=keepdim)


def _norm(x, p="fro", dim=None, keepdim=False, dtype=None):
    return _vector_norm(x, 2 if p in ("fro", None) else p, dim, keepdim, dtype)


def _distance(x, other, p=2):
    return np.linalg.vector_norm(np.ravel(x - other), ord=p)


def _vander(x, N=None):
    if x.ndim != 1:
        absent("np.vander takes one row")
    return np.vander(x, N, increasing=True)


def _tensorsolve(a, b, dims=None):
    a = a if dims is None else np.moveaxis(a, dims, range(a.ndim - len(dims), a.ndim))
    return np.reshape(np.linalg.solve(np.reshape(a, (b.size, b.size)), np.ravel(b)), a.shape[b.ndim :])


def _tensorinv(a, ind=2):
    n = math.prod(a.shape[:ind])
    return np.reshape(np.linalg.inv(np.reshape(a, (n, n))), a.shape[ind:] + a.shape[:ind])


def _einsum(xs, equation):
    return np.einsum(equation, *xs)


def _cholesky_solve(b, factor, upper=False):
    factor = np.matrix_transpose(factor) if upper else factor
    return np.linalg.solve(factor @ np.matrix_transpose(factor), b)


def _linear(x, weight, bias=None):
    y = x @ np.transpose(weight)
    return y if bias is None else y + bias


def _bilinear(a, b, weight, bias=None):
    y = np.einsum("...i,oij,...j->...o", a, weight, b)
    return y if bias is None else y + bias


def _normalized(x, p=2.0, dim=1, eps=1e-12):
    return x / np.maximum(np.linalg.vector_norm(x, ord=p, axis=dim, keepdims=True), eps)


def _pairwise_distance(a, b, p=2.0, eps=1e-6, keepdim=False):
    return np.linalg.vector_norm(a - b + eps, ord=p, axis=-1, keepdims=keepdim)


def _standardized(x, axes, eps):
    return (x - np.mean(x, axis=axes, keepdims=True)) / np.sqrt(np.var(x, axis=axes, keepdims=True) + eps)


def _layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    y = _standardized(x, tuple(range(-len(shape), 0)), eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _rms_norm(x, shape, weight=None, eps=None):
    axes = tuple(range(-len(shape), 0))
    eps = np.finfo(np.float64).eps if eps is None else eps
    y = x / np.sqrt(np.mean(x * x, axis=axes, keepdims=True) + eps)
    return y if weight is None else y * weight


def _per_channel(x, y, weight, bias):
    shape = (-1,) + (1,) * (x.ndim - 2)
    y = y if weight is None else y * np.reshape(weight, shape)
    return y if bias is None else y + np.reshape(bias, shape)


def _group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    grouped = np.reshape(x, (x.shape[0], num_groups, -1)) if x.size else x
    y = np.reshape(_standardized(grouped, (-1,), eps), x.shape) if x.size else x
    return _per_channel(x, y, weight, bias)


def _instance_norm(
    x,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    if not use_input_stats:
        absent("running statistics")
    return _per_channel(x, _standardized(x, tuple(range(2, x.ndim)), eps), weight, bias)


def _attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, enable_gqa=False, scale=None):
    if dropout_p or enable_gqa:
        absent("dropout and grouped heads")
    scores = q @ np.matrix_transpose(k) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    if attn_mask is not None:
        masks = attn_mask.dtype == bool
        scores = np.where(attn_mask, scores, -np.inf) if masks else scores + attn_mask
    return tn.softmax(scores, axis=-1) @ v


def _cdist(a, b, p=2.0, compute_mode=None):
    return np.linalg.vector_norm(a[..., :, None, :] - b[..., None, :, :], ord=p, axis=-1)


def _cosine_similarity(a, b, dim=1, eps=1e-8):
    a, b = _broadcast(a, b)
    lengths = [np.maximum(np.linalg.vector_norm(x, axis=dim, keepdims=True), eps) for x in (a, b)]
    return np.sum((a / lengths[0]) * (b / lengths[1]), axis=dim)


def _pdist(x, p=2.0):
    rows, columns = np.triu_indices(x.shape[0], 1)
    return np.linalg.vector_norm(x[rows] - x[columns], ord=p, axis=-1)


def _batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    if not training:
        absent("running statistics")
    return _per_channel(x, _standardized(x, (0, *range(2, x.ndim)), eps), weight, bias)


def _conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    stride, padding, dilation = (
        k[0] if isinstance(k, (list, tuple)) else k for k in (stride, padding, dilation)
    )
    if x.ndim != 3 or groups > 1 or isinstance(padding, str):
        absent("groups, rows without a batch, paddings by name")
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
    reach = dilation * (weight.shape[-1] - 1)
    places = np.arange(0, x.shape[-1] - reach, stride)[:, None] + dilation * np.arange(weight.shape[-1])
    y = np.einsum("nclk,ock->nol", x[:, :, places], weight)
    return y if bias is None else y + bias[:, None]


def _decomposed(name, function):
    """Return a decomposition, as far as its results are unique."""
    return lambda *args, **params: results(name, function(*args, **params))


def _lstsq(a, b, driver=None):
    if a.ndim > 2:
        absent("many matrices at once")
    x, rest, *_ = np.linalg.lstsq(a, b)
    # One driver does not compute the rest.
    return x, rest[:0] if driver == "gelsy" else rest


def _pinv(x, rcond=None, hermitian=False, atol=None, rtol=None):
    if atol is not None or hermitian:
        absent("an absolute limit, symmetric matrices")
    return np.linalg.pinv(x, rcond=rcond, rtol=rtol)


LINEAR = {
    "cross": lambda a, b, dim=-1: np.cross(*_broadcast(a, b), axis=dim),
    "linalg.cond": np.linalg.cond,
    "linalg.cross": lambda a, b, dim=-1: np.linalg.cross(*_broadcast(a, b), axis=dim),
    "linalg.eigh": _decomposed("eigh", np.linalg.eigh),
    "linalg.eigvalsh": np.linalg.eigvalsh,
    "linalg.lstsq/grad_oriented": _lstsq,
    "linalg.pinv": _pinv,
    "linalg.qr": _decomposed("qr", np.linalg.qr),
    "linalg.svd": _decomposed("svd", np.linalg.svd),
    "linalg.svdvals": np.linalg.svdvals,
    "norm/nuc": lambda x, p, dim=None, keepdim=False: np.linalg.norm(x, p, axis=_axis(dim), keepdims=keepdim),
    "pinverse": lambda x, rcond=1e-15: np.linalg.pinv(x, rcond),
    "nn.functional.batch_norm": _batch_norm,
    "nn.functional.conv1d": _conv1d,
    "nn.functional.cosine_similarity": _cosine_similarity,
    "nn.functional.pdist": _pdist,
    "__rmatmul__": _swapped(operator.matmul),
    "addbmm": _plus_product(lambda a, b: np.sum(a @ b, axis=0)),
    "addmm": _plus_product(np.matmul),
    "addmm/decomposed": _plus_product(np.matmul),
    "addmv": _plus_product(np.matmul),
    "addr": _plus_product(np.outer),
    "baddbmm": _plus_product(np.matmul),
    "bmm": np.matmul,
    "cdist": _cdist,
    "cholesky": _cholesky,
    "cholesky_solve": _cholesky_solve,
    "dist": _distance,
    "dot": np.dot,
    "einsum": _einsum,
    "inner": np.inner,
    "kron": np.kron,
    "linalg.cholesky": _cholesky,
    "linalg.cholesky_ex": _cholesky,
    "linalg.det": np.linalg.det,
    "linalg.inv": np.linalg.inv,
    "linalg.inv_ex": lambda x, check_errors=False: np.linalg.inv(x),
    "linalg.matrix_norm": _matrix_norm,
    "linalg.matrix_power": _matrix_power,
    "linalg.multi_dot": np.linalg.multi_dot,
    "linalg.norm": _linalg_norm,
    "linalg.norm/subgradients_at_zero": _linalg_norm,
    "linalg.slogdet": lambda x: tuple(np.linalg.slogdet(x)),
    "linalg.solve": _solve,
    "linalg.solve_ex": _solve,
    "linalg.solve_triangular": _solve_triangular,
    "linalg.tensorinv": _tensorinv,
    "linalg.tensorsolve": _tensorsolve,
    "linalg.vander": _vander,
    "linalg.vecdot": lambda x, y, dim=-1: np.sum(x * y, axis=dim),
    "linalg.vector_norm": _vector_norm,
    "logdet": lambda x: np.linalg.slogdet(x)[1],
    "matmul": np.matmul,
    "mm": np.matmul,
    "mv": np.matmul,
    "nn.functional.bilinear": _bilinear,
    "nn.functional.group_norm": _group_norm,
    "nn.functional.instance_norm": _instance_norm,
    "nn.functional.layer_norm": _layer_norm,
    "nn.functional.linear": _linear,
    "nn.functional.normalize": _normalized,
    "nn.functional.pairwise_distance": _pairwise_distance,
    "nn.functional.rms_norm": _rms_norm,
    "nn.functional.scaled_dot_product_attention": _attention,
    "norm": _norm,
    "norm/fro": _norm,
    "norm/inf": _norm,
    "outer": np.outer,
    "tensordot": _tensordot,
    "trace": np.trace,
    "triangular_solve": _triangular_solve,
    "vdot": np.vdot,
}


# Losses


def _loss(function):
    def call(x, target, reduction="mean", weight=None, **options):
        if weight is not None:
            absent("weights: they are a factor with reduction='none'")
        return function(x, *_broadcast(target, x)[:1], reduction=reduction, **options)

    return call


def _reduce(y, reduction):
    return y if reduction == "none" else np.sum(y) if reduction == "sum" else np.mean(y)


def _weighted(function):
    def call(x, target, weight=None, reduction="mean", **options):
        y = function(x, target, reduction="none", **options)
        return _reduce(y if weight is None else weight * y, reduction)

    return call


def _with_logits(x, target, reduction, pos_weight=None):
    if pos_weight is not None:
        absent("pos_weight")
    return losses.binary_cross_entropy(x, target, reduction=reduction)


def _smooth_l1(x, target, reduction="mean", beta=1.0):
    if not beta:
        return losses.mae(x, target, reduction=reduction)
    return losses.huber(x, target, delta=beta, reduction=reduction) / beta


def _rows(x):
    """Return class scores of shape (N, C, ...) as rows of classes."""
    return np.reshape(np.moveaxis(x, 1, -1), (-1, x.shape[1]))


def _of_classes(function, probabilities):
    def call(x, target, weight=None, reduction="mean", ignore_index=-100, label_smoothing=0.0):
        if weight is not None:
            absent("weights of classes")
        if not x.ndim > 1:
            x, target, reduction = x[None], target[None], "sum" if reduction == "none" else reduction
        options = {"label_smoothing": label_smoothing} if label_smoothing else {}
        if probabilities and target.dtype.kind == "f":
            y = function(_rows(x), _rows(target), reduction="none", normalized=False, **options)
            shape = (x.shape[0], *x.shape[2:])
            if reduction == "none":
                return np.reshape(y, shape)
            return np.sum(y) if reduction == "sum" else np.sum(y) / (x.size // x.shape[1])
        if (target == ignore_index).any():
            options["ignore_index"] = ignore_index
        y = function(_rows(x), np.ravel(target), reduction=reduction, **options)
        return np.reshape(y, target.shape) if reduction == "none" else y

    return call


def _kl_div(x, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    y = np.exp(target) * (target - x) if log_target else tn.xlogy(target, target) - target * x
    if reduction == "batchmean":
        return np.sum(y) / x.shape[0]
    return _reduce(y, reduction)


def _soft_margin(x, target, size_average=None, reduce=None, reduction="mean"):
    return _reduce(tn.softplus(-target * x), reduction)


def _hinge_embedding(x, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    zero = np.zeros(())
    y = np.where(target != 1, np.where(margin - x > 0, margin - x, zero), zero) + np.where(
        target != -1, x, zero
    )
    return _reduce(y, reduction)


def _margin_ranking(a, b, target, margin=0.0, size_average=None, reduce=None, reduction="mean"):
    return _reduce(np.maximum(0.0, -target * (a - b) + margin), reduction)


def _poisson(
    x, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"
):
    y = np.exp(x) - target * x if log_input else x - target * np.log(x + eps)
    if full:
        stirling = target * np.log(target) - target + 0.5 * np.log(2 * math.pi * target)
        y = y + np.where(target > 1, stirling, 0.0)
    return _reduce(y, reduction)


def _gaussian(x, target, var, full=False, eps=1e-6, reduction="mean"):
    var = var if isinstance(var, tn.Tensor) else np.full(x.shape, float(var))
    if var.shape != x.shape and var.shape != (*x.shape[:-1], 1):
        var = var[..., None]
    var = var + (np.maximum(var.detach(), eps) - var.detach() if isinstance(var, tn.Tensor) else 0.0)
    y = 0.5 * (np.log(var) + (x - target) ** 2 / var)
    return _reduce(y + 0.5 * math.log(2 * math.pi) if full else y, reduction)


def _cosine_embedding(a, b, target, margin=0.0, size_average=None, reduce=None, reduction="mean"):
    def dot(x, y):
        return np.sum(x * y, axis=-1)

    eps = np.finfo(np.float32).eps * 1e-5
    cos = dot(a, b) / np.sqrt((dot(a, a) + eps) * (dot(b, b) + eps))
    zero = np.zeros(())
    y = np.where(target == 1, 1 - cos, zero) + np.where(target == -1, np.maximum(cos - margin, 0.0), zero)
    return _reduce(y, reduction)


def _triplet_margin(
    anchor,
    positive,
    negative,
    margin=1.0,
    p=2,
    eps=1e-6,
    swap=False,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    near = _pairwise_distance(anchor, positive, p, eps)
    far = _pairwise_distance(anchor, negative, p, eps)
    far = np.minimum(far, _pairwise_distance(positive, negative, p, eps)) if swap else far
    return _reduce(np.maximum(margin + near - far, 0.0), reduction)


def _multilabel_soft_margin(x, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    y = -(target * tn.log_sigmoid(x) + (1 - target) * tn.log_sigmoid(-x))
    return _reduce(np.mean(y if weight is None else weight * y, axis=-1), reduction)


LOSSES = {
    "nn.functional.cosine_embedding_loss": _cosine_embedding,
    "nn.functional.multilabel_soft_margin_loss": _multilabel_soft_margin,
    "nn.functional.triplet_margin_loss": _triplet_margin,
    "nn.functional.binary_cross_entropy": _weighted(losses.binary_cross_entropy_probabilities),
    "nn.functional.binary_cross_entropy_with_logits": _weighted(_with_logits),
    "nn.functional.cross_entropy": _of_classes(losses.cross_entropy, probabilities=True),
    "nn.functional.gaussian_nll_loss": _gaussian,
    "nn.functional.hinge_embedding_loss": _hinge_embedding,
    "nn.functional.huber_loss": _loss(losses.huber),
    "nn.functional.kl_div": _kl_div,
    "nn.functional.l1_loss": _loss(losses.mae),
    "nn.functional.margin_ranking_loss": _margin_ranking,
    "nn.functional.mse_loss": _loss(losses.mse),
    "nn.functional.nll_loss": _of_classes(losses.nll, probabilities=False),
    "nn.functional.poisson_nll_loss": _poisson,
    "nn.functional.smooth_l1_loss": _loss(_smooth_l1),
    "nn.functional.soft_margin_loss": _soft_margin,
}

DECOMPOSITIONS = {f"linalg.{name}": name for name in ("eigh", "svd", "qr")}
"""Ops of which that alone is compared that is unique: the name here."""

OPS = {**UNARY, **BINARY, **REDUCTIONS, **SHAPES, **LINEAR, **LOSSES}
"""OpInfo's name, with the variant after a slash: how to say it here."""


@dataclass(frozen=True)
class Difference:
    """Where results differ, and why: `where`, of the op's arguments as arrays, tells at which elements."""

    ops: str
    where: Callable[..., Any]
    reason: str
    orders: tuple[int, ...] = (0, 1, 2)


def _at_nan(x, *args, **params):
    return np.isnan(x)


def _tied(a, b):
    return a == b


def _infinite(a, b, **params):
    return ~np.isfinite(a) | ~np.isfinite(b)


def _at_bounds(x, min_val=-1.0, max_val=1.0):
    return (x == min_val) | (x == max_val)


DIFFERENCES = [
    Difference("sign sgn", _at_nan, "the value of NaN is NaN; PyTorch: 0", (0,)),
    Difference("heaviside", _at_nan, "the value of NaN is NaN; PyTorch: 0", (0,)),
    Difference("abs", _at_nan, "abs'(NaN) is NaN; PyTorch: 0", (1, 2)),
    Difference(
        "nn.functional.celu nn.functional.elu nn.functional.selu",
        _at_nan,
        "the slope at NaN is NaN; PyTorch: as of a positive number",
        (1, 2),
    ),
    Difference(
        "nn.functional.relu nn.functional.relu6 nn.functional.hardtanh "
        "nn.functional.softshrink nn.functional.hardshrink",
        _at_nan,
        "a comparison with NaN is false, so nothing passes; PyTorch: 1",
        (1,),
    ),
    Difference(
        "maximum minimum max/binary min/binary",
        lambda a, b: np.isnan(a) | np.isnan(b),
        "NaN gives the gradient to neither; PyTorch: 1 to both",
        (1,),
    ),
    Difference("clamp_max clamp_min fmax fmin", _tied, "ties share evenly; PyTorch: all to the first", (1,)),
    Difference(
        "fmax fmin",
        lambda a, b: np.isnan(a) & np.isnan(b),
        "NaN and NaN tie too; PyTorch: all to the first",
        (1,),
    ),
    Difference(
        "clamp",
        lambda x, min, max: np.isnan(min) | np.isnan(x),
        "NaN gives the gradient to neither; PyTorch: to the upper bound",
        (1,),
    ),
    Difference(
        "nn.functional.hardtanh", _at_bounds, "clip passes the gradient at its bounds; PyTorch: 0", (1,)
    ),
    Difference(
        "nn.functional.relu6",
        lambda x: _at_bounds(x, 0, 6),
        "clip passes the gradient at its bounds; PyTorch: 0",
        (1,),
    ),
    Difference("angle", lambda x: x == 0, "the value of -0 is pi; PyTorch: 0", (0,)),
    Difference(
        "digamma",
        lambda x: (x <= 0) & (x == np.trunc(x)),
        "no slope at a pole, where the value is NaN; PyTorch: infinite, or huge",
        (1, 2),
    ),
    Difference("i0 special.i1", lambda x: np.abs(x) > 700, "infinite where exp(|x|) is; PyTorch: NaN"),
    Difference("i0 special.i1", _at_nan, "of NaN all is NaN; PyTorch: some numbers", (1, 2)),
    Difference(
        "sinc", lambda x: np.abs(x) < 0.01, "PyTorch subtracts what is nearly equal, and loses digits", (1, 2)
    ),
    Difference(
        "special.erfcx",
        lambda x: x > 1e3,
        "PyTorch subtracts what is nearly equal, and loses all digits",
        (2,),
    ),
    Difference(
        "special.log_ndtr",
        lambda x: x < -1e3,
        "PyTorch subtracts what is nearly equal, and loses digits",
        (1, 2),
    ),
    Difference("acosh", lambda x: x < 1, "outside of the domain the slope is NaN; PyTorch has one", (1, 2)),
    Difference(
        "logit",
        lambda x, eps=None: (x < 0) | (x > 1),
        "outside of the domain, where the value is NaN, PyTorch's second derivative is 0",
        (2,),
    ),
    Difference(
        "nn.functional.celu nn.functional.elu nn.functional.selu",
        lambda x, **params: x == 0,
        "the second derivative at 0 is that of the left; PyTorch: of the right",
        (2,),
    ),
    Difference(
        "pow float_power",
        lambda a, b: b == 0,
        "the slope in the base is b * a**(b - 1), whose slope in b is 1 / a; PyTorch: 0, as if 0 were constant",
        (2,),
    ),
    Difference(
        "__rpow__",
        lambda b, a: b == 0,
        "the slope in the base is b * a**(b - 1), whose slope in b is 1 / a; PyTorch: 0, as if 0 were constant",
        (2,),
    ),
    Difference(
        "pow float_power",
        lambda a, b: a == 0,
        "infinite second derivatives at a base of 0; PyTorch: NaN",
        (2,),
    ),
    Difference(
        "__rpow__", lambda b, a: a == 0, "infinite second derivatives at a base of 0; PyTorch: NaN", (2,)
    ),
    Difference("special.entr", lambda x: x == 0, "xlogy(0, 0) has no slope; PyTorch: infinite", (1, 2)),
    Difference(
        "special.entr", np.isposinf, "xlogy(x, x) at infinity is inf / inf; PyTorch: the limit", (1, 2)
    ),
    Difference(
        "special.entr", lambda x: x < 0, "-inf is constant; PyTorch: -1 / x**3, as if it were not", (2,)
    ),
    Difference(
        "ldexp",
        lambda x, n: ~(np.abs(x * np.exp2(n)) < 1e300),
        "infinite second derivatives where the value is, or nearly; PyTorch: NaN",
        (2,),
    ),
    Difference("div/trunc_rounding", _infinite, "0 * inf in the second operand of a quotient", (1, 2)),
]
"""What is known to differ; docs/deviations.md has the judgements, and the tests that pin them."""

RELATIVE: dict[str, tuple[float, str]] = {
    "nn.functional.celu": (2e-7, "PyTorch has 1 / alpha in float32"),
    "nn.functional.hardsigmoid": (2e-7, "PyTorch has 1 / 6 in float32"),
}
"""Where PyTorch itself is less exact than float64: how far relatively, and why."""

IN_FLOAT64 = {"cov": "the samples have weights in float32, and their rounding is not compared"}
"""Ops whose samples are widened before both sides have them, and why."""

REFUSED: dict[str, str] = {
    "addcdiv": "complex numbers are not supported",
    "addcmul": "complex numbers are not supported",
    "where": "complex numbers are not supported",
    "einsum": "have no place in the output",
    "linalg.svd": "singular vectors that fill up",
    "linalg.norm/subgradients_at_zero": "vectors of equal eigenvalues or singular values",
    "nn.functional.nll_loss": "logarithms of probabilities are at most 0",
    "tensordot": "different lengths",
}
"""Calls, or derivatives, that the library refuses with an error of its own: OpInfo's name, and what the error says."""
