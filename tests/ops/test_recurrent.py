"""Recurrent networks over whole sequences: lengths, directions, no steps, what they refuse, what they compute with."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import context
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import DtypeError, SettingError, ShapeError

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
STATES = {"lstm": 2, "gru": 1, "rnn": 1}
KINDS = pytest.mark.parametrize("kind", GATES)


def operands(kind, n=3, t=5, c=2, h=4, dtype=np.float64):
    rng = np.random.default_rng(0)
    g = GATES[kind] * h
    shapes = [(n, t, c), *[(n, h)] * STATES[kind], (c, g), (h, g), (g,), (g,)]
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def run(kind, arrays, **options):
    """Return outputs and all last states, as a list."""
    outputs, state = getattr(tn, kind)(*arrays, **options)
    return [outputs, *(state if isinstance(state, tuple) else (state,))]


class Ops(Watcher):
    def __init__(self):
        self.names = []

    def on_op(self, op, links, arrays, params, result, operands):
        self.names.append(op.name)


@KINDS
def test_a_padded_batch_gives_what_each_sample_gives_alone(kind):
    x, *rest = operands(kind)
    states, weights = rest[: STATES[kind]], rest[STATES[kind] :]
    lengths = np.array([5, 2, 0])
    for reverse in (False, True):
        whole = run(kind, [x, *states, *weights], lengths=lengths, reverse=reverse)
        for k, length in enumerate(lengths):
            alone = [x[k : k + 1, :length], *[s[k : k + 1] for s in states], *weights]
            outputs, *last = run(kind, alone, reverse=reverse)
            np.testing.assert_allclose(whole[0][k, :length], outputs[0], rtol=1e-13)
            assert not whole[0][k, length:].any()
            for a, b in zip(whole[1:], last, strict=True):
                np.testing.assert_allclose(a[k], b[0], rtol=1e-13)


@KINDS
def test_what_is_behind_the_end_of_a_sequence_does_not_matter(kind):
    x, *rest = operands(kind)
    behind = x.copy()
    behind[1, 2:] = np.nan
    results = []
    for inputs in (x, behind):
        leaves = [tn.tensor(a, requires_grad=True) for a in (inputs, *rest)]
        outputs = run(kind, leaves, lengths=np.array([5, 2, 5]))
        total = sum((y * y).sum() for y in outputs)
        results.append([y.data for y in outputs] + [g.data for g in tn.gradients(total, leaves)])
        assert not results[-1][len(outputs)][1, 2:].any()
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@KINDS
def test_backwards_is_forwards_through_flipped_inputs(kind):
    x, *rest = operands(kind)
    backwards = run(kind, [x, *rest], reverse=True)
    forwards = run(kind, [x[:, ::-1], *rest])
    np.testing.assert_array_equal(backwards[0], forwards[0][:, ::-1])
    np.testing.assert_array_equal(backwards[1], forwards[1])
    np.testing.assert_array_equal(backwards[0][:, 0], backwards[1])


@KINDS
def test_without_steps_the_states_stay_and_their_gradient_too(kind):
    leaves = [tn.tensor(a, requires_grad=True) for a in operands(kind, t=0)]
    outputs, *last = run(kind, leaves)
    assert outputs.shape == (3, 0, 4)
    for state, y in zip(leaves[1:], last, strict=False):
        np.testing.assert_array_equal(y.data, state.data)
    gradients = tn.gradients(last[0].sum(), leaves)
    np.testing.assert_array_equal(gradients[1].data, np.ones((3, 4)))
    assert not any(g.data.any() for g in (gradients[0], *gradients[2:]))


@KINDS
def test_biases_may_be_left_out(kind):
    *whole, b_ih, _ = operands(kind)
    zeros = np.zeros_like(b_ih)
    for a, b in zip(run(kind, whole), run(kind, [*whole, zeros, zeros]), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(run(kind, [*whole, b_ih]), run(kind, [*whole, b_ih, zeros]), strict=True):
        np.testing.assert_array_equal(a, b)


@KINDS
def test_float32_stays_and_large_inputs_neither_overflow_nor_warn(kind):
    x, *rest = operands(kind, dtype=np.float32)
    leaves = [tn.tensor(a, requires_grad=True) for a in (x * 1e4, *rest)]
    y = run(kind, leaves)
    assert {a.dtype for a in y} == {np.dtype(np.float32)}
    gradients = tn.gradients(y[0].sum(), leaves)
    assert all(np.isfinite(g.data).all() and g.dtype == np.float32 for g in gradients)


@KINDS
def test_one_op_goes_forward_and_plain_arrays_go_back(kind):
    leaves = [tn.tensor(a, requires_grad=True) for a in operands(kind, t=20)]
    seen = Ops()
    with context.watching(seen):
        y = run(kind, leaves)[0].sum()
        y.backward()
    assert seen.names.count(f"{kind}_states") == 1
    assert len(seen.names) < 20


@KINDS
def test_a_compiled_step_has_one_call_forward_and_one_back_and_lengths_are_an_input(kind):
    x, *rest = operands(kind)
    step = tn.value_and_grad(
        lambda x, lengths, *rest: (run(kind, [x, *rest], lengths=lengths)[0] ** 2).sum(),
        (0, *range(2, 2 + len(rest))),
    )
    compiled = tn.compile(step, "numpy")
    for lengths in (np.array([5, 2, 0]), np.array([1, 5, 3])):
        found, expected = compiled(x, lengths, *rest), step(x, lengths, *rest)
        np.testing.assert_allclose(found[0].data, expected[0].data, rtol=1e-12)
        for a, b in zip(found[1], expected[1], strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-12, atol=1e-14)
    assert len(compiled.programs) == 1
    text = compiled.programs[0].text
    assert text.count(f"{kind}_states(") == text.count(f"{kind}_back(") == 1
    assert "gates(" not in text


@KINDS
def test_a_captured_second_derivative_is_that_of_the_cells(kind):
    arrays = operands(kind, n=2, t=2, c=1, h=2)

    def step(*leaves):
        return tn.grad(lambda *xs: (tn.grad(lambda *ys: (run(kind, ys)[0] ** 3).sum())(*xs) ** 2).sum())(
            *leaves
        )

    np.testing.assert_allclose(tn.compile(step, "numpy")(*arrays).data, step(*arrays).data, rtol=1e-11)


@KINDS
def test_jvp_is_the_derivative_along_a_direction(kind):
    arrays = operands(kind, n=2, t=3, c=2, h=2)
    v = np.cos(arrays[0])
    y, along = tn.jvp(lambda x: run(kind, [x, *arrays[1:]])[0], arrays[0], v)
    step = 1e-6
    there, back = (run(kind, [arrays[0] + s * v, *arrays[1:]])[0] for s in (step, -step))
    np.testing.assert_allclose(along.data, (there - back) / (2 * step), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(y.data, run(kind, arrays)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gates_are_exact_to_the_last_place_of_one(dtype):
    z = np.linspace(-60, 60, 241, dtype=dtype)
    h, c = np.zeros((1, len(z)), dtype), np.ones((1, len(z)), dtype)
    silent = np.full_like(z, -100)
    bias = np.concatenate([silent, z, silent, silent])
    nothing = np.zeros((1, 4 * len(z)), dtype), np.zeros((len(z), 4 * len(z)), dtype)
    _, (_, forgotten) = tn.lstm(np.zeros((1, 1, 1), dtype), h, c, *nothing, bias)
    np.testing.assert_allclose(forgotten[0], tn.sigmoid(z), rtol=0, atol=np.finfo(dtype).eps)
    assert forgotten[0, 0] == 0
    assert forgotten[0, -1] == 1


X, H, WX, WH = (np.ones(shape) for shape in ((2, 5, 3), (2, 4), (3, 12), (4, 12)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": X[0]}, ShapeError, r"gru: x has shape \(5, 3\), expected \(N, T, C\)\n  hint   x\[None\]"),
        ({"x": X.swapaxes(0, 1)}, ShapeError, r"time is the second axis: np.swapaxes\(x, 0, 1\)"),
        ({"x": X.swapaxes(1, 2)}, ShapeError, r"features are on the last axis: np.moveaxis\(x, 1, -1\)"),
        (
            {"w_ih": WX.T, "w_hh": WH.T},
            ShapeError,
            r"w_hh has shape \(12, 4\), .*\n  hint   w_ih.T and w_hh.T",
        ),
        ({"w_ih": WX.T}, ShapeError, r"gru: .* w_ih \(12, 3\), expected \(3, 12\)\n  hint   w_ih.T, if"),
        ({"h": H[0]}, ShapeError, r"h \(4,\), expected \(2, 4\)"),
        (
            {"h": H[:, :2], "b_ih": H},
            ShapeError,
            r"h \(2, 2\), expected \(2, 4\), b_ih \(2, 4\), expected \(12,\)",
        ),
        ({"w_hh": np.ones((4, 16))}, ShapeError, r"gru: w_hh has shape \(4, 16\), expected \(H, 3 \* H\)"),
        ({"lengths": [5, 6]}, SettingError, r"gru: lengths are from 0 to the 5 steps of x, got \[5, 6\]"),
        ({"lengths": [-1, 2]}, SettingError, "lengths are from 0 to the 5 steps"),
        (
            {"lengths": [1.0, 2.0]},
            DtypeError,
            r"gru: lengths count steps, got float64\n  hint   .*astype\(int\)",
        ),
        (
            {"lengths": [5]},
            ShapeError,
            r"gru: lengths has shape \(1,\), expected one for each sample, \(2,\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_write(change, error, message):
    for wrap in (np.asarray, tn.as_tensor):
        given = {"x": X, "h": H, "w_ih": WX, "w_hh": WH} | change
        given = {name: a if name == "lengths" else wrap(a) for name, a in given.items()}
        with pytest.raises(error, match=message):
            tn.gru(**given)


def test_an_op_without_rules_is_what_it_is_made_of_where_a_gradient_is_wanted():
    def cubed(x, scale=1.0):
        return x * x * x * scale

    cube = tn.op(cubed, None, otherwise=cubed, method=False, name="cubed_of_this_test")
    x, seen = tn.tensor([2.0], requires_grad=True), Ops()
    with context.watching(seen):
        assert cube(x, scale=2.0).requires_grad
        with tn.no_grad():
            assert not cube(x).requires_grad
        assert not cube(x.detach()).requires_grad
    assert seen.names == ["multiply"] * 3 + ["cubed_of_this_test"] * 2
    assert cube.made_of_others
    assert tn.grad(tn.grad(lambda x: cube(x, scale=2.0).sum()))(np.array([3.0])).item() == 36.0
