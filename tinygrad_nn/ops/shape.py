"""The same numbers in another arrangement; each rule is the arrangement back."""

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tinygrad_nn.errors import ArgumentError, NoGradientRule
from tinygrad_nn.ops.indexing import put
from tinygrad_nn.primitives.declare import composite, kernel, op


def _calls(*choices: Any, shape: tuple[int, ...] = (2, 3, 4)) -> Any:
    """Return samples: one call for each choice of parameters, on an array of `shape` or its own."""

    def samples(rng: np.random.Generator) -> list[Any]:
        calls = []
        for choice in choices:
            params = dict(choice)
            calls.append(((rng.normal(size=params.pop("of", shape)),), params))
        return calls

    return samples


reshape = op(
    np.reshape,
    lambda g, *, shapes, shape=None, order="C": np.reshape(g, shapes[0], order=order),
    linear=True,
    samples=_calls(
        {"shape": (4, 6)},
        {"shape": (-1,)},
        {"shape": (3, -1), "order": "F"},
        {"shape": (1, 1), "of": ()},
        {"shape": (), "of": (1,)},
        {"shape": (3, 0), "of": (0, 2)},
    ),
)
transpose = op(
    np.transpose,
    lambda g, *, axes=None: np.transpose(g, None if axes is None else _inverse(axes)),
    linear=True,
    samples=_calls({}, {"axes": (1, 2, 0)}, {"axes": (-1, 0, 1)}, {"of": (3,)}, {"of": ()}, {"of": (0, 2)}),
)
expand_dims = op(
    np.expand_dims,
    lambda g, *, shapes, axis: np.reshape(g, shapes[0]),
    linear=True,
    samples=_calls({"axis": 0}, {"axis": (0, -1)}, {"axis": 0, "of": ()}, {"axis": 1, "of": (0,)}),
    method=False,
)
squeeze = op(
    np.squeeze,
    lambda g, *, shapes, axis=None: np.reshape(g, shapes[0]),
    linear=True,
    samples=_calls({}, {"axis": 0}, {"axis": (0, -1)}, shape=(1, 3, 1)),
)
swapaxes = op(
    np.swapaxes,
    lambda g, *, axis1, axis2: np.swapaxes(g, axis1, axis2),
    linear=True,
    samples=_calls({"axis1": 0, "axis2": -1}, {"axis1": 1, "axis2": 2}),
)
broadcast_to = op(
    np.broadcast_to,
    lambda g, *, shape: g,
    linear=True,
    samples=_calls(
        {"shape": (3, 4)},
        {"shape": (2, 3, 4)},
        {"shape": (3, 0)},
        {"shape": (2, 2), "of": ()},
        {"shape": 4, "of": 1},
        shape=(3, 1),
    ),
    method=False,
)


def _inverse(axes: Any) -> tuple[int, ...]:
    return tuple(int(k) for k in np.argsort([axis % len(axes) for axis in axes]))


@kernel(
    lambda g, *, shapes, dtype: g,  # the engine casts a gradient to its operand's dtype
    linear=True,
    samples=_calls({"dtype": np.float64}),
    reference=lambda x, dtype: x,
    analytic=False,  # a cast to a real dtype drops imaginary parts
)
def astype(x: Any, *, dtype: Any) -> Any:
    """A copy of x with another dtype; only floating-point results carry a gradient."""
    return x.astype(dtype)


flip = op(
    np.flip,
    lambda g, *, axis=None: np.flip(g, axis),
    linear=True,
    samples=_calls(
        {}, {"axis": 0}, {"axis": -2}, {"axis": (0, -1)}, {"of": (1,)}, {"of": ()}, {"of": (0, 2)}
    ),
)
roll = op(
    np.roll,
    lambda g, *, shift, axis=None: np.roll(g, _negated(shift), axis),
    linear=True,
    samples=_calls(
        {"shift": 2},
        {"shift": -1, "axis": 0},
        {"shift": (1, -2), "axis": (0, -1)},
        {"shift": 7, "axis": (1, 2)},
        {"shift": 1, "of": ()},
        {"shift": 1, "axis": 0, "of": (0, 2)},
    ),
)
_TRIANGLES = _calls(
    {},
    {"k": 1, "of": (3, 3)},
    {"k": -1, "of": (4, 3)},
    {"k": 2, "of": (2, 3)},
    {"of": (3,)},
    {"of": (1, 1)},
    {"of": (0, 2)},
)
tril = op(np.tril, lambda g, *, k=0: np.tril(g, k), linear=True, samples=_TRIANGLES)
triu = op(np.triu, lambda g, *, k=0: np.triu(g, k), linear=True, samples=_TRIANGLES)


