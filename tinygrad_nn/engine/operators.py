"""The operators and methods of Tensor, made from the registry: an op that is declared gets them by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.failures import explain
from tinygrad_nn.engine.tensor import NO_PARAMS, Tensor, apply, compute
from tinygrad_nn.errors import DtypeError, GraphError
from tinygrad_nn.primitives.declare import kernel
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import LISTENERS, REGISTRY, Record

__all__ = ["Tensor"]

_ASTYPE: Any = REGISTRY["astype"]
_RESHAPE: Any = REGISTRY["reshape"]
_TRANSPOSE: Any = REGISTRY["transpose"]

_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "pow": "power",
    "matmul": "matmul",
    "mod": "remainder",
    "floordiv": "floor_divide",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
}
_COMPARE = {
    "gt": "greater",
    "ge": "greater_equal",
    "lt": "less",
    "le": "less_equal",
    "eq": "equal",
    "ne": "not_equal",
}
_UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def _binary(op: Primitive) -> tuple[Callable[..., Tensor], ...]:
    def forward(self: Tensor, other: Any) -> Tensor:
        # The usual cases, with nothing to convert or to promote, cost half of what apply does.
        a, m = self._data, self._node
        if type(other) is Tensor and other._data.dtype is a.dtype:
            b, n = other._data, other._node
            needs = (m is not None and m.requires_grad) + 2 * (n is not None and n.requires_grad)
            links = [a if m is None else m, b if n is None else n]
            return compute(op, [a, b], links, needs, NO_PARAMS, (self, other))
        if type(other) is float:
            needs = int(m is not None and m.requires_grad)
            return compute(op, [a, other], [a if m is None else m, other], needs, NO_PARAMS, (self, other))
        return apply(op, (self, other))

    def reflected(self: Tensor, other: Any) -> Tensor:
        return apply(op, (other, self))

    def inplace(self: Tensor, other: Any) -> Tensor:
        if self.is_leaf and self.requires_grad:
            return _written(op, self, other)
        return apply(op, (self, other))

    return forward, reflected, inplace


def _written(op: Primitive, leaf: Tensor, other: Any) -> Tensor:
    """Change the values of a leaf in place, where no graph is recorded."""
    if context.current().recording:
        name = leaf.name or "w"
        raise GraphError(
            f"{op.name}: an in-place change of a leaf that requires grad has no gradient\n"
            f"  hint   {name} = {name} + ... makes a new tensor; inside `with no_grad():` it writes"
        )
    arrays = [leaf._data, other._data if isinstance(other, Tensor) else other]
    traced = context.current().tracers
    try:
        op.key(*arrays, out=leaf._data.copy() if traced else leaf._data)
    except (ValueError, TypeError) as error:
        raise explain(op, (leaf, other), arrays, {}, error) from error
    if traced:  # written down as an update, which a replay of the step does
        in_place_update(leaf._data, apply(op, (leaf, other))._data)
    leaf.data = leaf._data  # tells graphs that used it that it has changed
    return leaf


@kernel(None, None, writes=(0,), differentiable=False, method=False)
def in_place_update(parameter: Any, value: Any) -> None:
    """Put the values of an array into a parameter, in its dtype."""
    np.copyto(parameter, value, casting="same_kind")


def _unary(op: Primitive) -> Callable[[Tensor], Tensor]:
    return lambda self: apply(op, (self,))


def _method(record: Record) -> Callable[..., Any]:
    if not isinstance(record, Primitive):

        def call(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            return self.__array_function__(record.key, (), (self, *args), kwargs)

    else:

        def call(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            if not args and not kwargs and len(record.rules) == 1:
                return apply(record, (self,))
            return apply(record, *record.bind((self, *args), kwargs))

    call.__name__ = record.name
    call.__doc__ = (record.__doc__ or record.name).partition("\n")[0]
    return call


# Methods that are called differently from NumPy's functions


def copy(self: Tensor) -> Tensor:
    """Return a differentiable copy, as `np.copy` does for arrays."""
    return apply(_ASTYPE, (self,), {"dtype": self.dtype})


def astype(self: Tensor, dtype: Any) -> Tensor:
    """Return a copy with another dtype; the gradient comes back in this tensor's dtype."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub":
        raise DtypeError(f"astype: dtype {dtype} is not supported; tensors hold floats, integers and bools")
    return apply(_ASTYPE, (self,), {"dtype": dtype})


def reshape(self: Tensor, *shape: Any, order: str = "C") -> Tensor:
    """Return the same elements in another shape; one length may be -1."""
    target = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], (int, np.integer)) else shape
    params = {"shape": target} if order == "C" else {"shape": target, "order": order}
    return apply(_RESHAPE, (self,), params)


def transpose(self: Tensor, *axes: Any) -> Tensor:
    """Return the tensor with its axes in another order, reversed by default."""
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], (int, np.integer)) else axes
    return apply(_TRANSPOSE, (self,), {"axes": tuple(order)} if order else {})


def flatten(self: Tensor) -> Tensor:
    """Return the elements in one dimension."""
    return apply(_RESHAPE, (self,), {"shape": (-1,)})


_MADE: set[str] = set()  # methods that come from the registry, which a new declaration may replace


def _attach(record: Record) -> None:
    """Give Tensor the method of an op, if it has one and the name is free."""
    if record.method and (record.name in _MADE or not hasattr(Tensor, record.name)):
        _MADE.add(record.name)
        setattr(Tensor, record.name, _method(record))


for _symbol, _name in _BINARY.items():
    _forward, _reflected, _in_place = _binary(REGISTRY[_name])  # type: ignore[arg-type]
    setattr(Tensor, f"__{_symbol}__", _forward)
    setattr(Tensor, f"__r{_symbol}__", _reflected)
    setattr(Tensor, f"__i{_symbol}__", _in_place)
for _symbol, _name in _COMPARE.items():
    setattr(Tensor, f"__{_symbol}__", _binary(REGISTRY[_name])[0])  # type: ignore[arg-type]
for _symbol, _name in _UNARY.items():
    setattr(Tensor, f"__{_symbol}__", _unary(REGISTRY[_name]))  # type: ignore[arg-type]
for _name, _function in {
    "copy": copy,
    "astype": astype,
    "reshape": reshape,
    "transpose": transpose,
    "flatten": flatten,
    "ravel": flatten,
}.items():
    setattr(Tensor, _name, _function)
for _record in dict.fromkeys(REGISTRY.values()):
    _attach(_record)
LISTENERS.append(_attach)
