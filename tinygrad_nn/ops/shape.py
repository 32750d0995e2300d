"""The same numbers in another arrangement; each rule is the arrangement back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygrad_nn.errors import ArgumentError, NoGradientRule
from tinygrad_nn.ops.indexing import put
from tinygrad_nn.ops.samples import cases, each
from tinygrad_nn.primitives import Array, Sample, Shapes, composite, kernel, op

_linear = partial(op, linear=True)


def reshaped(x: Array, shape: Any, order: Any = "C") -> Array:
    """np.reshape by position: before NumPy 2.1 the keyword was newshape."""
    return np.reshape(x, shape, order)


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


@kernel(
    # The engine casts a gradient to its operand's dtype.
    lambda g, *, shapes, dtype: g,
    linear=True,
    samples=cases([(2, 3, 4), {"dtype": np.float64}]),
    reference=lambda x, dtype: x,
    # A cast to a real dtype drops imaginary parts.
    analytic=False,
)
def astype(x: Array, *, dtype: Any) -> Array:
    """A copy of x with another dtype; only floating-point results carry a gradient."""
    return x.astype(dtype)


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
def full_like(a: Array, fill_value: Array, dtype: Any = None) -> Array:
    """An array of the shape and dtype of another, filled with one value or with an array that broadcasts to it."""
    filled = np.ones_like(a) * np.broadcast_to(fill_value, np.shape(a))
    return astype(filled, dtype=np.dtype(a.dtype if dtype is None else dtype))
