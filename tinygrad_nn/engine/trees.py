"""Nested lists, tuples, named tuples and dicts of values: what is inside, and the same with other values inside.

Everything else is a leaf, modules and subclasses of dict included: what cannot be made again is not taken apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Tree: TypeAlias = Any
"""A leaf, or nested lists, tuples, named tuples and dicts of them."""
Pair = tuple[Any, Any]
"""What stands in the same place of two trees."""


def leaves(tree: Tree) -> Iterator[Any]:
    """Yield the leaves in order, those of subclasses too, which reading does not need to make again.

    Example:
        >>> list(leaves({"a": [1, (2, 3)], "b": 4}))
        [1, 2, 3, 4]
    """
    if isinstance(tree, (list, tuple, dict)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from leaves(part)
    else:
        yield tree


def mapped(function: Callable[[Any], Tree], tree: Tree) -> Tree:
    """Return the same containers with `function(leaf)` in place of each leaf, in order.

    Example:
        >>> mapped(lambda x: -x, [1, {"a": (2, 3)}])
        [-1, {'a': (-2, -3)}]
    """
    # Lists and tuples come first and alone: a call of a compiled function that returns several things comes here.
    kind = type(tree)
    if kind is list or kind is tuple:
        return kind([mapped(function, part) for part in tree])
    if kind is dict:
        return {key: mapped(function, part) for key, part in tree.items()}
    if is_sequence(tree):
        return rebuilt(tree, (mapped(function, part) for part in tree))
    return function(tree)


def mapped_by_name(function: Callable[[Any, str], Tree], tree: Tree, name: str) -> Tree:
    """Return the same with `function(leaf, name)`, where the name is how Python reaches the leaf.

    Example:
        >>> mapped_by_name(lambda x, name: name, [1, {"a": 2}], "arg")
        ['arg[0]', {'a': "arg[1]['a']"}]
    """
    if is_sequence(tree):
        return rebuilt(tree, (mapped_by_name(function, part, f"{name}[{k}]") for k, part in enumerate(tree)))
    if type(tree) is dict:
        return {key: mapped_by_name(function, part, f"{name}[{key!r}]") for key, part in tree.items()}
    return function(tree, name)


def paired(tree: Tree, other: Tree) -> list[Pair] | None:
    """Return the leaves of `tree` but None, each with what stands in its place in `other`; None if places differ.

    Example:
        >>> paired({"a": 1, "b": [2, None]}, {"b": [20, None], "a": 10})
        [(1, 10), (2, 20)]
        >>> paired([1], (10,)) is None
        True
    """
    pairs: list[Pair] = []
    stack: list[Pair] = [(tree, other)]
    while stack:
        a, b = stack.pop()
        if is_sequence(a):
            if type(b) is not type(a) or len(b) != len(a):
                return None
            stack += zip(reversed(a), reversed(b), strict=True)
        elif type(a) is dict:
            if type(b) is not dict or b.keys() != a.keys():
                return None
            stack += [(a[key], b[key]) for key in reversed(a)]
        elif (a is None) is not (b is None):
            return None
        elif a is not None:
            pairs.append((a, b))
    return pairs


def form(tree: Tree) -> str:
    """Return the containers as Python writes them, with a star in place of each leaf but None.

    Example:
        >>> form({"w": 1.0, "layers": [(2.0, None)]})
        "{'w': *, 'layers': [(*, None)]}"
    """
    if is_sequence(tree):
        if hasattr(tree, "_fields"):
            named = [f"{name}={form(part)}" for name, part in zip(tree._fields, tree, strict=True)]
            return f"{type(tree).__name__}({', '.join(named)})"
        inside = ", ".join(map(form, tree))
        return f"[{inside}]" if type(tree) is list else f"({inside}{',' * (len(tree) == 1)})"
    if type(tree) is dict:
        return f"{{{', '.join(f'{key!r}: {form(part)}' for key, part in tree.items())}}}"
    return "None" if tree is None else "*"


def is_sequence(thing: object) -> bool:
    """Tell whether `thing` is a list, tuple or named tuple, which another with other items can stand for."""
    return type(thing) in (list, tuple) or (isinstance(thing, tuple) and hasattr(thing, "_fields"))


def rebuilt(sequence: Tree, parts: Iterator[Tree]) -> Tree:
    """Return a list, tuple or named tuple like `sequence` with other parts."""
    return sequence._make(parts) if hasattr(sequence, "_fields") else type(sequence)(parts)


def flat(items: Mapping[Any, object]) -> Iterator[tuple[str, object]]:
    """Yield the values of a mapping, those of lists, tuples and dicts in it one by one under dotted names."""
    stack = [(str(key), value) for key, value in reversed(list(items.items()))]
    inside: set[int] = set()
    while stack:
        name, value = stack.pop()
        if isinstance(value, (list, tuple, dict)):
            if id(value) in inside:
                continue
            inside.add(id(value))
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            stack.extend(reversed([(f"{name}.{key}", item) for key, item in inner]))
        else:
            yield name, value
