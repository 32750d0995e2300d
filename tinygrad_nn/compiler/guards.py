"""What a program takes for granted: what its step read besides its arguments, compared on each replay.

These are the leaves with their arrays, flags and gradients, the tensors that have no leaf, and the attributes of
modules that were called or looked through, those in lists, tuples, dicts and modules among them included. Compared are
identities: no Python of ours runs in between, and what is equal but another object is looked at once, more closely.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from operator import is_
from typing import Any

import numpy as np

from tinygrad_nn.engine.node import Leaf
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import printable
from tinygrad_nn.graph.compare import same
from tinygrad_nn.primitives import Array

DATA = 100
"""A list with more items is data, and not looked into."""

_MISSING = object()
_PLAIN = (bool, int, float, complex, str, bytes, type(None), tuple, slice, np.generic, np.dtype)
"""What cannot change, so that two that are equal are the same."""


class Attributes:
    """The attributes of some objects as they were, and whether they are so still.

    Args:
        owners: the objects; those in their attributes, in lists, tuples and dicts too, are looked into likewise.
    """

    def __init__(self, owners: Iterable[object]) -> None:
        self._owners = list(owners)
        self._take()

    def _take(self) -> None:
        """Note everything down as it is now."""
        self._was: list[tuple[str, type, Any, Any]] = []
        self._live: list[Iterable[object]] = []
        for name, kind, x in _containers(self._owners):
            self._was.append((name, kind, x, x.copy()))
            self._live += [x] if kind is list else [x, x.values()]
        # The last item shows that something was added after what was there.
        self._flat = [*chain.from_iterable(self._live), _MISSING]

    def unchanged(self) -> bool:
        """Tell whether everything is as it was."""
        if all(map(is_, chain(chain.from_iterable(self._live), (_MISSING,)), self._flat)):
            return True
        if self.change():
            return False
        self._take()
        return True

    def change(self) -> str:
        """Say what has changed, if anything has."""
        for name, kind, now, was in self._was:
            if kind is list:
                if len(now) != len(was) or not all(map(_is_same, was, now)):
                    return f"{name} has changed"
                continue
            for key in was.keys() | now.keys():
                # An attribute that an object does not have, it takes from its class.
                default = getattr(kind, key, _MISSING) if isinstance(key, str) else _MISSING
                if not _is_same(was.get(key, default), now.get(key, default)):
                    return f"{name}.{key} has changed"
        return ""

    def cover(self, owner: object) -> bool:
        """Tell whether the attributes of an object are among these."""
        return any(x is vars(owner) for _, _, x, _ in self._was)

    def values(self) -> Iterator[object]:
        """Yield all that is in the attributes, once for each place."""
        for _, kind, now, _ in self._was:
            yield from now if kind is list else now.values()

    def restore(self) -> str:
        """Bring everything back to what it was; say what had changed."""
        change = self.change()
        for _, kind, now, was in self._was if change else ():
            if kind is list:
                now[:] = was
            else:
                now.clear()
                now.update(was)
        return change


class Guards:
    """All that a program takes for granted.

    Args:
        leaves: with the arrays that they have.
        gradients: leaves, with whether they have one.
        constants: tensors that are no leaves.
        modules: those that were called or looked through.
    """

    def __init__(
        self,
        leaves: Mapping[Leaf, Array],
        gradients: Mapping[Leaf, bool],
        constants: Iterable[Tensor],
        modules: Iterable[object],
    ) -> None:
        self._leaves = [(leaf, array, leaf.requires_grad) for leaf, array in leaves.items()]
        self._gradients = list(gradients.items())
        self._constants = [(tensor, tensor._data) for tensor in constants]
        self._attributes = Attributes(modules)

    def change(self) -> str:
        """Say what is not as it was, if anything is not."""
        for leaf, array, requires_grad in self._leaves:
            if leaf._data is not array:
                return f"{_name(leaf)} has another array"
            if leaf.requires_grad is not requires_grad:
                return f"{_name(leaf)} has been {'thawed' if leaf.requires_grad else 'frozen'}"
        for leaf, expected in self._gradients:
            if (leaf.own_grad is not None) is not expected:
                return f"{_name(leaf)} has {'no' if expected else 'a'} gradient when the step begins"
        for tensor, array in self._constants:
            if tensor._data is not array or tensor.requires_grad:
                return f"a constant of shape {array.shape} has been replaced or thawed"
        return "" if self._attributes.unchanged() else self._attributes.change()


def _name(leaf: Leaf) -> str:
    return printable(leaf.name or f"a parameter of shape {leaf.shape}")


def _containers(owners: Iterable[object]) -> Iterator[tuple[str, type, Any]]:
    """Yield what can change in some objects and below: a name, the class whose defaults hold, the dict or list."""
    seen: set[int] = set()
    stack: list[tuple[str, Any]] = [(type(owner).__name__, owner) for owner in reversed([*owners])]
    while stack:
        name, x = stack.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        kind, inside = type(x), x
        if kind not in (list, tuple, dict):
            if not _is_looked_into(x):
                continue
            inside = vars(x)
        elif len(x) > DATA:
            continue
        if kind is not tuple:
            yield name, kind, inside
        items = inside.items() if isinstance(inside, dict) else enumerate(inside)
        stack += [(f"{name}.{key}", item) for key, item in items]


def _is_looked_into(x: object) -> bool:
    """Tell whether `x` is a module, or plain data with attributes."""
    return hasattr(x, "__dict__") and (hasattr(x, "named_modules") or hasattr(x, "__dataclass_fields__"))


def _is_same(a: object, b: object) -> bool:
    return a is b or (isinstance(a, _PLAIN) and same(a, b))
