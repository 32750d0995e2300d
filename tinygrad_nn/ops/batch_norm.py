"""Batch and group normalisation: means and variances of channels, and what is done with them.

Three kernels on matrices (rows, channels), and on stacks of them, are each other's rules: `column_moments` (mean and
variance of each), `scaled_columns` (columns moved and stretched), and `column_products` (the sums that its gradient is
made of).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError
from tinygrad_nn.ops.arithmetic import floating, product
from tinygrad_nn.ops.reduction import column_sums, in_single
from tinygrad_nn.ops.samples import cases, each, positive
from tinygrad_nn.primitives import Array, ArrayOrTensor, Shape, composite, kernel
from tinygrad_nn.settings import check_number, is_integer

_PIECE = 1 << 18
"""So many elements are computed at once, to stay in a core's cache."""
_LONG = 512
"""Shorter rows are taken several at once, because NumPy's loops run along a row."""
_FEW = 1 << 15
"""Of so many elements it is not worth it."""
_SHAPES = ((4, 3), (2, 5, 4), (1, 3), (2, 0, 3), (3, 1))


def _row(x: Array, k: int) -> Array:
    """Return row k of each matrix, as a matrix of one row."""
    return x[..., k : k + 1, :]


def _rows(*parts: Array) -> Array:
    """Return the rows of matrices below each other."""
    return np.concatenate(parts, axis=-2)


