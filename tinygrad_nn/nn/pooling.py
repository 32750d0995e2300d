"""Pools over one to three axes, and over all of them."""

from __future__ import annotations

from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.nn.windows import OverAxes
from tinygrad_nn.ops.pooling import avg_pool, max_pool, pool_window
from tinygrad_nn.ops.windows import Padding, PerAxis


class _Pool(OverAxes):
    """(N, *space, C) to (N, *results, C): channels come last.

    Args:
        kernel_size: size of the window, one integer or one for each axis.
        stride: how far it moves, by default its size.
        padding: as for `tn.conv`, at most half of the window.

    Raises:
        SettingError: a setting that is none, or too much padding.
        ShapeError: when it is called: another number of axes, or one that is too short.
    """

    def __init__(self, kernel_size: PerAxis, stride: PerAxis | None = None, padding: Padding = 0) -> None:
        self.kernel_size = pool_window(type(self).__name__, self.rank, kernel_size, stride, padding).kernel
        self.stride, self.padding = stride, padding

    def extra_repr(self) -> str:
        stride = "" if self.stride is None else f", stride={self.stride}"
        padding = "" if self.padding == 0 else f", padding={self.padding!r}"
        return "x".join(map(str, self.kernel_size)) + stride + padding


class _MaxPool(_Pool):
    __doc__ = f"The largest element under each window, {_Pool.__doc__}"

    def forward(self, x: Operand) -> Tensor:
        y: Tensor = max_pool(self.check_rank(as_tensor(x)), self.kernel_size, self.stride, self.padding)
        return y


class MaxPool1d(_MaxPool):
    __doc__ = f"""{_MaxPool.__doc__}
    Example:
        >>> MaxPool1d(2)([[[1.0], [5.0], [2.0], [3.0]]]).data.ravel()
        array([5., 3.], dtype=float32)
    """
    rank = 1


class MaxPool2d(_MaxPool):
    __doc__ = f"""{_MaxPool.__doc__}
    Example:
        >>> import numpy as np
        >>> MaxPool2d(2)(np.ones((4, 28, 28, 6))).shape
        (4, 14, 14, 6)
    """
    rank = 2


class MaxPool3d(_MaxPool):
    __doc__ = f"""{_MaxPool.__doc__}
    Example:
        >>> import numpy as np
        >>> MaxPool3d(2)(np.ones((4, 16, 28, 28, 6))).shape
        (4, 8, 14, 14, 6)
    """
    rank = 3


class _AvgPool(_Pool):
    __doc__ = f"""The average under each window, {_Pool.__doc__}
    With `count_include_pad=False` zeros around the input do not count.
    """

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: Padding = 0,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.count_include_pad = count_include_pad

    def forward(self, x: Operand) -> Tensor:
        images = self.check_rank(as_tensor(x))
        y: Tensor = avg_pool(images, self.kernel_size, self.stride, self.padding, self.count_include_pad)
        return y

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.count_include_pad else ", count_include_pad=False")


class AvgPool1d(_AvgPool):
    __doc__ = f"""{_AvgPool.__doc__}
    Example:
        >>> AvgPool1d(2)([[[1.0], [5.0], [2.0], [3.0]]]).data.ravel()
        array([3. , 2.5], dtype=float32)
    """
    rank = 1


class AvgPool2d(_AvgPool):
    __doc__ = f"""{_AvgPool.__doc__}
    Example:
        >>> import numpy as np
        >>> AvgPool2d(3, stride=2, padding=1)(np.ones((4, 28, 28, 6))).shape
        (4, 14, 14, 6)
    """
    rank = 2


class AvgPool3d(_AvgPool):
    __doc__ = f"""{_AvgPool.__doc__}
    Example:
        >>> import numpy as np
        >>> AvgPool3d((1, 2, 2))(np.ones((4, 16, 28, 28, 6))).shape
        (4, 16, 14, 14, 6)
    """
    rank = 3


class GlobalAvgPool(Module):
    """The average of each channel, (N, *space, C) to (N, C): channels come last.

    Raises:
        ShapeError: when it is called: fewer than three axes.

    Example:
        >>> import numpy as np
        >>> GlobalAvgPool()(np.ones((4, 7, 7, 32))).shape
        (4, 32)
    """

    def forward(self, x: Operand) -> Tensor:
        images = as_tensor(x)
        if images.ndim < 3:
            raise ShapeError(
                f"GlobalAvgPool: takes (N, *space, channels), three axes or more, got shape {images.shape}"
            )
        return images.mean(axis=tuple(range(1, images.ndim - 1)))
