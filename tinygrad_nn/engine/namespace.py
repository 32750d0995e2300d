"""The array API standard's names, on tensors: what `t.__array_namespace__()` returns, and `tn.interop.xp`.

Functions are NumPy's, with their gradients; arrays that they return become tensors. What the standard has of complex
numbers, and writing into an array, is left out (data-apis.org/array-api, version 2024.12).

Example:
    >>> import tinygrad_nn as tn
    >>> x = tn.tensor([3.0, 4.0], requires_grad=True)
    >>> xp = x.__array_namespace__()
    >>> xp.linalg.vector_norm(x).backward()
    >>> x.grad
    array([0.6, 0.8], dtype=float32)
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.tensor import Tensor, as_tensor, tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.errors import ArgumentError, SettingError
from tinygrad_nn.primitives import Function
from tinygrad_nn.primitives.operands import Axis, supported

__array_api_version__ = "2024.12"

# NumPy's stubs know arrays alone.
_numpy: Any = np

_DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64"

_CREATE = (
    "arange empty empty_like eye full full_like linspace meshgrid ones ones_like tril triu zeros zeros_like"
)

_COMPUTE = """
abs acos acosh add all any argmax argmin asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift
bitwise_or bitwise_right_shift bitwise_xor broadcast_arrays broadcast_to ceil clip concat copysign cos cosh
count_nonzero cumulative_prod cumulative_sum diff divide equal exp expand_dims expm1 flip floor floor_divide greater
greater_equal hypot isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not
logical_or logical_xor matmul matrix_transpose max maximum mean min minimum moveaxis multiply negative nextafter
nonzero not_equal permute_dims positive pow prod reciprocal remainder repeat reshape roll round searchsorted sign
signbit sin sinh sqrt square squeeze stack subtract sum take take_along_axis tan tanh tensordot tile trunc unique_all
unique_counts unique_inverse unique_values unstack vecdot where
"""

_LINALG = """
cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank matrix_transpose outer pinv
qr slogdet solve svd svdvals tensordot trace vecdot vector_norm
"""

_FFT = "fftfreq fftshift ifftshift rfftfreq"


def _as_tensors(result: Tree) -> Tree:
    """Return what a function of NumPy returned with tensors in place of arrays."""

    def leaf(x: object) -> object:
        return as_tensor(np.asarray(x)) if isinstance(x, (np.ndarray, np.generic)) else x

    return trees.mapped(leaf, result)


def _on_tensors(function: Function) -> Function:
    """Return a function of NumPy that takes `device` and returns tensors."""

    def call(*args: object, device: str | None = None, **params: object) -> Tree:
        _check_device(function.__name__, device)
        return _as_tensors(function(*args, **params))

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = f"Return what NumPy's `{function.__name__}` returns, as tensors."
    # NumPy does not tell the signatures of all that is written in C.
    with contextlib.suppress(ValueError):
        vars(call)["__signature__"] = inspect.signature(function)
    return call


def _check_device(who: str, device: str | None) -> None:
    if device not in (None, "cpu"):
        raise SettingError(f"{who}: there is one device, 'cpu', got {device!r}")


def _named(names: str, home: object) -> dict[str, Function]:
    # Some came with NumPy 2.1.
    return {name: _on_tensors(getattr(home, name)) for name in names.split() if hasattr(home, name)}


globals().update({name: np.dtype(name) for name in _DTYPES.split()})
globals().update(_named(_CREATE, np) | _named(_COMPUTE, np))
e, inf, nan, newaxis, pi = np.e, np.inf, np.nan, None, np.pi
linalg, fft = SimpleNamespace(**_named(_LINALG, np.linalg)), SimpleNamespace(**_named(_FFT, np.fft))


def asarray(
    obj: ArrayLike | Tensor,
    *,
    dtype: DTypeLike | None = None,
    device: str | None = None,
    copy: bool | None = None,
) -> Tensor:
    """Return a tensor of an array, a number or lists; numbers become what NumPy makes of them.

    Raises:
        ArgumentError: `copy=False`, and it cannot be had without a copy.
    """
    _check_device("asarray", device)
    if isinstance(obj, Tensor):
        result = obj if dtype is None or obj.dtype == dtype else obj.astype(dtype)
        if copy is False and result is not obj:
            raise ArgumentError(
                f"asarray: {obj.dtype} becomes {np.dtype(dtype)} by a copy, which copy=False forbids"
            )
        return tensor(result.data) if copy and result is obj else result
    if copy is False and not isinstance(obj, np.ndarray):
        raise ArgumentError(
            f"asarray: {type(obj).__name__} becomes an array by a copy, which copy=False forbids"
        )
    array = np.asarray(obj, dtype)
    return tensor(array) if copy else as_tensor(array)


def from_dlpack(x: object, /, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """Return a tensor that shares the memory of another library's array, if it may."""
    _check_device("from_dlpack", device)
    # NumPy takes `copy` since 2.1.
    return as_tensor(_numpy.from_dlpack(x) if copy is None else _numpy.from_dlpack(x, copy=copy))


