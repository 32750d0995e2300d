"""Convolutions over one to three axes, with weights of their own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.errors import SettingError
from tinygrad_nn.nn.init import Initializer, Seed, drawn, glorot_uniform, zeros
from tinygrad_nn.nn.inputs import cast_input
from tinygrad_nn.nn.windows import OverAxes
from tinygrad_nn.ops.convolution import conv, conv_transpose, longer_by
from tinygrad_nn.ops.windows import Padding, PerAxis, window_of
from tinygrad_nn.settings import positive_integer


class _Convolution(OverAxes):
    """(N, *space, in_channels) to (N, *results, out_channels): channels come last.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel_size: one integer, or one for each axis, as for stride and dilation.
        stride, padding, dilation, groups: as for `tn.conv`.
        bias: whether to add a bias, which starts at zero.
        init: initialiser of `weight`, (*kernel_size, in_channels // groups, out_channels), drawn for one group after
            the other; Glorot uniform by default.
        bias_init: initialiser of `bias`, of shape (out_channels,).
        rng: a seed or generator; the same seed gives the same layer bit for bit.
        dtype: of the parameters; plain inputs are cast to it.

    Raises:
        SettingError: a setting that is none, groups that do not divide the channels.
        ShapeError: when it is called: another number of axes or of channels, or an axis that is too short.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        *,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        init: Initializer | None = None,
        bias_init: Initializer | None = None,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        who = type(self).__name__
        self.in_channels = positive_integer(who, "in_channels", in_channels)
        self.out_channels = positive_integer(who, "out_channels", out_channels)
        self.groups = positive_integer(who, "groups", groups)
        if in_channels % groups or out_channels % groups:
            raise SettingError(
                f"{who}: groups={groups} does not divide both in_channels={in_channels} and "
                f"out_channels={out_channels}"
            )
        window = window_of(who, self.rank, kernel_size, stride, padding, dilation)
        self.kernel_size, self.stride, self.padding, self.dilation = window.kernel, stride, padding, dilation
        rng = np.random.default_rng(rng)
        draw, shape = (
            glorot_uniform() if init is None else init,
            (*self.kernel_size, *self._channels_of_a_group()),
        )
        groups_of_weights = [drawn(f"{who}: init", draw, shape, rng, dtype) for _ in range(groups)]
        self.weight = Tensor(np.concatenate(groups_of_weights, axis=-1), requires_grad=True)
        self.bias: Tensor | None = None
        if bias:
            values = drawn(
                f"{who}: bias_init",
                zeros() if bias_init is None else bias_init,
                (self.out_channels,),
                rng,
                dtype,
            )
            self.bias = Tensor(values, requires_grad=True)

    def _channels_of_a_group(self) -> tuple[int, int]:
        return self.in_channels // self.groups, self.out_channels // self.groups

    def forward(self, x: Operand) -> Tensor:
        y: Tensor = conv(
            self.check_rank(cast_input(x, self.weight._data.dtype)),
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        return y

    def _settings(self) -> Mapping[str, tuple[object, object]]:
        """Return what differs from layer to layer, by name, and what it is if nothing is said."""
        return {
            "stride": (self.stride, 1),
            "padding": (self.padding, 0),
            "dilation": (self.dilation, 1),
            "groups": (self.groups, 1),
            "bias": (self.bias is not None, True),
        }

    def extra_repr(self) -> str:
        kernel = "x".join(map(str, self.kernel_size))
        told = [f", {name}={value!r}" for name, (value, usual) in self._settings().items() if value != usual]
        return f"{self.in_channels} -> {self.out_channels}, {kernel}{''.join(told)}"


class Conv1d(_Convolution):
    __doc__ = f"""A convolution over one axis, {_Convolution.__doc__}
    Example:
        >>> Conv1d(3, 16, 5, rng=0)(np.ones((4, 100, 3))).shape
        (4, 96, 16)
    """
    rank = 1


class Conv2d(_Convolution):
    __doc__ = f"""A convolution over height and width, {_Convolution.__doc__}
    Example:
        >>> Conv2d(1, 6, 5, padding=2, rng=0)(np.ones((4, 28, 28, 1))).shape
        (4, 28, 28, 6)
    """
    rank = 2


class Conv3d(_Convolution):
    __doc__ = f"""A convolution over depth, height and width, {_Convolution.__doc__}
    Example:
        >>> Conv3d(1, 6, 3, stride=(1, 2, 2), padding=1, rng=0)(np.ones((2, 8, 12, 12, 1))).shape
        (2, 8, 6, 6, 6)
    """
    rank = 3


class _ConvTranspose(_Convolution):
    """(N, *space, in_channels) to (N, *results, out_channels), larger by the stride: channels come last.

    The weights have the shape of the convolution that it undoes, (*kernel_size, out_channels // groups, in_channels).
    Settings are those of that convolution.

    Args:
        output_padding: how much longer the result is at the end of an axis, less than the stride.
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, init, bias_init, rng, dtype:
            as for a convolution.

    Raises:
        SettingError: a setting that is none, groups that do not divide the channels.
        ShapeError: when it is called: another number of axes or of channels, or no result.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        *,
        stride: PerAxis = 1,
        padding: Padding = 0,
        output_padding: PerAxis = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
        init: Initializer | None = None,
        bias_init: Initializer | None = None,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            init=init,
            bias_init=bias_init,
            rng=rng,
            dtype=dtype,
        )
        who = type(self).__name__
        longer_by(who, output_padding, window_of(who, self.rank, kernel_size, stride, padding, dilation))
        self.output_padding = output_padding

    def _channels_of_a_group(self) -> tuple[int, int]:
        return self.out_channels // self.groups, self.in_channels // self.groups

    def forward(self, x: Operand) -> Tensor:
        y: Tensor = conv_transpose(
            self.check_rank(cast_input(x, self.weight._data.dtype)),
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        return y

    def _settings(self) -> Mapping[str, tuple[object, object]]:
        return {**super()._settings(), "output_padding": (self.output_padding, 0)}


class ConvTranspose1d(_ConvTranspose):
    __doc__ = f"""What undoes the shape of a convolution over one axis, {_ConvTranspose.__doc__}
    Example:
        >>> ConvTranspose1d(16, 3, 5, rng=0)(np.ones((4, 96, 16))).shape
        (4, 100, 3)
    """
    rank = 1


class ConvTranspose2d(_ConvTranspose):
    __doc__ = f"""What undoes the shape of a convolution over height and width, {_ConvTranspose.__doc__}
    Example:
        >>> ConvTranspose2d(6, 1, 2, stride=2, rng=0)(np.ones((4, 14, 14, 6))).shape
        (4, 28, 28, 1)
    """
    rank = 2


class ConvTranspose3d(_ConvTranspose):
    __doc__ = f"""What undoes the shape of a convolution over depth, height and width, {_ConvTranspose.__doc__}
    Example:
        >>> ConvTranspose3d(6, 1, 2, stride=2, rng=0)(np.ones((2, 4, 6, 6, 6))).shape
        (2, 8, 12, 12, 1)
    """
    rank = 3
