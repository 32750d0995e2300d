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


def _stacked(rows: list[Array], like: Array, width: int) -> Array:
    """Return the rows of all steps, of which there may be none, as one array."""
    return np.stack(rows) if rows else np.zeros((0, like.shape[-2], width), like.dtype)


def _projected(x: Array, weight: Array, bias: Array) -> Array:
    """All inputs times their weights, in one product."""
    t, n, c = x.shape
    return np.reshape(np.reshape(x, (t * n, c)) @ weight + bias, (t, n, weight.shape[1]))


def _chosen(alive: Array, t: int, new: Array, old: Array) -> Array:
    """The new state of the samples that have a step t, and the old one of the others."""
    return np.where(alive[t][:, None], new, old) if np.ndim(alive) else new


def where_alive(alive: Array, values: Array, otherwise: float = 0.0) -> Array:
    return np.where(alive[..., None], values, values.dtype.type(otherwise)) if np.ndim(alive) else values


def _passed_on(alive: Array, t: int, g: Array) -> Array | float:
    """What goes around step t: the cotangents of the samples that do not have it."""
    return np.where(alive[t][:, None], g.dtype.type(0), g) if np.ndim(alive) else 0.0


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
    x, w_ih = parts[0], parts[-4]
    x, before, inside, recurrent = (
        np.reshape(a, (a.shape[0] * a.shape[1], a.shape[2])) for a in (x, before, inside, recurrent)
    )
    biases = [sum_to(d, shape=d.shape[1:]) for d in (inside, recurrent)]
    return joined([inside @ w_ih.T, *firsts, x.T @ inside, before.T @ recurrent, *biases])


def _scale(h: int, dtype: Any, *gates: float) -> Array:
    """One half for the gates that are logistic functions, one for the others."""
    return np.repeat(np.array(gates, dtype), h)


def lstm_run(p: Array, alive: Array, sizes: Sizes) -> Run:
    steps, _, _, width = sizes
    x, h, c, w_ih, w_hh, b_ih, b_hh = parts(p, sizes, 4, 2)
    scale = _scale(width, p.dtype, 0.5, 0.5, 1, 0.5)
    shift = 1 - scale
    z, w_hh = _projected(x, w_ih * scale, (b_ih + b_hh) * scale), w_hh * scale
    hs, cs, gates = [h], [c], []
    for t in range(steps):
        a = np.tanh(h @ w_hh + z[t]) * scale + shift
        new = a[:, width : 2 * width] * c + a[:, :width] * a[:, 2 * width : 3 * width]
        h = _chosen(alive, t, a[:, 3 * width :] * np.tanh(new), h)
        c = _chosen(alive, t, new, c)
        gates.append(a)
        hs.append(h)
        cs.append(c)
    return np.reshape(np.stack([*hs, *cs]), (2, steps + 1, *h.shape)), _stacked(gates, h, 4 * width)


def lstm_back(p: Array, alive: Array, y: Array, gates: Array, g: Array, sizes: Sizes) -> Array:
    steps, n, _, width = sizes
    given = parts(p, sizes, 4, 2)
    i, f, j, o = (gates[..., k * width : (k + 1) * width] for k in range(4))
    tanh_c = np.tanh(y[1, 1:])
    of_c = where_alive(
        alive, np.concatenate([j * i * (1 - i), y[1, :-1] * f * (1 - f), i * (1 - j * j)], axis=-1)
    )
    of_c = np.reshape(of_c, (steps, n, 3, width))
    of_o = where_alive(alive, tanh_c * o * (1 - o))
    into_c, f = where_alive(alive, o * (1 - tanh_c * tanh_c)), where_alive(alive, f, 1)
    gh, gc, back = g[0], g[1], given[4].T
    dh, dc, rows = gh[steps], gc[steps], []
    for t in reversed(range(steps)):
        dc = dc + dh * into_c[t]
        dz = np.concatenate([of_c[t] * dc[:, None], (of_o[t] * dh)[:, None]], axis=1)
        rows.append(np.reshape(dz, (n, 4 * width)))
        dh = rows[-1] @ back + gh[t] + _passed_on(alive, t, dh)
        dc = dc * f[t] + gc[t]
    dz = _stacked(rows[::-1], dh, 4 * width)
    return _gradients(given, y[0, :-1], dz, dz, (dh, dc))


def gru_run(p: Array, alive: Array, sizes: Sizes) -> Run:
    steps, _, _, width = sizes
    x, h, w_ih, w_hh, b_ih, b_hh = parts(p, sizes, 3)
    scale = _scale(width, p.dtype, 0.5, 0.5, 1)
    z, w_hh, b_hh = _projected(x, w_ih * scale, b_ih * scale), w_hh * scale, b_hh * scale
    hs, gates = [h], []
    for t in range(steps):
        q = h @ w_hh + b_hh
        a = np.tanh(q[:, : 2 * width] + z[t, :, : 2 * width]) * 0.5 + 0.5
        q = q[:, 2 * width :]
        n = np.tanh(a[:, :width] * q + z[t, :, 2 * width :])
        h = _chosen(alive, t, n + a[:, width:] * (h - n), h)
        gates.append(np.concatenate([a, n, q], axis=1))
        hs.append(h)
    return np.stack(hs)[None], _stacked(gates, h, 4 * width)


def gru_back(p: Array, alive: Array, y: Array, gates: Array, g: Array, sizes: Sizes) -> Array:
    steps, n, _, width = sizes
    given = parts(p, sizes, 3)
    r, u, new, q = (gates[..., k * width : (k + 1) * width] for k in range(4))
    of_new = where_alive(alive, (1 - u) * (1 - new * new))
    of_u = where_alive(alive, (y[0, :-1] - new) * u * (1 - u))
    slopes = np.concatenate([of_new * q * r * (1 - r), of_u, of_new * r], axis=-1)
    slopes, keeps = np.reshape(slopes, (steps, n, 3, width)), where_alive(alive, u, 1)
    g, back = g[0], given[3].T
    dh, rows, arrived = g[steps], [], []
    for t in reversed(range(steps)):
        arrived.append(dh)
        rows.append(np.reshape(slopes[t] * dh[:, None], (n, 3 * width)))
        dh = rows[-1] @ back + dh * keeps[t] + g[t]
    recurrent = _stacked(rows[::-1], dh, 3 * width)
    of_new = of_new * _stacked(arrived[::-1], dh, width)
    inside = np.concatenate([recurrent[..., : 2 * width], of_new], axis=-1)
    return _gradients(given, y[0, :-1], inside, recurrent, (dh,))


def rnn_run(p: Array, alive: Array, sizes: Sizes) -> Array:
    x, h, w_ih, w_hh, b_ih, b_hh = parts(p, sizes, 1)
    z = _projected(x, w_ih, b_ih + b_hh)
    hs = [h]
    for t in range(sizes[0]):
        h = _chosen(alive, t, np.tanh(h @ w_hh + z[t]), h)
        hs.append(h)
    return np.stack(hs)[None]


def rnn_back(p: Array, alive: Array, y: Array, g: Array, sizes: Sizes) -> Array:
    steps, _, _, width = sizes
    given = parts(p, sizes, 1)
    slopes = where_alive(alive, 1 - y[0, 1:] * y[0, 1:])
    g, back = g[0], given[3].T
    dh, rows = g[steps], []
    for t in reversed(range(steps)):
        rows.append(slopes[t] * dh)
        dh = rows[-1] @ back + g[t] + _passed_on(alive, t, dh)
    dz = _stacked(rows[::-1], dh, width)
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
