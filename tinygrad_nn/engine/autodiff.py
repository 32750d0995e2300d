"""Derivatives of functions: grad, vjp, jvp, jacobian, hessian, hvp, of functions of tensors, containers and modules.

Arguments are Tensors, arrays or floats, in nested lists, tuples, named tuples and dicts; gradients come in the same
containers, those of a module in a dict of its trainable parameters by name. They nest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, overload

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.arguments import HasParameters, trainable
from tinygrad_nn.engine.runs import (
    Gradients,
    Run,
    close,
    filled,
    in_form,
    pull_back,
    requires_grad,
    results_of,
    run_on_variables,
    seeds_of,
)
from tinygrad_nn.engine.tensor import Tensor, wrap
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.errors import ArgumentError, GraphError, ShapeError
from tinygrad_nn.primitives import Function, Operands, Params
from tinygrad_nn.primitives.operands import as_array
from tinygrad_nn.settings import is_integer

Tensors = TypeVar("Tensors", Tensor, list[Tensor], tuple[Tensor, ...])
Value = TypeVar("Value")
Aux = TypeVar("Aux")
Numbers = int | tuple[int, ...]
Pull = Callable[[Tree], Tree]
"""From a cotangent of a result to the gradients of the arguments."""


@overload
def gradients(
    y: Tree,
    xs: Tensors,
    *,
    cotangent: Tree = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Tensors: ...
@overload
def gradients(
    y: Tree, xs: Tree, *, cotangent: Tree = None, create_graph: bool = False, retain_graph: bool | None = None
) -> Tree: ...
def gradients(
    y: Tree, xs: Tree, *, cotangent: Tree = None, create_graph: bool = False, retain_graph: bool | None = None
) -> Tree:
    """Return the gradients of `y` with respect to the tensors `xs`, without touching any `.grad`.

    Args:
        y: a result, or containers of them; cotangents are needed unless each has one element.
        xs: a tensor, or lists, tuples, named tuples and dicts of them, nested too; the gradients come in the same
            form. Zeros where y does not depend on one; None for None; of a module a dict of those of its trainable
            parameters by name.
        cotangent: the gradient of something with respect to y, in the same containers.
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
    if type(xs) is Tensor:
        targets, nodes = _target(xs, "xs"), [xs._node]
    elif isinstance(xs, (list, tuple)) and not trees.is_sequence(xs):
        # A subclass, made again as it was made.
        options: Any = {"cotangent": cotangent, "create_graph": create_graph, "retain_graph": retain_graph}
        return type(xs)(gradients(y, list(xs), **options))
    else:
        targets = trees.mapped_by_name(_target, xs, "xs")
        nodes = [x._node for x in trees.leaves(targets) if x is not None]
    results = results_of("gradients", y, "y is", "a tensor\n  hint   tn.gradients(loss, parameters)")
    keep = create_graph if retain_graph is None else retain_graph
    seeds = seeds_of("gradients", results, cotangent, create_graph)
    return in_form(targets, pull_back(seeds, nodes, create_graph, keep))


def _target(x: Tree, name: str) -> Tree:
    """Return what gradients are found for: a tensor, those of a module, None for None."""
    if isinstance(x, Tensor) and x.requires_grad:
        return x
    if x is None and name != "xs":
        return None
    if not isinstance(x, Tensor) and isinstance(x, HasParameters):
        return trainable(x)
    what = "a tensor that does not" if isinstance(x, Tensor) else type(x).__name__
    raise GraphError(
        f"gradients: {name} is {what}; every x is a tensor that requires grad\n"
        "  hint   tn.tensor(data, requires_grad=True)"
    )


def _check(who: str, f: object, argnums: object = ()) -> tuple[int, ...]:
    """Refuse what is no function, or no numbers of arguments, when it is given and not when it is called."""
    if not callable(f):
        hint = "\n  hint   tn.gradients(loss, parameters) for a loss that has been computed"
        is_loss = isinstance(f, Tensor)
        raise ArgumentError(f"{who}: expected a function, got a {type(f).__name__}{hint if is_loss else ''}")
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    for number in numbers:
        if not is_integer(number):
            raise ArgumentError(
                f"{who}: argnums are integers, got {number!r:.60}\n  hint   {who}(f)(*args), or argnums=(0, 1)"
            )
    return numbers


