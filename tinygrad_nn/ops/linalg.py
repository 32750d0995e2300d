"""Matrix products in all of NumPy's ranks."""

from typing import Any

import numpy as np

from tinygrad_nn.primitive import op


def _left(g: Any, b: Any, *, shapes: Any) -> Any:
    """The gradient for the left factor: g @ b.T, whatever the ranks."""
    left, right = len(shapes[0]), len(shapes[1])
    if left == right == 2:
        return g @ b.T
    if right == 1:
        return g * b if left == 1 else g[..., None] * b
    if left == 1:
        return np.squeeze(b @ g[..., None], -1)
    return g @ np.swapaxes(b, -1, -2)


def _right(g: Any, a: Any, *, shapes: Any) -> Any:
    """The gradient for the right factor: a.T @ g, whatever the ranks."""
    left, right = len(shapes[0]), len(shapes[1])
    if left == right == 2:
        return a.T @ g
    if left == 1:
        return g * a if right == 1 else a[..., None] * g[..., None, :]
    if right == 1:
        return np.sum(a * g[..., None], axis=tuple(range(left - 1)))
    if right == 2 < left:  # one product of tall matrices instead of a batch of products, summed
        a, g = np.reshape(a, (-1, shapes[0][-1])), np.reshape(g, (-1, shapes[1][-1]))
        return a.T @ g
    return np.swapaxes(a, -1, -2) @ g


def _samples(rng: np.random.Generator) -> list[Any]:
    ranks = [
        ((3,), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((2, 3), (3, 4)),
        ((3, 3), (3, 3)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3, 4)),
        ((5, 1, 2, 3), (2, 3, 4)),
        ((2, 3), (4, 3, 2)),
    ]
    return [((rng.normal(size=a), rng.normal(size=b)), {}) for a, b in ranks]


matmul = op(np.matmul, _left, _right, samples=_samples, signature="(n?,k),(k,m?)->(n?,m?)", onnx="MatMul")
