"""The walks through time behind recurrent networks: forward, and back with all gradients.

Time is the first axis, and all operands are one flat array, so that one walk back finds all gradients. What walks is
written once, in NumPy's functions: on arrays it is fast, and on tensors, where derivatives of derivatives are wanted,
the same lines are ops. Logistic functions are computed as (1 + tanh(z / 2)) / 2, one tanh for all gates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import numpy as np

from tinygrad_nn.ops.reduction import sum_to
from tinygrad_nn.primitives import Array

Sizes = tuple[int, int, int, int]
"""Steps T, samples N, features C of a step, and H of a state."""
Rows = Array | list[Any]
"""One row for each step: an array, or a list of tensors."""
Run = tuple[Array, Array]
"""The states before the first step and after each, (states, T + 1, N, H), and the gates of each, (T, N, ...)."""


def shapes(sizes: Sizes, gates: int, states: int) -> list[tuple[int, ...]]:
    """Return the shapes of what is side by side in the one operand."""
    t, n, c, h = sizes
    return [(t, n, c), *[(n, h)] * states, (c, gates * h), (h, gates * h), (gates * h,), (gates * h,)]


def parts(p: Array, sizes: Sizes, gates: int, states: int = 1) -> list[Array]:
    """Return the inputs, the first states, both weights and both biases."""
    within = shapes(sizes, gates, states)
    bounds = pairwise(accumulate(map(prod, within), initial=0))
    return [np.reshape(p[a:b], shape) for (a, b), shape in zip(bounds, within, strict=True)]


def joined(parts: Sequence[Array]) -> Array:
    return np.concatenate([np.reshape(part, -1) for part in parts])


def _rows(sizes: Sizes, width: int, *given: Array) -> Rows:
    """Return where each step puts its row: on arrays memory, made once, on tensors a list."""
    if all(isinstance(a, np.ndarray) for a in given):
        return np.empty((*sizes[:2], width), np.result_type(*given))
    return [None] * sizes[0]


def _rows_over(a: Array, sizes: Sizes, width: int, *others: Array) -> Rows:
    """Return the same in the memory of an array that nobody else has, and of which each step has read its part."""
    if isinstance(a, np.ndarray) and np.result_type(a, *others) == a.dtype:
        return np.reshape(a, (*sizes[:2], width))
    return _rows(sizes, width, a, *others)


def _stacked(rows: Rows, sizes: Sizes, width: int, like: Array) -> Array:
    """Return the rows of all steps, of which there may be none, as one array."""
    if isinstance(rows, np.ndarray):
        return rows
    return np.stack(rows) if rows else np.reshape(like[:0], (*sizes[:2], width))


def _projected(x: Array, weight: Array) -> Array:
    """All inputs times their weights, in one product."""
    t, n, c = x.shape
    return np.reshape(np.reshape(x, (t * n, c)) @ weight, (t, n, weight.shape[1]))


def _chosen(alive: Array, t: int, new: Array, old: Array) -> Array:
    """The new state of the samples that have a step t, and the old one of the others."""
    return np.where(alive[t][:, None], new, old) if np.ndim(alive) else new


def where_alive(alive: Array, values: Array, otherwise: float = 0.0) -> Array:
    return np.where(alive[..., None], values, values.dtype.type(otherwise)) if np.ndim(alive) else values


def _with_passed_on(alive: Array, t: int, through: Array, g: Array) -> Array:
    """The cotangents that went through step t, and for samples that do not have it those that came to it."""
    return through + np.where(alive[t][:, None], g.dtype.type(0), g) if np.ndim(alive) else through


def _gradients(
    parts: list[Array], before: Array, inside: Array, recurrent: Array, firsts: Sequence[Array]
) -> Array:
    """All gradients side by side, given those of the projected inputs and of the projected states.

    Args:
        parts: what `parts` returns.
        before: the states before each step, (T, N, H).
        inside: the gradients of x @ w_ih + b_ih, (T, N, gates).
        recurrent: those of h @ w_hh + b_hh.
        firsts: those of the first states.
    """
    x, w_ih, same = parts[0], parts[-4], recurrent is inside
    x, before, inside, recurrent = (
        np.reshape(a, (a.shape[0] * a.shape[1], a.shape[2])) for a in (x, before, inside, recurrent)
    )
    bias = sum_to(inside, shape=inside.shape[1:])
    other = bias if same else sum_to(recurrent, shape=recurrent.shape[1:])
    return joined([inside @ w_ih.T, *firsts, x.T @ inside, before.T @ recurrent, bias, other])


LSTM_SCALE, GRU_SCALE = (0.5, 0.5, 1, 0.5), (0.5, 0.5, 1)


def scale(h: int, dtype: np.dtype, *gates: float) -> Array:
    """One half for the gates that are logistic functions, one for the others."""
    return np.repeat(np.array(gates, dtype), h)


def lstm_run(p: Array, alive: Array, sizes: Sizes) -> Run:
    steps, _, _, width = sizes
    x, h, c, w_ih, w_hh, b_ih, b_hh = parts(p, sizes, 4, 2)
    factor = scale(width, p.dtype, *LSTM_SCALE)
    shift = 1 - factor
    z, w_hh, bias = _projected(x, w_ih * factor), w_hh * factor, (b_ih + b_hh) * factor
    hs, cs, gates = [h], [c], _rows_over(z, sizes, 4 * width)
    for t in range(steps):
        a = np.tanh(h @ w_hh + z[t] + bias) * factor + shift
        new = a[:, width : 2 * width] * c + a[:, :width] * a[:, 2 * width : 3 * width]
        h = _chosen(alive, t, a[:, 3 * width :] * np.tanh(new), h)
        c = _chosen(alive, t, new, c)
        gates[t] = a
        hs.append(h)
        cs.append(c)
    return np.reshape(np.stack([*hs, *cs]), (2, steps + 1, *h.shape)), _stacked(gates, sizes, 4 * width, p)


def lstm_back(p: Array, alive: Array, y: Array, gates: Array, g: Array, sizes: Sizes) -> Array:
    steps, n, _, width = sizes
    given = parts(p, sizes, 4, 2)
    i, f, j, o = (gates[..., k * width : (k + 1) * width] for k in range(4))
    tanh_c = np.tanh(y[1, 1:])
    slopes = np.concatenate(
        [j * i * (1 - i), y[1, :-1] * f * (1 - f), i * (1 - j * j), tanh_c * o * (1 - o)], axis=-1
    )
    slopes = np.reshape(where_alive(alive, slopes), (steps, n, 4, width))
    into_c, f = where_alive(alive, o * (1 - tanh_c * tanh_c)), where_alive(alive, f, 1)
    gh, gc, back = g[0], g[1], given[4].T
    dh, dc, rows = gh[steps], gc[steps], _rows_over(slopes, sizes, 4 * width, g)
    for t in reversed(range(steps)):
        dc = dc + dh * into_c[t]
        dz = np.concatenate([slopes[t, :, :3] * dc[:, None], (slopes[t, :, 3] * dh)[:, None]], axis=1)
        rows[t] = np.reshape(dz, (n, 4 * width))
        dh = _with_passed_on(alive, t, rows[t] @ back + gh[t], dh)
        dc = dc * f[t] + gc[t]
    dz = _stacked(rows, sizes, 4 * width, p)
    return _gradients(given, y[0, :-1], dz, dz, (dh, dc))


def gru_run(p: Array, alive: Array, sizes: Sizes) -> Run:
    steps, _, _, width = sizes
    x, h, w_ih, w_hh, b_ih, b_hh = parts(p, sizes, 3)
    factor = scale(width, p.dtype, *GRU_SCALE)
    z, b_ih, w_hh, b_hh = _projected(x, w_ih * factor), b_ih * factor, w_hh * factor, b_hh * factor
    hs, gates = [h], _rows(sizes, 4 * width, p)
    for t in range(steps):
        inside, q = z[t] + b_ih, h @ w_hh + b_hh
        a = np.tanh(q[:, : 2 * width] + inside[:, : 2 * width]) * 0.5 + 0.5
        q = q[:, 2 * width :]
        n = np.tanh(a[:, :width] * q + inside[:, 2 * width :])
        h = _chosen(alive, t, n + a[:, width:] * (h - n), h)
        gates[t] = np.concatenate([a, n, q], axis=1)
        hs.append(h)
    return np.stack(hs)[None], _stacked(gates, sizes, 4 * width, p)


def gru_back(p: Array, alive: Array, y: Array, gates: Array, g: Array, sizes: Sizes) -> Array:
    steps, n, _, width = sizes
    given = parts(p, sizes, 3)
    r, u, new, q = (gates[..., k * width : (k + 1) * width] for k in range(4))
    of_new = where_alive(alive, (1 - u) * (1 - new * new))
    of_u = where_alive(alive, (y[0, :-1] - new) * u * (1 - u))
    slopes = np.concatenate([of_new * q * r * (1 - r), of_u, of_new * r], axis=-1)
    slopes, keeps = np.reshape(slopes, (steps, n, 3, width)), where_alive(alive, u, 1)
    g, back = g[0], given[3].T
    dh, rows, arrived = g[steps], _rows(sizes, 3 * width, p, g), _rows(sizes, width, p, g)
    for t in reversed(range(steps)):
        arrived[t] = dh
        rows[t] = np.reshape(slopes[t] * dh[:, None], (n, 3 * width))
        dh = rows[t] @ back + dh * keeps[t] + g[t]
    recurrent = _stacked(rows, sizes, 3 * width, p)
    of_new = of_new * _stacked(arrived, sizes, width, p)
    inside = np.concatenate([recurrent[..., : 2 * width], of_new], axis=-1)
    return _gradients(given, y[0, :-1], inside, recurrent, (dh,))


def rnn_run(p: Array, alive: Array, sizes: Sizes) -> Array:
    x, h, w_ih, w_hh, b_ih, b_hh = parts(p, sizes, 1)
    z, bias, hs = _projected(x, w_ih), b_ih + b_hh, [h]
    for t in range(sizes[0]):
        h = _chosen(alive, t, np.tanh(h @ w_hh + z[t] + bias), h)
        hs.append(h)
    return np.stack(hs)[None]


def rnn_back(p: Array, alive: Array, y: Array, g: Array, sizes: Sizes) -> Array:
    steps, _, _, width = sizes
    given = parts(p, sizes, 1)
    slopes = where_alive(alive, 1 - y[0, 1:] * y[0, 1:])
    g, back = g[0], given[3].T
    dh, rows = g[steps], _rows(sizes, width, p, g)
    for t in reversed(range(steps)):
        rows[t] = slopes[t] * dh
        dh = _with_passed_on(alive, t, rows[t] @ back + g[t], dh)
    dz = _stacked(rows, sizes, width, p)
    return _gradients(given, y[0, :-1], dz, dz, (dh,))


def one_by_one(cell: Callable[..., tuple[Array, ...]], gates: int, states: int = 1) -> Callable[..., Array]:
    """Return what computes all states one sample and one step after the other."""

    def reference(p: Array, alive: Array, sizes: Sizes) -> Array:
        steps, count, _, width = sizes
        x, *first, w_ih, w_hh, b_ih, b_hh = parts(p, sizes, gates, states)
        y = np.zeros((states, steps + 1, count, width), p.dtype)
        y[:, 0] = first
        for n in range(count):
            for t in range(steps):
                inside, recurrent = x[t, n] @ w_ih + b_ih, y[0, t, n] @ w_hh + b_hh
                there = not np.ndim(alive) or alive[t, n]
                y[:, t + 1, n] = cell(inside, recurrent, *y[:, t, n]) if there else y[:, t, n]
        return y

    return reference


def _logistic(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def lstm_cell(inside: Array, recurrent: Array, _: Array, c: Array) -> tuple[Array, Array]:
    i, f, g, o = np.split(inside + recurrent, 4)
    c = _logistic(f) * c + _logistic(i) * np.tanh(g)
    return _logistic(o) * np.tanh(c), c


def gru_cell(inside: Array, recurrent: Array, h: Array) -> tuple[Array]:
    (r, z, n), (r_, z_, n_) = np.split(inside, 3), np.split(recurrent, 3)
    z, n = _logistic(z + z_), np.tanh(n + _logistic(r + r_) * n_)
    return ((1 - z) * n + z * h,)


def rnn_cell(inside: Array, recurrent: Array, _: Array) -> tuple[Array]:
    return (np.tanh(inside + recurrent),)