def _negated(shift: Any) -> Any:
    return tuple(-k for k in shift) if isinstance(shift, tuple) else -shift


_GATHERED = ("edge", "reflect", "symmetric", "wrap")  # modes that repeat elements of the array

_PAD_KEYWORDS = {"constant_values": ("constant",), "reflect_type": ("reflect", "symmetric")}


def _padding(
    array: Any, pad_width: Any, mode: Any = "constant", **other: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read a call of pad, with a pair of widths for each axis; refuse what no rule covers."""
    if mode not in ("constant", *_GATHERED) or other.get("reflect_type") == "odd":
        raise NoGradientRule(
            f"pad: there is no derivative rule for mode={mode!r} with {other or 'these settings'}\n"
            f"  hint   modes with a derivative: constant, {', '.join(_GATHERED)}; np.concatenate for others"
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


def _unpad(g: Any, shapes: Any, pad_width: Any, mode: str) -> Any:
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
    linear=True,
    samples=_calls(
        {"pad_width": ((1, 2), (0, 1))},
        {"pad_width": ((0, 0), (2, 0)), "constant_values": 3.0},
        *[{"pad_width": ((1, 2), (2, 1)), "mode": mode} for mode in _GATHERED],
        {"pad_width": ((5, 0), (0, 4)), "mode": "reflect"},
        {"pad_width": ((2, 1),), "of": (0,)},
        {"pad_width": ((1, 1),), "mode": "edge", "of": (1,)},
        shape=(3, 4),
    ),
)


@composite(
    np.repeat,
    samples=_calls(
        {"repeats": 2},
        {"repeats": 3, "axis": 0},
        {"repeats": 2, "axis": -1},
        {"repeats": np.array([2, 0, 1]), "axis": 1},
        {"repeats": 2, "of": ()},
        {"repeats": 0, "axis": 0},
    ),
    method=True,
)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element several times, next to each other."""
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    axis = normalize_axis_index(axis, np.ndim(a))
    return np.take(a, np.repeat(np.arange(np.shape(a)[axis]), repeats), axis=axis)


@composite(
    np.tile,
    samples=_calls(
        {"reps": 2}, {"reps": (2, 1, 3)}, {"reps": (2, 1, 1, 2)}, {"reps": 3, "of": ()}, {"reps": 0}
    ),
)
def tile(A: Any, reps: Any) -> Any:
    """The whole array several times, side by side."""
    counts = tuple(reps) if np.ndim(reps) else (reps,)
    rank = max(len(counts), np.ndim(A))
    counts = (1,) * (rank - len(counts)) + counts
    shape = (1,) * (rank - np.ndim(A)) + np.shape(A)
    split = [n for k in shape for n in (1, k)]
    copies = [n for pair in zip(counts, shape, strict=True) for n in pair]
    return np.reshape(
        np.broadcast_to(np.reshape(A, split), copies), [r * n for r, n in zip(counts, shape, strict=True)]
    )


@composite(np.ravel, samples=_calls({}, {"order": "F"}, {"of": ()}))
def ravel(a: Any, order: str = "C") -> Any:
    """The elements in one dimension."""
    return np.reshape(a, -1, order=order)


@composite(
    np.moveaxis,
    samples=_calls({"source": 0, "destination": -1}, {"source": (0, -1), "destination": (1, 0)}),
)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """The array with some axes at other places, the rest in their order."""
    rank = np.ndim(a)
    moved = dict(
        zip(normalize_axis_tuple(destination, rank), normalize_axis_tuple(source, rank), strict=True)
    )
    rest = iter(k for k in range(rank) if k not in moved.values())
    return np.transpose(a, [moved[k] if k in moved else next(rest) for k in range(rank)])


@composite(np.matrix_transpose, np.linalg.matrix_transpose, samples=_calls({}, {"of": (3, 3)}))
def matrix_transpose(x: Any) -> Any:
    """The array with its last two axes exchanged."""
    return np.swapaxes(x, -1, -2)


@composite(np.fliplr, samples=_calls({}))
def fliplr(m: Any) -> Any:
    """The array with its second axis reversed."""
    return np.flip(m, 1)


@composite(np.flipud, samples=_calls({}))
def flipud(m: Any) -> Any:
    """The array with its first axis reversed."""
    return np.flip(m, 0)


@composite(
    np.full_like,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3)), fill), {}) for fill in (rng.normal(size=()), rng.normal(size=3))
    ],
)
def full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    """An array of the shape and dtype of another, filled with one value or with an array that broadcasts to it."""
    filled = np.ones_like(a) * np.broadcast_to(fill_value, np.shape(a))
    return astype(filled, dtype=np.dtype(a.dtype if dtype is None else dtype))
