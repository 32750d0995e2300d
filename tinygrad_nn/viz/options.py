"""How a graph is drawn: the options of all functions that draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, TypedDict, TypeVar, get_args

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import SettingError, printable
from tinygrad_nn.hints.calls import unknown_keyword
from tinygrad_nn.languages import Language, checked_language
from tinygrad_nn.primitives import Array
from tinygrad_nn.settings import is_integer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Direction = Literal["LR", "TB"]
Theme = Literal["auto", "light", "dark"]
Chosen = TypeVar("Chosen", bound="DataclassInstance")


class DrawOptions(TypedDict, total=False):
    """The keywords of `Options`, none of them required, for type checkers."""

    names: Mapping[str, Tensor | Array] | None
    depth: int | None
    values: bool
    grads: bool
    direction: Direction
    fold_constants: bool
    fold_repeats: bool
    max_nodes: int | None
    theme: Theme
    title: str | None
    lang: Language


@dataclass(slots=True)
class Options:
    """How a graph is drawn; see `Picture`."""

    names: Mapping[str, Tensor | Array] | None = None
    depth: int | None = None
    values: bool = True
    grads: bool = False
    direction: Direction = "LR"
    fold_constants: bool = True
    fold_repeats: bool = True
    max_nodes: int | None = 300
    theme: Theme = "auto"
    title: str | None = None
    lang: Language = "en"

    def __post_init__(self) -> None:
        choices = (("direction", self.direction, Direction), ("theme", self.theme, Theme))
        for name, choice, allowed in choices:
            if choice not in get_args(allowed):
                raise SettingError(
                    f"{name} is one of {', '.join(map(repr, get_args(allowed)))}, got {choice!r}"
                )
        self.lang = checked_language("graph", self.lang)
        if not isinstance(self.names, (Mapping, type(None))):
            raise SettingError(
                f"names are tensors and arrays by name, got {self.names!r:.60}\n  hint   names={{'x': x}}"
            )
        if self.depth is not None and not is_integer(self.depth):
            raise SettingError(f"depth is an integer or None, got {self.depth!r:.60}")
        self.title = self.title and printable(self.title)
        if self.max_nodes is not None and not (is_integer(self.max_nodes) and self.max_nodes > 0):
            raise SettingError(f"max_nodes is a positive number or None, got {self.max_nodes!r}")


def chosen(who: str, kind: type[Chosen], options: Mapping[str, object]) -> Chosen:
    """Return options of a kind, those not given at their defaults; refuse what is no option."""
    known = [field.name for field in fields(kind)]
    for name, value in options.items():
        if name not in known:
            raise unknown_keyword(who, name, value, known)
    return kind(**options)


def settings(options: DrawOptions) -> Options:
    """Return the options of a picture."""
    return chosen("graph", Options, options)
