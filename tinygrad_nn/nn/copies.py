"""Copies of modules that share all with them but some tensors."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from types import MethodType
from typing import Any, TypeVar

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.tensor import Tensor

M = TypeVar("M")


def with_others(module: M, modules: Sequence[Any], others: Mapping[int, Tensor]) -> M:
    """Return a copy of a module and of all `modules` in it, with other tensors in place of some, known by id."""
    copies: dict[int, Any] = dict(others)
    copies |= {id(inner): object.__new__(type(inner)) for inner in modules}

    def again(x: trees.Tree) -> trees.Tree:
        if id(x) in copies:
            return copies[id(x)]
        if isinstance(x, (list, dict)):
            twin = copies[id(x)] = copy.copy(x)
            for key, item in x.items() if isinstance(x, dict) else enumerate(x):
                twin[key] = again(item)
            return twin
        if isinstance(x, MethodType):
            return MethodType(x.__func__, again(x.__self__))
        return trees.rebuilt(x, map(again, x)) if trees.is_sequence(x) else x

    given = frozenset(others.values())
    for inner in modules:
        attributes = {name: again(x) for name, x in vars(inner).items()}
        vars(copies[id(inner)]).update(attributes, _given=inner._given | given)
    twin: M = copies[id(module)]
    return twin
