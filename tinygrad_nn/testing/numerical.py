"""Derivatives without rules: the complex step, and central differences with Richardson extrapolation.

Everything is float64. An `ArrayFunction` takes a list of arrays and returns one array.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_nn.engine.tensor import Tensor, tensor
from tinygrad_nn.errors import ArgumentError, CheckFailed, DtypeError, GraphError, ShapeError
from tinygrad_nn.primitives import Array, Function

ArrayFunction = Callable[[list[Array]], Array]
Input = Tensor | ArrayLike
"""What can be differentiated by: a tensor, an array or a float, all of them float64."""

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
        threshold = 1e-3 * np.maximum(size, largest(self.value) * 1e-3) + 100 * self.noise
        return np.asarray(np.abs(self.left - self.right) > threshold)


def central_jacobian(f: ArrayFunction, xs: Sequence[Array]) -> Estimate:
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
            start = x.flat[i]
            for row, step in enumerate(STEPS * max(1.0, abs(start))):
                x.flat[i] = start + step
                above[row, column] = f(xs).ravel()
                high = x.flat[i]
                x.flat[i] = start - step
                below[row, column] = f(xs).ravel()
                h[row, column] = (high - x.flat[i]) / 2
            x.flat[i] = start
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


def complex_jacobian(f: ArrayFunction, xs: Sequence[Array]) -> Array:
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


def takes_complex(f: ArrayFunction, xs: Sequence[Array]) -> bool:
    """Tell whether a function computes with complex numbers, without discarding imaginary parts on the way."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            return np.iscomplexobj(f([x.astype(complex) for x in xs]))
        except Exception:  # whatever it raises, it is not made for complex numbers
            return False


def along(f: ArrayFunction, xs: Sequence[Array], vs: Sequence[Array]) -> ArrayFunction:
    """Return `f` as a function of one number, the distance from `xs` along `vs`."""
    return lambda ts: f([x + ts[0] * v for x, v in zip(xs, vs, strict=True)])


def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return random numbers between 0.5 and 1.5 in size: a projection with them overlooks no entry."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def largest(*arrays: ArrayLike) -> float:
    """Return the largest finite size of any entry."""
    sizes = (np.abs(a[np.isfinite(a)]).max(initial=0) for a in map(np.asarray, arrays))
    return float(max(sizes, default=0))


def split_like(flat: Array, xs: Sequence[Array]) -> tuple[Array, ...]:
    """Split the last axis, on which several arrays are flat one after the other, into the shapes of `xs`."""
    parts = np.split(flat, np.cumsum([x.size for x in xs])[:-1], axis=-1)
    return tuple(part.reshape((*flat.shape[:-1], *x.shape)) for part, x in zip(parts, xs, strict=True))


def as_float64(who: str, inputs: Iterable[Input], start: int = 0) -> list[Array]:
    """Return inputs of a check, counted from `start`, as arrays; what is not float64 is refused."""
    inputs = list(inputs)
    for position, x in enumerate(inputs, start):
        if callable(x) and not isinstance(x, Tensor):
            raise ArgumentError(
                f"{who}: input {position} is a function\n  hint   {who}(function, x): the function, and then its inputs"
            )
        if isinstance(x, (dict, str, type(None))):
            name = "f({'w': w, 'b': b}), w, b" if isinstance(x, dict) else "f(a, b), a, b"
            raise ArgumentError(
                f"{who}: input {position} is {'None' if x is None else f'a {type(x).__name__}'}, no array\n"
                f"  hint   {who}(lambda {name.partition('), ')[2]}: {name}): inputs are arrays, one after the other"
            )
        if isinstance(x, (list, tuple)) and any(isinstance(part, (Tensor, np.ndarray)) for part in x):
            raise ArgumentError(
                f"{who}: input {position} is a {type(x).__name__} of arrays\n  hint   {who}(function, *inputs)"
            )
    try:
        arrays = [np.array(x._data if isinstance(x, Tensor) else x) for x in inputs]
    except ValueError as error:
        raise ShapeError(f"{who}: lists in lists are no rectangular array: {error}") from None
    for position, array in enumerate(arrays, start):
        if array.dtype != np.float64:
            cast = (
                "np.array(x, dtype=np.float64)"
                if isinstance(inputs[position - start], (list, tuple, int))
                else "x.astype(np.float64)"
            )
            raise DtypeError(
                f"{who}: input {position} has dtype {array.dtype}; numerical derivatives need float64\n"
                f"  hint   {cast}; labels and indices belong inside the function"
            )
    return arrays