def _as_stack(x: Array) -> Array:
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def _pieces(count: int, rows: int, channels: int) -> Iterator[tuple[slice, slice]]:
    """Yield places in a stack, each of a few matrices or of some rows of one."""
    fit = max(1, _PIECE // max(channels, 1))
    # So that several rows of a piece can be taken as one.
    fit = fit - fit % _LONG or fit
    matrices = max(1, fit // max(rows, 1))
    for i in range(0, count, matrices):
        for j in range(0, rows, fit):
            yield slice(i, i + matrices), slice(j, j + fit)


def _with_rows(ufunc: np.ufunc, x: Array, row: Array, out: Array) -> Array:
    """Fill `out` with a ufunc of each row of the matrices in a stack, and the one row that `row` has for its matrix."""
    count, rows, channels = x.shape
    k = math.gcd(rows, 1 << (_LONG // max(channels, 1)).bit_length()) if x.size > _FEW else 1
    if k > 1 and x.flags.c_contiguous and out.flags.c_contiguous:
        long = count, rows // k, k * channels
        row = np.broadcast_to(row[:, None], (count, k, channels)).reshape(count, k * channels)
        ufunc(x.reshape(long), row[:, None], out.reshape(long))
    else:
        ufunc(x, row[:, None], out)
    return out


def _minus(x: Array, row: Array) -> Array:
    return _with_rows(np.subtract, x, row, np.empty(x.shape, np.result_type(x, row)))


def _by_definition(x: Array) -> Array:
    n = max(x.shape[-2], 1)
    mean = np.sum(x, axis=-2, keepdims=True) / n
    return _rows(mean, np.sum((x - mean) ** 2, axis=-2, keepdims=True) / n)


def _back_from_moments(g: Array, x: Array, y: Array, *, shapes: tuple[Shape, ...]) -> Array:
    n = max(shapes[0][-2], 1)
    return scaled_columns(x, _rows(_row(y, 0), _row(g, 1) * (2 / n), _row(g, 0) * (1 / n)))


@kernel(
    _back_from_moments,
    samples=cases([each(*_SHAPES, (3, 2, 2, 3))]),
    reference=_by_definition,
    method=False,
    formula="row(g, 0) / shapes[0][-2] + row(g, 1) * 2 * (x - row(y, 0)) / shapes[0][-2]",
)
@in_single
def column_moments(x: Array) -> Array:
    """Mean and variance of each column, (..., rows, channels) to (..., 2, channels); of no rows, zeros.

    In two passes, of which the second corrects the rounding of the mean, so that float32 keeps the variance of numbers
    far from zero (Chan, Golub and LeVeque 1983, The American Statistician 37, 242).
    """
    stack = _as_stack(floating(x))
    count, rows, channels = stack.shape
    result = np.zeros((count, 2, channels), stack.dtype)
    mean, rest, squares = (np.zeros((count, channels), np.result_type(stack, np.float64)) for _ in range(3))
    for i, j in _pieces(*stack.shape):
        mean[i] += column_sums(stack[i, j])
    shift = (mean / max(rows, 1)).astype(stack.dtype)
    for i, j in _pieces(*stack.shape):
        d = _minus(stack[i, j], shift[i])
        rest[i] += column_sums(d)
        d *= d
        squares[i] += column_sums(d)
    rest /= max(rows, 1)
    result[:, 0] = shift + rest
    result[:, 1] = squares / max(rows, 1) - rest * rest
    return result.reshape(*x.shape[:-2], 2, channels)


def _back_from_scaled(g: Array, x: Array, c: Array) -> Array:
    sums = column_products(g, x, _row(c, 0))
    return _rows(-_row(c, 1) * _row(sums, 1), sums)


@kernel(
    lambda g, c: g * _row(c, 1),
    _back_from_scaled,
    samples=cases(*([shape, (*shape[:-2], 3, shape[-1])] for shape in _SHAPES)),
    reference=lambda x, c: (x - _row(c, 0)) * _row(c, 1) + _row(c, 2),
    formula=(None, "rows(-row(c, 1) * sum(g, axis=-2), sum(g * (x - row(c, 0)), axis=-2), sum(g, axis=-2))"),
    broadcasts=False,
    method=False,
)
def scaled_columns(x: Array, c: Array) -> Array:
    """(x - c[0]) * c[1] + c[2] for each row of a matrix, where c has three; and so for each matrix of a stack."""
    return fill_scaled_columns(x, c, np.empty(x.shape, np.result_type(x, c)))


def fill_scaled_columns(x: Array, c: Array, out: Array) -> Array:
    """Fill and return what `scaled_columns` gives; it may be x itself."""
    stack, rows, results = _as_stack(x), _as_stack(c), _as_stack(out)
    for i, j in _pieces(*stack.shape):
        piece = _with_rows(np.subtract, stack[i, j], rows[i, 0], results[i, j])
        _with_rows(np.multiply, piece, rows[i, 1], piece)
        _with_rows(np.add, piece, rows[i, 2], piece)
    return out


@kernel(
    lambda g, b, c: scaled_columns(b, _rows(c, g)),
    lambda g, a: a * _row(g, 0),
    lambda g, a: -_row(g, 0) * np.sum(a, axis=-2, keepdims=True),
    samples=cases(*([shape, shape, (*shape[:-2], 1, shape[-1])] for shape in _SHAPES)),
    reference=lambda a, b, c: _rows(
        np.sum(a * (b - c), axis=-2, keepdims=True), np.sum(a, axis=-2, keepdims=True)
    ),
    broadcasts=False,
    operand_names=("a", "b", "c"),
    formula=("row(g, 0) * (b - c) + row(g, 1)", None, None),
    method=False,
)
def column_products(a: Array, b: Array, c: Array) -> Array:
    """The sums of a * (b - c) and of a over the rows, c one row: (..., rows, channels) to (..., 2, channels)."""
    dtype = np.result_type(a, b, c)
    first, second, row = _as_stack(a), _as_stack(b), _as_stack(c)
    sums = np.zeros((len(first), 2, a.shape[-1]), np.result_type(dtype, np.float64))
    for i, j in _pieces(*first.shape):
        d = _minus(second[i, j], row[i, 0])
        d = np.multiply(d, first[i, j], d if d.dtype == dtype else None)
        sums[i, 0] += column_sums(d)
        sums[i, 1] += column_sums(first[i, j])
    return sums.astype(dtype).reshape(*a.shape[:-2], 2, a.shape[-1])


def _slope(m: Array, eps: float) -> Array:
    """Return 1 / sqrt(variance + eps)."""
    return 1 / np.sqrt(_row(m, 1) + float(eps))


@kernel(
    lambda g, m, weight, *, eps: _rows(
        _row(g, 0), product(product(_row(g, 1), weight), -0.5 * _slope(m, eps) ** 3)
    ),
    lambda g, m, *, eps: product(_row(g, 1), _slope(m, eps)),
    lambda g, *, eps: _row(g, 2),
    samples=cases(
        [positive((2, 3)), (3,), (3,), {"eps": 1e-5}, positive((4, 2, 3)), (3,), (3,), {"eps": 0.1}],
        [positive((0, 2, 3)), (3,), (3,), {"eps": 1e-5}],
    ),
    reference=lambda m, weight, bias, eps: np.stack(
        [m[..., 0, :], weight / np.sqrt(m[..., 1, :] + eps), 0 * m[..., 0, :] + bias], axis=-2
    ),
    formula=(
        "rows(row(g, 0), row(g, 1) * weight * (-0.5) / sqrt(row(m, 1) + eps) ** 3)",
        "row(g, 1) / sqrt(row(m, 1) + eps)",
        None,
    ),
    broadcasts=False,
    method=False,
)
def normalising_columns(m: Array, weight: Array, bias: Array, *, eps: float) -> Array:
    """What `scaled_columns` takes to normalise by mean and variance, then stretch by a weight and add a bias."""
    shape = *m.shape[:-2], 1, m.shape[-1]
    bias = np.broadcast_to(bias, shape)
    return _rows(_row(m, 0), weight * _slope(m, eps), bias)


def check_channels(who: str, x: ArrayOrTensor, channels: int) -> None:
    """Raise `ShapeError` unless the last axis of x are the channels."""
    shape = np.shape(x)
    if len(shape) < 2 or shape[-1] != channels:
        first = len(shape) > 2 and shape[1] == channels
        hint = "\n  hint   channels come last here: np.moveaxis(x, 1, -1)" if first else ""
        raise ShapeError(f"{who}: x has shape {shape}, expected (N, ..., {channels}), channels last{hint}")


def _wide(x: ArrayOrTensor) -> ArrayOrTensor:
    """Return x, float16 as float32: the variance of numbers beyond 256 is none of float16."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _channel_rows(x: ArrayOrTensor) -> ArrayOrTensor:
    """Return x as a matrix to compute with, the channels its columns."""
    shape = np.shape(x)
    return _wide(np.reshape(x, (math.prod(shape[:-1]), shape[-1])))


def batch_rows(who: str, x: ArrayOrTensor) -> ArrayOrTensor:
    """Return x as a matrix (rows, channels); refuse a single row, which has no variance."""
    shape = np.shape(x)
    if math.prod(shape[:-1]) == 1:
        raise ShapeError(
            f"{who}: x of shape {shape} has one value for each channel, and so no variance\n"
            "  hint   a batch of more; or the mean and variance of training, which model.eval() uses"
        )
    return _channel_rows(x)


def normalised(
    x: ArrayOrTensor,
    rows: ArrayOrTensor,
    m: ArrayOrTensor,
    weight: ArrayOrTensor,
    bias: ArrayOrTensor,
    eps: float,
) -> ArrayOrTensor:
    """Return x, whose matrices of rows are given, normalised by the moments m of these."""
    y = np.reshape(scaled_columns(rows, normalising_columns(m, weight, bias, eps=eps)), np.shape(x))
    return y.astype(np.result_type(x.dtype, weight.dtype, bias.dtype)) if x.dtype == np.float16 else y


def _plain_batch_norm(
    x: Array,
    weight: Array,
    bias: Array,
    mean: Array | None = None,
    var: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes) if mean is None else mean
    var = x.var(axes) if var is None else var
    return (x - mean) / np.sqrt(var + eps) * weight + bias


@composite(
    samples=cases(
        [(4, 3), (3,), (3,), {}, (2, 3, 2), (2,), (2,), {"eps": 0.1}, (2, 2, 3, 1), (1,), (1,)],
        [(4, 3), (3,), (3,), (3,), positive((3,)), {}, {"eps": 0.1}],
        [(1, 2, 3), (3,), (3,), (3,), positive((3,))],
        [(0, 3), (3,), (3,), (3,), positive((3,))],
    ),
    reference=_plain_batch_norm,
)
def batch_norm(
    x: ArrayOrTensor,
    weight: ArrayOrTensor,
    bias: ArrayOrTensor,
    mean: ArrayOrTensor | None = None,
    var: ArrayOrTensor | None = None,
    *,
    eps: float = 1e-5,
) -> ArrayOrTensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, channels last (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Args:
        x: of shape (N, ..., channels).
        weight, bias: of shape (channels,).
        mean, var: of shape (channels,); by default those of x over all axes but the last, the variance divided by the
            number of values. `nn.BatchNorm` keeps averages of them for evaluation.
        eps: added to the variance.

    Raises:
        ShapeError: the shapes do not fit; or without `mean`, there is one value for each channel.
        ArgumentError: one of `mean` and `var` alone.
        SettingError: `eps` is none.

    Example:
        >>> batch_norm(np.array([[1.0], [3.0]]), np.array([2.0]), np.array([5.0]), eps=0)
        array([[3.],
               [7.]])
    """
    if mean is None or var is None:
        if mean is not var:
            raise ArgumentError("batch_norm: takes mean and var, or neither of them")
        _check("batch_norm", x, eps, weight, bias)
        rows = batch_rows("batch_norm", x)
        m = column_moments(rows)
    else:
        _check("batch_norm", x, eps, weight, bias, mean, var)
        rows = _channel_rows(x)
        m = np.stack([mean, var])
    return normalised(x, rows, m, weight, bias, eps)


def _check(who: str, x: ArrayOrTensor, eps: float, weight: ArrayOrTensor, *others: ArrayOrTensor) -> None:
    """Raise unless weight and all others have one number for each channel of x, and eps can be added to variances."""
    check_number(who, "eps", eps)
    channels = np.shape(weight)
    if len(channels) != 1:
        raise ShapeError(
            f"{who}: weight has one number for each channel, got shape {channels}\n"
            "  hint   np.ones(channels) and np.zeros(channels) as weight and bias change nothing"
        )
    check_channels(who, x, channels[0])
    for row in others:
        if np.shape(row) != channels:
            raise ShapeError(f"{who}: weight, bias, mean and var have shape {channels}, got {np.shape(row)}")


def _plain_group_norm(x: Array, groups: int, weight: Array, bias: Array, eps: float = 1e-5) -> Array:
    parts = x.reshape(len(x), math.prod(x.shape[1:-1]), groups, x.shape[-1] // groups)
    mean, var = parts.mean((1, 3), keepdims=True), parts.var((1, 3), keepdims=True)
    return ((parts - mean) / np.sqrt(var + eps)).reshape(x.shape) * weight + bias


@composite(
    samples=cases(
        [(2, 3, 4), each(1, 2, 4), (4,), (4,), {}, (3, 6), each(1, 3), (6,), (6,), {"eps": 0.1}],
        [(2, 2, 2, 2), 2, (2,), (2,), {}, (0, 2, 4), 2, (4,), (4,)],
    ),
    reference=_plain_group_norm,
    settings=("groups",),
)
def group_norm(
    x: ArrayOrTensor, groups: int, weight: ArrayOrTensor, bias: ArrayOrTensor, *, eps: float = 1e-5
) -> ArrayOrTensor:
    """Each group of channels of each sample normalised, channels last (Wu and He 2018, arXiv:1803.08494).

    Mean and variance are those of all values of a group. With one group that is layer normalisation over all axes of a
    sample, with as many groups as channels instance normalisation.

    Args:
        x: of shape (N, ..., channels).
        groups: how many groups of neighbouring channels there are; divides their number.
        weight, bias: of shape (channels,), of the channels after that.
        eps: added to the variance.

    Raises:
        ShapeError: the shapes do not fit.
        SettingError: `groups` does not divide the channels; `eps` is none.

    Example:
        >>> x = np.array([[1.0, 3.0, 10.0, 30.0]])
        >>> group_norm(x, 2, np.ones(4), np.zeros(4)).round(3)
        array([[-1.,  1., -1.,  1.]])
    """
    _check("group_norm", x, eps, weight, bias)
    shape = np.shape(x)
    check_groups("group_norm", groups, shape[-1])
    count, channels = shape[0], shape[-1]
    rows = _wide(np.reshape(x, (count, math.prod(shape[1:-1]), channels)))
    m = np.reshape(column_moments(rows), (count, 2, groups, channels // groups))
    means = m[:, 0]
    mean = np.mean(means, axis=-1, keepdims=True)
    var = np.mean(m[:, 1] + (means - mean) ** 2, axis=-1, keepdims=True)
    both = np.broadcast_to(np.stack([mean, var], axis=1), np.shape(m))
    return normalised(x, rows, np.reshape(both, (count, 2, channels)), weight, bias, eps)


def check_groups(who: str, groups: int, channels: int) -> None:
    """Raise `SettingError` unless so many groups share the channels evenly."""
    if not is_integer(groups) or groups < 1 or channels % groups:
        divisors = [k for k in range(1, channels + 1) if not channels % k]
        raise SettingError(
            f"{who}: {channels} channels do not make {groups!r} groups of as many each\n"
            f"  hint   groups may be {', '.join(map(str, divisors))}"
        )


@kernel(None, None, None, writes=(0, 1), differentiable=False, method=False)
def running_update(mean: Array, var: Array, m: Array, *, momentum: float, rows: int) -> None:
    """Move running averages by a share towards the moments of so many rows; the variance divided by rows - 1."""
    mean += momentum * (m[0] - mean)
    var += momentum * (m[1] * (rows / (rows - 1)) - var)
