"""Normalisation of channels over a batch, and of groups of them over a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.engine.tensor import Operand, Tensor, apply, wrap
from tinygrad_nn.nn.init import of_parameters
from tinygrad_nn.nn.inputs import cast_input
from tinygrad_nn.nn.module import Module
from tinygrad_nn.ops.batch_norm import (
    batch_norm,
    batch_rows,
    check_channels,
    check_groups,
    column_moments,
    group_norm,
    normalised,
    running_update,
)
from tinygrad_nn.settings import check_number, check_share, positive_integer


class _Channels(Module):
    """What has a weight and a bias for each channel, which come last, and a number that is added to variances."""

    def __init__(self, channels: int, eps: float, dtype: DTypeLike) -> None:
        who = type(self).__name__
        self.features = positive_integer(who, "features", channels)
        check_number(who, "eps", eps)
        self.eps = float(eps)
        dtype = of_parameters(type(self).__name__, dtype)
        self.weight = Tensor(np.ones(self.features, dtype), requires_grad=True)
        self.bias = Tensor(np.zeros(self.features, dtype), requires_grad=True)

    def _checked(self, x: Operand) -> Tensor:
        x = cast_input(x, self.weight.dtype)
        check_channels(type(self).__name__, x, self.weight.size)
        return x


class BatchNorm(_Channels):
    """Normalises each channel over a batch of shape (N, *space, features), channels last, as `tn.batch_norm` does.

    While training with the mean and the variance of the batch, of which it keeps running averages:
    running += momentum * (batch - running), with the variance divided by the number of values less one, as in PyTorch.
    In evaluation with these averages, so that samples do not see each other.

    Args:
        features: how many channels there are.
        eps: added to the variance.
        momentum: the share of the newest batch in the averages, from 0 to 1 (Keras calls 1 minus it so).
        dtype: of the parameters, and of the averages unless these would be float16, which are float32 then; plain
            inputs are cast to it.

    Attributes:
        weight, bias: the parameters, ones and zeros at first.
        running_mean, running_var: the averages, zeros and ones at first; they are saved with the parameters.

    Raises:
        SettingError: a setting is none.
        ShapeError: when it is called: the last axis is not that of the channels, or, while training, there is one value
            for each. An empty batch changes no averages.

    Example:
        >>> layer = BatchNorm(1, momentum=0.5)
        >>> layer(np.float32([[1], [3]])).data.round(3).tolist(), layer.running_mean, layer.running_var
        ([[-1.0], [1.0]], array([1.], dtype=float32), array([1.5], dtype=float32))
    """

    def __init__(
        self, features: int, *, eps: float = 1e-5, momentum: float = 0.1, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__(features, eps, dtype)
        check_share(
            "BatchNorm", "momentum is the share of the newest batch in the running averages", momentum
        )
        self.momentum = float(momentum)
        # float16 has no variance of numbers beyond 256.
        wide = np.promote_types(dtype, np.float32)
        self.running_mean = np.zeros(features, wide)
        self.running_var = np.ones(features, wide)

    def forward(self, x: Operand) -> Tensor:
        x = self._checked(x)
        if not self.training:
            running = wrap(self.running_mean, None), wrap(self.running_var, None)
            evaluated: Tensor = batch_norm(x, self.weight, self.bias, *running, eps=self.eps)
            return evaluated
        rows = batch_rows("BatchNorm", x)
        m = apply(column_moments, (rows,))
        y: Tensor = normalised(x, rows, m, self.weight, self.bias, self.eps)
        if len(rows):
            update = {"momentum": self.momentum, "rows": len(rows)}
            running_update(self.running_mean, self.running_var, m._data, **update)
        return y

    def extra_repr(self) -> str:
        return f"{self.weight.size}"


class GroupNorm(_Channels):
    """Normalises groups of channels of each sample, of shape (N, *space, features), channels last (`tn.group_norm`).

    Args:
        groups: how many groups of neighbouring channels there are.
        features: how many channels there are, a multiple of it.
        eps: added to the variance.
        dtype: of the parameters; plain inputs are cast to it.

    Raises:
        SettingError: a setting is none, or the groups do not divide the channels.
        ShapeError: when it is called: the last axis is not that of the channels.

    Example:
        >>> GroupNorm(2, 4)(np.float32([[1, 3, 10, 20]])).data.round(3).tolist()
        [[-1.0, 1.0, -1.0, 1.0]]
    """

    def __init__(
        self, groups: int, features: int, *, eps: float = 1e-5, dtype: DTypeLike = np.float32
    ) -> None:
        super().__init__(features, eps, dtype)
        check_groups("GroupNorm", groups, features)
        self.groups = int(groups)

    def forward(self, x: Operand) -> Tensor:
        y: Tensor = group_norm(self._checked(x), self.groups, self.weight, self.bias, eps=self.eps)
        return y

    def extra_repr(self) -> str:
        return f"{self.groups}, {self.weight.size}"