def flat_result(y: object) -> Array:
    """Return what a function returned, a tensor or array or several of them, as one flat float64 array."""
    if isinstance(y, (tuple, list)):
        return np.concatenate([flat_result(part) for part in y]) if y else np.zeros(0)
    return np.asarray(y._data if isinstance(y, Tensor) else y, dtype=np.float64).ravel()


def returned(who: str, name: str, y: object) -> object:
    """Return what a function returned.

    Raises:
        GraphError: it is None, which is what comes back without `return`.
    """
    if y is None:
        raise GraphError(f"{who}: {name} returned None\n  hint   return ...")
    return y


def check_repeats(who: str, name: str, f: ArrayFunction, xs: Sequence[Array], hint: str) -> None:
    """Raise `CheckFailed` for a function that returns something else when it is called again."""
    with np.errstate(all="ignore"):
        first, again = f(list(xs)), f(list(xs))
    if not np.array_equal(first, again, equal_nan=True):
        raise CheckFailed(
            f"{who}: {name} is random: two calls with the same input return {_some(first)} and {_some(again)}\n"
            f"  hint   {hint}"
        )


def _some(y: Array) -> str:
    return f"{y.flat[0]:.6g}" if y.size == 1 else f"[{', '.join(f'{v:.4g}' for v in y.flat[:3])}, ...]"


def ignores(f: ArrayFunction, xs: Sequence[Array], places: Sequence[int]) -> bool:
    """Tell whether a function returns the same whatever some of its inputs are.

    Where it fails with other ones, it uses them; of no elements nothing can be seen.
    """
    if not all(xs[k].size for k in places):
        return False
    here = f(list(xs))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for value in (np.nan, 1e3, -1e3):
            try:
                there = f([np.full_like(x, value) if k in places else x for k, x in enumerate(xs)])
            except Exception:
                return False
            if not np.array_equal(here, there, equal_nan=True):
                return False
    return True


def check_uses(who: str, f: ArrayFunction, xs: Sequence[Array]) -> None:
    """Raise `CheckFailed` for a function that returns the same whatever it is given: its derivative says nothing.

    Asked for only where all derivatives are zero.
    """
    if ignores(f, xs, range(len(xs))):
        raise CheckFailed(
            f"{who}: the function does not use its argument: it returns the same whatever that is\n"
            "  hint   compute with what it is given, lambda W: loss(x @ W, t); a model is checked by "
            "gradcheck(model, x)"
        )


def _on_arrays(who: str, fn: Function, xs: list[Array]) -> ArrayFunction:
    """Return a function of arrays as one of a list of them, if it can be called, and returns the same twice."""
    if not callable(fn):
        raise ArgumentError(
            f"{who}: what comes first is no function, but of type {type(fn).__name__}\n"
            f"  hint   {who}(function, x): the function, and then its inputs"
        )
    name = getattr(fn, "__name__", type(fn).__name__)
    f: ArrayFunction = lambda xs: flat_result(returned(who, name, fn(*map(tensor, xs))))
    check_repeats(who, name, f, xs, "what is random is drawn once, outside")
    return f


def _result_shape(fn: Function, xs: list[Array]) -> tuple[int, ...]:
    """Return the shape of what a function of tensors returns; several results count as one flat one."""
    y = fn(*map(tensor, xs))
    return (flat_result(y).size,) if isinstance(y, (tuple, list)) else getattr(y, "shape", ())


