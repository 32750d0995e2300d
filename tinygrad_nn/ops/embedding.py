"""From integers to rows: of a table of weights, or with a single one in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.errors import DtypeError, IndexingError, SettingError, ShapeError
from tinygrad_nn.ops.fused_losses import labels_fit
from tinygrad_nn.ops.indexing import put
from tinygrad_nn.ops.samples import cases, each, integers
from tinygrad_nn.primitives import Array, kernel
from tinygrad_nn.primitives.operands import supported
from tinygrad_nn.settings import is_integer


def checked_ids(who: str, ids: Array, count: int, what: str) -> Array:
    """Return ids as an array of integers from 0 to count - 1; refuse others."""
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise DtypeError(f"{who}: ids are integers, got dtype {ids.dtype}\n  hint   ids.astype(np.int64)")
    if not labels_fit(ids.reshape(-1), count):
        position = int(np.argmax((ids < 0) | (ids >= count)))
        text = (
            f"{who}: id {ids.ravel()[position]} at position {position} of ids of shape {ids.shape} is outside of the "
            f"{count} {what}" + (f", 0 to {count - 1}" if count else "")
        )
        wraps = "\n  hint   ids are not counted from the end; ids % count does that" if ids.min() < 0 else ""
        raise IndexingError(text + wraps)
    # Older NumPy takes no unsigned ones of 64 bits.
    return ids.astype(np.intp, copy=False)


@kernel(
    lambda g, ids, *, shapes: put(g, ids, shapes[0], 0),
    None,
    linear=True,
    samples=cases(
        [(5, 3), integers(0, 5, (2, 4)), {}, (2, 3), each(integers(0, 2, (6,)), np.array(1), 1)],
        [
            (4, 1),
            np.zeros((2, 0), np.int64),
            {},
            (3, 0),
            integers(0, 3, (2,)),
            {},
            (3, 2, 2),
            np.array([2, 0, 2]),
        ],
    ),
    reference=lambda weight, ids: np.tensordot(np.eye(len(weight))[ids], weight, 1),
    method=False,
)
def embedding(weight: Array, ids: Array) -> Array:
    """The rows of a table that integers name: weight[ids], of shape (*ids.shape, *weight.shape[1:]).

    Raises:
        IndexingError: an id outside of the table, negative ones too; says which, and where.
        DtypeError: ids are not integers.

    Example:
        >>> embedding(np.array([[0.0, 0.5], [1.0, 1.5]]), np.array([1, 1, 0]))
        array([[1. , 1.5],
               [1. , 1.5],
               [0. , 0.5]])
    """
    if not np.ndim(weight):
        raise ShapeError("embedding: the weight has a row for each id, got shape ()")
    return np.take(weight, checked_ids("embedding", ids, len(weight), "rows of the weight"), axis=0)


@kernel(
    None,
    differentiable=False,
    samples=cases([integers(0, 3, (2, 4)), {"num_classes": each(3, 5)}, np.array(1), {"num_classes": 2}]),
    reference=lambda ids, num_classes, dtype=np.float32: np.eye(num_classes, dtype=dtype)[ids],
    method=False,
)
def one_hot(ids: Array, num_classes: int, *, dtype: DTypeLike = np.float32) -> Array:
    """Rows of `num_classes` numbers, 1 at the place that an id names and 0 elsewhere, (*ids.shape, num_classes).

    Raises:
        IndexingError: an id outside of 0 to num_classes - 1.
        DtypeError: ids are not integers.
        SettingError: a number of classes that is no integer, or negative.

    Example:
        >>> one_hot(np.array([2, 0]), 3)
        array([[0., 0., 1.],
               [1., 0., 0.]], dtype=float32)
    """
    if not is_integer(num_classes) or num_classes < 0:
        raise SettingError(f"one_hot: num_classes is an integer from 0, got {num_classes!r}")
    ids = checked_ids("one_hot", ids, num_classes, "classes")
    return (ids[..., None] == np.arange(num_classes)).astype(supported(dtype, "one_hot: "))
