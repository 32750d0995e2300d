"""The ops: NumPy's functions and a few kernels, each declared with its derivative in one statement."""

# Whoever imports a file declares its ops.
from tinygrad_nn.ops import (  # noqa: F401
    activation,
    arithmetic,
    array_api,
    comparison,
    cumulative,
    curves,
    decompositions,
    einsum,
    elementwise,
    extrema,
    fused_losses,
    gamma,
    indexing,
    joining,
    linalg,
    norms,
    order,
    reduction,
    rounding,
    shape,
    special,
    statistics,
    trigonometric,
    ufuncs,
)