@overload
def numerical_jacobian(fn: Function, x: Input, /) -> Array: ...
@overload
def numerical_jacobian(fn: Function, x: Input, y: Input, /, *more: Input) -> tuple[Array, ...]: ...
def numerical_jacobian(fn: Function, *inputs: Input) -> Array | tuple[Array, ...]:
    """Return the Jacobian of `fn` by extrapolated central differences, of shape (*result, *input).

    Args:
        fn: a function of Tensors or of arrays.
        inputs: float64 arrays, Tensors or floats; several give a tuple of Jacobians.

    Raises:
        DtypeError: an input is not float64.
        CheckFailed: the function does not use its argument.

    Example:
        >>> numerical_jacobian(lambda x: x * x, np.array([1.0, 2.0])).round(6)
        array([[2., 0.],
               [0., 4.]])
    """
    xs = as_float64("numerical_jacobian", inputs)
    f = _on_arrays("numerical_jacobian", fn, xs)
    jacobian = central_jacobian(f, xs).value
    if jacobian.size and not jacobian.any():
        check_uses("numerical_jacobian", f, xs)
    parts = split_like(jacobian.reshape((*_result_shape(fn, xs), jacobian.shape[1])), xs)
    return parts[0] if len(parts) == 1 else parts


@overload
def numerical_gradient(fn: Function, x: Input, /) -> Array: ...
@overload
def numerical_gradient(fn: Function, x: Input, y: Input, /, *more: Input) -> tuple[Array, ...]: ...
def numerical_gradient(fn: Function, *inputs: Input) -> Array | tuple[Array, ...]:
    """Return the gradient of a scalar function by extrapolated central differences, of the input's shape.

    Several inputs give a tuple of gradients; the relative accuracy is about 1e-10 for smooth functions.

    Raises:
        DtypeError: an input is not float64.
        ShapeError: the result has more than one element.
        CheckFailed: the function does not use its argument.

    Example:
        >>> numerical_gradient(lambda x: (x**3).sum(), np.array([1.0, 2.0])).round(6)
        array([ 3., 12.])
    """
    xs = as_float64("numerical_gradient", inputs)
    f = _on_arrays("numerical_gradient", fn, xs)
    size = f(xs).size
    if size != 1:
        raise ShapeError(
            f"numerical_gradient: the function returned {size} elements, expected one\n"
            "  hint   numerical_jacobian, or .sum()"
        )
    gradient = central_jacobian(f, xs).value[0]
    if gradient.size and not gradient.any():
        check_uses("numerical_gradient", f, xs)
    parts = split_like(gradient, xs)
    return parts[0] if len(parts) == 1 else parts


def directional_derivative(
    fn: Function, inputs: Input | tuple[Input, ...], directions: Input | tuple[Input, ...]
) -> Array:
    """Return the derivative of `fn` at `inputs` along `directions`, by extrapolated central differences.

    Both are tuples of the same length; a single input may come without its tuple. The result has the shape of
    what `fn` returns.

    Raises:
        ShapeError: a direction has not the shape of its input.
        CheckFailed: the function does not use its argument.

    Example:
        >>> x, v = np.array([1.0, 2.0]), np.array([1.0, 0.5])
        >>> directional_derivative(lambda x: x * x, x, v).round(6)
        array([2., 2.])
    """
    xs, vs = (
        as_float64("directional_derivative", side if isinstance(side, (tuple, list)) else (side,))
        for side in (inputs, directions)
    )
    if [x.shape for x in xs] != [v.shape for v in vs]:
        raise ShapeError(
            "directional_derivative: a direction has the shape of its input; got inputs "
            f"{[x.shape for x in xs]} and directions {[v.shape for v in vs]}"
        )
    f = _on_arrays("directional_derivative", fn, xs)
    estimate = central_jacobian(along(f, xs, vs), [np.zeros(())])
    if estimate.value.size and not estimate.value.any():
        check_uses("directional_derivative", f, xs)
    return estimate.value[:, 0].reshape(_result_shape(fn, xs))
