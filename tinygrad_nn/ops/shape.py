"""The same numbers in another arrangement; each rule is the arrangement back."""

from typing import Any

import numpy as np

from tinygrad_nn.primitive import kernel, op


def _calls(*choices: Any, shape: tuple[int, ...] = (2, 3, 4)) -> Any:
    """Return samples: one call for each choice of parameters, on an array of `shape`."""
    return lambda rng: [((rng.normal(size=shape),), dict(choice)) for choice in choices]


reshape = op(
    np.reshape,
    lambda g, *, shapes, shape=None, order="C": np.reshape(g, shapes[0], order=order),
    linear=True,
    samples=_calls({"shape": (4, 6)}, {"shape": (-1,)}, {"shape": (3, -1), "order": "F"}),
    onnx="Reshape",
)
transpose = op(
    np.transpose,
    lambda g, *, axes=None: np.transpose(g, None if axes is None else _inverse(axes)),
    linear=True,
    samples=_calls({}, {"axes": (1, 2, 0)}, {"axes": (-1, 0, 1)}),
    onnx="Transpose",
)
expand_dims = op(
    np.expand_dims,
    lambda g, *, shapes, axis: np.reshape(g, shapes[0]),
    linear=True,
    samples=_calls({"axis": 0}, {"axis": (0, -1)}),
    method=False,
    onnx="Unsqueeze",
)
squeeze = op(
    np.squeeze,
    lambda g, *, shapes, axis=None: np.reshape(g, shapes[0]),
    linear=True,
    samples=_calls({}, {"axis": 0}, {"axis": (0, -1)}, shape=(1, 3, 1)),
    onnx="Squeeze",
)
swapaxes = op(
    np.swapaxes,
    lambda g, *, axis1, axis2: np.swapaxes(g, axis1, axis2),
    linear=True,
    samples=_calls({"axis1": 0, "axis2": -1}, {"axis1": 1, "axis2": 2}),
    onnx="Transpose",
)
broadcast_to = op(
    np.broadcast_to,
    lambda g, *, shape: g,
    linear=True,
    samples=_calls({"shape": (3, 4)}, {"shape": (2, 3, 4)}, shape=(3, 1)),
    method=False,
    onnx="Expand",
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


def _part(g: Any, *, i: int, shapes: Any, axis: int = 0) -> Any:
    """The slice of g that came from operand i."""
    rank = len(shapes[i])
    start = sum(shape[axis] for shape in shapes[:i])
    index = [slice(None)] * rank
    index[axis] = slice(start, start + shapes[i][axis])
    return g[tuple(index)]


def _several(*shapes: tuple[int, ...], **params: Any) -> Any:
    return lambda rng: [(tuple(rng.normal(size=shape) for shape in shapes), params)]


def _sequence(arrays: Any, axis: int = 0, **other: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(arrays), {"axis": axis, **other} if axis != 0 else other


concatenate = op(
    np.concatenate,
    _part,
    call=lambda *arrays, **params: np.concatenate(arrays, **params),
    variadic=True,
    adapt=_sequence,
    linear=True,
    samples=lambda rng: [
        *_several((2, 3), (1, 3), (0, 3))(rng),
        *_several((2, 3), (2, 1), axis=-1)(rng),
    ],
    onnx="Concat",
)
stack = op(
    np.stack,
    lambda g, *, i, axis=0: np.take(g, i, axis=axis),
    call=lambda *arrays, **params: np.stack(arrays, **params),
    variadic=True,
    adapt=_sequence,
    linear=True,
    samples=lambda rng: [*_several((2, 3), (2, 3))(rng), *_several((2, 3), (2, 3), (2, 3), axis=-1)(rng)],
    onnx="Concat",
)
