"""Walks through time of recurrent networks in memory that is given: what `into=` in the catalogue names.

They do what ops/recurrent_walks.py does, in the same order, so that results are the same bit for bit; each step reads
and writes a few rows that stay in the cache, where the walks of arrays as a whole need new memory for all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinygrad_nn.compiler.draft import Run
from tinygrad_nn.compiler.kernels.general import Build
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.ops import recurrent_walks as walks
from tinygrad_nn.ops.recurrent_walks import Sizes
from tinygrad_nn.ops.reduction import sum_to
from tinygrad_nn.primitives import Array, Shape


def _rows(a: Array) -> Array:
    """Return all steps of all samples as rows."""
    return a.reshape(a.shape[0] * a.shape[1], a.shape[2])


def _small(sizes: Sizes, dtype: np.dtype, *widths: int) -> list[Array]:
    """Return memory for one step, of so many states side by side."""
    return [np.empty((sizes[1], k * sizes[3]), dtype) for k in widths]


def _dead(alive: Array) -> Array | None:
    """Return which samples do not have which steps, if not all have all."""
    return np.logical_not(alive)[..., None] if np.ndim(alive) else None


def _stays(y: Array, t: int, dead: Array | None) -> None:
    """Let samples that do not have step t keep their states."""
    if dead is not None:
        np.copyto(y[:, t + 1], y[:, t], where=dead[t])


def _blocks(a: Array, count: int) -> list[Array]:
    """Return the columns of each gate."""
    width = a.shape[-1] // count
    return [a[..., k * width : (k + 1) * width] for k in range(count)]


def _in_one_dtype(walk: Callable[[Sizes, np.dtype], Run]) -> Build:
    """Let a walk know calls of which all has one dtype, but for what tells which samples have which steps."""

    def build(call: Call, operands: list[Value]) -> Run | None:
        alike = all(x.dtype == call.dtype for k, x in enumerate(operands) if k != 1)
        return walk(call.params["sizes"], call.dtype) if alike else None

    return build


@_in_one_dtype
def lstm_states(sizes: Sizes, dtype: np.dtype) -> Run:
    """Walk forward, with the gates of each step in place of its projected inputs."""
    steps, _, _, width = sizes
    factor = walks.scale(width, dtype, *walks.LSTM_SCALE)
    shift = 1 - factor
    z, new = _small(sizes, dtype, 4, 1)

    def run(p: Array, alive: Array, y: Array, gates: Array) -> None:
        x, h, c, w_ih, w_hh, b_ih, b_hh = walks.parts(p, sizes, 4, 2)
        w_hh, bias, dead = w_hh * factor, (b_ih + b_hh) * factor, _dead(alive)
        np.matmul(_rows(x), w_ih * factor, _rows(gates))
        y[0, 0], y[1, 0] = h, c
        for t in range(steps):
            np.matmul(y[0, t], w_hh, z)
            np.add(z, gates[t], z)
            np.add(z, bias, z)
            np.tanh(z, z)
            np.multiply(z, factor, z)
            np.add(z, shift, gates[t])
            i, f, g, o = _blocks(gates[t], 4)
            h, c = y[:, t + 1]
            np.multiply(f, y[1, t], c)
            np.multiply(i, g, new)
            np.add(c, new, c)
            np.tanh(c, new)
            np.multiply(o, new, h)
            _stays(y, t, dead)

    return run


@_in_one_dtype
def gru_states(sizes: Sizes, dtype: np.dtype) -> Run:
    """Walk forward, after the projected inputs of all steps."""
    steps, _, _, width = sizes
    factor = walks.scale(width, dtype, *walks.GRU_SCALE)
    inside, q, a, new = _small(sizes, dtype, 3, 3, 2, 1)

    def run(p: Array, alive: Array, y: Array, gates: Array) -> None:
        x, h, w_ih, w_hh, b_ih, b_hh = walks.parts(p, sizes, 3)
        projected, b_ih, w_hh, b_hh = _rows(x) @ (w_ih * factor), b_ih * factor, w_hh * factor, b_hh * factor
        projected, dead = projected.reshape(*sizes[:2], 3 * width), _dead(alive)
        y[0, 0] = h
        for t in range(steps):
            np.add(projected[t], b_ih, inside)
            np.matmul(y[0, t], w_hh, q)
            np.add(q, b_hh, q)
            np.add(q[:, : 2 * width], inside[:, : 2 * width], a)
            np.tanh(a, a)
            np.multiply(a, 0.5, a)
            np.add(a, 0.5, a)
            np.multiply(a[:, :width], q[:, 2 * width :], new)
            np.add(new, inside[:, 2 * width :], new)
            np.tanh(new, new)
            np.concatenate([a, new, q[:, 2 * width :]], axis=1, out=gates[t])
            h = y[0, t + 1]
            np.subtract(y[0, t], new, h)
            np.multiply(a[:, width:], h, h)
            np.add(new, h, h)
            _stays(y, t, dead)

    return run


@_in_one_dtype
def rnn_states(sizes: Sizes, dtype: np.dtype) -> Run:
    """Walk forward, each step in the memory of its states."""
    (q,) = _small(sizes, dtype, 1)

    def run(p: Array, alive: Array, y: Array) -> None:
        x, h, w_ih, w_hh, b_ih, b_hh = walks.parts(p, sizes, 1)
        bias, dead = b_ih + b_hh, _dead(alive)
        np.matmul(_rows(x), w_ih, _rows(y[0, 1:]))
        y[0, 0] = h
        for t in range(sizes[0]):
            np.matmul(y[0, t], w_hh, q)
            np.add(q, y[0, t + 1], q)
            np.add(q, bias, q)
            np.tanh(q, y[0, t + 1])
            _stays(y, t, dead)

    return run


def _fill_gradients(
    out: Array, sizes: Sizes, p: Array, y: Array, inside: Array, recurrent: Array, firsts: Sequence[Array]
) -> None:
    """Fill all gradients, given those of what goes into the gates, and of the first states."""
    gates, states = inside.shape[-1] // sizes[3], len(firsts)
    x, w_ih = (given := walks.parts(p, sizes, gates, states))[0], given[-4]
    dx, *into, to_ih, to_hh, b_ih, b_hh = walks.parts(out, sizes, gates, states)
    same, inside, recurrent = recurrent is inside, _rows(inside), _rows(recurrent)
    np.matmul(inside, w_ih.T, _rows(dx))
    for first, g in zip(into, firsts, strict=True):
        first[...] = g
    np.matmul(_rows(x).T, inside, to_ih)
    np.matmul(_rows(y[0, :-1]).T, recurrent, to_hh)
    b_ih[...] = sum_to(inside, shape=b_ih.shape)
    b_hh[...] = b_ih if same else sum_to(recurrent, shape=b_hh.shape)


def _passes_on(
    back: Array, rows: Array, g: Array, old: Array, new: Array, t: int, dead: Array | None
) -> None:
    """Take the gradients that came to step t, `old`, to the step before it."""
    np.matmul(rows[t], back, new)
    np.add(new, g[t], new)
    if dead is not None:
        np.copyto(old, 0, where=~dead[t])
        np.add(new, old, new)


def lstm_room(call: Call) -> Shape:
    """Return the shape of the gradients of what goes into the gates."""
    steps, count, _, width = call.params["sizes"]
    return steps, count, 4 * width


@_in_one_dtype
def lstm_back(sizes: Sizes, dtype: np.dtype) -> Run:
    """Walk back, slopes and gradients of a step at a time."""
    slopes, dh, dc, old, tanh_c, a, keeps = _small(sizes, dtype, 4, *[1] * 6)
    of_i, of_f, of_g, of_o = _blocks(slopes, 4)

    def run(p: Array, alive: Array, y: Array, gates: Array, g: Array, out: Array, rows: Array) -> None:
        back, dead, (gh, gc) = walks.parts(p, sizes, 4, 2)[4].T, _dead(alive), g
        np.copyto(dh, gh[-1])
        np.copyto(dc, gc[-1])
        for t in reversed(range(sizes[0])):
            i, f, j, o = _blocks(gates[t], 4)
            np.tanh(y[1, t + 1], tanh_c)
            for into, left, right, gate in ((of_i, j, i, i), (of_f, y[1, t], f, f), (of_o, tanh_c, o, o)):
                np.multiply(left, right, into)
                np.subtract(1, gate, a)
                np.multiply(into, a, into)
            np.multiply(j, j, a)
            np.subtract(1, a, a)
            np.multiply(i, a, of_g)
            np.multiply(tanh_c, tanh_c, a)
            np.subtract(1, a, a)
            np.multiply(o, a, a)
            if dead is not None:
                np.copyto(slopes, 0, where=dead[t])
                np.copyto(a, 0, where=dead[t])
                np.copyto(keeps, f)
                np.copyto(keeps, 1, where=dead[t])
                f = keeps
            np.multiply(dh, a, a)
            np.add(dc, a, dc)
            for into, slope in zip(_blocks(rows[t], 4), (of_i, of_f, of_g, of_o), strict=True):
                np.multiply(slope, dh if slope is of_o else dc, into)
            np.copyto(old, dh)
            _passes_on(back, rows, gh, old, dh, t, dead)
            np.multiply(dc, f, dc)
            np.add(dc, gc[t], dc)
        _fill_gradients(out, sizes, p, y, rows, rows, (dh, dc))

    return run


def gru_room(call: Call) -> Shape:
    """Return the shape of the gradients of what goes into the gates, of the states and of the inputs."""
    steps, count, _, width = call.params["sizes"]
    return 2, steps, count, 3 * width


@_in_one_dtype
def gru_back(sizes: Sizes, dtype: np.dtype) -> Run:
    """Walk back, slopes and gradients of a step at a time."""
    slopes, dh, of_new, a, keeps = _small(sizes, dtype, 3, *[1] * 4)
    of_r, of_u, of_q = _blocks(slopes, 3)

    def run(p: Array, alive: Array, y: Array, gates: Array, g: Array, out: Array, room: Array) -> None:
        back, dead, (recurrent, inside) = walks.parts(p, sizes, 3)[3].T, _dead(alive), room
        np.copyto(dh, g[0, -1])
        for t in reversed(range(sizes[0])):
            r, u, new, q = _blocks(gates[t], 4)
            np.subtract(1, u, of_new)
            np.multiply(new, new, a)
            np.subtract(1, a, a)
            np.multiply(of_new, a, of_new)
            np.subtract(1, u, a)
            np.subtract(y[0, t], new, of_u)
            np.multiply(of_u, u, of_u)
            np.multiply(of_u, a, of_u)
            if dead is not None:
                np.copyto(of_new, 0, where=dead[t])
                np.copyto(of_u, 0, where=dead[t])
                np.copyto(keeps, u)
                np.copyto(keeps, 1, where=dead[t])
                u = keeps
            np.subtract(1, r, a)
            np.multiply(of_new, q, of_r)
            np.multiply(of_r, r, of_r)
            np.multiply(of_r, a, of_r)
            np.multiply(of_new, r, of_q)
            for into, slope in zip(_blocks(recurrent[t], 3), (of_r, of_u, of_q), strict=True):
                np.multiply(slope, dh, into)
            of_inputs = inside[t]
            np.copyto(of_inputs, recurrent[t])
            np.multiply(of_new, dh, _blocks(of_inputs, 3)[2])
            np.matmul(recurrent[t], back, a)
            np.multiply(dh, u, dh)
            np.add(a, dh, dh)
            np.add(dh, g[0, t], dh)
        _fill_gradients(out, sizes, p, y, inside, recurrent, (dh,))

    return run


def rnn_room(call: Call) -> Shape:
    """Return the shape of the gradients of what goes into the tanh."""
    steps, count, _, width = call.params["sizes"]
    return steps, count, width


@_in_one_dtype
def rnn_back(sizes: Sizes, dtype: np.dtype) -> Run:
    """Walk back, slopes and gradients of a step at a time."""
    dh, old, a = _small(sizes, dtype, 1, 1, 1)

    def run(p: Array, alive: Array, y: Array, g: Array, out: Array, rows: Array) -> None:
        back, dead = walks.parts(p, sizes, 1)[3].T, _dead(alive)
        np.copyto(dh, g[0, -1])
        for t in reversed(range(sizes[0])):
            np.multiply(y[0, t + 1], y[0, t + 1], a)
            np.subtract(1, a, a)
            if dead is not None:
                np.copyto(a, 0, where=dead[t])
            np.multiply(a, dh, rows[t])
            np.copyto(old, dh)
            _passes_on(back, rows, g[0], old, dh, t, dead)
        _fill_gradients(out, sizes, p, y, rows, rows, (dh,))

    return run
