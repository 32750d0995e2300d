"""The ops: NumPy's functions and a few kernels, each declared with its derivative in one statement."""

from tinygrad_nn.ops import (
    activation,
    arithmetic,
    comparison,
    cumulative,
    einsum,
    elementwise,
    extrema,
    indexing,
    joining,
    linalg,
    loss,
    reduction,
    rounding,
    shape,
    statistics,
    trigonometric,
)

__all__ = [
    "activation",
    "arithmetic",
    "comparison",
    "cumulative",
    "einsum",
    "elementwise",
    "extrema",
    "indexing",
    "joining",
    "linalg",
    "loss",
    "reduction",
    "rounding",
    "shape",
    "statistics",
    "trigonometric",
]
