"""Tensor: a handle on an array and on how it came about, with NumPy's protocols around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinygrad_nn import context
from tinygrad_nn.context import DEFAULT, SCOPE, STATE
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.backward import OnTensors, commit
from tinygrad_nn.engine.backward import backward as run_backward
from tinygrad_nn.engine.conversions import (
    Conversions,
    make_leaf,
    seed_like,
    tell_of_assignment,
    tell_of_copy,
    tell_tracers,
)
from tinygrad_nn.engine.failures import again, cause_of, worded
from tinygrad_nn.engine.fallback import without_rule
from tinygrad_nn.engine.methods import Methods
from tinygrad_nn.engine.node import Leaf, Node, tick
from tinygrad_nn.engine.watcher import Watcher, before_op
from tinygrad_nn.errors import GraphError, NoGradientRule, ShapeError, TinygradError
from tinygrad_nn.ops.indexing import getitem, split_index
from tinygrad_nn.ops.shape import astype, transpose
from tinygrad_nn.ops.ufuncs import all_pairs
from tinygrad_nn.primitives import REGISTRY, Array, Composite, Function, Operands, Params, Primitive
from tinygrad_nn.primitives.operands import as_array, as_operand, common_dtype, is_weak
from tinygrad_nn.primitives.record import find

Operand: TypeAlias = "Tensor | ArrayLike"
"""What ops, layers and losses take: a tensor, or anything that `np.asarray` makes an array of."""

NO_PARAMS: Params = {}
# Looked up once: object.__new__ skips __init__, and a global is quicker than an attribute of numpy.
_new: Any = object.__new__
_ndarray = np.ndarray


def apply(op: Primitive, operands: Operands, params: Params = NO_PARAMS) -> Tensor:
    """Compute `op` on operands of which at least one is a Tensor, and record it if someone may differentiate it."""
    if len(operands) == 1 and type(x := operands[0]) is Tensor:
        # Half of all ops have one operand, and nothing to convert or to promote.
        a, node = x._data, x._node
        needs = int(node is not None and node.requires_grad)
        return compute(op, [a], [a if node is None else node], needs, params, operands)
    arrays: list[Any] = []
    links: list[Any] = []
    needs = tensors = lists = 0
    bit = 1
    for x in operands:
        if type(x) is Tensor:
            a, node = x._data, x._node
            links.append(a if node is None else node)
            tensors += bit
            if node is not None and node.requires_grad:
                needs += bit
        else:
            a = as_operand(x)
            links.append(a)
            if type(x) is list or type(x) is tuple:
                lists += bit
        arrays.append(a)
        bit += bit
    if op.promotes and (dtype := common_dtype(arrays, tensors, lists)) is not None:
        for k, a in enumerate(arrays):
            if is_weak(a, lists >> k & 1) and a.dtype != dtype:
                # The cast is an op of its own, so that the graph shows it and its gradient is cast back.
                x = compute(astype, [a], [links[k]], needs >> k & 1, {"dtype": dtype}, operands[k : k + 1])
                arrays[k], links[k] = x._data, x._data if x._node is None else x._node
    return compute(op, arrays, links, needs, params, operands)


def compute(
    op: Primitive,
    arrays: list[Any],
    links: list[Any],
    needs: int,
    params: Params,
    operands: Operands,
) -> Tensor:
    """Run `op` on arrays; `links` holds the node of each that has one, `needs` is the bit mask of wanted gradients."""
    recording: bool
    watchers: tuple[Watcher, ...]
    recording, watchers, _ = STATE.get(DEFAULT)
    try:
        given = before_op(op, params) if watchers else params
        out = op.function(*arrays, **given) if given else op.function(*arrays)
    except (ValueError, TypeError, IndexError) as error:
        raise worded(op, operands, arrays, params, error) from cause_of(op, error)
    except RuntimeWarning as warning:
        out = again(op, operands, arrays, given, warning)
    residuals: Sequence[Any] = ()
    if op.residuals:
        out, residuals = op.split(out)
    if type(out) is not _ndarray:
        out = np.asarray(out)
    result: Tensor = _new(Tensor)
    result._data = out
    if watchers:
        for watcher in watchers:
            watcher.on_op(op, links, arrays, params, out, operands)
    if needs and recording and op.differentiable and out.dtype.kind == "f":
        plan = op.plans.get(needs) or op.plan(needs, len(arrays))
        if params:
            op.check_keywords(plan, params)
        # Attributes are set here, because a call of __init__ costs as much as all this.
        result._node = node = _new(Node)
        node.op = op
        node.operands = links
        node.params = params
        node.plan = plan
        node.saved = plan.save([*arrays, out, *residuals] if residuals else [*arrays, out])
        node.shape = out.shape
        node.dtype = out.dtype
        node.scope = SCOPE.get()
        node.name = None
        node.number = tick()
        if watchers:
            for watcher in watchers:
                watcher.on_record(node)
    else:
        result._node = None
    return result


class Tensor(Methods, Conversions):
    """An n-dimensional array that remembers how it was computed, so that gradients can be found.

    `data` is copied, as `np.array` does; `tn.as_tensor` shares memory instead. Arrays and NumPy scalars keep their
    dtype; Python floats, alone or in lists, become float32; Python ints and bools stay int64 and bool.

    Args:
        data: anything `np.array` takes.
        requires_grad: whether `backward` finds a gradient for this tensor; floating dtypes only.
        dtype: the dtype to convert to.
        name: how graphs and error messages call it.

    Raises:
        DtypeError: complex, object, string or masked data; an integer tensor that requires grad.
        NoGradientRule: `data` is a tensor that requires grad, which `t.copy()` copies and `t.detach()` cuts off.

    Example:
        >>> x = Tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        array([2., 4.], dtype=float32)
    """

    __slots__ = ("__weakref__",)
    __array_priority__ = 1000
    __hash__ = object.__hash__
    _node: Node | Leaf | None

    def __init__(
        self,
        data: Operand,
        *,
        requires_grad: bool = False,
        dtype: DTypeLike | None = None,
        name: str | None = None,
    ) -> None:
        if isinstance(data, Tensor) and data.requires_grad:
            raise NoGradientRule(
                "tn.tensor takes the values alone: of a tensor that requires grad it would lose the gradient\n"
                "  hint   with gradient: t itself, or t.copy()\n"
                "         without gradient: t.detach(), or for a copy tn.tensor(t.detach())"
            )
        array = data._data if isinstance(data, Tensor) else as_array(data, dtype)
        self._data = np.array(array if dtype is None else as_array(array, dtype), copy=True, order="K")
        self._node = None
        make_leaf(self, requires_grad, name)
        if isinstance(data, Tensor):
            tell_of_copy(data, self)

    # What a tensor is

    @property
    def data(self) -> Array:
        """The array itself, without a graph; assigning a new one makes older results refuse to go back."""
        tell_tracers(self, ".data")
        return self._data

    @data.setter
    def data(self, value: Operand) -> None:
        if type(self._node) is Node:
            raise GraphError(
                "the data of a result cannot be replaced\n  hint   make a new tensor: tn.tensor(array)"
            )
        array = as_array(value._data if isinstance(value, Tensor) else value)
        tell_of_assignment(self, array)
        if isinstance(leaf := self._node, Leaf):
            if leaf.requires_grad and (array.shape != leaf.shape or array.dtype.kind != "f"):
                got = f"{array.dtype} {array.shape}"
                raise ShapeError(f"data: a tensor that requires grad stays floating {leaf.shape}, got {got}")
            leaf.grad = leaf.grad if array.dtype == leaf.dtype else None
            leaf.data = array
            leaf.touch()
        if array.dtype != self._data.dtype or not array.flags.writeable:
            Leaf.memory = object()
        self._data = array

    @property
    def T(self) -> Tensor:
        """The tensor with its axes reversed."""
        return apply(transpose, (self,))

    # Going back

    def backward(self, cotangent: Operand | None = None, *, retain_graph: bool = False) -> None:
        """Add to `.grad` of every leaf the gradient of this tensor, weighted with `cotangent`.

        Args:
            cotangent: the gradient of something with respect to this tensor, of its shape; 1 for a single element.
            retain_graph: keep the saved values, so that `backward` can be called again.

        Raises:
            GraphError: nothing here requires grad, or no cotangent for more than one element.
            ShapeError, DtypeError: the cotangent does not fit.
            GraphFreed: an earlier backward pass has released the graph.
            StaleValue: a value was changed since.
        """
        node = self._node
        if node is None or not node.requires_grad:
            raise GraphError(
                "backward: nothing that this tensor was computed from requires grad\n"
                "  hint   tn.tensor(data, requires_grad=True), and compute outside of no_grad()\n"
                "         results of compiled functions have no graph: compile the whole step, backward() included"
            )
        seed = seed_like(self, cotangent)
        if not context.current().tracers:
            if isinstance(node, Leaf):
                commit({node: seed.copy()})
            else:
                commit(run_backward(node, seed, retain=retain_graph))
            return
        with context.changed(recording=False):
            sums = OnTensors(lambda array, _: wrap(array, None))
            if isinstance(node, Leaf):
                sums.commit({node: wrap(seed, None).copy()})
            else:
                sums.commit(run_backward(node, wrap(seed, None), sums=sums, retain=retain_graph))

    def detach(self) -> Tensor:
        """Return the same values, sharing memory, without the graph."""
        return wrap(self._data, None)

    # Indexing and iteration

    def __getitem__(self, index: Any) -> Tensor:
        arrays, template = split_index(index)
        return apply(getitem, (self, *arrays), {"index": template})

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[k] for k in range(len(self._data)))

    # Copies: a leaf travels with its name and gradient, a result would need its graph

    def __reduce__(self) -> Operands:
        if type(self._node) is Node:
            raise GraphError(
                f"the result of {self._node.op.name} cannot be copied or pickled with its graph\n"
                "  hint   t.detach() for the values alone"
            )
        return _restore, (self._data, self.requires_grad, self.name, self.grad, self.is_parameter)

    def __deepcopy__(self, memo: dict[int, object]) -> Tensor:
        _, (_, requires_grad, name, grad, is_parameter) = self.__reduce__()
        memo[id(self)] = copied = Tensor(self._data, requires_grad=is_parameter, name=name)
        copied.requires_grad = requires_grad
        tell_of_copy(self, copied)
        if grad is not None:
            copied.grad = grad.copy()
        return copied

    # NumPy's protocols

    @staticmethod
    def __primitive__(op: Primitive, operands: Operands, params: Params) -> Tensor:
        if op.otherwise is not None and (
            op.is_composed(params) or (op.made_of_others and is_wanted(operands))
        ):
            composed: Tensor = op.otherwise(*operands, **params)
            return composed
        return apply(op, operands, params)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            raise NoGradientRule(
                f"{ufunc.__name__}: out= would write a tensor into a plain array and lose its gradient\n"
                "  hint   assign the result: y = y + t instead of y += t"
            )
        op = REGISTRY.get(ufunc) or find(ufunc)
        if method == "outer" and ufunc.signature is None:
            inputs = all_pairs(*inputs)
        elif method != "__call__":
            return self.__array_function__(getattr(ufunc, method), (), inputs, kwargs)
        if not isinstance(op, Primitive):
            return without_rule(ufunc, inputs, kwargs)
        if kwargs:
            inputs, kwargs = op.bind(inputs, kwargs)
        return apply(op, inputs, kwargs)

    def __array_function__(self, function: Function, types: object, args: Operands, kwargs: Params) -> Any:
        record = find(function)
        if not isinstance(record, (Primitive, Composite)):
            return without_rule(function, args, kwargs)
        try:
            if isinstance(record, Composite):
                return record.function(*args, **kwargs)
            operands, params = record.bind(args, kwargs)
        except NoGradientRule as refusal:
            return without_rule(function, args, kwargs, refusal)
        except TinygradError:
            raise
        except (ValueError, TypeError, IndexError) as error:
            tensors = [x for x in trees.leaves(args) if isinstance(x, Tensor)]
            raise worded(record, tensors, [x._data for x in tensors], kwargs, error) from cause_of(
                record, error
            )
        if record.otherwise is not None and record.is_composed(params):
            return record.otherwise(*operands, **params)
        return apply(record, operands, params)


def is_wanted(operands: Operands) -> bool:
    """Tell whether what is computed from operands is recorded, to be differentiated."""
    return context.current().recording and any(isinstance(x, Tensor) and x.requires_grad for x in operands)


def wrap(array: Array, node: Node | Leaf | None) -> Tensor:
    """Return a Tensor for an array and the node it belongs to, without copying or checking."""
    tensor = Tensor.__new__(Tensor)
    tensor._data = array
    tensor._node = node
    return tensor


def tensor(
    data: Operand, *, requires_grad: bool = False, dtype: DTypeLike | None = None, name: str | None = None
) -> Tensor:
    """Return a Tensor with a copy of `data`; see `Tensor`, which has the same arguments and errors.

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> w.grad
        array([2., 4.], dtype=float32)
    """
    return Tensor(data, requires_grad=requires_grad, dtype=dtype, name=name)


def as_tensor(
    data: Operand, *, requires_grad: bool = False, dtype: DTypeLike | None = None, name: str | None = None
) -> Tensor:
    """Return a Tensor that shares memory with `data` where possible, as `np.asarray` does; a Tensor stays itself.

    Args:
        data, requires_grad, dtype, name: as for `Tensor`.

    Raises:
        DtypeError: complex, object, string or masked data; an integer tensor that requires grad.
        GraphError: `requires_grad` or `name` of a tensor, which has its own.
        ShapeError: `data` is a tuple with tensors.

    Example:
        >>> x = np.zeros(2)
        >>> t = as_tensor(x)
        >>> np.shares_memory(t.data, x), as_tensor(t) is t
        (True, True)
    """
    if isinstance(data, Tensor):
        if requires_grad or name is not None:
            raise GraphError(
                "as_tensor gives a tensor back as it is\n  hint   tn.tensor(t, requires_grad=True, name=...)"
            )
        return data if dtype is None or data.dtype == dtype else data.astype(dtype)
    if isinstance(data, tuple) and any(isinstance(part, Tensor) for part in data):
        raise ShapeError(
            f"{len(data)} results were given where one is wanted, as a recurrent layer returns outputs and state\n"
            "  hint   lambda results: results[0] behind it in a Sequential; np.stack([a, b]) for tensors of one shape"
        )
    result = wrap(as_array(data, dtype), None)
    make_leaf(result, requires_grad, name)
    return result


def _restore(
    data: Array, requires_grad: bool, name: str | None, grad: Array | None, is_parameter: bool
) -> Tensor:
    restored = as_tensor(data, requires_grad=is_parameter, name=name)
    restored.requires_grad = requires_grad
    if grad is not None:
        restored.grad = grad
    return restored
