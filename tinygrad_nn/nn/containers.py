"""Modules that arrange other modules, or the axes of what goes through them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, overload

from tinygrad_nn.engine.tensor import Tensor, as_tensor
from tinygrad_nn.nn.module import Module


class Sequential(Module):
    """Modules (or plain functions) applied one after the other; indexes, slices and iterates like a list.

    Example:
        >>> from tinygrad_nn.nn import Dense, Tanh
        >>> model = Sequential(Dense(2, 3, rng=0), Tanh(), Dense(3, 2, rng=1))
        >>> len(model), model[0]
        (3, Dense(2 -> 3))
    """

    def __init__(self, *modules: Callable[..., Any]) -> None:
        for k, module in enumerate(modules):
            if isinstance(module, type):
                raise TypeError(f"Sequential: item {k} is a class\n  hint   {module.__name__}()")
            if not callable(module):
                hint = (
                    "\n  hint   Sequential(*modules) for a list of them"
                    if isinstance(module, (list, tuple))
                    else ""
                )
                raise TypeError(
                    f"Sequential: item {k} is {type(module).__name__}, expected modules or functions{hint}"
                )
        self.modules = list(modules)

    def attributes(self) -> Mapping[Any, Any]:
        return dict(enumerate(self.modules)) | {k: v for k, v in vars(self).items() if k != "modules"}

    def forward(self, x: Any) -> Any:
        for module in self.modules:
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self.modules)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(self.modules)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Any:
        return Sequential(*self.modules[index]) if isinstance(index, slice) else self.modules[index]

    def append(self, module: Callable[..., Any]) -> Sequential:
        """Add a module at the end; return the model."""
        self.modules.append(module)
        return self


class Flatten(Module):
    """Every axis but the first becomes one: (N, ...) to (N, features)."""

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        rows: Tensor = x.reshape(len(x), math.prod(x.shape[1:]))
        return rows
