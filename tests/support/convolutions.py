"""Calls of convolutions and their adjoints, with random settings or with given ones."""

from tinygrad_nn.ops import convolution_kernels as kernels
from tinygrad_nn.ops.windows import Window


def settings(rng):
    """Return the shapes of some input and weights, a window, and groups."""
    rank, groups = int(rng.integers(1, 3)), int(rng.choice([1, 1, 1, 2, 3]))
    c, o = (groups * int(n) for n in rng.integers(1, 24, 2))
    if rng.random() < 0.2:
        c = o = groups = int(rng.integers(2, 20))
    while True:
        space, kernel, stride, dilation = (
            tuple(map(int, rng.choice(numbers, rank)))
            for numbers in (range(1, 10), range(1, 4), (1, 1, 1, 2, 3), (1, 1, 2))
        )
        padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (rank, 2)) * rng.integers(0, 2))
        window = Window(kernel, stride, padding, dilation)
        if min(window.results(space)) > 0:
            return (int(rng.integers(1, 4)), *space, c), (*kernel, c // groups, o), window, groups


def calls(rng, x_shape, w_shape, window, groups, dtype):
    """Return the four ops with operands and settings."""
    y_shape = (x_shape[0], *window.results(x_shape[1:-1]), w_shape[-1])
    x, w, bias, g = (
        rng.normal(size=shape).astype(dtype) for shape in (x_shape, w_shape, w_shape[-1:], y_shape)
    )
    params = {"window": window, "groups": groups}
    return [
        (kernels.convolution, (x, w), params),
        (kernels.biased_convolution, (x, w, bias), params),
        (kernels.transposed_convolution, (g, w), params | {"space": x_shape[1:-1]}),
        (kernels.weights_of_convolution, (g, x), params),
    ]
