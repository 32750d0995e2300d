"""Compiled walks through time of recurrent networks; whoever calls them gives the sizes. Needs Numba (extra `jit`).

As in ops/recurrent_walks.py, all operands are one flat array `p`. Samples do not know of each other: a piece of a walk
is some samples at all steps. What lies between two products of a step stays in the cache, so that nothing is gained by
products of all steps at once. `alive` is empty where all samples have all steps.
"""

from __future__ import annotations

import numpy as np

from tinygrad_nn.compiler.loops.mathematics import inner, loop, sigmoid, tanh
from tinygrad_nn.compiler.loops.tile import product

TOGETHER = 32
"""So many samples go through a step together."""
u8 = np.uint64
"""Places without a sign: one below zero would count from the end, and loops that look for that have no vectors."""


@loop
def places(states, gates, steps, count, features, width):
    """Return where in the flat array of all operands the first states, both weights, and the biases begin."""
    firsts = steps * count * features
    w_ih = firsts + states * count * width
    w_hh = w_ih + features * gates * width
    return firsts, w_ih, w_hh, w_hh + width * gates * width


@loop
def address(a, k):
    """Return the address of the k-th number of an array."""
    return a.ctypes.data + k * a.itemsize


@loop
def fill(kernel, a, rs, cs, b, row, c, to, start, lds, rows, columns, depth):
    """Fill a matrix, whose rows are `to` apart, with start + A @ B; of A rows and columns are rs and cs apart."""
    product(kernel, a, rs, cs, 0, b, row, 1, 0, c, to, start, lds, rows, columns, depth, 1, 0)


@inner
def _fill_gates(kernel, p, x, w_ih, features, y, h, w_hh, width, bias, z, wide, rows, row, of_states):
    """Fill rows of the gates, `wide` apart: bias + x @ w_ih, and to the columns that are of states too h @ w_hh."""
    fill(kernel, address(p, x), features, 1, address(p, w_ih), row, z, wide, bias, 0, rows, row, features)
    fill(kernel, address(y, h), width, 1, address(p, w_hh), row, z, wide, z, wide, rows, of_states, width)


@loop
def copy(source, start, target, at, size):
    a, b = u8(start), u8(at)
    for j in range(u8(size)):
        target[b + j] = source[a + j]


@loop
def add_to(source, start, target, at, size):
    a, b = u8(start), u8(at)
    for j in range(u8(size)):
        target[b + j] += source[a + j]


@inner
def _bias(p, start, size):
    """Return the sum of both biases, the second of which is behind the first."""
    bias = np.empty(size, p.dtype)
    copy(p, start, bias, 0, size)
    add_to(p, start + size, bias, 0, size)
    return bias


@loop
def is_there(alive, k):
    return alive.size == 0 or alive[k]


@inner
def _lstm_cell(z, inside, y, c, h_next, c_next, width):
    i, f, g, o = u8(inside), u8(inside + width), u8(inside + 2 * width), u8(inside + 3 * width)
    c, h_next, c_next = u8(c), u8(h_next), u8(c_next)
    for j in range(u8(width)):
        z[i + j] = sigmoid(z[i + j])
        z[f + j] = sigmoid(z[f + j])
        z[g + j] = tanh(z[g + j])
        z[o + j] = sigmoid(z[o + j])
        new = z[f + j] * y[c + j] + z[i + j] * z[g + j]
        y[c_next + j] = new
        y[h_next + j] = z[o + j] * tanh(new)


