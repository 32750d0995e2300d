"""Layers that normalise each row of features: LayerNorm and RMSNorm."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.nn.init import of_parameters
from tinygrad_nn.nn.inputs import cast_input
from tinygrad_nn.nn.module import Module
from tinygrad_nn.ops.normalisation import layer_norm, rms_norm
from tinygrad_nn.settings import check_number, positive_integer


class LayerNorm(Module):
    """Rows (..., features) with mean 0 and variance 1, times weight, plus bias (Ba et al., 2016, arXiv:1607.06450).

    Args:
        features: how many there are along the last axis.
        eps: added to the variance.
        bias: whether to add a bias, which starts at zero; `weight` starts at one.
        dtype: of the parameters; plain inputs are cast to it.

    Raises:
        SettingError: features that are not a positive integer, an eps that is no number from 0.
        ShapeError: an input with another number of features.

    Example:
        >>> LayerNorm(2)(np.array([[1.0, 3.0]])).data.round(3)
        array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self, features: int, *, eps: float = 1e-5, bias: bool = True, dtype: DTypeLike = np.float32
    ) -> None:
        self.features = positive_integer("LayerNorm", "features", features)
        check_number("LayerNorm", "eps", eps)
        self.eps = eps
        dtype = of_parameters(type(self).__name__, dtype)
        self.weight = Tensor(np.ones(self.features, dtype), requires_grad=True)
        self.bias = Tensor(np.zeros(self.features, dtype), requires_grad=True) if bias else None

    def forward(self, x: Operand) -> Tensor:
        y: Tensor = layer_norm(cast_input(x, self.weight.dtype), self.weight, self.bias, eps=self.eps)
        return y

    def extra_repr(self) -> str:
        eps = "" if self.eps == 1e-5 else f", eps={self.eps}"
        return f"{self.features}{eps}{'' if self.bias is not None else ', bias=False'}"


class RMSNorm(Module):
    """Rows (..., features) with mean square 1, times weight (Zhang and Sennrich, 2019, arXiv:1910.07467).

    Args:
        features: how many there are along the last axis.
        eps: added to the mean square; by default the distance from 1 to the next number of the input's dtype.
        dtype: of `weight`, which starts at one; plain inputs are cast to it.

    Raises:
        SettingError: features that are not a positive integer, an eps that is no number from 0.
        ShapeError: an input with another number of features.

    Example:
        >>> RMSNorm(2)(np.array([[3.0, -3.0]])).data
        array([[ 1., -1.]], dtype=float32)
    """

    def __init__(self, features: int, *, eps: float | None = None, dtype: DTypeLike = np.float32) -> None:
        self.features = positive_integer("RMSNorm", "features", features)
        if eps is not None:
            check_number("RMSNorm", "eps", eps)
        self.eps = eps
        dtype = of_parameters(type(self).__name__, dtype)
        self.weight = Tensor(np.ones(self.features, dtype), requires_grad=True)

    def forward(self, x: Operand) -> Tensor:
        y: Tensor = rms_norm(cast_input(x, self.weight.dtype), self.weight, eps=self.eps)
        return y

    def extra_repr(self) -> str:
        return f"{self.features}" if self.eps is None else f"{self.features}, eps={self.eps}"
