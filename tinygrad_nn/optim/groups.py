"""What optimizers are made of: parameters, in groups with rates of their own if need be, and checked settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tinygrad_nn.errors import SettingError
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array
from tinygrad_nn.settings import check_number


class Parameter(Protocol):
    """What an optimizer knows of a leaf tensor: its array, and the node that has its gradient."""

    _data: Array
    _node: Any

    @property
    def is_parameter(self) -> bool: ...
    @property
    def grad(self) -> Array | None: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


Parameters = Iterable[Parameter] | Iterable[Mapping[str, object]]
"""Leaf tensors, or groups `{"parameters": ..., "lr": ...}` of them."""


@dataclass(slots=True, frozen=True)
class Group:
    """Some parameters; `name` is how errors call a group of several, `own_rate` its rate if it has one."""

    parameters: list[Parameter]
    name: str = ""
    own_rate: float | None = None

    @property
    def named(self) -> bool:
        return bool(self.name)

    def rate(self, who: str, lr: float | Schedule | None) -> float:
        """Return the rate of this group, of which `optimizer.lr` is a factor."""
        if self.own_rate is not None:
            return float(self.own_rate)
        if lr is None:
            raise SettingError(
                f"{who}: {self.name} has no rate, and there is none for all\n"
                f'  hint   {who}([{{"parameters": ..., "lr": ...}}, ...]), or {who}(groups, lr=...)'
            )
        return 1.0 if callable(lr) else float(lr)


def groups_of(who: str, parameters: Parameters) -> list[Group]:
    """Return parameters in their groups, frozen ones too, each once; those that come in none are one.

    Raises:
        SettingError: says what they are instead, and what to write.
    """
    hint = f"\n  hint   {who}(model.parameters(), lr=...)"
    if hasattr(parameters, "parameters") or callable(parameters):
        what = "a model" if hasattr(parameters, "parameters") else "a function"
        raise SettingError(f"{who}: got {what}{hint}")
    if isinstance(parameters, Mapping):
        if "parameters" in parameters:
            hint = f'\n  hint   {who}([{{"parameters": ..., "lr": ...}}])'
        raise SettingError(f"{who}: got a dict{hint}")
    if hasattr(parameters, "is_parameter"):
        raise SettingError(f"{who}: got one tensor\n  hint   {who}([w], lr=...)")
    if not isinstance(parameters, Iterable):
        raise SettingError(f"{who}: got {parameters!r:.60}{hint}")
    items = list(parameters)
    if not items:
        raise SettingError(f"{who}: the list of parameters is empty{hint}")
    if any(isinstance(item, Mapping) for item in items):
        groups = [_group(who, f"group {k}", item) for k, item in enumerate(items)]
    else:
        groups = [Group(_leaves(who, "", items))]
    leaves = [leaf for group in groups for leaf in group.parameters]
    if len({id(leaf) for leaf in leaves}) < len(leaves):
        raise SettingError(f"{who}: a parameter is listed more than once")
    return groups


_FORM = '{"parameters": [...], "lr": ...}'


def _group(who: str, name: str, group: object) -> Group:
    if not isinstance(group, Mapping):
        raise SettingError(f"{who}: {name} is a {type(group).__name__} among groups\n  hint   {_FORM}")
    if unknown := [key for key in group if key not in ("parameters", "lr")]:
        wanted = ", ".join(map(repr, unknown))
        second = f"{who}(parameters, {unknown[0]}=...), a second one for these"
        hint = second if "parameters" in group else _FORM
        raise SettingError(f"{who}: {name} has {wanted}; groups have parameters and lr\n  hint   {hint}")
    if "parameters" not in group:
        raise SettingError(f"{who}: {name} has no parameters\n  hint   {_FORM}")
    parameters, own_rate = group["parameters"], group.get("lr")
    if hasattr(parameters, "parameters"):
        raise SettingError(f'{who}: {name} has a model\n  hint   {{"parameters": model.parameters(), ...}}')
    if hasattr(parameters, "is_parameter") or not isinstance(parameters, Iterable):
        raise SettingError(f"{who}: {name} has no list of parameters\n  hint   {_FORM}")
    leaves = _leaves(who, f"{name}, ", list(parameters))
    if not leaves:
        raise SettingError(f"{who}: {name} is empty\n  hint   {_FORM}")
    if callable(own_rate):
        raise SettingError(
            f"{who}: {name} has a schedule of its own; one schedule is the factor of the rates of all groups\n"
            f'  hint   {who}([{{"parameters": ..., "lr": 0.1}}, ...], lr=optim.schedules.cosine(1.0, 10_000))'
        )
    if "lr" in group:
        check_number(who, f"the lr of {name}", own_rate)
    return Group(leaves, name, own_rate)


def _leaves(who: str, where: str, leaves: list[Any]) -> list[Parameter]:
    for k, leaf in enumerate(leaves):
        if not getattr(leaf, "is_parameter", False):
            hint = ""
            if isinstance(leaf, str) or (isinstance(leaf, tuple) and leaf and isinstance(leaf[0], str)):
                hint = "\n  hint   model.parameters(), without their names"
            elif isinstance(leaf, (list, tuple)):
                hint = f"\n  hint   [*some, *others] in one list, or groups {_FORM}"
            elif hasattr(leaf, "shape"):
                hint = "\n  hint   tn.tensor(data, requires_grad=True)"
            raise SettingError(
                f"{who}: {where}parameter {k} is not a leaf tensor that requires grad: {type(leaf).__name__}{hint}"
            )
    return leaves


def check_rate(who: str, lr: object) -> None:
    """Raise `SettingError` unless a learning rate is a number from 0, or a schedule."""
    if not callable(lr):
        check_number(who, "lr", lr)


def check_betas(who: str, betas: object) -> tuple[float, float]:
    """Return two decays, each in [0, 1)."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise SettingError(f"{who}: betas are two numbers, got {betas!r}")
    for k, beta in enumerate(betas):
        check_number(who, f"betas[{k}]", beta, below=1)
    return float(betas[0]), float(betas[1])


def wide_enough(who: str, dtype: np.dtype) -> None:
    """Refuse float16, in which squares of gradients vanish."""
    if dtype.itemsize < 4:
        raise SettingError(
            f"{who}: float16 is too narrow for the squares of gradients\n  hint   float32 parameters"
        )
