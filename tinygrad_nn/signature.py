"""Which arguments a call takes, and the error for those that it does not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from tinygrad_nn.errors import ArgumentError

_NUMPY_WORDS = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "correction": "ddof"}
"""What NumPy calls the keywords of PyTorch."""


class Signature:
    """The arguments that a function takes: all `names`, the `keywords` among them, and how many go by position.

    Functions written in C do not always tell. Then the names are those of `substitute`, and nothing is refused:
    `keywords` and `positions` are None, as they are for a function that takes any number of them.
    """

    __slots__ = ("defaults", "keywords", "names", "positions")
    keywords: frozenset[str] | None
    positions: int | None

    def __init__(self, function: Callable[..., Any], substitute: Callable[..., Any]) -> None:
        told = _parameters(function)
        parameters = told if told is not None else _parameters(substitute) or []
        kinds = {p.kind for p in parameters}
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        self.names = tuple(p.name for p in named)
        self.defaults = {p.name: p.default for p in named if p.default is not p.empty}
        self.keywords = self.positions = None
        if told is not None and inspect.Parameter.VAR_KEYWORD not in kinds:
            self.keywords = frozenset(self.names)
        if told is not None and inspect.Parameter.VAR_POSITIONAL not in kinds:
            self.positions = sum(p.kind is not p.KEYWORD_ONLY for p in named)

    def check(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise `ArgumentError` for a keyword that the function does not have, and for too many arguments."""
        if self.keywords is not None:
            for keyword in kwargs:
                if keyword not in self.keywords:
                    raise unknown_keyword(name, keyword, kwargs[keyword], self.names)
        if self.positions is not None and len(args) > self.positions:
            hint = "\n  hint   several axes go into one tuple: axis=(0, 1)" if "axis" in self.names else ""
            raise ArgumentError(
                f"{name}: at most {self.positions} arguments go by position, got {len(args)}\n"
                f"  takes  {', '.join(self.names)}{hint}"
            )


def unknown_keyword(name: str, keyword: str, value: Any, known: Iterable[str]) -> ArgumentError:
    """Return the error for a keyword that does not exist, with the one that NumPy has for it."""
    word = _NUMPY_WORDS.get(keyword, keyword)
    hint = f"\n  hint   NumPy calls it {word}: {word}={value!r}" if word in known else ""
    return ArgumentError(
        f"{name}: there is no keyword {keyword}={value!r}\n  takes  {', '.join(known)}{hint}"
    )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
