"""Which arguments a call takes, and the error for those that it does not."""

from __future__ import annotations

import inspect
import numbers
from typing import Any

import numpy as np

from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.hints.calls import unknown_keyword
from tinygrad_nn.primitives.operands import Function, Operands, Params

_NO_DEFAULT = object()


class Signature:
    """The arguments that a function takes: all `names`, the `keywords` among them, and how many go by position.

    Functions written in C do not always tell. Then the names are those of `substitute`, and nothing is refused:
    `keywords` and `positions` are None, as they are for a function that takes any number of them. NumPy's tell since
    2.4, and here of all versions; of ufuncs the operands alone go by position.
    """

    __slots__ = ("defaults", "keywords", "names", "positions")
    keywords: frozenset[str] | None
    positions: int | None

    def __init__(self, function: Function, substitute: Function) -> None:
        told = parameters_of(function)
        parameters = told if told is not None else parameters_of(substitute) or []
        kinds = {p.kind for p in parameters}
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        self.names = tuple(p.name for p in named)
        self.defaults = {p.name: p.default for p in named if p.default is not p.empty}
        self.keywords = self.positions = None
        if told is not None and inspect.Parameter.VAR_KEYWORD not in kinds:
            self.keywords = frozenset(self.names)
        if told is not None and inspect.Parameter.VAR_POSITIONAL not in kinds:
            self.positions = sum(p.kind is not p.KEYWORD_ONLY for p in named)

    def check(self, name: str, args: Operands, kwargs: Params) -> None:
        """Raise `ArgumentError` for a keyword that is not there or given twice, and for too many arguments."""
        if self.keywords is not None:
            for keyword in kwargs:
                if keyword not in self.keywords:
                    raise unknown_keyword(name, keyword, kwargs[keyword], self.names)
        if self.positions is None:
            return
        for position, (keyword, value) in enumerate(zip(self.names, args, strict=False)):
            if keyword in kwargs:
                raise ArgumentError(
                    f"{name}: {keyword} is given twice, by position and as {keyword}={kwargs[keyword]!r}"
                )
            if position and keyword in ("dtype", "out") and self.names[position - 1] == "axis":
                axes = [args[position - 1], value, *args[position + 1 :]]
                if all(isinstance(k, numbers.Integral) and not isinstance(k, bool) for k in axes):
                    raise ArgumentError(
                        f"{name}: {keyword}={value!r} is no {keyword}\n"
                        f"  hint   several axes go into one tuple: axis={tuple(axes)}"
                    )
        if len(args) > self.positions:
            raise ArgumentError(
                f"{name}: at most {self.positions} arguments go by position, got {len(args)}\n"
                f"  takes  {', '.join(self.names)}"
            )

    def named(self, name: str, args: Operands, kwargs: Params) -> Params:
        """Return the arguments of a call by their names, without those at their defaults; checked first."""
        self.check(name, args, kwargs)
        values = {**dict(zip(self.names, args, strict=False)), **kwargs}
        return {keyword: value for keyword, value in values.items() if not self.is_default(keyword, value)}

    def is_default(self, keyword: str, value: Any) -> bool:
        """Tell whether an argument says nothing that leaving it out would not say."""
        default = self.defaults.get(keyword, _NO_DEFAULT)
        return value is default or (type(value) is str and value == default)


def parameters_of(function: Function) -> list[inspect.Parameter] | None:
    """Return the parameters of a function; None for one of C that does not say."""
    if isinstance(function, np.ufunc):
        return _parameters_of_ufunc(function)
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        told = next((told for key, told in _OF_C if key is function), None)
        return None if told is None else list(inspect.signature(told).parameters.values())


_OF_C: tuple[tuple[Function, Function], ...] = (
    (np.concatenate, lambda arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind": None),
    (np.dot, lambda a, b, out=None: None),
    (np.empty_like, lambda prototype, /, dtype=None, order="K", subok=True, shape=None, *, device=None: None),
    (np.inner, lambda a, b, /: None),
    (np.vdot, lambda a, b, /: None),
    (np.where, lambda condition, x=None, y=None, /: None),
)
"""What functions of NumPy in C take, which they tell since 2.4."""

_OF_UFUNCS = {
    "out": None,
    "casting": "same_kind",
    "order": "K",
    "dtype": None,
    "subok": True,
    "signature": None,
}


def _parameters_of_ufunc(function: np.ufunc) -> list[inspect.Parameter]:
    operands = ["x"] if function.nin == 1 else [f"x{k}" for k in range(1, function.nin + 1)]
    loop = (
        {"axes": np._NoValue, "axis": np._NoValue, "keepdims": False}
        if function.signature
        else {"where": True}
    )
    return [
        *(inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in operands),
        *(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, default in (_OF_UFUNCS | loop).items()
        ),
    ]
