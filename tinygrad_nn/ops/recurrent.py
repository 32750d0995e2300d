"""Recurrent networks over whole sequences: one op for all steps, with one product for all inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_nn.errors import DtypeError, SettingError, ShapeError
from tinygrad_nn.ops import recurrent_walks as walks
from tinygrad_nn.ops.recurrent_walks import Run, Sizes
from tinygrad_nn.primitives import Array, Primitive, composite, kernel, op
from tinygrad_nn.primitives.operands import operand
from tinygrad_nn.primitives.record import Sample, Samples

_SIZES = ((3, 2, 2, 2), (2, 3, 1, 2), (1, 1, 1, 1), (4, 1, 2, 1), (0, 2, 1, 2), (2, 0, 1, 2))


def _samples(gates: int, states: int = 1, more: Callable[..., Sequence[Array]] = lambda *_: ()) -> Samples:
    """Return the calls to check: `more` returns the operands that there are besides."""

    def samples(rng: np.random.Generator) -> list[Sample]:
        calls: list[Sample] = []
        for sizes in _SIZES:
            p = walks.joined([rng.normal(size=shape) for shape in walks.shapes(sizes, gates, states)])
            for alive in (True, np.arange(sizes[0])[:, None] < rng.integers(0, sizes[0] + 1, sizes[1])):
                calls.append(((p, alive, *more(p, alive, sizes)), {"sizes": sizes}))
        return calls

    return samples


def _in_one(function: Callable[..., Array], operands: int, samples: Samples) -> Primitive:
    """Return a function as one op, so that a compiled step has one call of it; it has a gradient as a composite has."""
    return op(
        function,
        *[None] * operands,
        name=function.__name__.lstrip("_"),
        otherwise=function,
        method=False,
        samples=samples,
    )


def _lstm_gates(p: Array, alive: Array, sizes: Sizes) -> Array:
    """What the gates of a LSTM are at all steps."""
    return walks.lstm_run(p, alive, sizes)[1]


def _gru_gates(p: Array, alive: Array, sizes: Sizes) -> Array:
    """What the gates of a GRU, and its projected states, are at all steps."""
    return walks.gru_run(p, alive, sizes)[1]


lstm_gates = _in_one(_lstm_gates, 2, _samples(4, 2))
gru_gates = _in_one(_gru_gates, 2, _samples(3))
lstm_back = _in_one(
    walks.lstm_back, 5, _samples(4, 2, lambda *call: (*(run := walks.lstm_run(*call)), np.cos(run[0])))
)
gru_back = _in_one(
    walks.gru_back, 5, _samples(3, 1, lambda *call: (*(run := walks.gru_run(*call)), np.cos(run[0])))
)
rnn_back = _in_one(walks.rnn_back, 4, _samples(1, 1, lambda *call: ((y := walks.rnn_run(*call)), np.cos(y))))


@kernel(
    lambda g, p, alive, y, gates, *, sizes: lstm_back(p, alive, y, gates, g, sizes=sizes),
    None,
    residuals={"gates": lambda p, alive, *, sizes: lstm_gates(p, alive, sizes=sizes)},
    reference=walks.one_by_one(walks.lstm_cell, 4, 2),
    samples=_samples(4, 2),
)
def lstm_states(p: Array, alive: Array, *, sizes: Sizes) -> Run:
    """All states h and c of a LSTM."""
    return walks.lstm_run(p, alive, sizes)


@kernel(
    lambda g, p, alive, y, gates, *, sizes: gru_back(p, alive, y, gates, g, sizes=sizes),
    None,
    residuals={"gates": lambda p, alive, *, sizes: gru_gates(p, alive, sizes=sizes)},
    reference=walks.one_by_one(walks.gru_cell, 3),
    samples=_samples(3),
)
def gru_states(p: Array, alive: Array, *, sizes: Sizes) -> Run:
    """All states of a GRU."""
    return walks.gru_run(p, alive, sizes)


@kernel(
    lambda g, p, alive, y, *, sizes: rnn_back(p, alive, y, g, sizes=sizes),
    None,
    reference=walks.one_by_one(walks.rnn_cell, 1),
    samples=_samples(1),
)
def rnn_states(p: Array, alive: Array, *, sizes: Sizes) -> Array:
    """All states of a network whose state is the tanh of a sum."""
    return walks.rnn_run(p, alive, sizes)


def _over_time(
    who: str,
    states: Callable[..., Array],
    gates: int,
    x: Array,
    first: dict[str, Array],
    weights: dict[str, Any],
    lengths: Array | None,
    reverse: bool,
) -> tuple[Array, list[Array]]:
    """Return the outputs, batch first, and the last states."""
    given = {"x": x, **first, **weights}
    sizes = _sizes(who, gates, {name: np.shape(a) for name, a in given.items() if a is not None}, list(first))
    steps, count, _, width = sizes
    x, order = np.swapaxes(x, 0, 1), np.arange(steps)
    if reverse:
        x, order = np.flip(x, 0), order[::-1]
    alive = _alive(who, lengths, order, count)
    # What is behind the end of a sequence may be anything, NaN too.
    x = walks.where_alive(alive, x)
    no_bias = np.zeros(gates * width, weights["w_hh"].dtype)
    filled = [no_bias if a is None else a for a in weights.values()]
    y = states(walks.joined([x, *first.values(), *filled]), alive, sizes=sizes)
    outputs = walks.where_alive(alive, y[0, 1:])
    outputs = np.swapaxes(np.flip(outputs, 0) if reverse else outputs, 0, 1)
    return outputs, [y[k, steps] for k in range(len(first))]


def _alive(who: str, lengths: Any, order: Array, count: int) -> Any:
    """Return which samples have which step, (T, N), in this order of steps; True where all have all."""
    steps = len(order)
    if lengths is None:
        return True
    lengths = operand(lengths)
    if lengths.dtype.kind not in "iu":
        hint = (
            "mask.sum(axis=1) of a mask (N, T)"
            if lengths.dtype == bool
            else "np.asarray(lengths).astype(int)"
        )
        raise DtypeError(f"{who}: lengths count steps, got {lengths.dtype}\n  hint   {hint}")
    if lengths.shape != (count,):
        raise ShapeError(
            f"{who}: lengths has shape {lengths.shape}, expected one for each sample, {(count,)}"
        )
    # Those that are computed are not known while a step is captured.
    if isinstance(lengths, np.ndarray) and np.any((lengths < 0) | (lengths > steps)):
        raise SettingError(
            f"{who}: lengths are from 0 to the {steps} steps of x, got {lengths.tolist()!r:.60}"
        )
    return order[:, None] < lengths


def _sizes(who: str, gates: int, shapes: dict[str, tuple[int, ...]], states: list[str]) -> Sizes:
    """Return the sizes of a call, whose shapes have to fit each other."""
    x, w_ih, w_hh, first = (shapes[name] for name in ("x", "w_ih", "w_hh", states[0]))
    if len(x) != 3:
        hint = "x[None] for one sample, x[..., None] for one number a step"
        raise ShapeError(f"{who}: x has shape {x}, expected (N, T, C)\n  hint   {hint}")
    n, t, c = x
    if len(w_hh) != 2 or w_hh[1] != gates * w_hh[0]:
        turned = len(w_hh) == 2 and w_hh[0] == gates * w_hh[1]
        raise ShapeError(
            f"{who}: w_hh has shape {w_hh}, expected (H, {gates} * H)"
            + ("\n  hint   w_ih.T and w_hh.T, if they are PyTorch's" if turned else "")
        )
    h = w_hh[0]
    expected = {
        "w_ih": (c, gates * h),
        **dict.fromkeys(states, (n, h)),
        **dict.fromkeys(("b_ih", "b_hh"), (gates * h,)),
    }
    wrong = [name for name, shape in shapes.items() if shape != expected.get(name, shape)]
    if wrong:
        hint = ""
        if wrong == states and first[0] == t:
            hint = "\n  hint   time is the second axis: np.swapaxes(x, 0, 1)"
        elif "w_ih" in wrong and w_ih[::-1] == expected["w_ih"]:
            hint = "\n  hint   w_ih.T, if it is PyTorch's"
        elif wrong == ["w_ih"] and w_ih[0] == t:
            hint = "\n  hint   features are on the last axis: np.moveaxis(x, 1, -1)"
        got = ", ".join(f"{name} {shapes[name]}, expected {expected[name]}" for name in wrong)
        raise ShapeError(f"{who}: x {x} and w_hh {w_hh} do not fit {got}{hint}")
    return t, n, c, h


def _calls(gates: int, states: int = 1) -> Samples:
    def samples(rng: np.random.Generator) -> list[Sample]:
        calls: list[Sample] = []
        for sizes in _SIZES:
            steps, count, features, _ = sizes
            _, *shapes = walks.shapes(sizes, gates, states)
            whole = tuple(rng.normal(size=shape) for shape in ((count, steps, features), *shapes))
            lengths = rng.integers(0, steps + 1, count)
            calls += [
                (whole, {}),
                (whole[:-2], {"lengths": lengths}),
                (whole, {"lengths": lengths, "reverse": True}),
            ]
        return calls

    return samples


@composite(samples=_calls(4, 2))
def lstm(
    x: Array,
    h: Array,
    c: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    lengths: Array | None = None,
    reverse: bool = False,
) -> tuple[Array, tuple[Array, Array]]:
    """Outputs and last states (h, c) of a LSTM (Hochreiter and Schmidhuber 1997; with forget gates, Gers 2000).

    c' = f * c + i * g and h' = o * tanh(c'), where the gates i, f, g and o, side by side in this order, are
    x @ w_ih + b_ih + h @ w_hh + b_hh; i, f and o go through the logistic function, g through tanh.

    Args:
        x: inputs, batch first, (N, T, C).
        h: first states, (N, H), which are the outputs too.
        c: first states of the cells, (N, H).
        w_ih: weights of the inputs, (C, 4 * H).
        w_hh: weights of the states, (H, 4 * H).
        b_ih: added to x @ w_ih, (4 * H,).
        b_hh: added to h @ w_hh, (4 * H,).
        lengths: how many steps each sample has, (N,); behind these the outputs are zero and the states stay.
        reverse: whether to begin at the end.

    Raises:
        ShapeError, DtypeError, SettingError: shapes do not fit, or lengths are no counts of steps.

    Example:
        >>> import tinygrad_nn as tn
        >>> outputs, (h, c) = tn.lstm(np.ones((2, 5, 3)), *np.zeros((2, 2, 4)), np.ones((3, 16)), np.ones((4, 16)))
        >>> outputs.shape, h.shape, bool((outputs[:, -1] == h).all())
        ((2, 5, 4), (2, 4), True)
    """
    weights = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    outputs, (h, c) = _over_time("lstm", lstm_states, 4, x, {"h": h, "c": c}, weights, lengths, reverse)
    return outputs, (h, c)


@composite(samples=_calls(3))
def gru(
    x: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    lengths: Array | None = None,
    reverse: bool = False,
) -> tuple[Array, Array]:
    """Outputs and last state of a GRU (Cho et al. 2014), whose reset gate multiplies the projected state.

    h' = (1 - z) * n + z * h with n = tanh(x @ w_n + b_n + r * (h @ v_n + c_n)); r and z are logistic functions of
    x @ w + b + h @ v + c; r, z and n are side by side in this order.

    Args:
        x: inputs, batch first, (N, T, C).
        h: first states, (N, H), which are the outputs too.
        w_ih, w_hh: weights of inputs and states, (C, 3 * H) and (H, 3 * H).
        b_ih, b_hh: added to x @ w_ih and to h @ w_hh, (3 * H,).
        lengths: how many steps each sample has, (N,); behind these the outputs are zero and the states stay.
        reverse: whether to begin at the end.

    Raises:
        ShapeError, DtypeError, SettingError: shapes do not fit, or lengths are no counts of steps.

    Example:
        >>> import tinygrad_nn as tn
        >>> outputs, h = tn.gru(np.ones((2, 5, 3)), np.zeros((2, 4)), np.ones((3, 12)), np.ones((4, 12)))
        >>> outputs.shape, h.shape, bool((outputs[:, -1] == h).all())
        ((2, 5, 4), (2, 4), True)
    """
    weights = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    outputs, (h,) = _over_time("gru", gru_states, 3, x, {"h": h}, weights, lengths, reverse)
    return outputs, h


@composite(samples=_calls(1))
def rnn(
    x: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    lengths: Array | None = None,
    reverse: bool = False,
) -> tuple[Array, Array]:
    """Outputs and last state of a plain recurrent network (Elman 1990): h' = tanh(x @ w_ih + b_ih + h @ w_hh + b_hh).

    Args:
        x: inputs, batch first, (N, T, C).
        h: first states, (N, H), which are the outputs too.
        w_ih, w_hh: weights of inputs and states, (C, H) and (H, H).
        b_ih, b_hh: added to x @ w_ih and to h @ w_hh, (H,).
        lengths: how many steps each sample has, (N,); behind these the outputs are zero and the states stay.
        reverse: whether to begin at the end.

    Raises:
        ShapeError, DtypeError, SettingError: shapes do not fit, or lengths are no counts of steps.

    Example:
        >>> import tinygrad_nn as tn
        >>> outputs, h = tn.rnn(np.ones((2, 5, 3)), np.zeros((2, 4)), np.ones((3, 4)), np.ones((4, 4)), lengths=[5, 2])
        >>> outputs.shape, h.shape, outputs[1, :, 0].round(2)
        ((2, 5, 4), (2, 4), array([1., 1., 0., 0., 0.]))
    """
    weights = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}
    outputs, (h,) = _over_time("rnn", rnn_states, 1, x, {"h": h}, weights, lengths, reverse)
    return outputs, h
