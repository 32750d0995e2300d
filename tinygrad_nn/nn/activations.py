"""Activations: modules without parameters, and without bodies, around functions of one tensor."""

from __future__ import annotations

from tinygrad_nn.engine.tensor import Operand, Tensor, apply, as_tensor
from tinygrad_nn.nn.module import Module
from tinygrad_nn.ops import activation, trigonometric
from tinygrad_nn.primitives import Primitive


class _Activation(Module):
    """A module without parameters around an op of one tensor."""

    op: Primitive

    def forward(self, x: Operand) -> Tensor:
        return apply(self.op, (x if type(x) is Tensor else as_tensor(x),))


class Sigmoid(_Activation):
    """1 / (1 + exp(-x)), element by element.

    Example:
        >>> Sigmoid()([-1000.0, 0.0, 1000.0])
        Tensor([0. , 0.5, 1. ])
    """

    op = activation.sigmoid


class Tanh(_Activation):
    """tanh(x), element by element.

    Example:
        >>> Tanh()([-1000.0, 0.0, 1000.0])
        Tensor([-1.,  0.,  1.])
    """

    op = trigonometric.tanh


class ReLU(_Activation):
    """max(x, 0), element by element.

    Example:
        >>> ReLU()([-2.0, 0.0, 3.0])
        Tensor([0., 0., 3.])
    """

    op = activation.relu


class Softplus(_Activation):
    """log(1 + exp(x)), element by element.

    Example:
        >>> Softplus()([-1000.0, 0.0, 3.0]).round(3)
        Tensor([0.   , 0.693, 3.049])
    """

    op = activation.softplus


class LogSigmoid(_Activation):
    """log(sigmoid(x)), element by element.

    Example:
        >>> LogSigmoid()([-1000.0, 1000.0])
        Tensor([-1000.,     0.])
    """

    op = activation.log_sigmoid


class SiLU(_Activation):
    """x * sigmoid(x), element by element.

    Example:
        >>> SiLU()([-1.0, 0.0, 2.0]).round(3)
        Tensor([-0.269,  0.   ,  1.762])
    """

    op = activation.silu


class GELU(Module):
    """x times the standard normal distribution function of x, or with approximate="tanh" close to it.

    Example:
        >>> GELU()([-1.0, 0.0, 2.0]).round(3), GELU(approximate="tanh")
        (Tensor([-0.159,  0.   ,  1.954]), GELU(approximate="tanh"))
    """

    def __init__(self, approximate: str = "none") -> None:
        activation.gelu_with(approximate)
        self.approximate = approximate

    def forward(self, x: Operand) -> Tensor:
        return apply(activation.gelu_with(self.approximate), (as_tensor(x),))

    def extra_repr(self) -> str:
        return "" if self.approximate == "none" else f'approximate="{self.approximate}"'


class GELUTanh(_Activation):
    """GELU with the tanh approximation, element by element.

    Example:
        >>> GELUTanh()([-1.0, 0.0, 2.0]).round(3)
        Tensor([-0.159,  0.   ,  1.955])
    """

    op = activation.gelu_tanh


class _Adjustable(Module):
    """A module without parameters around an op of one tensor and one option, an attribute of the option's name."""

    op: Primitive
    option: str

    def forward(self, x: Operand) -> Tensor:
        setting = getattr(self, self.option)
        params = {} if setting == self.op.takes.defaults[self.option] else {self.option: setting}
        return apply(self.op, (as_tensor(x),), params)

    def extra_repr(self) -> str:
        return f"{self.option}={getattr(self, self.option)}"


class LeakyReLU(_Adjustable):
    """x where it is positive, negative_slope * x elsewhere.

    Example:
        >>> LeakyReLU(0.5)([-2.0, 0.0, 3.0])
        Tensor([-1.,  0.,  3.])
    """

    op = activation.leaky_relu
    option = "negative_slope"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = float(negative_slope)


class ELU(_Adjustable):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere.

    Example:
        >>> ELU()([-1000.0, 0.0, 3.0])
        Tensor([-1.,  0.,  3.])
    """

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
    """exp(x) / sum(exp(x)) along an axis, the last by default.

    Example:
        >>> Softmax()([[1.0, 1.0], [1000.0, 0.0]])
        Tensor([[0.5, 0.5],
                [1. , 0. ]])
    """

    op = activation.softmax


class LogSoftmax(_AlongAxis):
    """log(softmax(x)) along an axis, the last by default.

    Example:
        >>> LogSoftmax()([[1000.0, 0.0]])
        Tensor([[    0., -1000.]])
    """

    op = activation.log_softmax