@overload
def vjp(
    f: Callable[..., tuple[Value, Aux]], *xs: Tree, has_aux: Literal[True]
) -> tuple[Value, Pull, Aux]: ...
@overload
def vjp(f: Callable[..., Value], *xs: Tree, has_aux: Literal[False] = False) -> tuple[Value, Pull]: ...
def vjp(f: Function, *xs: Tree, has_aux: bool = False) -> tuple[Tree, ...]:
    """Return `f(*xs)` and the function that pulls a cotangent of the result back to the arguments.

    The pull returns one gradient, or a tuple of them for several arguments; it can be called repeatedly. The cotangent
    comes in the containers of the result, gradients in those of the arguments.

    Args:
        f: a function whose result is a tensor, or lists, tuples and dicts of tensors.
        xs: its arguments.
        has_aux: f returns (result, aux), and so does vjp: (result, pull, aux). There is no derivative of aux.

    Raises:
        DtypeError, ArgumentError: something in an argument is not floating, or there is nothing in it; `f` is none.
        GraphError: the function did not return a tensor.
        ShapeError, ArgumentError: by the pull, of a cotangent of another shape, or in other containers.

    Example:
        >>> y, pull = vjp(lambda x: x * x, np.array([1.0, 2.0]))
        >>> pull(np.array([1.0, 10.0]))
        Tensor([ 2., 40.], dtype=float64)
    """
    _check("vjp", f)
    run = run_on_variables("vjp", f, xs, range(len(xs)), has_aux=has_aux)

    def pull(cotangent: Tree) -> Tree:
        result = run.pulled(cotangent, run.linked or requires_grad(cotangent))
        return result[0] if len(result) == 1 else result

    return (run.value(), pull, run.aux) if has_aux else (run.value(), pull)


def _value_and_grad(
    f: Function, argnums: Numbers, numbers: Sequence[int], args: Operands, kwargs: Params, has_aux: bool
) -> tuple[Tree, Tree, Tree]:
    run = run_on_variables("grad", f, args, numbers, kwargs, has_aux=has_aux)
    y = run.y
    if type(y) is not Tensor:
        hint = "return loss, aux and has_aux=True; tn.jacobian, or tn.vjp"
        raise GraphError(f"grad: the function returned {trees.form(y)}, expected one tensor\n  hint   {hint}")
    if y.size != 1:
        raise ShapeError(
            f"grad: the function returned shape {y.shape}, expected a scalar\n  hint   tn.jacobian, or .sum()"
        )
    g = run.pulled(None, run.linked)
    return run.value(), g if isinstance(argnums, tuple) else g[0], run.aux


@overload
def value_and_grad(
    f: Callable[..., tuple[Value, Aux]], argnums: Numbers = 0, *, has_aux: Literal[True]
) -> Callable[..., tuple[tuple[Value, Aux], Tree]]: ...
@overload
def value_and_grad(
    f: Callable[..., Value], argnums: Numbers = 0, *, has_aux: Literal[False] = False
) -> Callable[..., tuple[Value, Tree]]: ...
def value_and_grad(
    f: Function, argnums: Numbers = 0, *, has_aux: bool = False
) -> Callable[..., tuple[Tree, Tree]]:
    """Return a function that gives `(f(*args), gradient)`, the gradient with respect to the chosen arguments.

    An argument may be a module: f gets a copy of it whose trainable parameters are variables, and the gradient is a
    dict by their names. The module itself stays as it is; arrays that it holds, such as running statistics, are shared.
    A gradient at a parameter, or at another tensor that requires grad, can be differentiated again by that, which costs
    more: `with tn.no_grad():` around the call, or `tn.compile` of the function, does without.

    Args:
        f: a function of Tensors, or containers of them, whose result has one element.
        argnums: which positional argument, or a tuple of them for a tuple of gradients.
        has_aux: f returns (value, aux), and the result is ((value, aux), gradient). There is no derivative of aux.

    Raises:
        DtypeError, ArgumentError: something in a chosen argument is not floating, or there is nothing in it.
        SettingError: there is no such argument.
        GraphError: the function did not return a tensor; ShapeError: it has more than one element.

    Example:
        >>> value_and_grad(lambda x: x ** 3)(2.0)
        (Tensor(8.), Tensor(12.))
        >>> value_and_grad(lambda p: p["w"] * p["b"][0])({"w": 2.0, "b": (3.0, None)})
        (Tensor(6.), {'w': Tensor(3.), 'b': (Tensor(2.), None)})
    """
    numbers = _check("value_and_grad", f, argnums)

    @functools.wraps(f)
    def differentiated(*args: Tree, **kwargs: Tree) -> tuple[Tree, Tree]:
        value, g, aux = _value_and_grad(f, argnums, numbers, args, kwargs, has_aux)
        return ((value, aux), g) if has_aux else (value, g)

    return differentiated


