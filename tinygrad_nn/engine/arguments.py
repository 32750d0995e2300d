"""What a function is differentiated by: its arguments, with fresh variables in the place of what they hold.

Nested lists, tuples, named tuples and dicts are looked into, and modules: of a module the variables are its trainable
parameters, and the function gets a copy of it that has these. None stays None.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.errors import ArgumentError, DtypeError, SettingError
from tinygrad_nn.primitives import REGISTRY, Function, Primitive
from tinygrad_nn.primitives.operands import as_array
from tinygrad_nn.primitives.signature import parameters_of


@runtime_checkable
class HasParameters(Protocol):
    """What is differentiated by its parameters: a module, of which this is all that the engine knows."""

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters, frozen ones too, with their names."""

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> HasParameters:
        """Return a copy that has these parameters, and shares all else."""


@dataclass(slots=True)
class _Varied:
    """A module among the arguments: its variables by name, and the copy that has them."""

    variables: dict[str, Tensor]
    copy: HasParameters


_SINGLE = frozenset({Tensor, np.ndarray, float, np.float32, np.float64})
"""What is most often differentiated by, and needs no walk."""


def trainable(x: HasParameters) -> dict[str, Tensor]:
    """Return the parameters of a module that are not frozen."""
    return {name: parameter for name, parameter in x.named_parameters() if parameter.requires_grad}


def variables(
    who: str, f: Function, args: Sequence[Tree], numbers: Sequence[int]
) -> tuple[list[Tree], list[Tree], list[Tensor]]:
    """Return the arguments with variables in the chosen ones, the variables as the gradients will come, and in a list.

    Args:
        who: which derivative is wanted, for errors.
        f: the function whose arguments these are, for their names in errors.
        args: all positional arguments.
        numbers: the chosen ones.

    Raises:
        SettingError: there is no such argument, or it is chosen twice.
        DtypeError: something in a chosen argument is not floating; says where.
        ArgumentError: there is nothing in it, or something else than tensors, arrays, numbers and modules.
    """
    given, chosen = list(args), []
    flat: list[Tensor] = []
    _check_numbers(who, numbers, len(args))
    for k in numbers:
        x = args[k]
        if type(x) in _SINGLE:
            given[k] = variable = _variable(x, who)
            chosen.append(variable)
            flat.append(variable)
        else:
            varied = _inside(who, x, flat, partial(_name, f, args, k))
            given[k] = trees.mapped(lambda v: v.copy if type(v) is _Varied else v, varied)
            chosen.append(trees.mapped(lambda v: v.variables if type(v) is _Varied else v, varied))
    if numbers and not flat:
        what = " and ".join(
            f"{names_of(f, len(args))[k % len(args)]} = {_described(args[k])}" for k in numbers
        )
        raise ArgumentError(
            f"{who}: there is nothing to differentiate by in {what}\n"
            "  hint   floating arrays or tensors, in containers or not, or a module with parameters that are not frozen"
        )
    return given, chosen, flat


def _check_numbers(who: str, numbers: Sequence[int], count: int) -> None:
    for k in numbers:
        if not -count <= k < count:
            raise SettingError(
                f"{who}: argnums {k} is outside of the {count} positional arguments"
                "\n  hint   arguments to differentiate by are given by position, not by name"
            )
    # The later of two variables would take the place of the first, whose gradient would be zero.
    if len({k % count for k in numbers}) < len(numbers):
        raise SettingError(
            f"{who}: argnums {tuple(numbers)} names one of the {count} positional arguments twice\n"
            "  hint   each once; its gradient can be used as often as you like"
        )


def _inside(who: str, x: Tree, flat: list[Tensor], name: Callable[[], str]) -> Tree:
    """Return the containers of an argument with variables in them, which are appended to `flat`."""

    def varied(leaf: Any, path: str) -> Any:
        if leaf is None:
            return None
        if isinstance(leaf, HasParameters):
            own = {key: _variable(parameter, who) for key, parameter in trainable(leaf).items()}
            flat.extend(own.values())
            return _Varied(own, leaf.with_parameters(own))
        if not isinstance(leaf, (Tensor, np.ndarray, np.generic, int, float, complex)):
            kind = type(leaf).__name__
            known = next((base for base in (list, tuple, dict) if isinstance(leaf, base)), None)
            hint = (
                f"a {known.__name__} itself, which can be made again with derivatives in it"
                if known
                else (
                    "argnums= chooses the arguments to differentiate by; None stands for nothing in a container"
                )
            )
            raise ArgumentError(
                f"{who}: {name()}{path} is {kind}, expected floating arrays or tensors\n  hint   {hint}"
            )
        flat.append(variable := _variable(leaf, who, lambda: f" in {name()}{path}" if path else ""))
        return variable

    return trees.mapped_by_name(varied, x, "")


def _variable(x: Operand, who: str, where: Callable[[], str] = str) -> Tensor:
    """Return `x` as a fresh variable: a new leaf, or a copy that keeps its link to an outer derivative."""
    if isinstance(x, Tensor) and x.requires_grad:
        return +x
    data = x if isinstance(x, Tensor) else as_array(x)
    if data.dtype.kind != "f":
        raise DtypeError(
            f"{who}: derivatives need floating arguments, got dtype {data.dtype}{where()}\n  hint   2.0 instead of 2"
        )
    return Tensor(data, requires_grad=True)


def _name(f: Function, args: Sequence[Tree], k: int) -> str:
    return names_of(f, len(args))[k % len(args)]


def _described(x: object) -> str:
    return (
        f"{type(x).__name__} without trainable parameters" if isinstance(x, HasParameters) else trees.form(x)
    )


def names_of(function: Function, count: int) -> list[str]:
    """Return what a function calls its first arguments."""
    record = REGISTRY.get(function) if isinstance(function, Hashable) else None
    if isinstance(record, Primitive):
        names = list(record.operand_names)
    else:
        # Functions written in C do not always have a signature.
        function = inspect.unwrap(function)
        parameters = parameters_of(getattr(function, "forward", function)) or []
        names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [names[k] if k < len(names) else f"input{k}" for k in range(count)]