@loop
def lstm_walk(first, last, p, alive, y, gates, kernel, kept, samples, steps, count, features, width):
    """Fill the states of a LSTM, and its gates: of all steps if kept is 1, of one at a time if it is 0."""
    begin, end = first * samples, min(last * samples, count)
    row, state = 4 * width, (steps + 1) * count * width
    firsts, w_ih, w_hh, biases = places(2, 4, steps, count, features, width)
    bias = _bias(p, biases, row)
    for k in range(2):
        copy(p, firsts + (k * count + begin) * width, y, k * state + begin * width, (end - begin) * width)
    for t in range(steps):
        for n in range(begin, end, TOGETHER):
            rows = min(TOGETHER, end - n)
            k, z = t * count + n, (kept * t * count + n) * row
            x, h, start, into = k * features, k * width, address(bias, 0), address(gates, z)
            _fill_gates(kernel, p, x, w_ih, features, y, h, w_hh, width, start, into, row, rows, row, row)
            for r in range(rows):
                old, inside = (k + r) * width, z + r * row
                new = old + count * width
                _lstm_cell(gates, inside, y, state + old, new, state + new, width)
                if not is_there(alive, k + r):
                    copy(y, old, y, new, width)
                    copy(y, state + old, y, state + new, width)


@inner
def _gru_cell(z, inside, y, h, h_next, width):
    r, u, n, q = u8(inside), u8(inside + width), u8(inside + 2 * width), u8(inside + 3 * width)
    h, h_next = u8(h), u8(h_next)
    for j in range(u8(width)):
        z[r + j] = sigmoid(z[r + j])
        z[u + j] = sigmoid(z[u + j])
        z[n + j] = tanh(z[n + j] + z[r + j] * z[q + j])
        y[h_next + j] = z[n + j] + z[u + j] * (y[h + j] - z[n + j])


@loop
def gru_walk(first, last, p, alive, y, gates, kernel, kept, samples, steps, count, features, width):
    """Fill the states of a GRU, and its gates and projected states: of all steps if kept is 1, else of one."""
    begin, end = first * samples, min(last * samples, count)
    both, row, wide = 2 * width, 3 * width, 4 * width
    firsts, w_ih, w_hh, biases = places(1, 3, steps, count, features, width)
    bias = np.empty(wide, p.dtype)
    copy(p, biases, bias, 0, row)
    add_to(p, biases + row, bias, 0, both)
    copy(p, biases + row + both, bias, row, width)
    copy(p, firsts + begin * width, y, begin * width, (end - begin) * width)
    for t in range(steps):
        for n in range(begin, end, TOGETHER):
            rows = min(TOGETHER, end - n)
            k, z = t * count + n, (kept * t * count + n) * wide
            x, h, start, into = k * features, k * width, address(bias, 0), address(gates, z)
            _fill_gates(kernel, p, x, w_ih, features, y, h, w_hh, width, start, into, wide, rows, row, both)
            h, w_hn, start, into = (
                address(y, h),
                address(p, w_hh + both),
                address(bias, row),
                address(gates, z + row),
            )
            fill(kernel, h, width, 1, w_hn, row, into, wide, start, 0, rows, width, width)
            for r in range(rows):
                old, inside = (k + r) * width, z + r * wide
                new = old + count * width
                _gru_cell(gates, inside, y, old, new, width)
                if not is_there(alive, k + r):
                    copy(y, old, y, new, width)


@inner
def _to_tanh(y, h, size):
    h = u8(h)
    for j in range(u8(size)):
        y[h + j] = tanh(y[h + j])


@loop
def rnn_walk(first, last, p, alive, y, kernel, samples, steps, count, features, width):
    """Fill the states of a network whose state is the tanh of a sum."""
    begin, end = first * samples, min(last * samples, count)
    firsts, w_ih, w_hh, biases = places(1, 1, steps, count, features, width)
    bias = _bias(p, biases, width)
    copy(p, firsts + begin * width, y, begin * width, (end - begin) * width)
    for t in range(steps):
        for n in range(begin, end, TOGETHER):
            rows = min(TOGETHER, end - n)
            k = t * count + n
            old, new = k * width, (k + count) * width
            x, start, into = k * features, address(bias, 0), address(y, new)
            _fill_gates(
                kernel, p, x, w_ih, features, y, old, w_hh, width, start, into, width, rows, width, width
            )
            _to_tanh(y, new, rows * width)
            for r in range(rows):
                if not is_there(alive, k + r):
                    copy(y, old + r * width, y, new + r * width, width)
