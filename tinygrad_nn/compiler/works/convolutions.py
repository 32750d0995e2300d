"""Works of convolution and its two adjoints, over one or two axes: samples, or parts of the kernel, are the pieces."""

from __future__ import annotations

import math

from tinygrad_nn.compiler.draft import Draft, Work
from tinygrad_nn.compiler.works.general import are_alike, filled_up
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.ops.windows import Window
from tinygrad_nn.primitives import Shape

_AXES = 2
"""So many axes the compiled functions move over."""
_FEW = 8
"""Channels of an input that fill too small a part of a vector."""


def _fits(draft: Draft, call: Call, makes: tuple[int, ...]) -> bool:
    """Tell whether compiled code knows the dtypes, the layouts and the number of axes."""
    arrays = (*draft.operands(call), *makes)
    known = len(call.params["window"].kernel) <= _AXES and are_alike(draft, arrays)
    return known and all(math.prod(draft.values[k].shape) for k in arrays)


def _geometry(x: Shape, y: Shape, window: Window) -> tuple[Shape, Shape]:
    """Return sizes (height, width, c, oh, ow, o), and (kh, kw, sh, sw, top, left, dh, dw), of two axes in any case."""
    space, results, (kernel, stride, padding, dilation) = x[1:-1], y[1:-1], window
    if set(kernel) == set(stride) == {1} and not any(map(any, padding)):
        # All places lie one after the other.
        space = results = (math.prod(space),)
        kernel, stride, padding, dilation = (1,), (1,), ((0, 0),), (1,)
    before = filled_up(tuple(a for a, _ in padding), _AXES, 0)
    space, results, kernel, stride, dilation = (
        filled_up(sizes, _AXES) for sizes in (space, results, kernel, stride, dilation)
    )
    return (*space, x[-1], *results, y[-1]), (*kernel, *stride, *before, *dilation)


def _of_channels(sizes: Shape, groups: int) -> bool:
    """Tell whether channels have nothing to do with each other."""
    return sizes[2] == sizes[5] == groups > 1


def _product(call: Call, each: bool) -> tuple[int, int]:
    """Return the address of a product, and whether that is the one for `each` channel by itself."""
    from tinygrad_nn.compiler.loops import tile

    return (tile.channels_kernel if each else tile.product_kernel)(call.dtype.name), int(each)


def convolution(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Convolve sample by sample, with a bias where the op has one."""
    return _convolution(draft, call, makes, 0)


def convolution_and_relu(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Convolve, and put 0 in place of what is below while it is in registers."""
    return _convolution(draft, call, makes, 1)


def _convolution(draft: Draft, call: Call, makes: tuple[int, ...], relu: int) -> Work | None:
    if not _fits(draft, call, makes):
        return None
    from tinygrad_nn.compiler.loops import convolutions

    x, w, *bias = reads = draft.operands(call)
    groups, biased = call.params["groups"], len(bias)
    sizes, moves = _geometry(draft.values[x].shape, call.shape, call.params["window"])
    arrays = (*reads, *makes) if bias else (x, w, w, *makes)
    product = _product(call, _of_channels(sizes, groups))
    settings = (*product, biased, relu, *sizes, *moves, groups)
    return Work(convolutions.convolution, call.shape[0], arrays, settings)


def transposed_convolution(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Go back to the input sample by sample: a convolution where nothing was left out, or by what each place gave."""
    if not _fits(draft, call, makes):
        return None
    from tinygrad_nn.compiler.loops import convolutions

    reads, groups = draft.operands(call), call.params["groups"]
    sizes, moves = _geometry(call.shape, draft.values[reads[0]].shape, call.params["window"])
    arrays, samples = (*reads, *makes), call.shape[0]
    kernel_size, stride, others = moves[:2], moves[2:4], moves[4:]
    each = _of_channels(sizes, groups)
    if each and stride != (1, 1):
        return Work(convolutions.channels_back, samples, arrays, (*sizes[:5], *moves))
    kernel, of_channels = _product(call, each)
    if stride == (1, 1) and (each or sizes[2] > _FEW):
        settings = (kernel, of_channels, *sizes, *kernel_size, *others, groups)
        return Work(convolutions.convolution_back, samples, arrays, settings)
    return Work(convolutions.columns_back, samples, arrays, (kernel, *sizes, *moves, groups))


def weights_of_convolution(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Sum over all samples; the pieces are rows of the kernel, and some columns of these."""
    if not _fits(draft, call, makes):
        return None
    from tinygrad_nn.compiler.loops import convolutions, tile

    reads, groups = draft.operands(call), call.params["groups"]
    g, x = (draft.values[k].shape for k in reads)
    sizes, moves = _geometry(x, g, call.params["window"])
    arrays, rows = (*reads, *makes), moves[0]
    each, width = _of_channels(sizes, groups), 2 * tile.VECTOR // call.dtype.itemsize
    blocks = -(-sizes[5] // (1 if each else groups) // width)
    settings = (*_product(call, each), x[0], blocks, *sizes, *moves, groups)
    return Work(convolutions.weights_of_convolution, rows * blocks, arrays, settings)
