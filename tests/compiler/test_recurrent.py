"""Recurrent networks in compiled steps: the states and the gradients of the eager walks, in memory given to them."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.engine.tensor import apply
from tinygrad_nn.ops import recurrent, recurrent_walks

WALKS = {"lstm": (4, 2), "gru": (3, 1), "rnn": (1, 1)}
"""Gates and states."""
KINDS = pytest.mark.parametrize("kind", WALKS)
SIZES = {
    "a part of a vector": (3, 5, 2, 4),
    "a part of a block of samples, of columns, of rows": (15, 35, 3, 67),
    "several blocks of samples": (2, 65, 1, 2),
}


def operands(kind, sizes, dtype=np.float64, some=False):
    """Return all operands as one, and which samples have which steps: all, or some."""
    rng = np.random.default_rng(0)
    steps, count, _, width = sizes
    parts = [rng.normal(size=s) for s in recurrent_walks.shapes(sizes, *WALKS[kind])]
    # Larger weights are chaos: what differs in the last place grows from step to step.
    p = recurrent_walks.joined(parts) / max(width, 1) ** 0.5
    alive = np.arange(steps)[:, None] < rng.integers(0, steps + 1, count) if some else True
    return p.astype(dtype), alive


def walk(kind, sizes, alive):
    """Return a function of all operands and of a cotangent, that gives states and gradients."""
    states = getattr(recurrent, f"{kind}_states")

    def run(p, g):
        value, back = tn.vjp(lambda p: apply(states, (p, alive), {"sizes": sizes}), p)
        return value, back(g)[0]

    return run


def compared(run, given, backend, rtol):
    """Compare a compiled function with the eager one, twice; return its program."""
    compiled = tn.compile(run, backend)
    for _ in range(2):
        for got, expected in zip(compiled(*given), run(*map(tn.as_tensor, given)), strict=True):
            assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
            if backend == "numpy":
                np.testing.assert_array_equal(got.data, expected.data)
            else:
                scale = np.abs(expected.data[np.isfinite(expected.data)]).max(initial=0)
                np.testing.assert_allclose(got.data, expected.data, rtol=rtol, atol=rtol * scale)
        given = [x * x.dtype.type(1.5) for x in given]
    (program,) = compiled.programs
    return program


@pytest.mark.parametrize("some", [False, True], ids=["all steps", "some steps"])
@pytest.mark.parametrize("which", SIZES)
@KINDS
def test_compiled_walks_give_the_states_and_gradients_of_eager_ones(kind, which, some, backend):
    sizes = SIZES[which]
    p, alive = operands(kind, sizes, some=some)
    shape = (WALKS[kind][1], sizes[0] + 1, sizes[1], sizes[3])
    g = np.random.default_rng(1).normal(size=shape)
    program = compared(walk(kind, sizes, alive), (p, g), backend, 1e-12)
    assert ("weights_back" in program.text) == (backend == "numba")


def test_walks_in_single_precision_keep_its_digits():
    pytest.importorskip("numba")
    kind = "lstm"
    sizes = SIZES["a part of a block of samples, of columns, of rows"]
    p, alive = operands(kind, sizes, np.float32)
    shape = (WALKS[kind][1], sizes[0] + 1, sizes[1], sizes[3])
    g = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    program = compared(walk(kind, sizes, alive), (p, g), "numba", 1e-5)
    assert "weights_back" in program.text


@pytest.mark.parametrize(
    ("sizes", "dtype"),
    [
        ((3, 2, 2, 3), np.float16),
        ((0, 2, 1, 2), np.float64),
        ((2, 0, 1, 2), np.float64),
        ((2, 1, 0, 2), np.float64),
    ],
)
@KINDS
def test_narrow_numbers_and_nothing_at_all_are_left_to_numpy(kind, sizes, dtype, backend):
    p, alive = operands(kind, sizes, dtype)
    shape = (WALKS[kind][1], sizes[0] + 1, sizes[1], sizes[3])
    program = compared(walk(kind, sizes, alive), (p, np.ones(shape, dtype)), backend, 1e-12)
    assert "weights_back" not in program.text


@KINDS
def test_states_alone_need_no_memory_for_the_gates_of_earlier_steps(kind):
    pytest.importorskip("numba")
    sizes = (50, 3, 2, 4)
    p, alive = operands(kind, sizes)
    run = lambda p: (apply(getattr(recurrent, f"{kind}_states"), (p, alive), {"sizes": sizes}),)
    program = compared(run, (p,), "numba", 1e-12)
    steps, count, _, width = sizes
    states = WALKS[kind][1] * (steps + 1) * count * width
    assert program.nbytes < 8 * (states + 5 * count * width) + 1024


@KINDS
def test_what_is_not_a_number_or_not_finite_goes_where_it_goes_eagerly(kind, backend):
    sizes = (4, 3, 2, 3)
    p, alive = operands(kind, sizes)
    for place, value in ((8, np.nan), (10, np.inf), (12, -np.inf)):
        p[place] = value
    run = lambda p: (apply(getattr(recurrent, f"{kind}_states"), (p, alive), {"sizes": sizes}),)
    with np.errstate(invalid="ignore"):
        compared(run, (p,), backend, 1e-12)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_layers_of_both_directions_train_as_they_do_eagerly(kind, backend):
    def make():
        layer = getattr(nn, kind)(
            2, 3, num_layers=2, bidirectional=True, rng=np.random.default_rng(0), dtype=np.float64
        )
        optimizer = tn.optim.SGD(layer.parameters(), lr=0.1)

        def step(x, lengths):
            optimizer.zero_grad()
            outputs, last = layer(x, lengths=lengths)
            loss = (outputs**2).sum() + sum((s**2).sum() for s in (last if kind == "LSTM" else [last]))
            loss.backward()
            optimizer.step()
            return loss

        return layer, step

    (eager, step), (replayed, other) = make(), make()
    compiled = tn.compile(other, backend)
    rng = np.random.default_rng(0)
    for _ in range(3):
        x, lengths = rng.normal(size=(4, 5, 2)), rng.integers(0, 6, 4)
        np.testing.assert_allclose(compiled(x, lengths).data, step(tn.tensor(x), lengths).data, rtol=1e-12)
    for a, b in zip(eager.parameters(), replayed.parameters(), strict=True):
        np.testing.assert_allclose(b.data, a.data, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("kind", "backend"), [*((kind, "numpy") for kind in WALKS), ("rnn", "numba")])
def test_derivatives_of_derivatives_are_left_to_numpy(kind, backend):
    if backend == "numba":
        pytest.importorskip("numba")
    sizes = (1, 2, 1, 2)
    p, alive = operands(kind, sizes, some=True)
    states = getattr(recurrent, f"{kind}_states")
    slope = tn.grad(lambda p: (apply(states, (p, alive), {"sizes": sizes}) ** 2).sum())
    compared(tn.value_and_grad(lambda p: (slope(p) ** 2).sum()), (p,), backend, 1e-11)


@KINDS
def test_a_walk_in_pieces_is_the_walk(kind):
    pytest.importorskip("numba")
    from tinygrad_nn.compiler.loops import recurrent as loops
    from tinygrad_nn.compiler.loops.tile import product_kernel

    (steps, count, features, width), samples = (3, 5, 2, 4), 2
    p, _ = operands(kind, (steps, count, features, width))
    whole, pieces = np.zeros((2, WALKS[kind][1] * (steps + 1) * count * width))
    gates = () if kind == "rnn" else (np.zeros(steps * count * 4 * width),)
    kept = () if kind == "rnn" else (1,)
    run = getattr(loops, f"{kind}_walk")
    for y, parts in ((whole, [(0, 3)]), (pieces, [(2, 3), (0, 1), (1, 2)])):
        for part in parts:
            settings = (product_kernel("float64"), *kept, samples, steps, count, features, width)
            run(*part, p, np.zeros(0, bool), y, *gates, *settings)
    np.testing.assert_array_equal(pieces, whole)
    assert whole.any()


@KINDS
def test_lengths_that_the_step_holds_are_no_reason_to_leave_a_walk_to_numpy(kind):
    pytest.importorskip("numba")
    gates, states = WALKS[kind]
    n, t, c, h = 3, 4, 2, 5
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, t, c))
    weights = [rng.normal(size=s) for s in recurrent_walks.shapes((t, n, c, h), gates, states)[1:]]
    lengths = np.array([4, 0, 2])
    run = lambda x: getattr(tn, kind)(x, *weights, lengths=lengths, reverse=True)[:1]
    program = compared(run, (x,), "numba", 1e-12)
    settings = ", ".join(map(str, (t, n, c, h)))
    assert f"{kind}_states(0, 1," in program.text
    assert settings in program.text
