"""Products of matrices: by NumPy's BLAS, divided among threads, and by tiles where these are quicker."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_nn.compiler.draft import Divided, Draft, Work, parts
from tinygrad_nn.compiler.kernels import general as kernels
from tinygrad_nn.compiler.threads import blas
from tinygrad_nn.compiler.works.general import are_alike
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.primitives import Array

_LEAST = 8_000_000
"""Operations that are worth a thread: some 40 microseconds on a fast core."""
_LONG = 512
"""So many rows or columns have time to be divided further."""
_VECTOR = 16
"""Ends of ranges are multiples of this, as BLAS's tiles are."""

_ROWS = range(32, 257)
_WIDE = 256
"""Of so many rows at most, and of so many columns and terms at least, tiles are quicker: BLAS copies a matrix into
another order first, which few rows do not make up for (100 x 784 x 625: 220 and 245 GFLOP a second)."""
_PIECE = 32
"""Rows that are done at once."""


def tiled_product(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Multiply few rows and a large matrix in tiles that stay in registers."""
    left, right = (x.shape for x in draft.values_of(call))
    arrays = (*draft.operands(call), *makes)
    if len(left) != 2 or len(right) != 2 or call.dtype != np.float32 or not are_alike(draft, arrays):
        return None
    (m, k), n = left, right[1]
    if m not in _ROWS or min(k, n) < _WIDE:
        return None
    from tinygrad_nn.compiler.loops import products, tile

    sizes = (tile.product_kernel("float32"), m, n, k, _PIECE)
    return Work(products.tiled_product, -(-m // _PIECE), arrays, sizes)


def divided_product(draft: Draft, call: Call, threads: int) -> Divided | None:
    """Divide a stack into matrices, or a matrix into rows or columns, whichever are more; None if that is too short."""
    a, b = draft.values_of(call)
    if blas() is None or min(len(a.shape), len(b.shape)) < 2 or call.dtype.kind not in "fc":
        return None
    *stack, m, n = call.shape
    count = min(threads, 2 * math.prod(call.shape) * a.shape[-1] // _LEAST)
    if count < 2:
        return None
    if stack and stack[0] >= count:
        return Divided(_Matrices(call, [a, b]), parts(stack[0], count))
    count = max(count, min(2 * count, max(m, n) // _LONG))
    return Divided(_rows if m >= n else _columns, parts(max(m, n), count, _VECTOR))


def _rows(first: int, last: int, a: Array, b: Array, out: Array) -> None:
    np.matmul(a[..., first:last, :], b, out[..., first:last, :])


def _columns(first: int, last: int, a: Array, b: Array, out: Array) -> None:
    np.matmul(a, b[..., first:last], out[..., first:last])


class _Matrices:
    """The product of a range of the matrices of a stack, which an operand may have one of for all."""

    def __init__(self, call: Call, operands: list[Value]) -> None:
        rank = len(call.shape)
        self._stacked = [len(x.shape) == rank and x.shape[0] > 1 for x in operands]
        self._product = kernels.matmul(call, operands)

    def __call__(self, first: int, last: int, a: Array, b: Array, out: Array) -> None:
        a, b = (x[first:last] if s else x for x, s in zip((a, b), self._stacked, strict=True))
        self._product(a, b, out[first:last])
