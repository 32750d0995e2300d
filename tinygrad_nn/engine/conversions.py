"""Where values leave the graph: what a tensor tells of itself, and how it becomes a number, a list or an array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn import context
from tinygrad_nn.engine.failures import warn_of_usage
from tinygrad_nn.engine.node import Leaf, Node
from tinygrad_nn.errors import DtypeError, GraphError, NoGradientRule, ShapeError
from tinygrad_nn.hints.lookups import Signposts
from tinygrad_nn.primitives import Array, Shape
from tinygrad_nn.primitives.operands import as_array


def tell_tracers(tensor: object, how: str) -> None:
    """Tell tracers that a value leaves the graph; a capture refuses, because a replay could not repeat it."""
    for tracer in context.current().tracers:
        tracer.on_read(tensor, how)


def tell_of_assignment(tensor: Any, array: Array) -> None:
    """Tell tracers that a tensor gets another array; a capture refuses, because a replay could not repeat it."""
    if array is not tensor._data:
        for tracer in context.current().tracers:
            tracer.on_assign(tensor)


def tell_of_copy(source: Any, copied: Any) -> None:
    """Tell tracers that an array is a copy of another tensor's, which a replay has to make again."""
    for tracer in context.current().tracers:
        tracer.on_copy(source, copied._data)


def tell_of_number(tensor: Any, how: str) -> None:
    """Tell tracers that a value leaves the graph, and watchers if a gradient is lost with it."""
    tell_tracers(tensor, how)
    recording, watchers, _ = context.current()
    if watchers and recording and tensor.requires_grad:
        for watcher in watchers:
            watcher.on_number(tensor, how)


class Conversions(Signposts):
    """The part of Tensor that reads its array and its node and makes no new tensors."""

    __slots__ = ("_data", "_node")

    def __init_subclass__(cls, **kwargs: object) -> None:
        if cls.__module__ != "tinygrad_nn.engine.tensor":
            raise TypeError(
                f"{cls.__name__}: Tensor has no subclasses\n  hint   functions of tensors, or an nn.Module"
            )

    if not TYPE_CHECKING:
        # Hidden from type checkers: t.smu() is an error to them, and array @ t, where NumPy's stubs would see an
        # array in whatever has __array__, is a tensor.

        def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
            if self.requires_grad:
                number = (
                    "" if self.ndim else "a number: loss.item(), as in losses.append(loss.item())\n         "
                )
                raise NoGradientRule(
                    "NumPy asked for the plain array of a tensor that requires grad, which would lose its gradient\n"
                    f"  hint   {number}np.stack([t1, t2]) instead of np.array([t1, t2]);\n"
                    "         f(t), or np.stack([f(x) for x in t]), instead of np.vectorize(f)(t);\n"
                    "         X @ t, np.dot(X, t), np.concatenate([...]);\n"
                    "         tn.logsumexp(t), tn.softmax(t) instead of SciPy's, whose ufuncs take tensors\n"
                    "         without gradient: t.data, t.detach()"
                )
            tell_tracers(self, "np.asarray(t)")
            return np.array(self._data, dtype=dtype, copy=copy)

    _data: Array
    _node: Node | Leaf | None

    def __dlpack__(self, **settings: Any) -> object:
        """Hand the memory over to another library, without a copy.

        Raises:
            BufferError: the tensor requires grad, which the other library would not know.
        """
        if self.requires_grad:
            raise BufferError(
                "a tensor that requires grad was asked for its memory, which would lose its gradient\n"
                "  hint   t.detach()"
            )
        tell_tracers(self, "from_dlpack(t)")
        return self._data.__dlpack__(**settings)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the CPU, as DLPack numbers it."""
        return self._data.__dlpack_device__()

    @property
    def name(self) -> str | None:
        """How graphs and error messages call it."""
        return None if self._node is None else self._node.name

    @name.setter
    def name(self, value: str | None) -> None:
        if self._node is None:
            self._node = Leaf(self._data, False, value)
        self._node.name = value

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are found for it; assignable on tensors that no op made."""
        return self._node is not None and self._node.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if type(self._node) is Node:
            raise GraphError(
                "whether a result requires grad follows from its operands\n  hint   t.detach() cuts it off"
            )
        make_leaf(self, bool(value), self.name)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made it."""
        return type(self._node) is not Node

    @property
    def is_parameter(self) -> bool:
        """Whether it requires grad, or did before it was frozen by `requires_grad = False`; never of a result."""
        return type(self._node) is Leaf and self._node.parameter

    @property
    def grad(self) -> Array | None:
        """The gradient that `backward` found, an array of this tensor's shape and dtype, or None."""
        if type(self._node) is Node:
            warn_of_usage(
                f".grad of the result of {self._node.op.name} is None: backward() leaves gradients in leaves alone\n"
                "  hint   tn.gradients(loss, t) for this one\n"
                "         a parameter stays a leaf with `with tn.no_grad(): w -= ...` in place of w = w - ..."
            )
        return self._node.grad if isinstance(self._node, Leaf) else None

    @grad.setter
    def grad(self, value: Array | None) -> None:
        # A frozen parameter has none to take away, but a loop over parameters needs no exception for it.
        if not isinstance(self._node, Leaf) or not (
            self._node.requires_grad or (value is None and self._node.parameter)
        ):
            raise GraphError("only a leaf that requires grad has a gradient\n  hint   t.requires_grad = True")
        if value is not None:
            if not isinstance(value, np.ndarray) or value.dtype != self.dtype:
                got = f"{type(value).__name__} of dtype {getattr(value, 'dtype', None)}"
                raise DtypeError(f"a gradient is an array of dtype {self.dtype}, got {got}")
            if value.shape != self.shape:
                raise ShapeError(
                    f"the gradient of a tensor of shape {self.shape} cannot have shape {value.shape}"
                )
        self._node.grad = value

    @property
    def shape(self) -> Shape:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    @property
    def itemsize(self) -> int:
        return self._data.itemsize

    def numpy(self) -> Array:
        """Return the array; a tensor that requires grad asks for `detach()` first."""
        return np.asarray(self)

    def item(self) -> float:
        """Return the single element as a Python number."""
        tell_tracers(self, ".item()")
        if self.size != 1:
            raise ShapeError(f"item() is for one element, this tensor has shape {self.shape}")
        number: float = self._data.item()
        return number

    def tolist(self) -> Any:
        """Return the values as nested lists."""
        tell_tracers(self, ".tolist()")
        return self._data.tolist()

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise TypeError(
            "a tensor does not support item assignment\n"
            "  hint   t = t.at[index].set(value), which makes a new tensor; .add(value) instead of +=\n"
            "         outside of a graph: t.data[index] = value"
        )

    def __len__(self) -> int:
        return len(self._data)

    def __contains__(self, value: Any) -> bool:
        tell_tracers(self, "in")
        return bool((self._data == (value._data if isinstance(value, Conversions) else value)).any())

    def __bool__(self) -> bool:
        tell_tracers(self, "bool(t)")
        return bool(self._data)

    def __float__(self) -> float:
        # The one way out of the graph that nobody has to ask for: math.exp(t) comes here, and only debug() tells.
        tell_of_number(self, "float(t)")
        return float(self._data.item())

    def __int__(self) -> int:
        tell_of_number(self, "int(t)")
        return int(self._data.item())

    def __index__(self) -> int:
        tell_tracers(self, "use as an index")
        return self._data.__index__()

    def __format__(self, spec: str) -> str:
        if spec and self.size == 1:
            tell_tracers(self, "formatting")
            return format(self._data.item(), spec)
        try:
            return format(repr(self), spec)
        except ValueError:
            raise ValueError(
                f"{spec!r} is a format of one number, and this tensor has shape {self.shape}\n"
                f'  hint   np.array2string(t.data, precision=3), or one number: f"{{t.mean():{spec}}}"'
            ) from None

    def __repr__(self) -> str:
        body = np.array2string(self._data, separator=", ", prefix="Tensor(", threshold=100, edgeitems=3)
        notes = []
        if self._data.size > 100:
            notes.append(f"shape={self.shape}")
        if self.dtype.name not in ("float32", "int64", "bool"):
            notes.append(f"dtype={self.dtype}")
        if self.name:
            notes.append(f"name={self.name!r}")
        if type(self._node) is Node:
            notes.append(f"op={self._node.op.name}")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return f"Tensor({', '.join([body, *notes])})"


