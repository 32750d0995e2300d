"""From what a user hands in to the arrays that ops compute with: dtypes, byte order, promotion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_nn.errors import DtypeError, ShapeError

Array = np.ndarray[Any, Any]
"""An array; in derivative rules, and in functions made of other ops, also a tensor that stands for one."""
Axis = int | tuple[int, ...] | None
"""What a reduction runs over: one axis, several, or all of them."""
Shapes = tuple[tuple[int, ...], ...]
"""The shapes of the operands of a call, which a rule may ask for."""
Call = tuple[tuple[Any, ...], dict[str, Any]]
"""A call of an op: its operands and its parameters."""
DEFAULT_DTYPE = np.dtype(np.float32)
_KINDS = "fiub"


def as_array(data: Any, dtype: Any = None) -> Array:
    """Return `data` as a plain, native array of a supported dtype, sharing memory where that is possible.

    Arrays and NumPy scalars keep their dtype; Python floats, alone or in lists, become float32; Python ints and
    bools stay int64 and bool.

    Raises:
        DtypeError: complex, object, string, date or masked data.
        ShapeError: nested lists of unequal length.
    """
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
    if array.dtype.kind not in _KINDS:
        kinds = {"c": "complex numbers are", "O": f"{type(data).__name__} with dtype object is"}
        what = kinds.get(array.dtype.kind, f"dtype {array.dtype} is")
        raise DtypeError(
            f"{what} not supported; tensors hold floats, integers and bools\n"
            "  hint   convert first, for example data.astype(np.float32)"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array if dtype is None else array.astype(dtype, copy=False)


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
    if kind is np.ndarray and x.dtype.kind in _KINDS and x.dtype.isnative:
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return as_array(x)
    return as_array(x, None if _holds_arrays(x) else np.asarray(x).dtype)


def lists_in_dtype_of_arrays(values: dict[str, Any]) -> dict[str, Any]:
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


def promote(arrays: list[Any], tensors: int, lists: int = 0) -> bool:
    """Cast, in the list, what must not widen the others: scalars, lists of them, 0-d operands, integer arrays.

    Beyond that the promotion is NumPy's. `tensors` and `lists` are the bit masks of the operands that are Tensors
    (among 0-d operands these decide) and lists of Python numbers. Returns whether anything was cast.
    """
    first = None
    for a in arrays:
        if type(a) is not float and type(a) is not int and type(a) is not bool:
            if first is None:
                first = a.dtype
            elif a.dtype is not first:
                break
    else:
        return False
    real = [a for a in arrays if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    weak = [a for k, a in enumerate(arrays) if lists >> k & 1]
    deciding = [a for a in real if a.ndim and not any(a is other for other in weak)] or [
        a for k, a in enumerate(arrays) if tensors >> k & 1 and a.dtype.kind == "f"
    ]
    if not deciding:
        return False
    target = np.result_type(*[a.dtype for a in deciding])
    for k, a in enumerate(arrays):
        if (
            isinstance(a, np.ndarray)
            and a.dtype != target
            and (a.dtype.kind in "iu" or not a.ndim or lists >> k & 1)
        ):
            arrays[k] = a.astype(target)
    return True
