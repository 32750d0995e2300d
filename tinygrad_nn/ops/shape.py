"""The same numbers in another arrangement; each rule is the arrangement back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from numpy.typing import DTypeLike

from tinygrad_nn.errors import ArgumentError, NoGradientRule, SettingError
from tinygrad_nn.ops.indexing import put
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, Axis, Sample, Shapes, composite, op
from tinygrad_nn.primitives.operands import supported

_linear = partial(op, linear=True)


def reshaped(x: Array, shape: Any, order: Any = "C") -> Array:
    """np.reshape with its shape by position: before NumPy 2.1 the keyword was newshape."""
    return np.reshape(x, shape, order=order)


def _new_shape(a: object, shape: object = None, order: str = "C", **other: object) -> Sample:
    usual = {} if order == "C" else {"order": order}
    return (a,), {"shape": other.pop("newshape", shape), **usual, **other}


reshape = _linear(
    np.reshape,
    lambda g, *, shapes, shape=None, order="C": np.reshape(g, shapes[0], order=order),
    call=reshaped,
    adapt=_new_shape,
    samples=cases(
        [(2, 3, 4), {"shape": each((4, 6), (-1,))}, {"shape": (3, -1), "order": "F"}],
        [(), {"shape": (1, 1)}, (1,), {"shape": ()}, (0, 2), {"shape": (3, 0)}],
    ),
)
transpose = _linear(
    np.transpose,
    lambda g, *, axes=None: np.transpose(g, None if axes is None else _inverse(axes)),
    samples=cases([(2, 3, 4), {"axes": each((1, 2, 0), (-1, 0, 1))}, each((2, 3, 4), (3,), (), (0, 2))]),
)
expand_dims = _linear(
    np.expand_dims,
    lambda g, *, shapes, axis: np.reshape(g, shapes[0]),
    samples=cases([(2, 3, 4), {"axis": each(0, (0, -1))}, (), {"axis": 0}, (0,), {"axis": 1}]),
    method=False,
)
squeeze = _linear(
    np.squeeze,
    lambda g, *, shapes, axis=None: np.reshape(g, shapes[0]),
    samples=cases([(1, 3, 1), {}, {"axis": each(0, (0, -1))}]),
)
swapaxes = _linear(
    np.swapaxes,
    lambda g, *, axis1, axis2: np.swapaxes(g, axis1, axis2),
    samples=cases([(2, 3, 4), {"axis1": 0, "axis2": -1}, {"axis1": 1, "axis2": 2}]),
)
broadcast_to = _linear(
    np.broadcast_to,
    lambda g, *, shape: g,
    samples=cases(
        [(3, 1), {"shape": each((3, 4), (2, 3, 4), (3, 0))}, (), {"shape": (2, 2)}, (1,), {"shape": 4}]
    ),
    method=False,
)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(k) for k in np.argsort([axis % len(axes) for axis in axes]))


def _cast(x: Array, dtype: DTypeLike, *, copy: bool = True, device: str | None = None) -> Sample:
    """Read a call of astype; the result is always a copy."""
    return (x,), {"dtype": supported(dtype, "astype: ")}


astype = _linear(
    np.astype,
    # The engine casts a gradient to its operand's dtype.
    lambda g, *, shapes, dtype: g,
    call=lambda x, *, dtype: x.astype(dtype),
    adapt=_cast,
    samples=cases([(2, 3, 4), {"dtype": np.float64}]),
    reference=lambda x, dtype: x,
    # A cast to a real dtype drops imaginary parts.
    analytic=False,
)
flip = _linear(
    np.flip,
    lambda g, *, axis=None: np.flip(g, axis),
    samples=cases([(2, 3, 4), {"axis": each(0, -2, (0, -1))}, each((2, 3, 4), (1,), (), (0, 2))]),
)
roll = _linear(
    np.roll,
    lambda g, *, shift, axis=None: np.roll(g, _negated(shift), axis),
    samples=cases(
        [(2, 3, 4), {"shift": 2}, {"shift": -1, "axis": 0}, {"shift": (1, -2), "axis": (0, -1)}],
        [(2, 3, 4), {"shift": 7, "axis": (1, 2)}, (), {"shift": 1}, (0, 2), {"shift": 1, "axis": 0}],
    ),
)
_BANDS = cases([(3, 3), {"k": 1}, (4, 3), {"k": -1}, (2, 3), {"k": 2}, each((2, 3, 4), (3,), (1, 1), (0, 2))])
tril = _linear(np.tril, lambda g, *, k=0: np.tril(g, k), samples=_BANDS)
triu = _linear(np.triu, lambda g, *, k=0: np.triu(g, k), samples=_BANDS)


def _negated(shift: int | tuple[int, ...]) -> int | tuple[int, ...]:
    return tuple(-k for k in shift) if isinstance(shift, tuple) else -shift


# Modes that repeat elements of the array.
_REPEATING = ("edge", "reflect", "symmetric", "wrap")
_PAD_KEYWORDS = {"constant_values": ("constant",), "reflect_type": ("reflect", "symmetric")}


def _padding(array: Array, pad_width: Any, mode: object = "constant", **other: object) -> Sample:
    """Read a call of pad, with a pair of widths for each axis; refuse what no rule covers."""
    if mode not in ("constant", *_REPEATING) or other.get("reflect_type") == "odd":
        raise NoGradientRule(
            f"pad: there is no derivative rule for mode={mode!r} with {other or 'these settings'}\n"
            f"  hint   modes with a derivative: constant, {', '.join(_REPEATING)}; np.concatenate for others"
        )
    for keyword in other:
        if mode not in _PAD_KEYWORDS.get(keyword, ()):
            raise ArgumentError(f"pad: mode={mode!r} takes no keyword {keyword}={other[keyword]!r}")
    if isinstance(pad_width, dict):
        pairs = [(0, 0)] * np.ndim(array)
        for axis, width in pad_width.items():
            pairs[axis] = tuple(np.broadcast_to(width, 2))
        pad_width = pairs
    widths = np.broadcast_to(np.asarray(pad_width), (np.ndim(array), 2)).tolist()
    params = {"pad_width": tuple(map(tuple, widths)), **other}
    return (array,), params if mode == "constant" else params | {"mode": mode}


def _unpad(g: Array, shapes: Shapes, pad_width: tuple[tuple[int, int], ...], mode: str) -> Array:
    if mode == "constant":
        return g[tuple(slice(low, low + n) for (low, _), n in zip(pad_width, shapes[0], strict=True))]
    for axis, (width, n) in enumerate(zip(pad_width, shapes[0], strict=True)):
        sources = np.pad(np.arange(n), width, mode=mode)
        g = put(g, sources, (*np.shape(g)[:axis], n, *np.shape(g)[axis + 1 :]), axis)
    return g


pad = op(
    np.pad,
    lambda g, *, shapes, pad_width, mode="constant", constant_values=0, reflect_type="even": _unpad(
        g, shapes, pad_width, mode
    ),
    adapt=_padding,
    # Of a 0-d array there are no widths, and NumPy reads () as no integers.
    call=lambda x, pad_width, **params: np.pad(x, pad_width or 0, **params),
    samples=cases(
        [(3, 4), {"pad_width": ((1, 2), (0, 1))}, {"pad_width": ((0, 0), (2, 0)), "constant_values": 3.0}],
        [(3, 4), {"pad_width": ((1, 2), (2, 1)), "mode": each(*_REPEATING)}, (0,), {"pad_width": ((2, 1),)}],
        [(3, 4), {"pad_width": ((5, 0), (0, 4)), "mode": "reflect"}],
        [(1,), {"pad_width": ((1, 1),), "mode": "edge"}],
    ),
)


@composite(
    np.repeat,
    samples=cases(
        [(2, 3, 4), {"repeats": each(3, 0), "axis": 0}, {"repeats": np.array([2, 0, 1]), "axis": 1}],
        [(2, 3, 4), {"repeats": 2, "axis": -1}, each((2, 3, 4), ()), {"repeats": 2}],
    ),
    method=True,
)
def repeat(a: Array, repeats: int | Array, axis: int | None = None) -> Array:
    """Each element several times, next to each other."""
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    if not np.ndim(a):
        # NumPy takes a number for a vector of one here.
        a = np.reshape(a, 1)
    axis = normalize_axis_index(axis, np.ndim(a))
    return np.take(a, np.repeat(np.arange(np.shape(a)[axis]), repeats), axis=axis)


@composite(
    np.tile, samples=cases([(2, 3, 4), {"reps": each(2, (2, 1, 3), (2, 1, 1, 2), 0)}, (), {"reps": 3}])
)
def tile(A: Array, reps: Any) -> Array:
    """The whole array several times, side by side."""
    counts = tuple(reps) if np.ndim(reps) else (reps,)
    rank = max(len(counts), np.ndim(A))
    counts = (1,) * (rank - len(counts)) + counts
    shape = (1,) * (rank - np.ndim(A)) + np.shape(A)
    split = [n for k in shape for n in (1, k)]
    copies = [n for pair in zip(counts, shape, strict=True) for n in pair]
    lengths = [r * n for r, n in zip(counts, shape, strict=True)]
    return np.reshape(np.broadcast_to(np.reshape(A, split), copies), lengths)


@composite(np.ravel, samples=cases([(2, 3, 4), {"order": "F"}, each((2, 3, 4), ())]))
def ravel(a: Array, order: str = "C") -> Array:
    """The elements in one dimension."""
    return np.reshape(a, -1, order=order)


@composite(
    np.moveaxis,
    samples=cases([(2, 3, 4), {"source": 0, "destination": -1}, {"source": (0, -1), "destination": (1, 0)}]),
)
def moveaxis(a: Array, source: int | tuple[int, ...], destination: int | tuple[int, ...]) -> Array:
    """The array with some axes at other places, the rest in their order."""
    rank = np.ndim(a)
    moved = dict(
        zip(normalize_axis_tuple(destination, rank), normalize_axis_tuple(source, rank), strict=True)
    )
    rest = iter(k for k in range(rank) if k not in moved.values())
    return np.transpose(a, [moved[k] if k in moved else next(rest) for k in range(rank)])


@composite(np.matrix_transpose, np.linalg.matrix_transpose, samples=cases([each((2, 3, 4), (3, 3))]))
def matrix_transpose(x: Array) -> Array:
    """The array with its last two axes exchanged."""
    return np.swapaxes(x, -1, -2)


@composite(np.fliplr, samples=cases([(2, 3, 4)]))
def fliplr(m: Array) -> Array:
    """The array with its second axis reversed."""
    return np.flip(m, 1)


@composite(np.flipud, samples=cases([(2, 3, 4)]))
def flipud(m: Array) -> Array:
    """The array with its first axis reversed."""
    return np.flip(m, 0)


@composite(np.full_like, samples=cases([(2, 3), each((), (3,))]))
def full_like(a: Array, fill_value: Array, dtype: DTypeLike | None = None) -> Array:
    """An array of the shape and dtype of another, filled with one value or with an array that broadcasts to it."""
    filled = np.ones_like(a) * np.broadcast_to(fill_value, np.shape(a))
    return astype(filled, dtype=np.dtype(a.dtype if dtype is None else dtype))


@composite(np.copy, samples=cases([each((2, 3), ())]))
def copy(a: Array, order: str = "K", subok: bool = False) -> Array:
    """The same elements in an array of their own."""
    return astype(a, dtype=np.dtype(a.dtype))


def _with_ones(x: Array, before: int, after: int = 0) -> Array:
    return np.reshape(x, (*(1,) * before, *np.shape(x), *(1,) * after))


_ANY = cases([(), (3,), (), {}, each((2, 3), (), (2, 1, 3))])


def _one_or_all(arrays: list[Array]) -> Array | tuple[Array, ...]:
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


@composite(np.atleast_1d, samples=_ANY)
def atleast_1d(*arys: Array) -> Array | tuple[Array, ...]:
    """Each array with one axis, if it had none."""
    return _one_or_all([_with_ones(x, max(1 - np.ndim(x), 0)) for x in arys])


@composite(np.atleast_2d, samples=_ANY)
def atleast_2d(*arys: Array) -> Array | tuple[Array, ...]:
    """Each array with two axes at least; a vector becomes a row."""
    return _one_or_all([_with_ones(x, max(2 - np.ndim(x), 0)) for x in arys])


@composite(np.atleast_3d, samples=_ANY)
def atleast_3d(*arys: Array) -> Array | tuple[Array, ...]:
    """Each array with three axes at least; a vector becomes a row in the middle, a matrix gets a third axis."""
    before = [int(np.ndim(x) < 2) for x in arys]
    return _one_or_all(
        [_with_ones(x, k, max(3 - k - np.ndim(x), 0)) for x, k in zip(arys, before, strict=True)]
    )


@composite(np.broadcast_arrays, samples=cases([(3,), (2, 1), (), {}, (2, 3)]))
def broadcast_arrays(*args: Array, subok: bool = False) -> tuple[Array, ...]:
    """All arrays in the shape that they broadcast to."""
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(x, shape) for x in args)


@composite(
    np.meshgrid,
    samples=cases(
        [(2,), (3,), (), {}, {"indexing": "ij"}, {"sparse": True}, (3,), {}, (2,), (1,), (3,), (2,)]
    ),
)
def meshgrid(*xi: Array, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Array, ...]:
    """The coordinates of all points of a grid, for each axis an array of the grid's shape (of its rank, if sparse)."""
    if indexing not in ("xy", "ij"):
        raise SettingError(f"meshgrid: indexing is xy or ij, got {indexing!r}")
    rank = len(xi)
    places = [*range(rank)]
    if indexing == "xy" and rank > 1:
        places[:2] = 1, 0
    vectors = [np.reshape(x, -1) for x in xi]
    axes = [_with_ones(x, k, rank - 1 - k) for k, x in zip(places, vectors, strict=True)]
    return tuple(axes) if sparse else broadcast_arrays(*axes)