def make_leaf(tensor: Conversions, requires_grad: bool, name: str | None) -> None:
    """Let a tensor that no op made require grad, or no longer, and have a name."""
    if requires_grad and tensor.dtype.kind != "f":
        raise DtypeError(
            f"only floating tensors can require grad, this one has dtype {tensor.dtype}\n"
            "  hint   tn.tensor(data, dtype=np.float32, requires_grad=True)"
        )
    if isinstance(tensor._node, Leaf):
        if tensor._node.requires_grad != requires_grad:
            for tracer in context.current().tracers:
                tracer.on_freeze(tensor._node)
        tensor._node.requires_grad, tensor._node.name = requires_grad, name
        tensor._node.parameter |= requires_grad
        if not requires_grad:
            # An optimizer would take it for the gradient of its next step.
            tensor._node.grad = None
    elif requires_grad or name is not None:
        tensor._node = Leaf(tensor._data, requires_grad, name)


_SEEDS = {dtype: np.ones((), dtype) for dtype in map(np.dtype, "efd")}
for _one in _SEEDS.values():
    _one.flags.writeable = False


def seed_like(y: Conversions, cotangent: object) -> Array:
    """Return the cotangent for `y` as an array of its shape and dtype."""
    if cotangent is None:
        seed = _SEEDS.get(y._data.dtype) if not y._data.ndim else None
        if seed is not None:
            return seed
        if y.size != 1:
            raise GraphError(
                f"backward of a tensor of shape {y.shape} needs a cotangent of that shape\n"
                "  hint   loss.sum().backward(), or y.backward(cotangent)"
            )
        return np.full(y.shape, 1, y.dtype)
    seed = as_array(cotangent._data if isinstance(cotangent, Conversions) else cotangent)
    if seed.shape != y.shape:
        raise ShapeError(f"backward: the tensor has shape {y.shape}, its cotangent has shape {seed.shape}")
    if seed.dtype.kind != "f":
        raise DtypeError(
            f"backward: a cotangent is floating, got dtype {seed.dtype}\n  hint   cotangent.astype({y.dtype})"
        )
    return seed.astype(y.dtype, copy=False)


def plain(x: object) -> Array:
    """Return the array of a tensor, or whatever else as an array, sharing memory where possible."""
    return x._data if isinstance(x, Conversions) else np.asarray(x)
