"""Reverse-mode automatic differentiation and small neural networks on NumPy."""

from tinygrad_nn import data, errors, nn, optim
from tinygrad_nn.autodiff import grad, gradients, hessian, jacobian, jvp, value_and_grad, vjp
from tinygrad_nn.context import enable_grad, no_grad
from tinygrad_nn.errors import TinygradError
from tinygrad_nn.ops.activation import log_softmax, relu, sigmoid, softmax
from tinygrad_nn.ops.arithmetic import product, quotient
from tinygrad_nn.ops.reduction import logsumexp
from tinygrad_nn.primitive import kernel, op
from tinygrad_nn.tensor import Tensor, as_tensor, tensor

__version__ = "0.1.0"
__all__ = [
    "Tensor",
    "TinygradError",
    "as_tensor",
    "data",
    "enable_grad",
    "errors",
    "grad",
    "gradients",
    "hessian",
    "jacobian",
    "jvp",
    "kernel",
    "log_softmax",
    "logsumexp",
    "nn",
    "no_grad",
    "op",
    "optim",
    "product",
    "quotient",
    "relu",
    "sigmoid",
    "softmax",
    "tensor",
    "value_and_grad",
    "vjp",
]