@overload
def grad(
    f: Callable[..., tuple[Tree, Aux]], argnums: Numbers = 0, *, has_aux: Literal[True]
) -> Callable[..., tuple[Tree, Aux]]: ...
@overload
def grad(f: Function, argnums: Numbers = 0, *, has_aux: Literal[False] = False) -> Function: ...
def grad(f: Function, argnums: Numbers = 0, *, has_aux: bool = False) -> Function:
    """Return the function that computes the gradient of `f`, or (gradient, aux); see `value_and_grad`.

    Example:
        >>> grad(grad(lambda x: x ** 3))(2.0)
        Tensor(12.)
    """
    numbers = _check("grad", f, argnums)

    @functools.wraps(f)
    def differentiated(*args: Tree, **kwargs: Tree) -> Tree:
        _, g, aux = _value_and_grad(f, argnums, numbers, args, kwargs, has_aux)
        return (g, aux) if has_aux else g

    return differentiated


def _several(xs: Tree) -> tuple[Tree, ...]:
    """Return arguments of a function, of which a single one may come without its tuple."""
    return tuple(xs) if type(xs) in (tuple, list) else (xs,)


def _directions(run: Run, directions: Sequence[Tree]) -> list[tuple[Tensor, Tree]]:
    """Return each variable with its direction."""
    if len(run.variables) != len(directions):
        raise ShapeError(f"{run.who}: {len(run.variables)} arguments but {len(directions)} directions")
    found: list[tuple[Tensor, Tree]] = []
    for k, (chosen, v) in enumerate(zip(run.variables, directions, strict=True)):
        pairs = trees.paired(chosen, v)
        if pairs is None:
            raise ArgumentError(
                f"{run.who}: the direction of argument {k} comes in other containers\n"
                f"  argument   {trees.form(chosen)}\n  direction  {trees.form(v)}"
            )
        for x, part in pairs:
            if x.shape != np.shape(part):
                raise ShapeError(
                    f"{run.who}: argument {k} has shape {x.shape}, its direction has shape {np.shape(part)}"
                )
        found += pairs
    return found


@overload
def jvp(
    f: Callable[..., tuple[Value, Aux]], xs: Tree, vs: Tree, *, has_aux: Literal[True]
) -> tuple[Value, Value, Aux]: ...
@overload
def jvp(
    f: Callable[..., Value], xs: Tree, vs: Tree, *, has_aux: Literal[False] = False
) -> tuple[Value, Value]: ...
def jvp(f: Function, xs: Tree, vs: Tree, *, has_aux: bool = False) -> tuple[Tree, ...]:
    """Return `f(*xs)` and its derivative in the direction `vs`, by differentiating the pull-back, which is linear.

    `xs` and `vs` are tuples of the same length; a single argument that is no tuple or list may come without its tuple.
    Directions come in the containers of the arguments, of a module in a dict by names.

    Args:
        f: a function whose result is a tensor, or containers of tensors.
        xs: its arguments.
        vs: their directions.
        has_aux: f returns (result, aux), and jvp returns (result, derivative, aux). There is no derivative of aux.

    Raises:
        DtypeError, ArgumentError: something in an argument is not floating, or there is nothing in it; `f` is none.
        GraphError: the function did not return a tensor.
        ShapeError, ArgumentError: there are more or fewer directions, or they have other shapes or other containers.

    Example:
        >>> jvp(lambda x: x * x, np.array([1.0, 2.0]), np.array([1.0, 0.0]))[1]
        Tensor([2., 0.], dtype=float64)
    """
    _check("jvp", f)
    points = _several(xs)
    if not points:
        raise ArgumentError("jvp: there are no arguments to differentiate by\n  hint   tn.jvp(f, (x,), (v,))")
    outer = context.current().recording
    run = run_on_variables("jvp", f, points, range(len(points)), has_aux=has_aux)
    pairs = _directions(run, _several(vs))
    linked = run.linked or (outer and requires_grad([v for _, v in pairs]))
    with context.enable_grad():
        dummies = trees.mapped(_dummy, run.y)
        pulled = pull_back(seeds_of("jvp", run.y, dummies, True), run.nodes, True, True)
        total: Any = None
        for x, v in pairs:
            direction = v if isinstance(v, Tensor) else as_array(v)
            part = (filled(pulled.get(x._node), x) * direction).sum()
            total = part if total is None else total + part
    nodes = [dummy._node for dummy in trees.leaves(dummies) if dummy is not None]
    close(nodes)
    found = pull_back([(total, wrap(np.ones((), total.dtype), None))], nodes, linked, linked)
    value, slope = run.value(), in_form(dummies, found)
    return (value, slope, run.aux) if has_aux else (value, slope)


def _dummy(y: Tensor | None) -> Tensor | None:
    """Return a cotangent to differentiate by; what is linear has the same derivative everywhere."""
    if y is None:
        return None
    # Not zeros: a rule may leave out what has no cotangent.
    dummy = wrap(np.ones(y.shape, y.dtype), None)
    dummy.requires_grad = True
    return dummy