def astype(x: Tensor, dtype: DTypeLike, /, *, copy: bool = True, device: str | None = None) -> Tensor:
    """Return x in another dtype."""
    _check_device("astype", device)
    return x.astype(supported(dtype, "astype: ")) if copy or x.dtype != dtype else x


def std(x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """Return the standard deviation, its sum divided by the number of elements minus `correction`."""
    return _tensor(_numpy.std(x, axis=axis, ddof=correction, keepdims=keepdims))


def var(x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """Return the variance, its sum divided by the number of elements minus `correction`."""
    return _tensor(_numpy.var(x, axis=axis, ddof=correction, keepdims=keepdims))


def _tensor(result: Tree) -> Tensor:
    """Return the one tensor of a result."""
    found: Tensor = _as_tensors(result)
    return found


def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the places of the elements in order; equal ones keep theirs."""
    if not descending:
        return _tensor(_numpy.argsort(x, axis=axis, kind="stable"))
    backwards = _numpy.argsort(_numpy.flip(x, axis), axis=axis, kind="stable")
    return _tensor(_numpy.flip(x.shape[axis] - 1 - backwards, axis))


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the elements in order."""
    ordered = _numpy.sort(x, axis=axis)
    return _tensor(_numpy.flip(ordered, axis) if descending else ordered)


def _dtype_of(x: Tensor | DTypeLike) -> DTypeLike:
    return x.dtype if isinstance(x, Tensor) else x


def result_type(*arrays_and_dtypes: Tensor | ArrayLike | DTypeLike) -> np.dtype:
    """Return the dtype that some have together."""
    return np.result_type(*[x.data if isinstance(x, Tensor) else x for x in arrays_and_dtypes])


def can_cast(from_: Tensor | DTypeLike, to: DTypeLike, /) -> bool:
    """Tell whether one dtype can be another without loss."""
    return np.can_cast(_dtype_of(from_), to)


def finfo(x: Tensor | DTypeLike, /) -> np.finfo[np.floating]:
    """Return the limits of a floating dtype."""
    return np.finfo(_dtype_of(x))


def iinfo(x: Tensor | DTypeLike, /) -> np.iinfo[np.integer]:
    """Return the limits of an integer dtype."""
    return np.iinfo(_dtype_of(x))


def isdtype(dtype: DTypeLike, kind: DTypeLike | tuple[DTypeLike, ...]) -> bool:
    """Tell whether a dtype is of a kind, such as "real floating"."""
    return np.isdtype(np.dtype(dtype), kind)


def broadcast_shapes(*shapes: Iterable[int]) -> tuple[int, ...]:
    """Return the shape that some broadcast to."""
    return np.broadcast_shapes(*[tuple(shape) for shape in shapes])


def isin(x1: Tensor | ArrayLike, x2: Tensor | ArrayLike, /, *, invert: bool = False) -> Tensor:
    """Tell for each element whether it is among others."""
    return _tensor(np.isin(np.asarray(x1), np.asarray(x2), invert=invert))


def __array_namespace_info__() -> Any:  # noqa: N807
    """Return what NumPy says of its dtypes and its device; there are no complex numbers here."""
    return np.__array_namespace_info__()
