"""Random ops: what they draw, from whose generator, and that derivatives and replays keep to it."""

import copy

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check
from tinygrad_nn.errors import ArgumentError, SettingError

X = np.random.default_rng(0).normal(size=(4, 5))


def seeded(seed=3):
    return np.random.default_rng(seed)


def mask_of(p, seed=3, x=X):
    return tn.keep_mask(x, p=p, rng=seeded(seed))


@pytest.mark.parametrize("p", [0.5, 0.25, 0.1, 1 / 3, 1e-3, 0.999])
def test_as_many_elements_are_dropped_as_p_says_and_the_mean_stays(p):
    n = 400_000
    mask = tn.keep_mask(np.zeros(n, np.float32), p=p, rng=seeded())
    assert set(np.unique(mask)) <= {np.float32(0), np.float32(1 / (1 - p))}
    assert abs(np.mean(mask == 0) - p) < 4 * np.sqrt(p * (1 - p) / n)


def test_p_is_not_rounded_to_what_sixteen_bits_can_say():
    # Of a p below the smallest step of 16 bits some elements are dropped, and not as many as of that step.
    p, n = 2**-17, 1 << 22
    dropped = np.sum(tn.keep_mask(np.zeros(n, np.float32), p=p, rng=seeded()) == 0)
    assert abs(dropped - n * p) < 5 * np.sqrt(n * p)


def test_with_p_0_nothing_is_dropped_and_with_p_1_everything():
    np.testing.assert_array_equal(tn.dropout(X, 0, rng=seeded()), X)
    np.testing.assert_array_equal(tn.dropout(X, 1.0, rng=seeded()), 0 * X)
    check(lambda x: tn.dropout(x, 1, rng=seeded()), [[1.0, 2.0]], [0, 0], [0, 0])


@pytest.mark.parametrize("p", [float("nan"), -0.1, 1.1, "half", None, np.array([0.5]), float("inf")])
def test_what_is_no_probability_is_refused(p):
    for call in (lambda: tn.dropout(tn.tensor(X), p, rng=seeded()), lambda: tn.nn.Dropout(p)):
        with pytest.raises(
            SettingError, match=r"p is the probability of dropping, from 0 to 1, got (.|\n)*hint   p="
        ):
            call()


@pytest.mark.parametrize("rng", [0, None, np.random.RandomState(0), np.random, np.random.PCG64(0)])
def test_what_is_no_generator_is_refused_with_the_line_to_write(rng):
    with pytest.raises(
        ArgumentError, match=r"dropout: rng=.* is no generator(.|\n)*np.random.default_rng\(0\), made once"
    ):
        tn.dropout(tn.tensor(X), rng=rng)


def test_a_generator_that_is_not_given_is_asked_for():
    for call in (tn.dropout, tn.keep_mask):
        with pytest.raises(
            TypeError, match=r"there is no rng\n|missing 1 required keyword-only argument: 'rng'"
        ):
            call(tn.tensor(X))


@pytest.mark.parametrize(
    "bits", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM]
)
def test_any_generator_of_numpy_does_and_moves_on_from_call_to_call(bits):
    rng, twin = np.random.Generator(bits(1)), np.random.Generator(bits(1))
    first, second = (tn.dropout(X, 0.4, rng=rng) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, tn.dropout(tn.tensor(X), 0.4, rng=twin).data)
    assert 0.1 < np.mean(tn.keep_mask(np.zeros(999), p=0.4, rng=rng) == 0) < 0.7


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (3,), (2, 3, 5)])
def test_every_shape_and_layout_has_a_mask(shape):
    x = np.ones(shape, np.float32)
    mask = tn.keep_mask(x, p=0.5, rng=seeded())
    assert (mask.shape, mask.dtype) == (shape, np.float32)
    np.testing.assert_array_equal(tn.keep_mask(x.T, p=0.5, rng=seeded()).ravel(), mask.ravel())


