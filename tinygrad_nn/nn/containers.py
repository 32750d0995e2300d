"""Modules that arrange other modules, or the axes of what goes through them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, overload

from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor
from tinygrad_nn.engine.trees import Tree
from tinygrad_nn.errors import ArgumentError, ShapeError
from tinygrad_nn.nn.module import Module

Layer = Callable[..., Tree]
"""A module, or a plain function of what the layer before it returns."""


class Sequential(Module):
    """Modules (or plain functions) applied one after the other; indexes, slices and iterates like a list.

    Raises:
        ArgumentError: one of them is a class, or cannot be called.

    Example:
        >>> from tinygrad_nn.nn import Dense, Tanh
        >>> model = Sequential(Dense(2, 3, rng=0), Tanh(), Dense(3, 2, rng=1))
        >>> len(model), model[0]
        (3, Dense(2 -> 3))
    """

    def __init__(self, *modules: Layer) -> None:
        for k, module in enumerate(modules):
            if isinstance(module, type):
                raise ArgumentError(f"Sequential: item {k} is a class\n  hint   {module.__name__}()")
            if not callable(module):
                several, named = isinstance(module, (list, tuple)), isinstance(module, dict)
                hint = "\n  hint   Sequential(*modules) for a list of them" * several
                hint += "\n  hint   Sequential(*modules.values()), whose names are numbers" * named
                hint += "\n  hint   leave it out, or nn.Identity()" * (module is None)
                what = type(module).__name__
                raise ArgumentError(f"Sequential: item {k} is {what}, expected modules or functions{hint}")
        self.modules = list(modules)

    def attributes(self) -> Mapping[Any, object]:
        return dict(enumerate(self.modules)) | {k: v for k, v in vars(self).items() if k != "modules"}

    def forward(self, x: Tree) -> Tensor:
        y: Tensor = x
        for module in self.modules:
            y = module(y)
        return y

    def __len__(self) -> int:
        return len(self.modules)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.modules)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Layer:
        return Sequential(*self.modules[index]) if isinstance(index, slice) else self.modules[index]

    def append(self, module: Layer) -> Self:
        """Add a module at the end; return the model."""
        self.modules.append(module)
        return self


class Flatten(Module):
    """Every axis but the first becomes one: (N, ...) to (N, features).

    Example:
        >>> import numpy as np
        >>> Flatten()(np.ones((4, 28, 28, 1))).shape
        (4, 784)
    """

    def forward(self, x: Operand) -> Tensor:
        images = as_tensor(x)
        rows: Tensor = images.reshape(len(images), math.prod(images.shape[1:]))
        return rows


class Identity(Module):
    """x as it is: what stands in a model where a layer may be left out.

    Example:
        >>> import tinygrad_nn as tn
        >>> block = lambda p: tn.nn.Sequential(tn.nn.Dense(2, 2), tn.nn.Dropout(p) if p else tn.nn.Identity())
        >>> block(0)
        Sequential(
          0: Dense(2 -> 2)
          1: Identity()
        )
    """

    def forward(self, x: Operand) -> Tensor:
        return as_tensor(x)


class Residual(Module):
    """x + module(x), the connection past a module of residual networks (He et al. 2015, arXiv:1512.03385).

    Args:
        module: a module, or a plain function, whose result has the shape of its input.

    Raises:
        TypeError: `module` is a class, or cannot be called.
        ShapeError: when it is called: the result has another shape.

    Example:
        >>> from tinygrad_nn.nn import Dense
        >>> Residual(Dense(3, 3, rng=0))
        Residual(
          module: Dense(3 -> 3)
        )
    """

    def __init__(self, module: Layer) -> None:
        if isinstance(module, type) or not callable(module):
            what = f"the class {module.__name__}" if isinstance(module, type) else type(module).__name__
            hint = f"{module.__name__}(...)" if isinstance(module, type) else "Residual(Sequential(...))"
            raise ArgumentError(f"Residual: takes one module or function, got {what}\n  hint   {hint}")
        self.module = module

    def forward(self, x: Operand) -> Tensor:
        x = as_tensor(x)
        y = as_tensor(self.module(x))
        if y.shape != x.shape:
            raise ShapeError(
                f"Residual: x has shape {x.shape}, module(x) has shape {y.shape}: the sum would broadcast or fail\n"
                "  hint   a module that keeps the shape; where it has to change, a layer beside it that changes x too"
            )
        return x + y
