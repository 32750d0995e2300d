"""The operators and methods of Tensor, made from the registry: an op that is declared gets them by itself."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn import context
from tinygrad_nn.engine.failures import cause_of, worded
from tinygrad_nn.engine.tensor import NO_PARAMS, Tensor, apply, compute
from tinygrad_nn.engine.writing import At
from tinygrad_nn.errors import GraphError, SettingError, printable
from tinygrad_nn.hints.calls import answered
from tinygrad_nn.ops import shape as shape_ops
from tinygrad_nn.primitives import REGISTRY, Function, Operands, Primitive, Record, Shape, kernel
from tinygrad_nn.primitives.operands import supported
from tinygrad_nn.primitives.primitive import primitive_of
from tinygrad_nn.primitives.record import LISTENERS

__all__ = ["Tensor"]

BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "pow": np.power,
    "matmul": np.matmul,
    "mod": np.remainder,
    "floordiv": np.floor_divide,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
COMPARE = {
    "gt": np.greater,
    "ge": np.greater_equal,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
_SIGNS: dict[Function, str] = {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/"}
UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


def _binary(op: Primitive) -> tuple[Callable[..., Tensor], ...]:
    def forward(self: Tensor, other: Any) -> Tensor:
        # The usual cases, with nothing to convert or to promote, cost half of what apply does.
        a, m = self._data, self._node
        if type(other) is Tensor and other._data.dtype is a.dtype:
            b, n = other._data, other._node
            # Bits that are put together without arithmetic of bools, which takes longer.
            needs = 1 if m is not None and m.requires_grad else 0
            if n is not None and n.requires_grad:
                needs += 2
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
        name, sign = printable(leaf.name or "w"), _SIGNS.get(op.key, "...")
        raise GraphError(
            f"{op.name}: an in-place change of a leaf that requires grad has no gradient\n"
            f"  hint   with tn.no_grad(): {name} {sign}= ...\n"
            f"         {name} = {name} {sign} ... makes another tensor, a result, whose .grad stays None"
        )
    arrays = [leaf._data, other._data if isinstance(other, Tensor) else other]
    traced = context.current().tracers
    try:
        op.key(*arrays, out=leaf._data.copy() if traced else leaf._data)
    except (ValueError, TypeError) as error:
        raise worded(op, (leaf, other), arrays, {}, error) from cause_of(op, error)
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


def _method(record: Record) -> Function:
    if not isinstance(record, Primitive):

        def call(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            return self.__array_function__(record.key, (), (self, *args), kwargs)

    else:
        unary = len(record.rules) == 1

        def call(self: Tensor, *args: Any, **kwargs: Any) -> Any:
            if unary and not args and not kwargs:
                return apply(record, (self,))
            operands, params = record.bind((self, *args), kwargs)
            if record.otherwise is not None and record.is_composed(params):
                return record.otherwise(*operands, **params)
            return apply(record, operands, params)

    call.__name__ = record.name
    call.__doc__ = (record.__doc__ or record.name).partition("\n")[0]
    return call


# Methods that are called differently from NumPy's functions.


def copy(self: Tensor) -> Tensor:
    """Return a differentiable copy, as `np.copy` does for arrays."""
    return apply(shape_ops.astype, (self,), {"dtype": self.dtype})


def astype(self: Tensor, dtype: DTypeLike) -> Tensor:
    """Return a copy with another dtype; the gradient comes back in this tensor's dtype."""
    return apply(shape_ops.astype, (self,), {"dtype": supported(dtype, "astype: ")})


def conj(self: Tensor) -> Tensor:
    """Return the same numbers: they are real."""
    return apply(primitive_of(np.conjugate), (self,))


def reshape(self: Tensor, *shape: int | Shape, order: str = "C") -> Tensor:
    """Return the same elements in another shape; one length may be -1."""
    params = {"shape": _spread(shape)} if order == "C" else {"shape": _spread(shape), "order": order}
    return apply(shape_ops.reshape, (self,), params)


def transpose(self: Tensor, *axes: int | Shape | None) -> Tensor:
    """Return the tensor with its axes in another order, reversed by default."""
    order = axes[0] if axes == (None,) else _spread(axes)
    return apply(shape_ops.transpose, (self,), {"axes": order} if order else {})


@answered
def flatten(self: Tensor) -> Tensor:
    """Return the elements in one dimension."""
    return apply(shape_ops.reshape, (self,), {"shape": (-1,)})


def _spread(numbers: Operands) -> Shape:
    """Return the integers of a call that takes them one by one or in one sequence."""
    return (
        tuple(numbers[0]) if len(numbers) == 1 and not isinstance(numbers[0], (int, np.integer)) else numbers
    )


def array_namespace(self: Tensor, *, api_version: str | None = None) -> ModuleType:
    """Return the array API standard's functions for tensors.

    Raises:
        SettingError: another version of the standard than there is.
    """
    # Not every program needs it.
    from tinygrad_nn.engine import namespace

    if api_version not in (None, namespace.__array_api_version__):
        raise SettingError(
            f"there is version {namespace.__array_api_version__} of the array API, got {api_version!r}"
        )
    return namespace


SPECIAL = {
    "copy": copy,
    "astype": astype,
    "conj": conj,
    "reshape": reshape,
    "transpose": transpose,
    "flatten": flatten,
    "ravel": flatten,
}
PROPERTIES = {"real": np.real, "imag": np.imag}
"""What arrays have as attributes."""
FROM_REGISTRY: set[str] = set()
"""Methods that come from the registry, which a new declaration may replace."""


def _attach(record: Record) -> None:
    """Give Tensor the method of an op, if it has one and the name is free; take away that of one it replaces."""
    if record.method and (record.name in FROM_REGISTRY or not hasattr(Tensor, record.name)):
        FROM_REGISTRY.add(record.name)
        setattr(Tensor, record.name, _method(record))
    elif record.name in FROM_REGISTRY:
        FROM_REGISTRY.remove(record.name)
        delattr(Tensor, record.name)


for _symbol, _ufunc in BINARY.items():
    for _prefix, _operator in zip(("", "r", "i"), _binary(primitive_of(_ufunc)), strict=True):
        setattr(Tensor, f"__{_prefix}{_symbol}__", _operator)
for _symbol, _ufunc in COMPARE.items():
    setattr(Tensor, f"__{_symbol}__", _binary(primitive_of(_ufunc))[0])
for _symbol, _ufunc in UNARY.items():
    setattr(Tensor, f"__{_symbol}__", _unary(primitive_of(_ufunc)))
for _name, _special in SPECIAL.items():
    setattr(Tensor, _name, _special)
setattr(Tensor, "__array_namespace__", array_namespace)  # noqa: B010
setattr(Tensor, "at", property(At, doc="Where to write: t.at[index].set(values) returns a new tensor."))  # noqa: B010
for _name, _function in PROPERTIES.items():
    setattr(Tensor, _name, property(_function, doc=f"np.{_name} of the tensor."))
for _record in dict.fromkeys(REGISTRY.values()):
    _attach(_record)
LISTENERS.append(_attach)
