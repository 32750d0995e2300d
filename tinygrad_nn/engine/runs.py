"""A call of a function on variables, and how cotangents of what it returned are pulled back to these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.context import enable_grad, no_grad
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.arguments import variables
from tinygrad_nn.engine.backward import NONE, OnTensors, backward
from tinygrad_nn.engine.conversions import seed_like
from tinygrad_nn.engine.node import Leaf, Node, Source
from tinygrad_nn.engine.tensor import Operand, Tensor, wrap
from tinygrad_nn.engine.trees import Pair, Tree
from tinygrad_nn.errors import ArgumentError, GraphError
from tinygrad_nn.primitives import Array, Function

Seeds = Sequence[tuple[Tensor, Tensor]]
"""Results, each with its cotangent."""
Gradients = Mapping[Any, Array | Tensor]
"""What has been found, by where tensors come from."""


class Run(NamedTuple):
    """A call of a function on variables.

    Attributes:
        who: which derivative is wanted.
        y: what the function returned, a tensor or containers of them.
        variables: those in each chosen argument, in its containers.
        nodes: where they come from, in a list.
        linked: whether an outer derivative may go through the result.
        aux: what the function returned besides.
    """

    who: str
    y: Tree
    variables: list[Tree]
    nodes: list[Any]
    linked: bool
    aux: Tree

    def value(self) -> Tree:
        """Return the result for the caller."""
        return _released(self.y, self.linked)

    def pulled(self, cotangent: Tree, linked: bool) -> tuple[Tree, ...]:
        """Return the gradients of each chosen argument."""
        seeds = seeds_of(self.who, self.y, cotangent, linked)
        found = pull_back(seeds, self.nodes, linked, True)
        return tuple([in_form(x, found) for x in self.variables])


def _released(tree: Tree, linked: bool) -> Tree:
    """Return results without the graph that was recorded for one derivative only."""
    if linked:
        return tree
    if type(tree) is Tensor:
        return tree.detach()
    return trees.mapped(lambda x: x.detach() if isinstance(x, Tensor) else x, tree)


def run_on_variables(
    who: str,
    f: Function,
    args: Sequence[Tree],
    numbers: Sequence[int],
    kwargs: Mapping[str, Tree] | None = None,
    *,
    has_aux: bool = False,
) -> Run:
    """Call a function with variables in the chosen arguments."""
    linked = context.current().recording
    aux = None
    with enable_grad():
        given, chosen, flat = variables(who, f, args, numbers)
        y = f(*given, **kwargs or {})
        if has_aux:
            if not isinstance(y, tuple) or len(y) != 2:
                raise ArgumentError(
                    f"{who}: with has_aux=True the function returns (value, aux), got {_kind(y)}\n"
                    "  hint   return loss, aux"
                )
            y, aux = y
        y = results_of(who, y, "the function returned", "a Tensor computed from its arguments")
    nodes = [x._node for x in flat]
    close(nodes)
    linked = linked and _outside(trees.leaves((y, aux)) if has_aux or type(y) is not Tensor else (y,))
    return Run(who, y, chosen, nodes, linked, _released(aux, linked))


def close(nodes: Iterable[Source | None]) -> None:
    """Make variables constants to everyone else; what has been recorded can still go back to them."""
    for node in nodes:
        if type(node) is Leaf:
            node.requires_grad = False


def _kind(y: object) -> str:
    return f"a tuple of {len(y)}" if isinstance(y, tuple) else f"a {type(y).__name__}"


def _outside(results: Iterable[object]) -> bool:
    """Tell whether results depend on something that requires grad, so that derivatives of derivatives may be wanted."""
    nodes = [y._node for y in results if isinstance(y, Tensor)]
    if any(type(node) is Leaf and node.requires_grad for node in nodes):
        return True
    stack = [node for node in nodes if type(node) is Node]
    seen = set(stack)
    while stack:
        for operand in stack.pop().operands:
            kind = type(operand)
            if kind is Node:
                if operand not in seen:
                    seen.add(operand)
                    stack.append(operand)
            elif kind is Leaf and operand.requires_grad:
                return True
    return False


def requires_grad(tree: Tree) -> bool:
    return type(tree) is not np.ndarray and any(
        isinstance(x, Tensor) and x.requires_grad for x in trees.leaves(tree)
    )


def results_of(who: str, y: Tree, called: str, expected: str) -> Tree:
    """Return results of a function, or containers of them, checked to be tensors."""
    if type(y) is Tensor:
        return y

    def checked(leaf: Any, path: str) -> Any:
        if isinstance(leaf, Tensor) or (leaf is None and path):
            return leaf
        where = f" in result{path}" if path else ""
        raise GraphError(f"{who}: {called} {type(leaf).__name__}{where}, expected {expected}")

    results = trees.mapped_by_name(checked, y, "")
    if not any(isinstance(leaf, Tensor) for leaf in trees.leaves(results)):
        raise GraphError(f"{who}: {called} {trees.form(y)}, expected {expected}")
    return results


def seeds_of(who: str, y: Tree, cotangent: Tree, linked: bool) -> Seeds:
    """Return the results in y with their checked cotangents, if `linked` with their own graph."""
    if type(y) is Tensor:
        return [(y, _seed(y, cotangent, linked))]
    pairs: list[Pair] | None
    if cotangent is None:
        pairs = [(result, None) for result in trees.leaves(y) if result is not None]
    else:
        pairs = trees.paired(y, cotangent)
        if pairs is None:
            raise ArgumentError(
                f"{who}: the cotangent comes in other containers than the result\n"
                f"  result     {trees.form(y)}\n  cotangent  {trees.form(cotangent)}"
            )
    return [(result, _seed(result, c, linked)) for result, c in pairs]


def _seed(y: Tensor, cotangent: Operand | None, linked: bool) -> Tensor:
    seed = wrap(seed_like(y, cotangent), None)
    if not linked or not isinstance(cotangent, Tensor):
        return seed
    return cotangent if cotangent.dtype == y.dtype else cotangent.astype(y.dtype)


def pull_back(seeds: Seeds, nodes: Sequence[Any], create_graph: bool, retain: bool) -> Gradients:
    """Return the gradients of nodes, on arrays if nobody wants to see how they come about."""
    if not create_graph and not context.current().tracers:
        root, cotangent, others = _by_source([(y, seed._data) for y, seed in seeds])
        return backward(root, cotangent, others=others, wanted=set(nodes), retain=retain) if root else {}
    with enable_grad() if create_graph else no_grad():
        root, cotangent, others = _by_source(seeds)
        sums = OnTensors(wrap if create_graph else lambda array, _: wrap(array, None))
        return (
            backward(root, cotangent, others=others, wanted=set(nodes), sums=sums, retain=retain)
            if root
            else {}
        )


def _by_source(seeds: Sequence[tuple[Tensor, Any]]) -> tuple[Any, Any, Mapping[Source, Any]]:
    """Return a result with its cotangent, and the others; a result that is there twice has both cotangents."""
    if len(seeds) == 1:
        ((y, seed),) = seeds
        return y._node, seed, NONE
    totals: dict[Source, Any] = {}
    for y, seed in seeds:
        if (node := y._node) is not None:
            totals[node] = totals[node] + seed if node in totals else seed
    return (*totals.popitem(), totals) if totals else (None, None, NONE)


def in_form(targets: Tree, found: Gradients) -> Tree:
    """Return the gradients that were found, in the containers of what they were found for."""
    if type(targets) is Tensor:
        return filled(found.get(targets._node), targets)
    return trees.mapped(lambda x: None if x is None else filled(found.get(x._node), x), targets)


def filled(g: Array | Tensor | None, x: Tensor) -> Tensor:
    if g is None:
        return wrap(np.zeros(x.shape, x.dtype), None)
    return g if isinstance(g, Tensor) else wrap(g, None)
