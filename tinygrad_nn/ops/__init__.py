"""The ops: NumPy's functions and a few kernels, each declared with its derivative in one statement."""

from tinygrad_nn.ops import activation, arithmetic, comparison, elementwise, indexing, linalg, loss, reduction, shape

__all__ = ["activation", "arithmetic", "comparison", "elementwise", "indexing", "linalg", "loss", "reduction", "shape"]
