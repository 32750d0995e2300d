"""Names that are looked for and not there: attributes of objects, names in modules, modules themselves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import FrameType, FunctionType
from typing import TYPE_CHECKING, NoReturn, cast

from tinygrad_nn.hints.calls import answered
from tinygrad_nn.hints.words import WORDS, closest, word

_PACKAGE = "tinygrad_nn"


class Signposts:
    """Base of what others have under another name: an attribute that is not there is answered with what to write."""

    __slots__ = ()

    if not TYPE_CHECKING:
        # Hidden from type checkers, to which every name would be one of ours.

        def __getattr__(self, name: str) -> object:
            """Say what to write instead; only asked for what does not exist."""
            try:
                # The error of a property that has failed is raised again.
                return object.__getattribute__(self, name)
            except AttributeError as error:
                hint = word(name, *[cls.__name__ for cls in type(self).__mro__])
                if not hint:
                    raise
                failure = AttributeError(f"{error}\n  hint   {hint}")
            raise failure


def face(
    module: dict[str, object],
    *,
    later: Mapping[str, str] | None = None,
    elsewhere: Callable[[str], str] = lambda _: "",
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a module, and let its public functions and classes answer wrong calls.

    Files of ours import from where things are defined, and so pay nothing for that.

    Args:
        module: its `globals()`. What it defines is public if it has no `__all__`, and gets one.
        later: names that are imported when they are first used, and from where.
        elsewhere: what to write for a name that the dictionary does not have.
    """
    path = str(module["__name__"])
    place = path.removeprefix(f"{_PACKAGE}.")
    own = [name for name, x in module.items() if getattr(x, "__module__", "") == path and name[0] != "_"]
    listed = list(cast(Iterable[str], module.setdefault("__all__", own)))
    later = later or {}
    for name in listed:
        if name in module:
            module[name] = _public(path, module[name])

    def look_up(name: str) -> object:
        if name in later:
            home = import_module(later[name])
            value = home if home.__name__.endswith(f".{name}") else getattr(home, name)
            module[name] = _public(path, value)
            return module[name]
        hint = word(name, place) or elsewhere(name)
        if not hint and name[0] != "_":
            hint = closest(name, listed) or ""
        more = f"\n  hint   {hint}" if hint else ""
        if hint and _imports(sys._getframe(1)):
            raise ImportError(f"cannot import name {name!r} from {path!r}{more}", name=path)
        raise AttributeError(f"module {path!r} has no attribute {name!r}{more}")

    return look_up, lambda: listed


def _public(path: str, value: object) -> object:
    """Return a public function that answers wrong calls, or a class that does when it is called."""
    if isinstance(value, type) and value.__module__.startswith(_PACKAGE):
        _answer_calls(value)
    # A function that takes `**unknown` has an answer of its own.
    if not isinstance(value, FunctionType) or "unknown" in value.__code__.co_varnames:
        return value
    function = answered(value)
    if value.__module__ != path:
        # Where pickle finds it: under its own name there is the function that files of ours call.
        value.__dict__["answered"], function.__qualname__ = function, f"{value.__qualname__}.answered"
    for name, hint in WORDS.get(f"{path}.{value.__name__}".removeprefix(f"{_PACKAGE}."), {}).items():
        setattr(function, name, _signpost(f"{value.__name__} has no attribute {name!r}\n  hint   {hint}"))
    return function


def _answer_calls(public: type) -> None:
    """Let a class, and what it is built on, answer wrong calls."""
    for cls in public.__mro__:
        init = vars(cls).get("__init__")
        if not isinstance(init, FunctionType) or hasattr(init, "__wrapped__"):
            continue
        if cls.__module__.startswith(_PACKAGE) and init.__module__ == cls.__module__:
            setattr(cls, "__init__", answered(init))  # noqa: B010
    # Below a base, a class of others may be next in line, and take arguments.
    made_by_python = all(vars(cls).keys().isdisjoint(("__init__", "__new__")) for cls in public.__mro__[:-1])
    if made_by_python and not public.__subclasses__():
        setattr(public, "__init__", answered(__init__))  # noqa: B010


def __init__(self: object) -> None:  # noqa: N807
    """Take no settings, as a layer that has none."""


def _signpost(text: str) -> Callable[..., NoReturn]:
    """Return what stands at a function for a name that others have there, a method of a module of theirs."""

    def missing(*_: object, **__: object) -> NoReturn:
        raise AttributeError(text)

    return missing


def _imports(frame: FrameType) -> bool:
    """Tell whether a frame is at `from module import name`, which hides an AttributeError."""
    # Needed for an error only.
    from opcode import opmap

    return frame.f_code.co_code[frame.f_lasti] == opmap["IMPORT_FROM"]


class MissingModules:
    """A finder for imports that finds nothing, and says what to write for modules that others have."""

    @staticmethod
    def find_spec(path: str, *others: object) -> None:
        """Raise `ModuleNotFoundError` for a module in the dictionary."""
        package, _, name = path.rpartition(".")
        if package.partition(".")[0] == _PACKAGE:
            hint = word(name, package.removeprefix(f"{_PACKAGE}."))
            if hint:
                raise ModuleNotFoundError(f"No module named {path!r}\n  hint   {hint}", name=path)


if MissingModules not in sys.meta_path:
    sys.meta_path.append(MissingModules)
