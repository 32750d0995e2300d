"""Wrong calls: keywords that are not there, too many arguments by position, some left out.

Python says what went wrong with such a call, and `answered` what to write. It looks at a call when that has failed.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from itertools import chain, repeat
from types import FunctionType
from typing import TypeVar, cast

from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.hints.words import closest, word

F = TypeVar("F", bound=Callable[..., object])


def answered(function: F) -> F:
    """Return a function that does the same, and of which a wrong call is an `ArgumentError` with the line to write.

    Example:
        >>> def scale(x, *, factor=1.0): return x * factor
        >>> answered(scale)(3, factr=2)
        Traceback (most recent call last):
        tinygrad_nn.errors.ArgumentError: scale: there is no keyword factr=2
          takes  x, factor
          hint   factor=2
    """

    @wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        # Notebooks and pytest leave a frame out that says so.
        __tracebackhide__ = True
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if not is_refused(function, error):
                raise
            failure = wrong_call(function, args, kwargs, error)
        raise failure from None

    return cast(F, call)


def is_refused(function: Callable[..., object], error: Exception) -> bool:
    """Tell, where an error is caught, whether Python has refused the call of a function before anything of it ran."""
    trace = error.__traceback__
    return (
        isinstance(error, TypeError)
        and isinstance(function, FunctionType)
        and trace is not None
        and trace.tb_next is None
    )


def wrong_call(
    function: Callable[..., object],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    error: Exception,
    name: str = "",
) -> ArgumentError:
    """Return the error for a call that Python has refused, of a function that may go by another name."""
    who = name or function.__name__
    places = [who]
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name == "self":
        owner, args, parameters = type(args[0]), args[1:], parameters[1:]
        if who in ("__init__", "forward"):
            who, places = owner.__name__, [cls.__name__ for cls in owner.__mro__]
        else:
            who = f"{owner.__name__}.{who}"
    told = _told(who, places, parameters, args, kwargs)
    return ArgumentError(told or f"{who}: {str(error).partition('() ')[2]}")


def _told(
    who: str,
    places: list[str],
    parameters: Sequence[inspect.Parameter],
    args: Sequence[object],
    kwargs: Mapping[str, object],
) -> str:
    """Return what is wrong with a call, what can be given, and what to write."""
    several = next((f"*{p.name}" for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    named = {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    first = [p for p in named.values() if p.kind is not p.KEYWORD_ONLY]
    later = [p for p in named.values() if p.kind is p.KEYWORD_ONLY and p.name not in kwargs]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    unknown = [] if open_ended else [name for name in kwargs if name not in named]
    surplus = [] if several else args[len(first) :]
    given = {*[p.name for p in first[: len(args)]], *kwargs}
    missing = [p for p in named.values() if p.default is p.empty and p.name not in given]
    usual = word("*", *[f"{place}()" for place in places]) or ""
    problems, hints = [], [_instead(places, name, kwargs[name], list(named)) for name in unknown]
    call = [_value(x) if _is_short(x) else p.name for p, x in zip(first, args, strict=False)]
    if unknown:
        wrong = ", ".join(f"{name}={_value(kwargs[name])}" for name in unknown)
        problems.append(f"there is no keyword {wrong}")
    if surplus:
        problems.append(
            f"at most {len(first)} argument{'s' * (len(first) != 1)} by position, got {len(args)}"
        )
        if activation := next(filter(None, map(_activation, surplus)), ""):
            hints.append(f"nn.{activation}() behind it, a layer of its own")
        elif len(surplus) <= len(later):
            by_name = [_by_name(p, x) for p, x in zip(later, surplus, strict=False)]
            line = f"settings go by name, as {who}({', '.join([*call, *by_name])})"
            hints.append(usual if usual and "=..." in line else line)
        else:
            hints.append(usual)
    if missing:
        problems.append(f"there is no {', '.join(p.name for p in missing)}")
        if not unknown:
            # Numbers that were taken for more of the same.
            numbers = [x for x in args if type(x) in (int, float)] if several else []
            more = [_by_name(p, x) for p, x in zip(missing, chain(numbers, repeat(...)), strict=False)]
            by_position = sum(p.kind is not p.KEYWORD_ONLY for p in missing)
            call += more[:by_position] + ([several] if several else []) + more[by_position:]
            hints.append(usual or f"{who}({', '.join(call)})")
    if not problems:
        return ""
    takes = [str(p.replace(annotation=p.empty, default=p.empty)) for p in parameters]
    return _text(who, "; ".join(problems), takes, hints)


def _by_name(parameter: inspect.Parameter, value: object) -> str:
    """Spell a parameter that a call lacks, with a value that may have been meant for it."""
    if parameter.kind is not parameter.KEYWORD_ONLY:
        return parameter.name
    usual = parameter.default
    meant = isinstance(value, bool) == isinstance(usual, bool)
    meant &= not isinstance(value, str) or isinstance(usual, (str, type(None)))
    return f"{parameter.name}={_value(value) if meant else '...'}"


_ACTIVATIONS = {
    name.lower(): name for name in ("ReLU", "Sigmoid", "Tanh", "Softmax", "GELU", "SiLU", "ELU", "LeakyReLU")
}
"""Layers by the words that Keras has for them."""


def _activation(value: object) -> str:
    """Return the layer of an activation that a call was given by position, as a word, a layer or a class."""
    kind = type(value).__name__
    # Ops and functions of NumPy have names, layers are of a class that has.
    name = value if isinstance(value, str) else getattr(value, "__name__", getattr(value, "name", kind))
    words = (str(word).lower().replace("_", "") for word in (name, kind))
    return next((_ACTIVATIONS[word] for word in words if word in _ACTIVATIONS), "")


def _text(who: str, problem: str, takes: Iterable[str], hints: Iterable[str]) -> str:
    lines = "\n         ".join(dict.fromkeys(filter(None, hints)))
    return f"{who}: {problem}\n  takes  {', '.join(takes) or 'nothing'}" + (
        f"\n  hint   {lines}" if lines else ""
    )


def unknown_keyword(who: str, keyword: str, value: object, known: Iterable[str]) -> ArgumentError:
    """Return the error for a keyword that does not exist, with what to write instead."""
    known = list(known)
    hint = _instead([who], keyword, value, known)
    problem = f"there is no keyword {keyword}={_value(value)}"
    return ArgumentError(_text(who, problem, known, [hint]))


def _instead(places: Iterable[str], keyword: str, value: object, known: list[str]) -> str:
    """Return what to write instead of a keyword: ours, if the call takes it, or something else altogether."""
    answer = word(keyword, *[f"{place}()" for place in places], "()") or ""
    ours = re.match(r"(\w+)=\{\}", answer)
    if not answer or (ours is not None and ours[1] not in known):
        meant = closest(keyword, known)
        answer = f"{meant}={{}}" if meant else ""
    return answer.replace("{}", _value(value))


def _value(value: object) -> str:
    """Spell a value in a line."""
    return repr(value) if _is_short(value) else "..."


def _is_short(value: object) -> bool:
    return isinstance(value, (int, float, str, tuple, list, type(None))) and len(repr(value)) <= 40
