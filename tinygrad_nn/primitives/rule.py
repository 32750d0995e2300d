"""A derivative rule, and what it asks for by the names of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from tinygrad_nn.errors import BadRule
from tinygrad_nn.primitives.operands import Function, Operands, Params


def takes_cotangent(function: Function) -> bool:
    """Tell whether the first parameter of a function is g, which makes a derivative rule of it."""
    return next(iter(inspect.signature(function).parameters), None) == "g"


class Rule:
    """A derivative rule: the function, the values it asks for after `g`, and the keywords it names."""

    __slots__ = (
        "defaults",
        "function",
        "keywords",
        "values",
        "wants_index",
        "wants_more",
        "wants_shapes",
    )

    def __init__(self, function: Function, known: Iterable[str], owner: str) -> None:
        parameters = list(inspect.signature(function).parameters.values())
        positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
        if len(positional) + len(keywords) != len(parameters):
            raise BadRule(f"{owner}: a rule names everything it asks for; *args and **kwargs are not allowed")
        if not takes_cotangent(function):
            raise BadRule(f"{owner}: the first parameter of a rule is g, the cotangent of the result")
        unknown = [name for name in positional[1:] if name not in set(known)]
        if unknown:
            raise BadRule(
                f"{owner}: the rule asks for {', '.join(unknown)}; known here are g, {', '.join(known)}\n"
                "  hint   parameters of the call come after a star: lambda g, x, *, axis=None: ..."
            )
        self.function = function
        self.values = tuple(positional[1:])
        self.keywords = tuple(p.name for p in keywords if p.name not in ("i", "shapes"))
        self.defaults = {p.name: p.default for p in keywords if p.default is not p.empty}
        self.wants_index = any(p.name == "i" for p in keywords)
        self.wants_shapes = any(p.name == "shapes" for p in keywords)
        self.wants_more = self.wants_index or self.wants_shapes

    def keywords_for(self, params: Mapping[str, Any], shapes: Operands | None, index: int) -> Params:
        """Return what the rule names after its star, for one operand of one call."""
        keywords = {name: params[name] for name in self.keywords if name in params} if params else {}
        if self.wants_shapes:
            keywords["shapes"] = shapes
        if self.wants_index:
            keywords["i"] = index
        return keywords
