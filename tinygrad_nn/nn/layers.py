"""Layers: Dense, Sequential, and activations, which are modules without bodies around functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, overload

import numpy as np

from tinygrad_nn.engine.tensor import Tensor, apply, as_tensor, compute
from tinygrad_nn.nn.init import Initializer, Seed, glorot_uniform, zeros
from tinygrad_nn.nn.module import Module, cast_input
from tinygrad_nn.ops import activation, trigonometric
from tinygrad_nn.primitives.primitive import Primitive


class Dense(Module):
    """A fully connected layer, x @ weight + bias.

    Args:
        in_features: features per row of the input, of shape (..., in_features).
        out_features: features per row of the result, of shape (..., out_features).
        bias: whether to add a bias, which starts at zero.
        init: initialiser of `weight`, of shape (in_features, out_features); Glorot uniform by default.
        bias_init: initialiser of `bias`, of shape (out_features,).
        rng: a seed or generator; the same seed gives the same layer bit for bit.
        dtype: of the parameters; plain floating inputs are cast to it.

    Raises:
        ValueError: a width that is not a positive integer.

    Example:
        >>> Dense(2, 3, rng=0)(np.ones((4, 2))).shape
        (4, 3)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        init: Initializer | None = None,
        bias_init: Initializer | None = None,
        rng: Seed = None,
        dtype: Any = np.float32,
    ) -> None:
        for label, width in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(width, (int, np.integer)) or isinstance(width, bool) or width < 1:
                raise ValueError(f"Dense: {label} is a positive integer, got {width!r}")
        rng = np.random.default_rng(rng)
        self.in_features, self.out_features = int(in_features), int(out_features)
        first = (init or glorot_uniform())((self.in_features, self.out_features), rng, dtype)
        self.weight = Tensor(first, requires_grad=True)
        self.bias: Tensor | None = None
        if bias:
            self.bias = Tensor((bias_init or zeros())((self.out_features,), rng, dtype), requires_grad=True)

    def forward(self, x: Any) -> Tensor:
        weight, bias = self.weight, self.bias
        if type(x) is not Tensor or x._data.dtype is not weight._data.dtype:
            x = cast_input(x, weight._data.dtype)
        y: Tensor = x @ weight
        return y if bias is None else y + bias

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}" + (
            "" if self.bias is not None else ", bias=False"
        )


class Sequential(Module):
    """Modules (or plain functions) applied one after the other; indexes, slices and iterates like a list.

    Example:
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


class _Activation(Module):
    """A module without parameters around an op of one tensor."""

    op: Primitive

    def forward(self, x: Any) -> Tensor:
        x = x if type(x) is Tensor else as_tensor(x)
        a, node = x._data, x._node
        return compute(
            self.op, [a], [a if node is None else node], node is not None and node.requires_grad, {}, (x,)
        )


class Sigmoid(_Activation):
    """1 / (1 + exp(-x)), element by element."""

    op = activation.sigmoid


class Tanh(_Activation):
    """tanh(x), element by element."""

    op = trigonometric.tanh


class ReLU(_Activation):
    """max(x, 0), element by element."""

    op = activation.relu


class Softplus(_Activation):
    """log(1 + exp(x)), element by element."""

    op = activation.softplus


class LogSigmoid(_Activation):
    """log(sigmoid(x)), element by element."""

    op = activation.log_sigmoid


class SiLU(_Activation):
    """x * sigmoid(x), element by element."""

    op = activation.silu


class GELU(_Activation):
    """x times the standard normal distribution function of x, element by element."""

    op = activation.gelu


class GELUTanh(_Activation):
    """GELU with the tanh approximation, element by element."""

    op = activation.gelu_tanh


class _Adjustable(Module):
    """A module without parameters around an op of one tensor and one option, an attribute of the option's name."""

    op: Primitive
    option: str

    def forward(self, x: Any) -> Tensor:
        setting = getattr(self, self.option)
        usual = setting == self.op.takes.defaults[self.option]
        return apply(self.op, (as_tensor(x),), {} if usual else {self.option: setting})

    def extra_repr(self) -> str:
        return f"{self.option}={getattr(self, self.option)}"


class LeakyReLU(_Adjustable):
    """x where it is positive, negative_slope * x elsewhere."""

    op = activation.leaky_relu
    option = "negative_slope"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = float(negative_slope)


class ELU(_Adjustable):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere."""

    op = activation.elu
    option = "alpha"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = float(alpha)


class _AlongAxis(_Adjustable):
    """A module without parameters around an op along an axis, the last by default."""

    option = "axis"

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def extra_repr(self) -> str:
        return "" if self.axis == -1 else super().extra_repr()


class Softmax(_AlongAxis):
    """exp(x) / sum(exp(x)) along an axis, the last by default."""

    op = activation.softmax


class LogSoftmax(_AlongAxis):
    """log(softmax(x)) along an axis, the last by default."""

    op = activation.log_softmax


class Flatten(Module):
    """Every axis but the first becomes one: (N, ...) to (N, features)."""

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        rows: Tensor = x.reshape(len(x), math.prod(x.shape[1:]))
        return rows
