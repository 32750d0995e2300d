"""Attention: means of values, weighted by how well queries fit keys."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from tinygrad_nn.errors import DtypeError, ShapeError
from tinygrad_nn.ops.activation import softmax, softmax_back
from tinygrad_nn.ops.arithmetic import floating
from tinygrad_nn.ops.reduction import wide_sum
from tinygrad_nn.ops.samples import cases, each, mask
from tinygrad_nn.primitives import Array, ArrayOrTensor, Mask, composite, kernel
from tinygrad_nn.primitives.operands import operand


def _plain_softmax_of_some(x: Array, chosen: Mask) -> Array:
    parts = np.where(chosen, np.exp(x), 0)
    total = np.sum(parts, axis=-1, keepdims=True)
    return parts / np.where(total == 0, 1, total)


@kernel(
    lambda g, y: softmax_back(g, y),
    None,
    formula=("y * (g - sum(g * y))", None),
    reference=_plain_softmax_of_some,
    samples=cases(
        [(3, 4), mask((3, 4)), {}, (2, 3, 4), each(mask((3, 4)), mask((2, 1, 4))), {}, (2, 2), np.tri(2) > 0],
        [
            (2, 3),
            np.array([[True, False, True], [False, False, False]]),
            {},
            (4,),
            True,
            {},
            (0, 3),
            mask((0, 3)),
        ],
    ),
    method=False,
)
def softmax_of_some(x: Array, chosen: Array) -> Array:
    """Softmax over the chosen elements of each row; 0 for the others, and in a row without any.

    Of minus infinity there is nothing in it, chosen or not.
    """
    x = floating(x)
    y = np.where(chosen, x, np.array(-np.inf, x.dtype))
    top = np.maximum.reduce(y, -1, keepdims=True, initial=-np.inf)
    y -= np.where(top == -np.inf, 0, top)
    np.exp(y, y)
    total = wide_sum(y, -1, keepdims=True)
    y /= np.where(total == 0, 1, total)
    return y


@lru_cache(maxsize=16)
def _up_to_now(queries: int, keys: int) -> Array:
    """Which keys each query sees that looks at nothing later, made once for each pair of lengths."""
    chosen = np.tri(queries, keys, dtype=bool)
    chosen.flags.writeable = False
    return chosen


def _check(q: Array, k: Array, v: Array) -> None:
    shapes = f"queries {np.shape(q)}, keys {np.shape(k)}, values {np.shape(v)}"
    if min(map(np.ndim, (q, k, v))) < 2:
        raise ShapeError(f"attention: takes (..., time, features), got {shapes}")
    if np.shape(q)[-1] != np.shape(k)[-1]:
        raise ShapeError(f"attention: queries and keys have the same features, got {shapes}")
    if np.shape(k)[-2] != np.shape(v)[-2]:
        raise ShapeError(f"attention: there is a value for each key, got {shapes}")
    try:
        np.broadcast_shapes(*(np.shape(x)[:-2] for x in (q, k, v)))
    except ValueError:
        raise ShapeError(f"attention: the axes before time do not broadcast, got {shapes}") from None


def _checked_mask(mask: ArrayOrTensor, scores: Array) -> ArrayOrTensor:
    mask = operand(mask)
    if mask.dtype.kind not in "bf":
        raise DtypeError(
            f"attention: a mask is boolean, True takes part, or floats to add, got dtype {mask.dtype}\n"
            "  hint   mask.astype(bool)"
        )
    shape = np.shape(scores)
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"attention: a mask of shape {mask.shape} does not broadcast to {shape}, (..., queries, keys)\n"
            "  hint   mask[:, None, :] where there is one entry for each key of each sample"
        )
    return mask


def _plain_attention(q: Array, k: Array, v: Array, mask: Array | None = None, causal: bool = False) -> Array:
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    if mask is not None and mask.dtype.kind == "f":
        scores, mask = scores + mask, None
    chosen = np.broadcast_to(True if mask is None else mask, scores.shape)
    return _plain_softmax_of_some(scores, np.tril(chosen) if causal else chosen) @ v


@composite(
    samples=cases(
        [
            (3, 2),
            (3, 2),
            (3, 2),
            {"causal": each(False, True)},
            (2, 3, 4),
            (2, 5, 4),
            (2, 5, 1),
            {"causal": True},
        ],
        [
            (2, 1, 3, 2),
            (4, 2),
            (2, 4, 3),
            each(mask((3, 4)), mask((2, 1, 1, 4)), (3, 4)),
            {},
            {"causal": True},
        ],
        [(2, 2), (3, 2), (3, 2), np.array([[True, True, False], [False, False, False]])],
        [(0, 2, 2), (0, 3, 2), (0, 3, 2), {}, (2, 2), (0, 2), (0, 3)],
    ),
    reference=_plain_attention,
)
def attention(
    q: ArrayOrTensor,
    k: ArrayOrTensor,
    v: ArrayOrTensor,
    mask: ArrayOrTensor | None = None,
    causal: bool = False,
) -> ArrayOrTensor:
    """softmax(q @ k.T / sqrt(features)) @ v for (..., time, features) (Vaswani et al., 2017, arXiv:1706.03762).

    Args:
        q, k, v: queries, keys and values, of shapes (..., T, E), (..., S, E) and (..., S, F); the result is
            (..., T, F). What is before time broadcasts.
        mask: broadcasts to (..., T, S). Where a boolean one is True, the key takes part; floats are added to what the
            softmax is of, minus infinity takes no part. A query without any key gives zeros, without a gradient.
        causal: whether query t sees the keys 0 to t alone, also where T and S differ.

    Raises:
        ShapeError: shapes that do not fit each other.
        DtypeError: a mask of integers.

    Example:
        >>> x = np.array([[1.0], [3.0]])
        >>> attention(0 * x, x, x, causal=True)
        array([[1.],
               [2.]])
    """
    q, k, v = map(operand, (q, k, v))
    _check(q, k, v)
    # Scaling the queries is less work than scaling the scores.
    scores = np.matmul(q * (1 / math.sqrt(max(np.shape(q)[-1], 1))), np.swapaxes(k, -1, -2))
    chosen = None
    if mask is not None:
        chosen = _checked_mask(mask, scores)
        if chosen.dtype.kind == "f":
            scores = scores + (chosen.astype(scores.dtype) if type(chosen) is np.ndarray else chosen)
            chosen = np.True_
    if causal:
        up_to_now = _up_to_now(*np.shape(scores)[-2:])
        chosen = up_to_now if chosen is None else np.logical_and(chosen, up_to_now)
    weights = softmax(scores) if chosen is None else softmax_of_some(scores, chosen)
    return np.matmul(weights, v)
