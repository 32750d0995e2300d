"""Compiled convolutions and their two adjoints, over two axes, on the products of tile.py. Needs Numba (extra `jit`).

Arrays are flat: x is (N, height, width, c), w is (kh, kw, c // groups, o), results are (N, oh, ow, o). A row of results
is one product: a place of the row has what lies under the window in `kh` stretches of kw * c numbers, the next place
has the same a little further on. Nothing is copied for that but what has a border: rows of a sample with zeros around
them are put into scratch that stays near to the core, which takes 2 % of the time and no memory of the plan's.

Each function does the pieces `first` to `last` - 1 of its work, samples or parts of the kernel. Where channels have
nothing to do with each other, `each` is 1, and `kernel` another product.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from tinygrad_nn.compiler.loops.mathematics import inner, loop
from tinygrad_nn.compiler.loops.tile import VECTOR, Vectors, in_machine_code, product

_BAND = 2**18
"""Bytes of rows with a border that are at hand at once."""
_WEIGHTS = 2**19
"""Bytes of weights that are used for all samples before others are."""


_BYTES, _I64 = ir.PointerType(ir.IntType(8)), ir.IntType(64)


@in_machine_code
def _copy(typing, to, source, nbytes):
    def generate(context, builder, signature, arguments):
        there, here = (builder.inttoptr(address, _BYTES) for address in arguments[:2])
        cgutils.raw_memcpy(builder, there, here, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@in_machine_code
def _clear(typing, to, nbytes):
    def generate(context, builder, signature, arguments):
        cgutils.memset(builder, builder.inttoptr(arguments[0], _BYTES), arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@in_machine_code
def _add(typing, to, source, count):
    """For compiled code: add some numbers, one at least, to others; few numbers are fewer vectors than LLVM's loops."""
    item = to.dtype.bitwidth // 8

    def generate(context, builder, signature, arguments):
        *arrays, count = arguments
        kinds = signature.args[:2]
        there, here = (
            builder.ptrtoint(context.make_array(kind)(context, builder, array).data, _I64)
            for kind, array in zip(kinds, arrays, strict=True)
        )
        lanes = ir.Constant(_I64, VECTOR // item)
        whole = builder.sdiv(builder.sub(count, ir.Constant(_I64, 1)), lanes)
        v = Vectors(builder, item, builder.sub(count, builder.mul(whole, lanes)))

        def one(at, part):
            x, y = (builder.add(address, v.times(builder.mul(at, lanes))) for address in (there, here))
            v.store(builder.fadd(v.load(x, 0, part), v.load(y, 0, part)), x, 0, part)

        with cgutils.for_range(builder, whole) as repeat:
            one(repeat.index, False)
        one(whole, True)
        return context.get_dummy_value()

    return types.void(to, source, types.int64), generate


@inner
def _band(source, room, row, rows, height, width, size, top, left, line):
    """Fill the room at an address with rows of a sample, counted from `top` rows above it, with zeros around it.

    Places of a row have `size` bytes; there are `width` of them in a row of the sample, `line` in one of the room.
    """
    before = min(max(left, 0), line)
    end = max(before, min(left + width, line))
    for r in range(rows):
        y, to = row + r - top, room + r * line * size
        if 0 <= y < height:
            _clear(to, before * size)
            _copy(to + before * size, source + (y * width + before - left) * size, (end - before) * size)
            _clear(to + end * size, (line - end) * size)
        else:
            _clear(to, line * size)


@inner
def _bands(x, height, width, c, oh, ow, kh, kw, sh, sw, top, left, dh, dw):
    """Return whether rows are read where they lie, else room for a band; of how many results, and places of a row."""
    deep, line = dh * (kh - 1) + 1, (ow - 1) * sw + dw * (kw - 1) + 1
    if top == 0 and left == 0 and line <= width and (oh - 1) * sh + deep <= height:
        return True, np.empty(1, x.dtype), oh, width
    band = min(oh, max(1, (_BAND // (line * c * x.itemsize) - deep) // sh + 1))
    return False, np.empty(((band - 1) * sh + deep) * line * c, x.dtype), band, line


@inner
def _under(whole, sample, room, row, rows, height, width, size, kh, sh, top, left, dh, line):
    """Return the address of what lies under some rows of results, read where it lies or put into the room."""
    if whole:
        return sample + row * sh * line * size
    high = (rows - 1) * sh + dh * (kh - 1) + 1
    _band(sample, room.ctypes.data, row * sh, high, height, width, size, top, left, line)
    return room.ctypes.data


@loop
def convolution(
    first, last, x, w, bias, out,
    kernel, each, biased, relu, height, width, c, oh, ow, o, kh, kw, sh, sw, top, left, dh, dw, groups,
):  # fmt: skip
    """Convolve samples; with a bias and relu if wanted."""
    item = x.itemsize
    whole, room, band, line = _bands(x, height, width, c, oh, ow, kh, kw, sh, sw, top, left, dh, dw)
    cg, og = c // groups, o if each else o // groups
    terms, step = kh * kw * cg, 2 * VECTOR // item
    columns = max(1, _WEIGHTS // (terms * item) // step) * step if groups == 1 else og
    near = np.empty(terms * columns if columns < og else 1, x.dtype)
    together = each or (groups == 1 and dw == 1)
    span, apart = (kw, dw * c) if each else (kw * c, 1)
    for q in range(0, og, columns):
        wide, ldb, weights = min(columns, og - q), o, w.ctypes.data + q * item
        if columns < og:
            for k in range(terms):
                _copy(near.ctypes.data + k * wide * item, weights + k * o * item, wide * item)
            ldb, weights = wide, near.ctypes.data
        for n in range(first, last):
            for row in range(0, oh, band):
                rows = min(band, oh - row)
                sample = x.ctypes.data + n * height * width * c * item
                source = _under(
                    whole, sample, room, row, rows, height, width, c * item, kh, sh, top, left, dh, line
                )
                for r in range(rows):
                    a = source + r * sh * line * c * item
                    y = out.ctypes.data + ((n * oh + row + r) * ow * o + q) * item
                    z = bias.ctypes.data + q * item if biased else 0
                    if together:
                        product(
                            kernel, a, sw * c, apart, dh * line * c, weights, ldb, 1, span * ldb, y, o, z, 0,
                            ow, wide, span, kh, relu,
                        )  # fmt: skip
                        continue
                    for g in range(groups):
                        to = y + g * og * item
                        for i in range(kh):
                            start, lds = (to, o) if i else (z + g * og * item if biased else 0, 0)
                            product(
                                kernel, a + (i * dh * line * c + g * cg) * item, sw * c, 1, dw * c,
                                weights + (i * kw * cg * ldb + g * og) * item, ldb, 1, cg * ldb, to, o, start, lds,
                                ow, wide, cg, kw, relu if i == kh - 1 else 0,
                            )  # fmt: skip
    # Numba frees an array after its last use that it sees.
    room[0] = near[0] = 0


@loop
def weights_of_convolution(
    first, last, g_, x, out,
    kernel, each, samples, blocks, height, width, c, oh, ow, o, kh, kw, sh, sw, top, left, dh, dw, groups,
):  # fmt: skip
    """Make parts of the gradient of weights: of a row of the kernel, one of the `blocks` that its columns fall into."""
    item = x.itemsize
    whole, room, band, line = _bands(x, height, width, c, oh, ow, kh, kw, sh, sw, top, left, dh, dw)
    parts = 1 if each else groups
    cg, og = c // groups, o // parts
    wide = -(-og // blocks)
    # What lies under all places of a row of the kernel, or under one; rows are channels there, or places.
    spans, m = (1, kw) if each else (1, kw * c) if groups == 1 and dw == 1 else (kw, cg)
    apart = dw * c if each else 1
    for n in range(samples):
        for row in range(0, oh, band):
            rows = min(band, oh - row)
            sample = x.ctypes.data + n * height * width * c * item
            source = _under(
                whole, sample, room, row, rows, height, width, c * item, kh, sh, top, left, dh, line
            )
            for piece in range(first, last):
                i, q = piece // blocks, piece % blocks * wide
                for g in range(parts):
                    b = g_.ctypes.data + ((n * oh + row) * ow * o + g * og + q) * item
                    for j in range(spans):
                        a = source + ((i * dh * line + j * dw) * c + g * cg + (q if each else 0)) * item
                        y = out.ctypes.data + ((i * kw + j) * cg * o + g * og + q) * item
                        start = y if n or row else 0
                        product(
                            kernel, a, apart, sw * c, sh * line * c, b, o, 1, ow * o, y, o, start, o,
                            m, min(wide, og - q), ow, rows, 0,
                        )  # fmt: skip
    room[0] = 0


@inner
def _exchanged(w, kh, kw, c, o, groups, flip):
    """Return weights the other way: (kh, kw, o // groups, c), the kernel turned round, or (o, kh, kw, c // groups)."""
    cg, og = c // groups, o // groups
    taps = kh * kw
    to = np.empty(w.size, w.dtype)
    for t in range(taps):
        for g in range(groups):
            # A few lines of memory are read and written at once.
            for k0 in range(0, cg, 16):
                for j in range(og):
                    there = ((taps - 1 - t) * og + j) * c + g * cg if flip else ((g * og + j) * taps + t) * cg
                    for k in range(k0, min(k0 + 16, cg)):
                        to[there + k] = w[(t * cg + k) * o + g * og + j]
    return to


@loop
def convolution_back(
    first, last, g_, w, out, kernel, each, height, width, c, oh, ow, o, kh, kw, top, left, dh, dw, groups,
):  # fmt: skip
    """Take a convolution of stride 1 back to its input, as a convolution of `g_` with weights turned round."""
    turned = _exchanged(w, kh, kw, c, o, groups, True)
    top, left = dh * (kh - 1) - top, dw * (kw - 1) - left
    convolution(
        first, last, g_, turned, turned, out,
        kernel, each, 0, 0, oh, ow, o, height, width, c, kh, kw, 1, 1, top, left, dh, dw, groups,
    )  # fmt: skip


@loop
def columns_back(
    first, last, g_, w, out,
    kernel, height, width, c, oh, ow, o, kh, kw, sh, sw, top, left, dh, dw, groups,
):  # fmt: skip
    """Take any convolution back to its input: what rows of `g_` give to all of the kernel, added where that lay."""
    item = g_.itemsize
    cg, og, taps = c // groups, o // groups, kh * kw
    turned = _exchanged(w, kh, kw, c, o, groups, False)
    line, high = (ow - 1) * sw + dw * (kw - 1) + 1, (oh - 1) * sh + dh * (kh - 1) + 1
    room, back = np.empty(high * line * c, g_.dtype), np.empty(ow * taps * cg, g_.dtype)
    # Places of a row of the kernel lie side by side in both, or each for itself.
    spans, length = (1, kw * c) if groups == 1 and dw == 1 else (kw, cg)
    for n in range(first, last):
        room[:] = 0
        for r in range(oh):
            for g in range(groups):
                product(
                    kernel, g_.ctypes.data + ((n * oh + r) * ow * o + g * og) * item, o, 1, 0,
                    turned.ctypes.data + g * og * taps * cg * item, taps * cg, 1, 0,
                    back.ctypes.data, taps * cg, 0, 0, ow, taps * cg, og, 1, 0,
                )  # fmt: skip
                # Rows of the kernel follow each other: what was just stored is not read again at once.
                for k in range(ow):
                    for j in range(spans):
                        for i in range(kh):
                            to = room[((r * sh + i * dh) * line + k * sw + j * dw) * c + g * cg :]
                            _add(to, back[(k * taps + i * kw + j) * cg :], length)
        to = out.ctypes.data + n * height * width * c * item
        _band(room.ctypes.data, to, 0, height, high, line, c * item, -top, -left, width)
    room[0] = back[0] = turned[0]


@loop
def channels_back(
    first, last, g_, w, out, height, width, c, oh, ow, kh, kw, sh, sw, top, left, dh, dw,
):  # fmt: skip
    """Take a convolution of each channel for itself, of any stride, back to its input."""
    line, high = (ow - 1) * sw + dw * (kw - 1) + 1, (oh - 1) * sh + dh * (kh - 1) + 1
    room, item = np.empty(high * line * c, g_.dtype), g_.itemsize
    for n in range(first, last):
        room[:] = 0
        for r in range(oh):
            for i in range(kh):
                for j in range(kw):
                    at, tap = ((r * sh + i * dh) * line + j * dw) * c, w[(i * kw + j) * c :]
                    for k in range(ow):
                        to, source = room[at + k * sw * c :], g_[((n * oh + r) * ow + k) * c :]
                        for z in range(c):
                            to[z] += source[z] * tap[z]
        to = out.ctypes.data + n * height * width * c * item
        _band(room.ctypes.data, to, 0, height, high, line, c * item, -top, -left, width)
    room[0] = 0
