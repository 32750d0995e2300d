"""How a model of the library's own layers is built, as plain data, and a model built from such data.

A layer is told by the name of its class and by what its constructor was given, which it keeps in attributes of the same
names; modules inside by their numbers, so that one that is used twice is built once. Nothing but the classes of `KINDS`
is ever called, with numbers, strings, None, and what was built before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter, signature
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.engine.trees import flat
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.nn import (
    activations,
    attention,
    batch_norm,
    containers,
    convolution,
    dense,
    dropout,
    embedding,
    normalisation,
    pooling,
    recurrent,
)
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array

_FILES: tuple[ModuleType, ...] = (
    activations,
    attention,
    batch_norm,
    containers,
    convolution,
    dense,
    dropout,
    embedding,
    normalisation,
    pooling,
    recurrent,
)

KINDS: Mapping[str, type[Module]] = {
    name: kind
    for file in _FILES
    for name, kind in vars(file).items()
    if isinstance(kind, type)
    and issubclass(kind, Module)
    and name[0] != "_"
    and kind.__module__ == file.__name__
}
"""The layers that a file can name."""

_GENERATORS: Mapping[str, type[np.random.BitGenerator]] = {
    kind.__name__: kind
    for kind in (
        np.random.PCG64,
        np.random.PCG64DXSM,
        np.random.MT19937,
        np.random.Philox,
        np.random.SFC64,
    )
}
_DTYPES = ("float16", "float32", "float64")


_UNTOLD = "untold"


def described(model: Module) -> dict[str, object]:
    """Return how a model is built, as plain data; where that cannot be told, why, from which nothing can be built.

    What cannot be told are classes that are not the library's, functions, attributes that were added, and weights that
    layers share.
    """
    entries: list[dict[str, object]] = []
    told = _Told()
    paths = {id(module): path for path, module in model.named_modules()}
    for module in _inside_out(model):
        entries.append(told.entry(paths[id(module)], module))
        told.modules[id(module)] = len(told.modules)
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    evaluated = [number for number, (_, module) in enumerate(model.named_modules()) if not module.training]
    description: dict[str, object] = {
        "modules": entries,
        "generators": told.kinds,
        "frozen": frozen,
        "evaluated": evaluated,
    }
    if problems := told.problems or _problems_of_a_new_one(model, description):
        return {_UNTOLD: "\n  ".join(problems)}
    return description


def built(description: Mapping[str, Any], nbytes: int) -> Module:
    """Return a model as described, whose parameters have no values yet.

    Args:
        description: what `described` returned, or anything else, which is an error of any kind.
        nbytes: how much memory its arrays take; no more than about twice that is asked for.

    Raises:
        CheckpointError: the description says why there can be none, or is damaged.
    """
    if _UNTOLD in description:
        raise CheckpointError(
            f"the file does not tell how to build the model:\n  {description[_UNTOLD]}\n"
            "  hint   tn.load(path, model=model), with a model made as the one that was saved"
        )
    room = _Room(nbytes)
    generators = [np.random.Generator(_GENERATORS[name](0)) for name in description["generators"]]
    modules: list[Module] = []
    for entry in description["modules"]:
        kind, options = KINDS[entry["class"]], entry["arguments"]
        modules.append(
            _layer(kind, {name: _decoded(x, modules, generators) for name, x in options.items()}, room)
        )
    model = modules[-1]
    parameters = dict(model.named_parameters())
    for name in description["frozen"]:
        parameters[name].requires_grad = False
    inside = [module for _, module in model.named_modules()]
    for number in description["evaluated"]:
        inside[number].training = False
    return model


# What a layer was given


def _arguments(module: Module) -> dict[str, object]:
    """Return what the constructor of a layer was given, by name; how its arrays begin is no part of it."""
    given: dict[str, object] = {}
    for name in _options(type(module)):
        value = getattr(module, name, None)
        if name == "dtype":
            given[name] = next((a.dtype.name for a in _arrays(module).values()), None)
        elif name == "bias":
            given[name] = value if isinstance(value, bool) else value is not None
        elif name != "rng" or value is not None:
            given[name] = value
    return given


def _options(kind: type[Module]) -> list[str]:
    """Return what a constructor takes, but for initialisers."""
    parameters = signature(kind).parameters.values()
    return [p.name for p in parameters if p.kind is not Parameter.VAR_KEYWORD and not p.name.endswith("init")]


def _arrays(module: Module) -> dict[str, Array]:
    return {name: x._data if isinstance(x, Tensor) else x for name, x in module._named_values()}


def _is_known(module: Module) -> bool:
    return KINDS.get(type(module).__name__) is type(module)


def _inside_out(model: Module) -> Iterator[Module]:
    """Yield all modules that are built one by one, each once, those inside of others before these."""
    opened: set[int] = set()
    done: set[int] = set()
    stack = [model]
    while stack:
        module = stack.pop()
        if id(module) in done:
            continue
        inside = [] if id(module) in opened else [m for m in _given_modules(module) if id(m) not in opened]
        opened.add(id(module))
        if inside:
            stack += [module, *inside[::-1]]
            continue
        done.add(id(module))
        yield module


def _given_modules(module: Module) -> list[Module]:
    values = flat(_arguments(module)) if _is_known(module) else ()
    return [value for _, value in values if isinstance(value, Module)]


class _Told:
    """What has been told of a model so far.

    Attributes:
        modules: the numbers of modules, by identity.
        kinds: the kinds of the generators of random numbers.
        problems: what cannot be told.
    """

    def __init__(self) -> None:
        self.modules: dict[int, int] = {}
        self.kinds: list[str] = []
        self.problems: list[str] = []
        self._generators: dict[int, int] = {}

    def entry(self, path: str, module: Module) -> dict[str, object]:
        """Return one layer as plain data."""
        kind = type(module).__name__
        where = f"{path}: " if path else ""
        options: dict[str, object] = {}
        if not _is_known(module):
            self.problems.append(f"{where}{kind} is no layer of tinygrad_nn.nn")
        else:
            for name, value in _arguments(module).items():
                try:
                    options[name] = self._encoded(value)
                except TypeError as error:
                    self.problems.append(f"{where}{name} of {kind} is {error}")
        return {"class": kind, "arguments": options}

    def _encoded(self, value: object) -> object:
        if isinstance(value, Module) and id(value) in self.modules:
            return {"module": self.modules[id(value)]}
        if isinstance(value, np.random.Generator) and type(value.bit_generator).__name__ in _GENERATORS:
            if id(value) not in self._generators:
                self._generators[id(value)] = len(self.kinds)
                self.kinds.append(type(value.bit_generator).__name__)
            return {"generator": self._generators[id(value)]}
        if isinstance(value, (list, tuple)):
            return [self._encoded(item) for item in value]
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        called = getattr(value, "__name__", type(value).__name__)
        raise TypeError(f"{called}, which cannot be told" + (" without its code" if callable(value) else ""))


def _problems_of_a_new_one(model: Module, description: Mapping[str, object]) -> list[str]:
    """Return what a model has otherwise than one that is built as it is described."""
    # What is shared counts as often as it is there: it takes so much in a new one.
    values = [x for _, module in model.named_modules() for _, x in flat(vars(module))]
    try:
        again = built(description, sum(x.nbytes for x in values if isinstance(x, (Tensor, np.ndarray))))
    except Exception as error:
        # Attributes that have been given other values can be anything.
        return [f"none can be built with the values of its attributes: {error}"]
    own, others = dict(model.named_modules()), dict(again.named_modules())
    problems = [
        f"{path}: {type(own.get(path)).__name__}, where a new one has {type(others.get(path)).__name__}"
        for path in own | others
        if type(own.get(path)) is not type(others.get(path))
    ]
    if problems:
        return problems
    for path, module in own.items():
        # Which mode it is in may stand there or not.
        added = (vars(module).keys() ^ vars(others[path]).keys()) - {"training"}
        where = f"{path or type(module).__name__}"
        problems += [f"{where}: the attribute {name}, which a new one has not" for name in sorted(added)]
    here, there = ({name: (a.shape, a.dtype) for name, a in _arrays(m).items()} for m in (model, again))
    differ = [name for name in here | there if here.get(name) != there.get(name)]
    return problems + [f"{name}: shared, or of another shape or dtype than a new one" for name in differ]


# Building


class _Room:
    """The memory that arrays may still take."""

    def __init__(self, nbytes: int) -> None:
        self.left = nbytes

    def check(self, nbytes: int) -> None:
        """Raise `CheckpointError` where there is not so much left."""
        if nbytes > self.left:
            raise CheckpointError("damaged: the layers have larger arrays than the file")

    def take(self, nbytes: int) -> None:
        self.check(nbytes)
        self.left -= nbytes

    def blank(self, shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> Array:
        """Return zeros for a parameter, whose values come later; an initialiser."""
        self.take(math.prod(shape) * np.dtype(dtype).itemsize)
        return np.zeros(shape, dtype)


def _layer(kind: type[Module], options: dict[str, object], room: _Room) -> Module:
    """Return a layer that takes no more than there is room for."""
    parameters = signature(kind).parameters
    if unknown := options.keys() - set(_options(kind)):
        raise CheckpointError(f"damaged: {kind.__name__} takes no {', '.join(map(repr, unknown)):.60}")
    if options.get("dtype", "float32") not in _DTYPES:
        raise CheckpointError(f"damaged: {kind.__name__} of dtype {options['dtype']!r:.60}")
    blanks = {name: room.blank for name in parameters if name.endswith("init")}
    counted = "dtype" in parameters and not blanks
    if counted:
        # What draws nothing fills as many elements as one of its options says.
        room.check(max([x for x in options.values() if type(x) is int], default=0))
    several = next((name for name, p in parameters.items() if p.kind is Parameter.VAR_POSITIONAL), "")
    positional = options.pop(several, ())
    if not isinstance(positional, tuple):
        raise CheckpointError(f"damaged: {kind.__name__} takes several, not {positional!r:.60}")
    make: Callable[..., Module] = kind
    layer = make(*positional, **options, **blanks)
    if counted:
        room.take(sum(a.nbytes for a in _arrays(layer).values()))
    return layer


def _decoded(value: object, modules: list[Module], generators: list[np.random.Generator]) -> object:
    if isinstance(value, list):
        return tuple([_decoded(item, modules, generators) for item in value])
    if not isinstance(value, dict):
        return value
    ((what, number),) = value.items()
    if type(number) is not int or number < 0:
        raise CheckpointError(f"damaged: the number {number!r:.60}")
    known: Mapping[str, Sequence[object]] = {"module": modules, "generator": generators}
    return known[what][number]