def test_dtypes_stay_and_integers_become_float64():
    for dtype in (np.float16, np.float32, np.float64):
        assert tn.dropout(tn.tensor(np.ones(3, dtype)), 0.5, rng=seeded()).dtype == dtype
    assert tn.dropout(tn.tensor([1, 2, 3]), rng=seeded()).dtype == np.float64
    assert tn.dropout([1.0, 2.0], rng=seeded()).shape == (2,)


def test_first_and_second_derivatives_have_the_mask_of_the_call():
    x = tn.tensor(X, requires_grad=True)
    rng = seeded()
    y = tn.dropout(x, 0.5, rng=rng)
    state = copy.deepcopy(rng.bit_generator.state)
    mask = mask_of(0.5)
    (g,) = tn.gradients((y * y).sum(), [x], create_graph=True)
    np.testing.assert_allclose(g.data, 2 * X * mask**2)
    (second,) = tn.gradients((g * g).sum(), [x])
    np.testing.assert_allclose(second.data, 8 * X * mask**4)
    assert rng.bit_generator.state == state


def test_a_hessian_and_a_directional_derivative_draw_once():
    rng = seeded()
    h = tn.hessian(lambda x: (tn.dropout(x, 0.5, rng=rng) ** 2).sum())(X[0]).data
    np.testing.assert_allclose(h, np.diag(2 * mask_of(0.5, x=X[0]) ** 2))
    y, d = tn.jvp(lambda x: tn.dropout(x, 0.5, rng=seeded()), X, np.ones_like(X))
    np.testing.assert_allclose(d.data, mask_of(0.5))
    np.testing.assert_allclose(y.data, X * mask_of(0.5))


def test_eager_and_compiled_steps_draw_the_same_stream(backend):
    def make():
        rng, w = seeded(), tn.tensor(X[0], requires_grad=True)

        def step(x):
            first, second = tn.dropout(x * w, 0.3, rng=rng), tn.dropout(x * w, 0.3, rng=rng)
            w.grad = None
            (first * second).sum().backward()
            return first, second

        return rng, w, step

    (rng, w, eager), (other, v, step) = make(), make()
    compiled = tn.compile(step, backend)
    before = None
    for _ in range(4):
        expected, found = eager(X), compiled(X)
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a.data, b.data)
        np.testing.assert_array_equal(w.grad, v.grad)
        assert not np.array_equal(found[0].data, found[1].data)
        assert before is None or not np.array_equal(found[0].data, before)
        before = found[0].data
        assert rng.bit_generator.state == other.bit_generator.state
    assert len(compiled.programs) == 1


def test_second_derivatives_in_a_compiled_step_have_the_mask_of_the_call(backend):
    def make():
        rng, w = seeded(), tn.tensor(X, requires_grad=True)

        def step(x):
            (g,) = tn.gradients((tn.dropout(w * x, 0.5, rng=rng) ** 3).sum(), [w], create_graph=True)
            return g, tn.gradients((g * g).sum(), [w])[0]

        return step

    eager, compiled = make(), tn.compile(make(), backend)
    for _ in range(3):
        for a, b in zip(eager(X), compiled(X), strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


def test_looking_at_a_graph_draws_nothing_and_shows_what_was_drawn():
    rng = seeded()
    x = tn.tensor(X, requires_grad=True, name="x")
    y = tn.dropout(x, 0.5, rng=rng)
    state = copy.deepcopy(rng.bit_generator.state)
    graph = y.graph().graph
    np.testing.assert_array_equal(graph.evaluate()[-1], y.data)
    y.explain()
    assert rng.bit_generator.state == state


def test_a_trace_is_evaluated_with_a_twin_of_the_generator():
    rng = seeded()
    state = copy.deepcopy(rng.bit_generator.state)
    graph, result = tn.trace(lambda x: tn.dropout(x, 0.5, rng=rng), X)
    for _ in range(2):
        np.testing.assert_array_equal(graph.evaluate()[-1], result.data)
    assert rng.bit_generator.state == state
