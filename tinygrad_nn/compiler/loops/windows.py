"""Compiled code for windows that move over three axes; whoever calls it gives the sizes. Needs Numba (extra `jit`).

Sizes are those of the axes of the array (d, h, w), of the results (od, oh, ow), of the window (kd, kh, kw), its steps
(sd, sh, sw) and the padding before the array (pd, ph, pw). The channels, which come last, are the vectors; where they
are few, a table says where the elements of all windows of a row are, so that loops are long.
"""

from __future__ import annotations

import numpy as np

from tinygrad_nn.compiler.loops.mathematics import element, loop


@element
def _inside(at, step, before, size, kernel):
    """Return the first place of a window that is in the array, and the one after the last."""
    start = at * step - before
    return max(-start, 0), max(min(size - start, kernel), 0)


@element
def _windows(place, step, before, size, count):
    """Return the first window whose place is in the array, and the one after the last."""
    return max(-((place - before) // step), 0), min((size - 1 - place + before) // step + 1, count)


@element
def _table(count, channels, step):
    """Return where each element of so many windows is, from the first on."""
    at = np.empty(count * channels, np.uint32)
    for k in range(count):
        for e in range(channels):
            at[k * channels + e] = k * step * channels + e
    return at


@element
def _is_larger(v, top):
    """Tell whether an element takes the place of the largest before it; NaN is larger than all numbers."""
    return (top == top) & (not v <= top)


@loop
def largest(first, last, x, y, channels, d, h, w, od, oh, ow, kd, kh, kw, sd, sh, sw, pd, ph, pw):
    """Fill rows first to last - 1 of the results with the largest element under each window."""
    for row in range(first, last):
        n, i, j = row // oh // od, row // oh % od, row % oh
        a0, a1 = _inside(i, sd, pd, d, kd)
        b0, b1 = _inside(j, sh, ph, h, kh)
        for k in range(ow):
            c0, c1 = _inside(k, sw, pw, w, kw)
            out = y[(row * ow + k) * channels :]
            begun = False
            for a in range(a0, a1):
                for b in range(b0, b1):
                    line = ((n * d + i * sd - pd + a) * h + j * sh - ph + b) * w + k * sw - pw
                    for c in range(c0, c1):
                        tap = x[(line + c) * channels :]
                        if begun:
                            for e in range(channels):
                                out[e] = tap[e] if _is_larger(tap[e], out[e]) else out[e]
                        else:
                            for e in range(channels):
                                out[e] = tap[e]
                            begun = True


@loop
def largest_and_first(
    first, last, x, y, index, channels, d, h, w, od, oh, ow, kd, kh, kw, sd, sh, sw, pd, ph, pw
):
    """Fill rows of the results, and of the index with the place in each window of the first of the largest."""
    for row in range(first, last):
        n, i, j = row // oh // od, row // oh % od, row % oh
        a0, a1 = _inside(i, sd, pd, d, kd)
        b0, b1 = _inside(j, sh, ph, h, kh)
        for k in range(ow):
            c0, c1 = _inside(k, sw, pw, w, kw)
            out, places = y[(row * ow + k) * channels :], index[(row * ow + k) * channels :]
            begun = False
            for a in range(a0, a1):
                for b in range(b0, b1):
                    line = ((n * d + i * sd - pd + a) * h + j * sh - ph + b) * w + k * sw - pw
                    for c in range(c0, c1):
                        tap = x[(line + c) * channels :]
                        number = np.uint8((a * kh + b) * kw + c)
                        if begun:
                            for e in range(channels):
                                v, top = tap[e], out[e]
                                larger = _is_larger(v, top)
                                out[e] = v if larger else top
                                places[e] = number if larger else places[e]
                        else:
                            for e in range(channels):
                                out[e] = tap[e]
                                places[e] = number
                            begun = True


@loop
def narrow_largest_and_first(
    first, last, x, y, index, channels, d, h, w, od, oh, ow, kd, kh, kw, sd, sh, sw, pd, ph, pw
):
    """Do the same with few channels."""
    at, length = _table(ow, channels, sw), ow * channels
    tap, firsts = np.empty(length, x.dtype), np.empty(length, np.uint8)
    for k in range(ow):
        firsts[k * channels : (k + 1) * channels] = max(pw - k * sw, 0)
    for row in range(first, last):
        n, i, j = row // oh // od, row // oh % od, row % oh
        a0, a1 = _inside(i, sd, pd, d, kd)
        b0, b1 = _inside(j, sh, ph, h, kh)
        y[row * length : (row + 1) * length] = -np.inf
        # The first that is inside, should there be nothing larger than minus infinity.
        places, number = index[row * length :], np.uint8((a0 * kh + b0) * kw)
        for e in range(length):
            places[e] = firsts[e] + number
        for a in range(a0, a1):
            for b in range(b0, b1):
                line = ((n * d + i * sd - pd + a) * h + j * sh - ph + b) * w - pw
                for c in range(kw):
                    k0, k1 = _windows(c, sw, pw, w, ow)
                    start, number = row * length + k0 * channels, np.uint8((a * kh + b) * kw + c)
                    out, places, under = y[start:], index[start:], x[(line + k0 * sw + c) * channels :]
                    for e in range((k1 - k0) * channels):
                        tap[e] = under[at[e]]
                    for e in range((k1 - k0) * channels):
                        v, top = tap[e], out[e]
                        larger = _is_larger(v, top)
                        out[e] = v if larger else top
                        places[e] = number if larger else places[e]


@loop
def put_at(first, last, g, index, x, channels, d, h, w, od, oh, ow, kd, kh, kw, sd, sh, sw, pd, ph, pw):
    """Fill samples first to last - 1 with zeros, and add each element of g at its place under its window."""
    size = d * h * w * channels
    # Windows that cover all and do not overlap write each element once.
    once = (
        kd == sd and kh == sh and kw == sw and od * sd == d + pd and oh * sh == h + ph and ow * sw == w + pw
    )
    for n in range(first, last):
        if not once:
            x[n * size : (n + 1) * size] = 0
        for i in range(od):
            a0, a1 = _inside(i, sd, pd, d, kd)
            for j in range(oh):
                b0, b1 = _inside(j, sh, ph, h, kh)
                for k in range(ow):
                    c0, c1 = _inside(k, sw, pw, w, kw)
                    at = (((n * od + i) * oh + j) * ow + k) * channels
                    given, places = g[at:], index[at:]
                    for a in range(a0, a1):
                        for b in range(b0, b1):
                            line = ((n * d + i * sd - pd + a) * h + j * sh - ph + b) * w + k * sw - pw
                            for c in range(c0, c1):
                                to = x[(line + c) * channels :]
                                number = np.uint8((a * kh + b) * kw + c)
                                if once:
                                    for e in range(channels):
                                        to[e] = given[e] if places[e] == number else 0
                                else:
                                    for e in range(channels):
                                        to[e] += given[e] if places[e] == number else 0


@loop
def narrow_put_at(
    first, last, g, index, x, channels, d, h, w, od, oh, ow, kd, kh, kw, sd, sh, sw, pd, ph, pw
):
    """Do the same with few channels."""
    at, length, size = _table(ow, channels, sw), ow * channels, d * h * w * channels
    tap = np.empty(length, x.dtype)
    for n in range(first, last):
        x[n * size : (n + 1) * size] = 0
        for i in range(od):
            a0, a1 = _inside(i, sd, pd, d, kd)
            for j in range(oh):
                b0, b1 = _inside(j, sh, ph, h, kh)
                row = ((n * od + i) * oh + j) * length
                for a in range(a0, a1):
                    for b in range(b0, b1):
                        line = ((n * d + i * sd - pd + a) * h + j * sh - ph + b) * w - pw
                        for c in range(kw):
                            k0, k1 = _windows(c, sw, pw, w, ow)
                            start, number = row + k0 * channels, np.uint8((a * kh + b) * kw + c)
                            given, places, to = g[start:], index[start:], x[(line + k0 * sw + c) * channels :]
                            for e in range((k1 - k0) * channels):
                                tap[e] = given[e] if places[e] == number else 0
                            for e in range((k1 - k0) * channels):
                                to[at[e]] += tap[e]


@loop
def averages(first, last, x, y, inclusive, channels, d, h, w, od, oh, ow, kd, kh, kw, sd, sh, sw, pd, ph, pw):
    """Fill rows first to last - 1 of the results with the average under each window."""
    for row in range(first, last):
        n, i, j = row // oh // od, row // oh % od, row % oh
        a0, a1 = _inside(i, sd, pd, d, kd)
        b0, b1 = _inside(j, sh, ph, h, kh)
        for k in range(ow):
            c0, c1 = _inside(k, sw, pw, w, kw)
            out = y[(row * ow + k) * channels :]
            for e in range(channels):
                out[e] = 0
            for a in range(a0, a1):
                for b in range(b0, b1):
                    line = ((n * d + i * sd - pd + a) * h + j * sh - ph + b) * w + k * sw - pw
                    for c in range(c0, c1):
                        tap = x[(line + c) * channels :]
                        for e in range(channels):
                            out[e] += tap[e]
            count = x.dtype.type(kd * kh * kw if inclusive else (a1 - a0) * (b1 - b0) * (c1 - c0))
            for e in range(channels):
                out[e] /= count


@loop
def spread(first, last, g, x, inclusive, channels, d, h, w, od, oh, ow, kd, kh, kw, sd, sh, sw, pd, ph, pw):
    """Fill samples first to last - 1 with zeros, and add a share of each element of g under its window."""
    size = d * h * w * channels
    for n in range(first, last):
        x[n * size : (n + 1) * size] = 0
        for i in range(od):
            a0, a1 = _inside(i, sd, pd, d, kd)
            for j in range(oh):
                b0, b1 = _inside(j, sh, ph, h, kh)
                for k in range(ow):
                    c0, c1 = _inside(k, sw, pw, w, kw)
                    count = g.dtype.type(kd * kh * kw if inclusive else (a1 - a0) * (b1 - b0) * (c1 - c0))
                    given = g[(((n * od + i) * oh + j) * ow + k) * channels :]
                    for a in range(a0, a1):
                        for b in range(b0, b1):
                            line = ((n * d + i * sd - pd + a) * h + j * sh - ph + b) * w + k * sw - pw
                            for c in range(c0, c1):
                                to = x[(line + c) * channels :]
                                for e in range(channels):
                                    to[e] += given[e] / count