def jacobian(f: Function, argnums: Numbers = 0, *, has_aux: bool = False) -> Function:
    """Return the function that computes the Jacobian of `f`, of shape (*result, *argument).

    Of containers: those of the result outside, and in place of each of its tensors those of the argument.

    Args:
        f: a function whose result is a tensor, or containers of tensors.
        argnums: which positional argument, or a tuple of them.
        has_aux: f returns (result, aux), and the result is (Jacobian, aux). There is no derivative of aux.

    Raises:
        DtypeError, ArgumentError: something in a chosen argument is not floating, or there is nothing in it.
        SettingError: there is no such argument.
        GraphError: the function did not return a tensor.

    Example:
        >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
        Tensor([[2., 0.], [0., 4.]], dtype=float64)
        >>> jacobian(lambda p: {"sum": p["a"] + p["b"]})({"a": 1.0, "b": 2.0})
        {'sum': {'a': Tensor(1.), 'b': Tensor(1.)}}
    """
    numbers = _check("jacobian", f, argnums)

    @functools.wraps(f)
    def differentiated(*args: Tree, **kwargs: Tree) -> Tree:
        run = run_on_variables("jacobian", f, args, numbers, kwargs, has_aux=has_aux)

        def of(y: Tensor | None) -> Tree:
            parts = None if y is None else _rows(run, y)
            return parts if parts is None or isinstance(argnums, tuple) else parts[0]

        whole = trees.mapped(of, run.y)
        return (whole, run.aux) if has_aux else whole

    return differentiated


def _rows(run: Run, y: Tensor) -> tuple[Tree, ...]:
    """Return the Jacobian of one result, for each chosen argument in its containers."""
    rows: list[Gradients] = []
    for k in range(y.size):
        basis = np.zeros(y.size, y.dtype)
        basis[k] = 1
        rows.append(pull_back([(y, wrap(basis.reshape(y.shape), None))], run.nodes, run.linked, True))

    def stacked(x: Tensor | None) -> Tensor | None:
        if x is None:
            return None
        shape = y.shape + x.shape
        if not rows:
            return wrap(np.zeros(shape, y.dtype), None)
        # NumPy's stubs know no tensors.
        parts: Any = [filled(row.get(x._node), x) for row in rows]
        whole: Any = np.stack(parts)
        matrix: Tensor = whole.reshape(shape)
        return matrix

    return tuple([trees.mapped(stacked, x) for x in run.variables])


def hessian(f: Function, argnums: Numbers = 0, *, has_aux: bool = False) -> Function:
    """Return the function that computes the matrix of second derivatives of `f`, of shape (*argument, *argument).

    Of containers: those of the argument, and in place of each of its tensors the same containers again.

    Args:
        f: a function whose result has one element.
        argnums: which positional argument, or a tuple of them.
        has_aux: f returns (value, aux), and the result is (Hessian, aux). There is no derivative of aux.

    Raises:
        DtypeError, ArgumentError, SettingError, GraphError, ShapeError: as `value_and_grad`.

    Example:
        >>> hessian(lambda x: (x ** 3).sum())(np.array([1.0, 2.0]))
        Tensor([[ 6.,  0.], [ 0., 12.]], dtype=float64)
    """
    _check("hessian", f, argnums)
    first = grad(f, argnums, has_aux=True) if has_aux else grad(f, argnums)
    return jacobian(first, argnums, has_aux=has_aux)


def hvp(f: Function, xs: Tree, vs: Tree) -> Tree:
    """Return the product of the Hessian of `f` at `xs` with the direction `vs`, without the Hessian.

    H v is the gradient of g(x) . v, where g is the gradient of f (Pearlmutter 1994, "Fast exact multiplication by the
    Hessian"), so the pull-back of g, applied to v. Reverse over reverse takes some three times as long as g; the other
    way, `jvp(grad(f), xs, vs)`, takes longer here, because a jvp is two pull-backs.

    Args:
        f: a function whose result has one element.
        xs: its argument, in containers or not, or a tuple or list of arguments as for `jvp`.
        vs: the direction, in the same containers; of a module a dict of arrays by names.

    Raises:
        ShapeError, ArgumentError: directions have other shapes or other containers.

    Example:
        >>> hvp(lambda x: (x ** 3).sum(), np.array([1.0, 2.0]), np.array([1.0, 10.0]))
        Tensor([  6., 120.], dtype=float64)
    """
    _check("hvp", f)
    points, directions = _several(xs), _several(vs)
    numbers = tuple(range(len(points)))
    run = run_on_variables("hvp", grad(f, numbers), points, numbers)
    _directions(run, directions)
    result = run.pulled(directions, run.linked or (context.current().recording and requires_grad(directions)))
    return result if type(xs) in (tuple, list) else result[0]
