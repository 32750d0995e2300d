"""Compiled walks back through time of recurrent networks, and what their weights get. Needs Numba (extra `jit`).

All gradients are one flat array `out`, as all operands are. A piece of a walk is some samples at all steps; a piece of
what weights get, a sum over steps and samples that is made after the walk, is some columns.
"""

from __future__ import annotations

import numpy as np

from tinygrad_nn.compiler.loops.mathematics import inner, loop, tanh
from tinygrad_nn.compiler.loops.recurrent import TOGETHER, add_to, address, copy, fill, is_there, places, u8

COLUMNS = 64
"""So many columns of the gradients of weights are a piece."""
_FEW = 8


@inner
def _clear(target, at, size):
    b = u8(at)
    for j in range(u8(size)):
        target[b + j] = 0


@inner
def _pass_on(kernel, z, wide, turned, row, of_inputs, width, features, out, dh, dx, rows):
    """Add to the gradients of states what comes from rows of those of gates, `wide` apart, and fill those of inputs."""
    into, dx, w_hh, w_ih = (
        address(out, dh),
        address(out, dx),
        address(turned, 0),
        address(turned, row * width),
    )
    fill(kernel, z, wide, 1, w_hh, width, into, width, into, width, rows, width, row)
    fill(kernel, z, wide, 1, w_ih, features, dx, features, 0, 0, rows, features, of_inputs)


@inner
def _found(gates, dz, at, size):
    """Have the gates where their gradients are to be, which may be their own memory."""
    if gates.ctypes.data != dz.ctypes.data:
        copy(gates, at, dz, at, size)


@inner
def _lstm_cell_back(z, inside, y, c, c_next, out, dh, dc, g, gh, gc, width):
    """Put the gradients of what goes into the gates in place of the gates."""
    one = z.dtype.type(1)
    i, f, n, o = u8(inside), u8(inside + width), u8(inside + 2 * width), u8(inside + 3 * width)
    c, c_next, dh, dc, gh, gc = u8(c), u8(c_next), u8(dh), u8(dc), u8(gh), u8(gc)
    for j in range(u8(width)):
        a, b, e, s, t = z[i + j], z[f + j], z[n + j], z[o + j], tanh(y[c_next + j])
        through = out[dc + j] + out[dh + j] * (s * (one - t * t))
        z[i + j] = through * (e * a * (one - a))
        z[f + j] = through * (y[c + j] * b * (one - b))
        z[n + j] = through * (a * (one - e * e))
        z[o + j] = out[dh + j] * (t * s * (one - s))
        out[dc + j] = through * b + g[gc + j]
        out[dh + j] = g[gh + j]


@loop
def lstm_walk_back(
    first, last, p, alive, y, gates, g, turned, dz, out, kernel, samples, steps, count, features, width
):
    """Fill the gradients dz of what goes into the gates of a LSTM, and those of its inputs and first states."""
    begin, end = first * samples, min(last * samples, count)
    row, state = 4 * width, (steps + 1) * count * width
    firsts = places(2, 4, steps, count, features, width)[0]
    for k in range(2):
        to = firsts + (k * count + begin) * width
        copy(g, k * state + (steps * count + begin) * width, out, to, (end - begin) * width)
    for t in range(steps - 1, -1, -1):
        for n in range(begin, end, TOGETHER):
            rows = min(TOGETHER, end - n)
            k, dh = t * count + n, firsts + n * width
            for r in range(rows):
                old, inside, h = (k + r) * width, (k + r) * row, dh + r * width
                c, new = h + count * width, old + count * width
                if is_there(alive, k + r):
                    _found(gates, dz, inside, row)
                    _lstm_cell_back(
                        dz, inside, y, state + old, state + new, out, h, c, g, old, state + old, width
                    )
                else:
                    add_to(g, old, out, h, width)
                    add_to(g, state + old, out, c, width)
                    _clear(dz, inside, row)
            z = address(dz, k * row)
            _pass_on(kernel, z, row, turned, row, row, width, features, out, dh, k * features, rows)


@inner
def _gru_cell_back(z, inside, y, h, out, dh, g, gh, width):
    """Put the gradients of r, u, the projected state and n in place of r, u, n and the projected state."""
    one = z.dtype.type(1)
    r, u, n, q = u8(inside), u8(inside + width), u8(inside + 2 * width), u8(inside + 3 * width)
    h, dh, gh = u8(h), u8(dh), u8(gh)
    for j in range(u8(width)):
        a, b, e, d = z[r + j], z[u + j], z[n + j], out[dh + j]
        of_new = d * ((one - b) * (one - e * e))
        z[r + j] = of_new * (z[q + j] * a * (one - a))
        z[u + j] = d * ((y[h + j] - e) * b * (one - b))
        z[n + j] = of_new * a
        z[q + j] = of_new
        out[dh + j] = d * b + g[gh + j]


