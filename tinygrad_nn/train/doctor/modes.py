"""Whether layers that work otherwise while a model trains, such as dropout, do so when they should."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.engine.trees import flat
from tinygrad_nn.nn.module import Module
from tinygrad_nn.states import is_random_source, random_state

Modules = Iterable[tuple[str, Module]]


def with_mode(modules: Modules) -> list[tuple[str, Module]]:
    """Return the modules whose result depends on whether they train: their code asks for it."""
    found = []
    for path, module in modules:
        code = getattr(type(module).forward, "__code__", None)
        if code is not None and "training" in code.co_names:
            found.append((path, module))
    return found


def at_rest(modules: Modules) -> list[str]:
    """Return the paths of those that do not train, but for what is frozen with all that surrounds it."""
    modules = list(modules)
    return [path for path, module in with_mode(modules) if not module.training and not _frozen(path, modules)]


def _frozen(path: str, modules: Modules) -> bool:
    """Tell whether the innermost module around a path that has parameters has frozen ones alone."""
    around = [
        (len(name), module) for name, module in modules if f"{path}.".startswith(f"{name}." if name else "")
    ]
    for _, module in sorted(around, key=lambda pair: -pair[0]):
        if parameters := module.parameters():
            return not any(parameter.requires_grad for parameter in parameters)
    return False


def moved_by_training(modules: Modules) -> list[tuple[str, object]]:
    """Return what training alone moves, running averages and generators, as it is now, with its module's path."""
    seen: list[tuple[str, object]] = []
    for path, module in with_mode(modules):
        for name, value in flat(vars(module)):
            if is_random_source(value):
                seen.append((path, repr(random_state(value))))
            elif (
                isinstance(value, np.ndarray) and not isinstance(value, Tensor) and name.startswith("running")
            ):
                seen.append((path, value.copy()))
    return seen


def moved(before: list[tuple[str, object]], after: list[tuple[str, object]]) -> str | None:
    """Return the path of the first module of which something has moved."""
    for (path, old), (_, new) in zip(before, after, strict=True):
        if not _same(old, new):
            return path
    return None


def _same(old: object, new: object) -> bool:
    return (
        np.array_equal(old, new)
        if isinstance(old, np.ndarray) and isinstance(new, np.ndarray)
        else old == new
    )
