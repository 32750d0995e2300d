"""Writing into a part of a tensor, which makes a new one: `t.at[index].set(values)`, with gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_nn.engine.tensor import Operand, Tensor, apply, wrap
from tinygrad_nn.ops.arithmetic import add
from tinygrad_nn.ops.indexing import fits_into, getitem, scatter, set_at, split_index
from tinygrad_nn.ops.shape import broadcast_to
from tinygrad_nn.primitives.operands import as_operand


class At:
    """What `t.at` is: `t.at[index]` is a place to write to."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __getitem__(self, index: Any) -> Place:
        return Place(self._tensor, index)


class Place:
    """Elements of a tensor that an index chooses, to write to; the tensor itself stays as it is.

    Example:
        >>> import tinygrad_nn as tn
        >>> t = tn.tensor([1.0, 2.0, 3.0])
        >>> t.at[1:].set(0.0)
        Tensor([1., 0., 0.])
        >>> t.at[[0, 0, 2]].add(10.0)
        Tensor([21.,  2., 13.])
    """

    __slots__ = ("_arrays", "_template", "_tensor")

    def __init__(self, tensor: Tensor, index: Any) -> None:
        self._tensor = tensor
        self._arrays, self._template = split_index(index)

    def set(self, values: Operand) -> Tensor:
        """Return the tensor with these elements replaced; where the index repeats, the last value stays.

        Args:
            values: broadcast to the shape of `t[index]`, and take the dtype of the tensor.

        Raises:
            DtypeError: floating values for integers.
            ShapeError, IndexingError: the values or the index do not fit.
        """
        return apply(set_at, (self._tensor, self._fitting(values), *self._arrays), {"index": self._template})

    def add(self, values: Operand) -> Tensor:
        """Return the tensor with values added to these elements; where the index repeats, all of them.

        Args:
            values: broadcast to the shape of `t[index]`, and take the dtype of the tensor.

        Raises:
            DtypeError: floating values for integers.
            ShapeError, IndexingError: the values or the index do not fit.
        """
        t, values = self._tensor, self._fitting(values)
        chosen = apply(getitem, (t.detach(), *self._arrays), {"index": self._template})
        if values.shape != chosen.shape:
            values = apply(broadcast_to, (values,), {"shape": chosen.shape})
        params = {"index": self._template, "shape": t.shape}
        return apply(add, (t, apply(scatter, (values, *self._arrays), params)))

    def _fitting(self, values: Operand) -> Tensor:
        """Return values as a tensor of the dtype that they are written into."""
        t, v = (
            self._tensor,
            values if isinstance(values, Tensor) else wrap(np.asarray(as_operand(values)), None),
        )
        fits_into(v.dtype, t.dtype)
        return v if v.dtype == t.dtype else v.astype(t.dtype)