@composite(
    np.rot90, samples=cases([(2, 3), {"k": each(0, 1, 2, 3, -1)}, (2, 3, 4), {"axes": each((1, 2), (2, 0))}])
)
def rot90(m: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """The array turned k times by 90 degrees, from the first towards the second of two axes."""
    first, second = normalize_axis_tuple(axes, np.ndim(m), "axes")
    if k % 4 == 0:
        return copy(m)
    if k % 4 == 2:
        return np.flip(m, (first, second))
    turned = np.swapaxes(m, first, second)
    return np.flip(turned, first if k % 4 == 1 else second)


@composite(
    np.rollaxis, samples=cases([(2, 3, 4), {"axis": 2}, {"axis": each(0, -2), "start": each(3, 1, -1)}])
)
def rollaxis(a: Array, axis: int, start: int = 0) -> Array:
    """The array with an axis moved to before another one."""
    rank = np.ndim(a)
    axis, start = normalize_axis_index(axis, rank), start + rank * (start < 0)
    if not 0 <= start <= rank:
        raise SettingError(f"rollaxis: start is a place from {-rank} to {rank}, got {start}")
    return np.moveaxis(a, axis, start - (axis < start))


def _rolled(x: Array, axes: Axis, sign: int) -> Array:
    axes = tuple(range(np.ndim(x))) if axes is None else normalize_axis_tuple(axes, np.ndim(x))
    return np.roll(x, tuple(sign * (np.shape(x)[k] // 2) for k in axes), axes)


_SHIFTS = cases([(4, 5), {}, {"axes": each(0, -1, (1, 0))}, each((5,), (1,))])


@composite(
    also=("numpy.fft.fftshift",),
    reference=lambda *call, **how: np.fft.fftshift(*call, **how),
    samples=_SHIFTS,
)
def fftshift(x: Array, axes: Axis = None) -> Array:
    """The array turned so that the frequency 0 comes to the middle."""
    return _rolled(x, axes, 1)


@composite(
    also=("numpy.fft.ifftshift",),
    reference=lambda *call, **how: np.fft.ifftshift(*call, **how),
    samples=_SHIFTS,
)
def ifftshift(x: Array, axes: Axis = None) -> Array:
    """What fftshift has turned, turned back."""
    return _rolled(x, axes, -1)
