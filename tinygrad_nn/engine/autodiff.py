"""Derivatives of functions: grad, vjp, jvp, jacobian, hessian. They take Tensors, arrays or floats, and nest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.backward import OnTensors, backward
from tinygrad_nn.engine.conversions import seed_like
from tinygrad_nn.engine.node import Leaf, Node, reachable
from tinygrad_nn.engine.tensor import Operand, Tensor, wrap
from tinygrad_nn.errors import ArgumentError, DtypeError, GraphError, SettingError, ShapeError
from tinygrad_nn.primitives import Array, Function, Operands, Shape
from tinygrad_nn.primitives.operands import as_array

Tensors = TypeVar("Tensors", Tensor, list[Tensor], tuple[Tensor, ...])


def gradients(
    y: Tensor,
    xs: Tensors,
    *,
    cotangent: Operand | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Tensors:
    """Return the gradients of `y` with respect to the tensors `xs`, without touching any `.grad`.

    Args:
        y: a result; a cotangent is needed unless it has one element.
        xs: a tensor, or lists, tuples, named tuples and dicts of them, nested too; the gradients come in the same
            form. Zeros where y does not depend on one.
        cotangent: the gradient of something with respect to y.
        create_graph: record the gradients themselves, so that they can be differentiated again.
        retain_graph: keep the graph of y; by default as `create_graph`.

    Raises:
        GraphError: y is no tensor, or one of `xs` does not require grad.
        GraphFreed: an earlier backward pass has released the graph.

    Example:
        >>> x = Tensor(3.0, requires_grad=True)
        >>> first = gradients(x ** 3, x, create_graph=True)
        >>> first.item(), gradients(first, x).item()
        (27.0, 18.0)
    """
    if isinstance(xs, (list, tuple)) and not trees.is_sequence(xs):
        # A subclass, made again as it was made.
        options: Any = {"cotangent": cotangent, "create_graph": create_graph, "retain_graph": retain_graph}
        return type(xs)(gradients(y, list(xs), **options))
    targets: list[Any] = []
    trees.mapped(targets.append, xs)
    for x in targets:
        if not isinstance(x, Tensor) or not x.requires_grad:
            raise GraphError(
                "gradients: every x is a tensor that requires grad\n  hint   tn.tensor(data, requires_grad=True)"
            )
    if not isinstance(y, Tensor):
        raise GraphError(
            f"gradients: y is {type(y).__name__}, expected a tensor\n  hint   tn.gradients(loss, parameters)"
        )
    seed = _seed(y, cotangent, create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    found = _pull(y, seed, [x._node for x in targets], create_graph, keep)
    result: Tensors = trees.mapped(lambda x: _filled(found.get(x._node), x), xs)
    return result


def _seed(y: Tensor, cotangent: Operand | None, linked: bool) -> Tensor:
    """Return the checked cotangent as a tensor, if `linked` with its own graph."""
    seed = wrap(seed_like(y, cotangent), None)
    if not linked or not isinstance(cotangent, Tensor):
        return seed
    return cotangent if cotangent.dtype == y.dtype else cotangent.astype(y.dtype)


def _pull(
    y: Tensor, seed: Tensor, nodes: Sequence[Any], create_graph: bool, retain: bool
) -> Mapping[Any, Array | Tensor]:
    node = y._node
    if isinstance(node, Leaf):
        return {node: seed if create_graph else seed._data.copy()}
    if node is None:
        return {}
    if not create_graph and not context.current().tracers:
        return backward(node, seed._data, wanted=set(nodes), retain=retain)
    with context.changed(recording=create_graph):
        link = wrap if create_graph else lambda array, _: wrap(array, None)
        return backward(node, seed, wanted=set(nodes), sums=OnTensors(link), retain=retain)


def _filled(g: Array | Tensor | None, x: Tensor) -> Tensor:
    if g is None:
        return wrap(np.zeros(x.shape, x.dtype), None)
    return g if isinstance(g, Tensor) else wrap(g, None)


def _check(who: str, f: object, *argnums: object) -> None:
    """Refuse what is no function, or no numbers of arguments, when it is given and not when it is called."""
    if not callable(f):
        hint = "\n  hint   tn.gradients(loss, parameters) for a loss that has been computed"
        is_loss = isinstance(f, Tensor)
        raise ArgumentError(f"{who}: expected a function, got a {type(f).__name__}{hint if is_loss else ''}")
    for number in argnums:
        if not isinstance(number, (int, np.integer)) or isinstance(number, bool):
            raise ArgumentError(
                f"{who}: argnums are integers, got {number!r:.60}\n  hint   {who}(f)(*args), or argnums=(0, 1)"
            )


def _variable(x: Operand, who: str) -> Tensor:
    """Return `x` as a fresh variable: a new leaf, or a copy that keeps its link to an outer derivative."""
    if isinstance(x, Tensor) and x.requires_grad:
        return +x
    data = x if isinstance(x, Tensor) else as_array(x)
    if data.dtype.kind != "f":
        raise DtypeError(
            f"{who}: derivatives need floating arguments, got dtype {data.dtype}\n  hint   2.0 instead of 2"
        )
    return Tensor(data, requires_grad=True)


def _outside(y: Tensor) -> bool:
    """Tell whether y depends on something that requires grad, so that derivatives of derivatives may be wanted."""
    if not isinstance(y._node, Node):
        return False
    return any(
        type(operand) is Leaf and operand.requires_grad
        for node in reachable(y._node)
        for operand in node.operands
    )


def _result(y: object, who: str, scalar: bool = False) -> Tensor:
    if not isinstance(y, Tensor):
        raise GraphError(
            f"{who}: the function returned {type(y).__name__}, expected a Tensor computed from its arguments"
        )
    if scalar and y.size != 1:
        raise ShapeError(
            f"{who}: the function returned shape {y.shape}, expected a scalar\n  hint   tn.jacobian, or .sum()"
        )
    return y


def vjp(f: Function, *xs: Operand) -> tuple[Tensor, Callable[[Operand], Any]]:
    """Return `f(*xs)` and the function that pulls a cotangent of the result back to the arguments.

    The pull returns one gradient, or a tuple of them for several arguments; it can be called repeatedly.

    Example:
        >>> y, pull = vjp(lambda x: x * x, np.array([1.0, 2.0]))
        >>> pull(np.array([1.0, 10.0]))
        Tensor([ 2., 40.], dtype=float64)
    """
    y, variables, inner = _recorded(f, xs, "vjp")

    def pull(cotangent: Operand) -> Tensor | tuple[Tensor, ...]:
        linked = isinstance(cotangent, Tensor) and cotangent.requires_grad
        seed = _seed(y, cotangent, linked)
        found = _pull(y, seed, [x._node for x in variables], inner or linked, True)
        result = tuple(_filled(found.get(x._node), x) for x in variables)
        return result[0] if len(result) == 1 else result

    return y if inner else y.detach(), pull


def _recorded(f: Function, xs: Sequence[Operand], who: str) -> tuple[Tensor, list[Tensor], bool]:
    """Return the result, the variables, and whether an outer derivative may go through the result."""
    _check(who, f)
    with context.changed(recording=True):
        variables = [_variable(x, who) for x in xs]
        y = _result(f(*variables), who)
    for x in variables:
        _closed(x)
    return y, variables, _outside(y)


def _closed(x: Tensor) -> None:
    """Make a variable a constant to everyone else; what has been recorded can still go back to it."""
    if type(x._node) is Leaf:
        x._node.requires_grad = False


def _at(args: Operands, argnums: Shape, values: Sequence[object]) -> list[object]:
    full = list(args)
    for k, value in zip(argnums, values, strict=True):
        full[k] = value
    return full


def value_and_grad(f: Function, argnums: int | Shape = 0) -> Callable[..., tuple[Tensor, Any]]:
    """Return a function that gives `(f(*args), gradient)`, the gradient with respect to the chosen arguments.

    Args:
        f: a function of Tensors whose result has one element.
        argnums: which positional argument, or a tuple of them for a tuple of gradients.

    Example:
        >>> value_and_grad(lambda x: x ** 3)(2.0)
        (Tensor(8.), Tensor(12.))
    """
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    _check("value_and_grad", f, *numbers)

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        for k in numbers:
            if not -len(args) <= k < len(args):
                raise SettingError(f"argnums {k} is outside of the {len(args)} positional arguments")

        def chosen(*values: Tensor) -> Tensor:
            return _result(f(*_at(args, numbers, values), **kwargs), "grad", scalar=True)

        y, pull = vjp(chosen, *(args[k] for k in numbers))
        g = pull(np.ones(y.shape, y.dtype))
        return y, (g,) if isinstance(argnums, tuple) and len(numbers) == 1 else g

    return differentiated


def grad(f: Function, argnums: int | Shape = 0) -> Function:
    """Return the function that computes the gradient of `f`; see `value_and_grad`.

    Example:
        >>> grad(grad(lambda x: x ** 3))(2.0)
        Tensor(12.)
    """
    _check("grad", f, *(argnums if isinstance(argnums, tuple) else (argnums,)))
    both = value_and_grad(f, argnums)

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return differentiated


def jvp(
    f: Function, xs: Operand | Sequence[Operand], vs: Operand | Sequence[Operand]
) -> tuple[Tensor, Tensor]:
    """Return `f(*xs)` and its derivative in the direction `vs`, by differentiating the pull-back, which is linear.

    `xs` and `vs` are tuples of the same length; a single argument may come without its tuple.

    Example:
        >>> jvp(lambda x: x * x, np.array([1.0, 2.0]), np.array([1.0, 0.0]))[1]
        Tensor([2., 0.], dtype=float64)
    """
    points = xs if isinstance(xs, (tuple, list)) else (xs,)
    directions = vs if isinstance(vs, (tuple, list)) else (vs,)
    if len(points) != len(directions):
        raise ShapeError(f"jvp: {len(points)} arguments but {len(directions)} directions")
    for k, (x, v) in enumerate(zip(points, directions, strict=True)):
        if np.shape(x) != np.shape(v):
            raise ShapeError(
                f"jvp: argument {k} has shape {np.shape(x)}, its direction has shape {np.shape(v)}"
            )
    y, variables, inner = _recorded(f, points, "jvp")
    # The pull-back is linear, but a rule may leave out what has no cotangent.
    dummy = wrap(np.ones(y.shape, y.dtype), None)
    dummy.requires_grad = True
    with context.changed(recording=True):
        pulled = _pull(y, dummy, [x._node for x in variables], True, True)
        total = wrap(np.zeros((), y.dtype), None)
        for x, v in zip(variables, directions, strict=True):
            direction = v if isinstance(v, Tensor) else as_array(v)
            total = total + (_filled(pulled.get(x._node), x) * direction).sum()
    _closed(dummy)
    linked = inner or any(isinstance(v, Tensor) and v.requires_grad for v in directions)
    found = _pull(total, wrap(np.ones((), y.dtype), None), [dummy._node], linked, linked)
    return y if inner else y.detach(), _filled(found.get(dummy._node), dummy)


def jacobian(f: Function, argnums: int = 0) -> Callable[..., Tensor]:
    """Return the function that computes the Jacobian of `f`, of shape (*result, *argument).

    Example:
        >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
        Tensor([[2., 0.], [0., 4.]], dtype=float64)
    """
    _check("jacobian", f, argnums)

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Tensor:
        y, pull = vjp(lambda x: f(*_at(args, (argnums,), [x]), **kwargs), args[argnums])
        rows = []
        for k in range(y.size):
            basis = np.zeros(y.size, y.dtype)
            basis[k] = 1
            rows.append(pull(basis.reshape(y.shape)))
        shape = y.shape + np.shape(args[argnums])
        if not rows:
            return wrap(np.zeros(shape, y.dtype), None)
        # NumPy's stubs know no tensors.
        stacked: Any = np.stack(rows)
        whole: Tensor = stacked.reshape(shape)
        return whole

    return differentiated


def hessian(f: Function, argnums: int = 0) -> Callable[..., Tensor]:
    """Return the function that computes the matrix of second derivatives of `f`, of shape (*argument, *argument).

    Example:
        >>> hessian(lambda x: (x ** 3).sum())(np.array([1.0, 2.0]))
        Tensor([[ 6.,  0.], [ 0., 12.]], dtype=float64)
    """
    _check("hessian", f, argnums)
    return jacobian(grad(f, argnums), argnums)
