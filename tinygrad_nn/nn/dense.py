"""Dense, the fully connected layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.nn.init import Initializer, Seed, drawn, glorot_uniform, zeros
from tinygrad_nn.nn.inputs import cast_input
from tinygrad_nn.nn.module import Module
from tinygrad_nn.settings import positive_integer


class Dense(Module):
    """A fully connected layer, (..., in_features) to (..., out_features): x @ weight + bias.

    Args:
        in_features: features per row of the input, of shape (..., in_features).
        out_features: features per row of the result, of shape (..., out_features).
        bias: whether to add a bias, which starts at zero.
        init: initialiser of `weight`, of shape (in_features, out_features); Glorot uniform by default.
        bias_init: initialiser of `bias`, of shape (out_features,).
        rng: a seed or generator; the same seed gives the same layer bit for bit.
        dtype: of the parameters; plain inputs are cast to it.

    Raises:
        SettingError: a width that is not a positive integer; an `init` that is no initialiser.
        ShapeError: an initialiser returns another shape.

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
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_features = positive_integer("Dense", "in_features", in_features)
        self.out_features = positive_integer("Dense", "out_features", out_features)
        rng = np.random.default_rng(rng)
        shape = self.in_features, self.out_features
        weight = drawn("Dense: init", glorot_uniform() if init is None else init, shape, rng, dtype)
        self.weight = Tensor(weight, requires_grad=True)
        self.bias: Tensor | None = None
        if bias:
            values = drawn(
                "Dense: bias_init",
                zeros() if bias_init is None else bias_init,
                (self.out_features,),
                rng,
                dtype,
            )
            self.bias = Tensor(values, requires_grad=True)

    def forward(self, x: Operand) -> Tensor:
        weight, bias = self.weight, self.bias
        if type(x) is not Tensor or x._data.dtype is not weight._data.dtype:
            x = cast_input(x, weight._data.dtype)
        y: Tensor = x @ weight
        return y if bias is None else y + bias

    def extra_repr(self) -> str:
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features} -> {self.out_features}{bias}"
