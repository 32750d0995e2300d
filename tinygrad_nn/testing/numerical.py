"""Derivatives without rules: the complex step, and central differences with Richardson extrapolation.

Everything is float64. A `Function` here takes a list of arrays and returns one array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_nn.engine.tensor import Tensor, tensor
from tinygrad_nn.errors import DtypeError, ShapeError

Array = np.ndarray[Any, Any]
Function = Callable[[list[Array]], Array]

COMPLEX_STEP = 1e-20
STEPS = 1e-2 * 4.0 ** -np.arange(6)
"""Steps of the central differences, largest first; each is scaled with max(1, |x|)."""


@dataclass(frozen=True)
class Estimate:
    """A numerical Jacobian of shape (results, inputs): estimated error, slopes on both sides, their noise."""

    value: Array
    error: Array
    left: Array
    right: Array
    noise: Array

    @property
    def kinks(self) -> Array:
        """Where the slopes on the two sides differ by more than the steps can explain."""
        size = np.maximum(np.abs(self.left), np.abs(self.right))
        threshold = 1e-3 * np.maximum(size, _largest(self.value) * 1e-3) + 100 * self.noise
        return np.asarray(np.abs(self.left - self.right) > threshold)


def _largest(a: Array) -> float:
    finite = np.abs(a[np.isfinite(a)])
    return float(finite.max()) if finite.size else 0.0


def central_jacobian(f: Function, xs: Sequence[Array]) -> Estimate:
    """Return the Jacobian of `f` by central differences at six steps, extrapolated (Ridders 1982).

    Of all entries of the Richardson table the one with the smallest estimated error counts.
    """
    xs = [np.array(x) for x in xs]
    with np.errstate(all="ignore"):
        here = f(xs).ravel()
        places = [(x, i) for x in xs for i in range(x.size)]
        above = np.empty((len(STEPS), len(places), here.size))
        below = np.empty_like(above)
        h = np.empty((len(STEPS), len(places), 1))
        for column, (x, i) in enumerate(places):
            kept = x.flat[i]
            for row, step in enumerate(STEPS * max(1.0, abs(kept))):
                x.flat[i] = kept + step
                above[row, column] = f(xs).ravel()
                high = x.flat[i]
                x.flat[i] = kept - step
                below[row, column] = f(xs).ravel()
                h[row, column] = (high - x.flat[i]) / 2
            x.flat[i] = kept
        value, error = _extrapolated(above, below, h)
        right = _one_sided(above - here, h)
        left = _one_sided(here - below, h)
        noise = _noise(above, below, h)[-1]
    return Estimate(value.T, error.T, left.T, right.T, noise.T)


def _extrapolated(above: Array, below: Array, h: Array) -> tuple[Array, Array]:
    table = (above - below) / (2 * h)
    noise = _noise(above, below, h)
    best, smallest = table[-1], np.full(table.shape[1:], np.inf)
    for order in range(1, len(STEPS)):
        finer, coarser = table[1:], table[:-1]
        table = finer + (finer - coarser) / (16.0**order - 1)
        error = np.maximum(np.abs(table - finer), np.abs(table - coarser)) + noise[order:]
        error = np.where(np.isfinite(error), error, np.inf)
        row = np.argmin(error, axis=0)[None]
        candidate = np.take_along_axis(error, row, 0)[0]
        better = candidate < smallest
        best = np.where(better, np.take_along_axis(table, row, 0)[0], best)
        smallest = np.where(better, candidate, smallest)
    return best, smallest


def _noise(above: Array, below: Array, h: Array) -> Array:
    """Return what rounding of the function values makes of the slopes."""
    return np.asarray(4 * np.finfo(float).eps * np.maximum(np.abs(above), np.abs(below)) / h)


def _one_sided(rise: Array, h: Array) -> Array:
    fine, coarse = rise[-1] / h[-1], rise[-2] / h[-2]
    return np.asarray(fine + (fine - coarse) / 3)


def complex_jacobian(f: Function, xs: Sequence[Array]) -> Array:
    """Return the Jacobian by the complex step Im f(x + ih) / h, exact to rounding (Squire, Trapp 1998)."""
    zs = [np.array(x, dtype=complex) for x in xs]
    columns = []
    with np.errstate(all="ignore"):
        for z in zs:
            for i in range(z.size):
                z.flat[i] += COMPLEX_STEP * 1j
                columns.append(np.imag(f(zs)).ravel() / COMPLEX_STEP)
                z.flat[i] = z.flat[i].real
        width = columns[0].size if columns else f(zs).size
    return np.array(columns).reshape(len(columns), width).T


def as_float64(x: Any, who: str, position: int) -> Array:
    """Return an input of a check as a float64 array; anything that is not float64 is refused."""
    data = x._data if isinstance(x, Tensor) else np.asarray(x)
    if data.dtype != np.float64:
        raise DtypeError(
            f"{who}: input {position} has dtype {data.dtype}; numerical derivatives need float64\n"
            "  hint   x.astype(np.float64); labels and indices belong inside the function"
        )
    return np.array(data)


def flat_result(y: Any) -> Array:
    """Return what a function returned, a tensor or array or several of them, as one flat float64 array."""
    if isinstance(y, (tuple, list)):
        return np.concatenate([flat_result(part) for part in y]) if y else np.zeros(0)
    return np.asarray(y._data if isinstance(y, Tensor) else y, dtype=np.float64).ravel()


def _on_arrays(fn: Callable[..., Any]) -> Function:
    return lambda xs: flat_result(fn(*[tensor(x) for x in xs]))


def numerical_jacobian(fn: Callable[..., Any], *inputs: Any) -> Any:
    """Return the Jacobian of `fn` by extrapolated central differences, of shape (*result, *input).

    Args:
        fn: a function of Tensors or of arrays.
        inputs: float64 arrays, Tensors or floats; several give a tuple of Jacobians.

    Raises:
        DtypeError: an input is not float64.

    Example:
        >>> numerical_jacobian(lambda x: x * x, np.array([1.0, 2.0])).round(6)
        array([[2., 0.],
               [0., 4.]])
    """
    xs = [as_float64(x, "numerical_jacobian", k) for k, x in enumerate(inputs)]
    y = fn(*[tensor(x) for x in xs])
    shape = (flat_result(y).size,) if isinstance(y, (tuple, list)) else np.shape(y)
    full = central_jacobian(_on_arrays(fn), xs).value
    ends = np.cumsum([x.size for x in xs])
    parts = np.split(full, ends[:-1], axis=1) if xs else []
    shaped = tuple(part.reshape(shape + x.shape) for part, x in zip(parts, xs, strict=True))
    return shaped[0] if len(shaped) == 1 else shaped


def numerical_gradient(fn: Callable[..., Any], *inputs: Any) -> Any:
    """Return the gradient of a scalar function by extrapolated central differences, of the input's shape.

    Several inputs give a tuple of gradients; the relative accuracy is about 1e-10 for smooth functions.

    Raises:
        DtypeError: an input is not float64.
        ShapeError: the result has more than one element.

    Example:
        >>> numerical_gradient(lambda x: (x**3).sum(), np.array([1.0, 2.0])).round(6)
        array([ 3., 12.])
    """
    xs = [as_float64(x, "numerical_gradient", k) for k, x in enumerate(inputs)]
    size = flat_result(fn(*[tensor(x) for x in xs])).size
    if size != 1:
        raise ShapeError(
            f"numerical_gradient: the function returned {size} elements, expected one\n"
            "  hint   numerical_jacobian, or .sum()"
        )
    full = central_jacobian(_on_arrays(fn), xs).value[0]
    ends = np.cumsum([x.size for x in xs])
    shaped = tuple(p.reshape(x.shape) for p, x in zip(np.split(full, ends[:-1]), xs, strict=True))
    return shaped[0] if len(shaped) == 1 else shaped


def directional_derivative(fn: Callable[..., Any], inputs: Any, directions: Any) -> Array:
    """Return the derivative of `fn` at `inputs` along `directions`, by extrapolated central differences.

    Both are tuples of the same length; a single input may come without its tuple. The result has the shape of
    what `fn` returns.

    Example:
        >>> x, v = np.array([1.0, 2.0]), np.array([1.0, 0.5])
        >>> directional_derivative(lambda x: x * x, x, v).round(6)
        array([2., 2.])
    """
    points = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    ways = directions if isinstance(directions, (tuple, list)) else (directions,)
    if len(points) != len(ways) or any(np.shape(x) != np.shape(v) for x, v in zip(points, ways, strict=True)):
        raise ShapeError(
            "directional_derivative: a direction has the shape of its input; got inputs "
            f"{[np.shape(x) for x in points]} and directions {[np.shape(v) for v in ways]}"
        )
    xs = [as_float64(x, "directional_derivative", k) for k, x in enumerate(points)]
    vs = [as_float64(v, "directional_derivative", k) for k, v in enumerate(ways)]
    estimate = central_jacobian(along(_on_arrays(fn), xs, vs), [np.zeros(())])
    y = fn(*[tensor(x) for x in xs])
    return estimate.value[:, 0].reshape(-1 if isinstance(y, (tuple, list)) else np.shape(y))


def along(f: Function, xs: Sequence[Array], vs: Sequence[Array]) -> Function:
    """Return `f` as a function of one number, the distance from `xs` along `vs`."""
    return lambda ts: f([x + ts[0] * v for x, v in zip(xs, vs, strict=True)])
