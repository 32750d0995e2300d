"""From what a user hands in to the arrays that ops compute with: dtypes, byte order, promotion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from tinygrad_nn.errors import DtypeError, ShapeError

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
"""An array; in derivative rules, and in functions made of other ops, also a tensor that stands for one."""

ArrayOrTensor: TypeAlias = Any
"""What composites take and return: an array, or a tensor, whose class the rooms below the engine do not know."""
Mask = Array | bool
"""Which elements count, as `where=` says it."""
Shape = tuple[int, ...]
Shapes = tuple[Shape, ...]
"""The shapes of the operands of a call, which a rule may ask for."""
Axis = int | tuple[int, ...] | None
"""What a reduction runs over: one axis, several, or all of them."""
Function = Callable[..., Any]
Operands = tuple[Any, ...]
"""What an op is called with: arrays, tensors, Python numbers, lists of them."""
Params = dict[str, Any]
"""The keywords of a call."""
DEFAULT_DTYPE = np.dtype(np.float32)
_KINDS = "fiub"


def as_array(data: Any, dtype: Any = None) -> Array:
    """Return `data` as a plain, native array of a supported dtype, sharing memory where that is possible.

    Arrays and NumPy scalars keep their dtype; Python floats, alone or in lists, become float32; Python ints and
    bools stay int64 and bool.

    Raises:
        DtypeError: complex, object, string, date or masked data; a dtype that is none.
        ShapeError: nested lists of unequal length.
    """
    if type(data) is np.ndarray and dtype is None and data.dtype.kind in _KINDS and data.dtype.isnative:
        return data
    if isinstance(data, np.ma.MaskedArray):
        raise DtypeError(
            "masked arrays are not supported\n  hint   data.filled(0), and np.where(mask, ...) afterwards"
        )
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
    else:
        try:
            array = np.asarray(data)
        except ValueError as error:
            raise ShapeError(f"this is no rectangular array: {error}") from None
        if dtype is None and array.dtype == np.float64 and not _holds_arrays(data):
            dtype = DEFAULT_DTYPE
    if array.dtype.kind == "O":
        hint = "  hint   a function without return gives None" if data is None else _CONVERT
        raise DtypeError(f"{type(data).__name__} with dtype object is {_UNSUPPORTED}\n{hint}")
    supported(array.dtype)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array if dtype is None else array.astype(supported(dtype), copy=False)


_UNSUPPORTED = "not supported; tensors hold floats, integers and bools"
_CONVERT = "  hint   convert first, for example data.astype(np.float32)"


def supported(dtype: Any, asked_by: str = "") -> np.dtype[Any]:
    """Return a dtype that tensors have.

    Raises:
        DtypeError: one that they do not have, or none at all; complex numbers are two real arrays here.
    """
    try:
        known: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"{asked_by}{dtype!r} is no dtype\n  hint   np.float32, np.float64, int") from None
    if known.kind == "c":
        raise DtypeError(
            f"{asked_by}complex numbers are {_UNSUPPORTED}\n  hint   two real tensors, of z.real and of z.imag"
        )
    if known.kind in "SU":
        raise DtypeError(
            f"{asked_by}dtype {known}, text, is {_UNSUPPORTED}\n"
            "  hint   np.unique(labels, return_inverse=True)[1] gives names numbers; data.astype(np.float32) reads them"
        )
    if known.kind not in _KINDS:
        raise DtypeError(f"{asked_by}dtype {known} is {_UNSUPPORTED}\n{_CONVERT}")
    return known


def _holds_arrays(data: Any) -> bool:
    """Tell whether nested lists contain NumPy values, which keep their dtype, and not Python floats alone."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (np.ndarray, np.generic)) or hasattr(data, "__array__")


def as_operand(x: Any) -> Any:
    """Return a non-Tensor operand of an op: Python scalars stay as they are, everything else becomes an array."""
    kind = type(x)
    if kind is float or kind is int or kind is bool:
        return x
    # as_array says the same; a call less for the operands of each op.
    if kind is np.ndarray and x.dtype.kind in _KINDS and x.dtype.isnative:
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return as_array(x)
    return as_array(x, None if _holds_arrays(x) else np.asarray(x).dtype)


def operand(x: Any) -> Any:
    """Return what a composite is given as an array, or as the tensor that it is."""
    return x if hasattr(x, "dtype") else np.asarray(as_operand(x))


def lists_in_dtype_of_arrays(values: Params) -> Params:
    """Cast lists of Python floats among operands to the dtype of the others: they are scalars, many of them."""
    if not any(type(x) in _LISTS for x in values.values()):
        return values
    real = [x for x in _leaves(values.values()) if getattr(x, "dtype", np.dtype(bool)).kind == "f"]
    if not real:
        return values
    dtype = np.result_type(*[x.dtype for x in real if x.ndim] or [x.dtype for x in real])
    return {name: _cast_lists(x, dtype) for name, x in values.items()}


_LISTS = (list, tuple)


def _leaves(parts: Any) -> Iterator[Any]:
    for x in parts:
        if type(x) in _LISTS:
            yield from _leaves(x)
        else:
            yield x


def _cast_lists(x: Any, dtype: Any) -> Any:
    if type(x) not in _LISTS:
        return x
    kinds = set(map(type, _leaves(x)))
    if kinds <= {float, int, bool}:
        return as_array(x, dtype) if float in kinds else x
    return type(x)(_cast_lists(part, dtype) for part in x)


def common_dtype(arrays: list[Any], tensors: int, lists: int = 0) -> np.dtype[Any] | None:
    """Return the dtype that operands which must not widen the others are cast to; None where NumPy's rules will do.

    `tensors` and `lists` are the bit masks of the operands that are Tensors (among 0-d operands these decide) and
    lists of Python numbers.
    """
    first = None
    for a in arrays:
        if type(a) not in _NUMBERS:
            if first is None:
                first = a.dtype
            elif a.dtype is not first:
                break
    else:
        return None
    deciding = [
        a.dtype
        for k, a in enumerate(arrays)
        if isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.ndim and not lists >> k & 1
    ] or [a.dtype for k, a in enumerate(arrays) if tensors >> k & 1 and a.dtype.kind == "f"]
    return np.result_type(*deciding) if deciding else None


def is_weak(a: Any, listed: int) -> bool:
    """Tell whether an operand never widens the others: a scalar, a list of them, a 0-d or an integer array."""
    return isinstance(a, np.ndarray) and bool(a.dtype.kind in "iu" or not a.ndim or listed)


_NUMBERS = frozenset({float, int, bool})
