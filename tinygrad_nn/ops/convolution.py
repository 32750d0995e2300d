"""Convolution and what undoes it, of any number of axes, as users call them; channels come last."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_nn.errors import SettingError, ShapeError
from tinygrad_nn.ops.convolution_kernels import (
    biased_convolution,
    convolution,
    plain_convolution,
    transposed_convolution,
)
from tinygrad_nn.ops.windows import (
    Padding,
    PerAxis,
    Window,
    checked,
    window_of,
)
from tinygrad_nn.primitives import Array, ArrayOrTensor, Sample, Shape, composite
from tinygrad_nn.primitives.operands import operand
from tinygrad_nn.settings import integers, is_integer


def _check(who: str, x: Array, w: Array, bias: Array | None, groups: int, *, transposed: bool) -> int:
    """Return the channels of the result; raise an error unless operands fit in rank, channels, groups and bias."""
    if w.ndim < 3 or 0 in w.shape[-2:]:
        raise ShapeError(
            f"{who}: weights are (*kernel, channels, channels), three axes or more and no empty channels, got {w.shape}"
        )
    if x.ndim != w.ndim:
        axes = ", ".join(f"axis {k}" for k in range(1, w.ndim - 1))
        one = (
            "\n  hint   x[None] for a batch of one, x[..., None] for one channel"
            if x.ndim == w.ndim - 1
            else ""
        )
        raise ShapeError(
            f"{who}: weights {w.shape} take an input (N, {axes}, channels) of {w.ndim} axes, got {x.shape}{one}"
        )
    if not is_integer(groups) or groups < 1 or w.shape[-1] % groups:
        raise SettingError(
            f"{who}: groups are an integer that divides {w.shape[-1]}, the last axis of the weights, got {groups!r}"
        )
    inner, outer = w.shape[-2] * groups, w.shape[-1]
    takes, gives = (outer, inner) if transposed else (inner, outer)
    if x.shape[-1] != takes:
        of_groups = f" (groups={groups})" if groups != 1 else ""
        hint = ""
        if x.shape[1] == takes:
            hint = "\n  hint   np.moveaxis(x, 1, -1): channels come last here"
        elif w.shape[1] * groups == x.shape[-1]:
            hint = "\n  hint   np.moveaxis(w, (0, 1), (-1, -2)): weights are (*kernel, in, out) here"
        raise ShapeError(
            f"{who}: weights {w.shape} take {takes} channels{of_groups}, the last axis of the input {x.shape} has "
            f"{x.shape[-1]}{hint}"
        )
    if bias is not None and np.shape(bias) != (gives,):
        raise ShapeError(f"{who}: a bias has shape ({gives},), one for each channel, got {np.shape(bias)}")
    return gives


def _public(rng: np.random.Generator) -> list[Sample]:
    normal = rng.normal
    return [
        ((normal(size=(2, 4, 2)), normal(size=(3, 2, 3)), normal(size=3)), {"padding": "same"}),
        ((normal(size=(1, 4, 3, 2)), normal(size=(2, 2, 1, 4)), normal(size=4)), {"stride": 2, "groups": 2}),
        (
            (normal(size=(1, 4, 4, 2)), normal(size=(2, 1, 2, 2))),
            {"padding": ((1, 0), 1), "dilation": (2, 1)},
        ),
    ]


def _plain(
    x: Array, w: Array, bias: Array | float = 0.0, stride: PerAxis = 1, padding: Padding = 0, **more: Any
) -> Array:
    window = window_of("", w.ndim - 2, w.shape[:-2], stride, padding, more.get("dilation", 1))
    return plain_convolution(x, w, window=window, groups=more.get("groups", 1)) + bias


@composite(samples=_public, reference=_plain)
def conv(
    x: ArrayOrTensor,
    w: ArrayOrTensor,
    bias: ArrayOrTensor | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> ArrayOrTensor:
    """Convolve (N, *space, C) with weights (*kernel, C // groups, O), without flipping them: (N, *results, O).

    Each axis of the result has (n + a + b - d * (k - 1) - 1) // s + 1 elements, for n of the input, a and b zeros
    before and after them, k of the kernel, dilation d and stride s (Dumoulin and Visin 2016, arXiv:1603.07285).

    Args:
        x: the input, of any number of axes between samples and channels.
        w: the weights.
        bias: of shape (O,), added to each result.
        stride: how far the kernel moves, one integer or one for each axis, as for the next two.
        padding: zeros around the input; a pair for an axis is how many before and after it. "same" keeps the size for a
            stride of 1, with the odd zero after; "valid" is none.
        dilation: how far apart the elements of the kernel are.
        groups: parts that the channels of input and result fall into, each convolved for itself.

    Raises:
        ShapeError: operands that do not fit, an axis that is too short.
        SettingError: a setting that is none, "same" with another stride, groups that do not divide the channels.

    Example:
        >>> conv(np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 2)), padding=1)[0, :, :, 0]
        array([[4., 6., 6., 4.],
               [6., 9., 9., 6.],
               [6., 9., 9., 6.],
               [4., 6., 6., 4.]])
    """
    x, w, bias = operand(x), operand(w), None if bias is None else operand(bias)
    _check("conv", x, w, bias, groups, transposed=False)
    window = window_of("conv", w.ndim - 2, w.shape[:-2], stride, padding, dilation)
    checked("conv", window, x.shape[1:-1])
    if bias is None:
        return convolution(x, w, window=window, groups=groups)
    return biased_convolution(x, w, bias, window=window, groups=groups)


def longer_by(who: str, output_padding: PerAxis, window: Window) -> Shape:
    """Return how much longer each axis of the result is; raise `SettingError` unless it is less than the stride."""
    more = integers(who, "output_padding", output_padding, len(window.kernel), 0)
    if any(extra >= s for extra, s in zip(more, window.stride, strict=True)):
        raise SettingError(f"{who}: output_padding={output_padding} is less than the stride, {window.stride}")
    return more


def _plain_conv_transpose(
    x: Array, w: Array, bias: Array | float = 0.0, stride: PerAxis = 1, padding: Padding = 0, **more: Any
) -> Array:
    """Zeros between and around the input, then a convolution with flipped weights."""
    groups, o = more.get("groups", 1), w.shape[-1] // more.get("groups", 1)
    rank = w.ndim - 2
    window = window_of("", w.ndim - 2, w.shape[:-2], stride, padding, more.get("dilation", 1))
    extra = integers("", "", more.get("output_padding", 0), rank, 0)
    apart = np.zeros(
        (len(x), *[(n - 1) * s + 1 for n, s in zip(x.shape[1:-1], window.stride, strict=True)], x.shape[-1])
    )
    apart[:, *[slice(None, None, s) for s in window.stride]] = x
    around = [
        (d * (k - 1) - a, d * (k - 1) - b + e)
        for k, d, (a, b), e in zip(window.kernel, window.dilation, window.padding, extra, strict=True)
    ]
    parts = [
        np.swapaxes(np.flip(w[..., k * o : k * o + o], tuple(range(rank))), -1, -2) for k in range(groups)
    ]
    once = Window(window.kernel, (1,) * rank, tuple(around), window.dilation)
    return plain_convolution(apart, np.concatenate(parts, -1), window=once, groups=groups) + bias


@composite(
    reference=_plain_conv_transpose,
    samples=lambda rng: [
        ((rng.normal(size=(2, 3, 2)), rng.normal(size=(3, 3, 2)), rng.normal(size=3)), {"stride": 2}),
        ((rng.normal(size=(1, 2, 3, 4)), rng.normal(size=(2, 3, 1, 4)), rng.normal(size=2)), {"groups": 2}),
        (
            (rng.normal(size=(1, 2, 2, 1)), rng.normal(size=(3, 3, 1, 1))),
            {"stride": (2, 3), "padding": 1, "output_padding": (1, 2)},
        ),
    ],
)
def conv_transpose(
    x: ArrayOrTensor,
    w: ArrayOrTensor,
    bias: ArrayOrTensor | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> ArrayOrTensor:
    """Undo the shape of a convolution: (N, *space, C), with its weights (*kernel, O // groups, C), to (N, *results, O).

    It is the adjoint of `conv` with the same weights and settings. Each axis of the result has
    (n - 1) * s - a - b + d * (k - 1) + 1 elements, and `output_padding` more: several sizes have a convolution of one
    size where the stride is larger than 1.

    Args:
        x: the input.
        w: the weights of the convolution that is undone, which takes O channels and returns C.
        bias: of shape (O,).
        stride, padding, dilation, groups: as for `conv`, those of the convolution that is undone.
        output_padding: how much longer the result is at the end of an axis, less than the stride.

    Raises:
        ShapeError: operands that do not fit, a result without elements.
        SettingError: a setting that is none.

    Example:
        >>> conv_transpose(np.ones((1, 2, 1)), np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1), stride=2)[0, :, 0]
        array([1., 2., 4., 2., 3.])
    """
    who = "conv_transpose"
    x, w, bias = operand(x), operand(w), None if bias is None else operand(bias)
    gives = _check(who, x, w, bias, groups, transposed=True)
    window = window_of(who, w.ndim - 2, w.shape[:-2], stride, padding, dilation)
    more = longer_by(who, output_padding, window)
    space = tuple(
        (n - 1) * s - a - b + d * (k - 1) + 1 + extra
        for n, k, s, (a, b), d, extra in zip(x.shape[1:-1], *window, more, strict=True)
    )
    if min(space) < 1:
        raise ShapeError(
            f"{who}: the result would have shape {(len(x), *space, gives)}: each axis has "
            "(n - 1) * s - a - b + d * (k - 1) + 1 + output_padding elements\n"
            "  hint   less padding"
        )
    y = transposed_convolution(x, w, window=window, groups=groups, space=space)
    return y if bias is None else y + bias