@loop
def gru_walk_back(
    first, last, p, alive, y, gates, g, turned, dz, out, kernel, samples, steps, count, features, width
):
    """Fill the gradients dz of what goes into the gates of a GRU, and those of its inputs and first state."""
    begin, end = first * samples, min(last * samples, count)
    both, row, wide = 2 * width, 3 * width, 4 * width
    firsts = places(1, 3, steps, count, features, width)[0]
    copy(g, (steps * count + begin) * width, out, firsts + begin * width, (end - begin) * width)
    for t in range(steps - 1, -1, -1):
        for n in range(begin, end, TOGETHER):
            rows = min(TOGETHER, end - n)
            k, dh = t * count + n, firsts + n * width
            for r in range(rows):
                old, inside, h = (k + r) * width, (k + r) * wide, dh + r * width
                if is_there(alive, k + r):
                    _found(gates, dz, inside, wide)
                    _gru_cell_back(dz, inside, y, old, out, h, g, old, width)
                else:
                    add_to(g, old, out, h, width)
                    _clear(dz, inside, wide)
            z, dx = address(dz, k * wide), address(out, k * features)
            _pass_on(kernel, z, wide, turned, row, both, width, features, out, dh, k * features, rows)
            z, w_n = address(dz, k * wide + row), address(turned, row * width + both * features)
            fill(kernel, z, wide, 1, w_n, features, dx, features, dx, features, rows, features, width)


@inner
def _rnn_cell_back(dz, inside, y, h_next, out, dh, g, width):
    one = y.dtype.type(1)
    inside, h_next, dh = u8(inside), u8(h_next), u8(dh)
    for j in range(u8(width)):
        dz[inside + j] = (one - y[h_next + j] * y[h_next + j]) * out[dh + j]
        out[dh + j] = g[inside + j]


@loop
def rnn_walk_back(
    first, last, p, alive, y, g, turned, dz, out, kernel, samples, steps, count, features, width
):
    """Fill the gradients dz of what goes into the tanh, and those of the inputs and of the first state."""
    begin, end = first * samples, min(last * samples, count)
    firsts = places(1, 1, steps, count, features, width)[0]
    copy(g, (steps * count + begin) * width, out, firsts + begin * width, (end - begin) * width)
    for t in range(steps - 1, -1, -1):
        for n in range(begin, end, TOGETHER):
            rows = min(TOGETHER, end - n)
            k, dh = t * count + n, firsts + n * width
            for r in range(rows):
                old, h = (k + r) * width, dh + r * width
                new = old + count * width
                if is_there(alive, k + r):
                    _rnn_cell_back(dz, old, y, new, out, h, g, width)
                else:
                    add_to(g, old, out, h, width)
                    _clear(dz, old, width)
            z = address(dz, k * width)
            _pass_on(kernel, z, width, turned, width, width, width, features, out, dh, k * features, rows)


@inner
def _turn(a, start, rows, row, first, stop, out, at):
    """Turn columns first to stop - 1 of a matrix into rows, few at a time: each line of the cache is read once."""
    for i0 in range(0, rows, _FEW):
        here = min(_FEW, rows - i0)
        for j in range(first, stop):
            source, to, step = u8(start + i0 * row + j), u8(at + j * rows + i0), u8(row)
            for i in range(u8(here)):
                out[to + i] = a[source + i * step]


@loop
def turned_weights(first, last, p, turned, states, gates, steps, count, features, width):
    """Fill `turned` with the transposed weights of the states, and behind them those of the inputs."""
    _, w_ih, w_hh, _ = places(states, gates, steps, count, features, width)
    row = gates * width
    start, stop = first * COLUMNS, min(last * COLUMNS, row)
    _turn(p, w_hh, width, row, start, stop, turned, 0)
    _turn(p, w_ih, features, row, start, stop, turned, row * width)


@inner
def _column_sums(a, start, row, rows, out, at, columns):
    """Sum in double precision."""
    totals = np.zeros(columns)
    for r in range(rows):
        b = u8(start + r * row)
        for j in range(u8(columns)):
            totals[j] += a[b + j]
    for j in range(columns):
        out[at + j] = totals[j]


@loop
def weights_back(first, last, p, y, dz, out, kernel, states, gates, wide, steps, count, features, width):
    """Fill the gradients of weights and biases.

    Of the `wide` blocks of dz the first `gates` go to the states; the inputs get the last one in place of the last of
    these. A piece is some columns of a gate.
    """
    _, w_ih, w_hh, biases = places(states, gates, steps, count, features, width)
    per_gate, all_rows, row = -(-width // COLUMNS), steps * count, gates * width
    for piece in range(first, last):
        gate, start = piece // per_gate, piece % per_gate * COLUMNS
        columns, at = min(COLUMNS, width - start), gate * width + start
        inside = (wide - 1 if gate == gates - 1 else gate) * width + start
        x, z, dw = address(p, 0), address(dz, inside), address(out, w_ih + at)
        fill(kernel, x, 1, features, z, wide * width, dw, row, 0, 0, features, columns, all_rows)
        h, z, dw = address(y, 0), address(dz, at), address(out, w_hh + at)
        fill(kernel, h, 1, width, z, wide * width, dw, row, 0, 0, width, columns, all_rows)
        _column_sums(dz, inside, wide * width, all_rows, out, biases + at, columns)
        _column_sums(dz, at, wide * width, all_rows, out, biases + row + at, columns)
