"""The random generators that a function can reach, so that running it to see what it does leaves them as they were.

Random ops get their generator as a parameter, for which a tracer has a twin. What a function draws with plain NumPy
nobody sees; but the state of the generator tells.
"""

from __future__ import annotations

import copy
import gc
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from tinygrad_nn.context import Temporarily, restoring
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.graph.compare import same
from tinygrad_nn.primitives import Params
from tinygrad_nn.states import RandomSource, is_random_source

Places = dict[RandomSource, object]
"""Generators, and where they are."""

_WITHOUT = {bool, int, float, complex, str, bytes, type(None), np.ndarray, CodeType, ModuleType, Tensor}
"""What holds no generator that running a function would draw from; a tensor has its graph, which has run."""
_INSTALLED = tuple(
    str(Path(file).parents[up]) for file, up in ((random.__file__, 0), (np.__file__, 1), (__file__, 1))
)
"""Where the code lies that is not looked into: it draws from what it is given, or from what it holds."""
_MACHINE_CODE = "numba.core.registry"
"""Where the class of Numba's compiled functions is: they hold all that Numba has compiled, and no generators."""


class Twins:
    """Twins of generators, each made once: what draws from them leaves the generators of the user where they are."""

    def __init__(self) -> None:
        self._twin_of: dict[object, object] = {}

    def drawing(self, params: Params) -> Params:
        """Return the parameters of a call with the twins of the generators among them."""
        return {
            name: self._twin(value) if is_random_source(value) else value for name, value in params.items()
        }

    def _twin(self, generator: object) -> object:
        if generator not in self._twin_of:
            self._twin_of[generator] = copy.deepcopy(generator)
        return self._twin_of[generator]


@contextmanager
def put_back(*roots: object) -> Iterator[Callable[[], list[object]]]:
    """Put the generators that `roots` can reach back afterwards; yields what tells which have been moved."""
    before = positions(*roots)
    with restoring(lambda: _put(moved(before))):
        yield lambda: list(moved(before))


def positions(*roots: object) -> Places:
    """Return the generators that `roots` can reach, with where they are."""
    return {generator: _state(generator) for generator in reachable(*roots)}


def moved(before: Mapping[RandomSource, object]) -> Places:
    """Return those positions that generators are no longer at."""
    return {generator: state for generator, state in before.items() if not same(_state(generator), state)}


def at(places: Mapping[RandomSource, object]) -> Temporarily:
    """Put generators at other positions for a while."""
    return Temporarily(
        lambda: (partial(_put, places), partial(_put, {generator: _state(generator) for generator in places}))
    )


def _put(places: Mapping[RandomSource, object]) -> None:
    for generator, state in places.items():
        _set_state(generator, state)


def reachable(*roots: object) -> list[RandomSource]:
    """Return the generators in what `roots` hold, close over or name in their code."""
    found: list[RandomSource] = []
    seen: dict[int, object] = {}
    stack: list[Any] = list(roots)
    while stack:
        x = stack.pop()
        kind = type(x)
        if kind in _WITHOUT or id(x) in seen:
            continue
        # Kept alive, so that no other object gets its number.
        seen[id(x)] = x
        if kind is FunctionType:
            stack += _of_function(x)
        elif kind is MethodType:
            stack += [x.__self__, x.__func__]
        elif kind is BuiltinFunctionType:
            stack.append(x.__self__)
        elif issubclass(kind, type):
            own = not _installed(getattr(sys.modules.get(x.__module__), "__file__", None) or "")
            stack += vars(x).values() if own else ()
        elif is_random_source(x):
            found.append(x)
        elif kind.__module__ != _MACHINE_CODE:
            stack += gc.get_referents(x)
    return found


def _installed(file: str) -> bool:
    return file.startswith(_INSTALLED)


def _of_function(function: FunctionType) -> list[object]:
    """Return what a function closes over and, of globals and modules, what its code names."""
    inside: list[object] = [function.__defaults__, function.__kwdefaults__, *(function.__closure__ or ())]
    if _installed(function.__code__.co_filename):
        return inside
    names = _names(function.__code__)
    spaces, entered = [function.__globals__], set()
    while spaces:
        space = spaces.pop()
        for x in [space[name] for name in names if name in space]:
            inside.append(x)
            if isinstance(x, ModuleType) and x not in entered:
                entered.add(x)
                spaces.append(vars(x))
    return inside


def _names(code: CodeType) -> set[str]:
    """Return the names of globals and attributes in code, functions inside of it included."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _state(source: RandomSource) -> Any:
    """Return where a source stands; unlike `random_state`, which makes plain data of it, for a moment only."""
    if isinstance(source, random.Random):
        return source.getstate()
    if isinstance(source, np.random.RandomState):
        return source.get_state(legacy=False)
    return (source.bit_generator if isinstance(source, np.random.Generator) else source).state


def _set_state(source: RandomSource, state: Any) -> None:
    if isinstance(source, random.Random):
        source.setstate(state)
    elif isinstance(source, np.random.RandomState):
        source.set_state(state)
    else:
        (source.bit_generator if isinstance(source, np.random.Generator) else source).state = state
