"""Random programs of ops give the same values and gradients compiled as they give eagerly."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_nn as tn

UNARY = [
    np.tanh,
    np.exp,
    tn.sigmoid,
    tn.relu,
    np.negative,
    np.sin,
    tn.softmax,
    lambda x: x.sum(axis=0, keepdims=True),
]
UNARY += [
    lambda x: x * x,
    lambda x: x.mean(axis=1, keepdims=True),
    lambda x: x.T @ x,
    lambda x: x[::-1],
    np.sqrt,
]
UNARY += [
    lambda x: x**2,
    lambda x: x[:, [1, 0, 1]],
    lambda x: np.where(x > 0.1, x, 0.5),
    lambda x: x.reshape(-1, 1),
]
BINARY = [np.add, np.subtract, np.multiply, np.maximum, lambda a, b: a / (1 + b * b), lambda a, b: a @ b.T]
BINARY += [lambda a, b: np.where(a > b, a, b), lambda a, b: np.concatenate([a, b])]

programs = st.lists(
    st.one_of(
        st.tuples(st.integers(0, len(UNARY) - 1), st.integers(0, 9), st.none()),
        st.tuples(st.integers(0, len(BINARY) - 1), st.integers(0, 9), st.integers(0, 9)),
    ),
    min_size=1,
    max_size=10,
)


def run(program, x, w):
    """Return the sum of all values that a program makes; steps whose shapes do not fit are left out."""
    values = [x, w, x + w]
    for op, first, second in program:
        a = values[first % len(values)]
        with np.errstate(all="ignore"):
            try:
                made = UNARY[op](a) if second is None else BINARY[op](a, values[second % len(values)])
            except (ValueError, IndexError):
                continue
        if made.size < 500:
            values.append(np.tanh(made))
    total = values[0].sum()
    for value in values[1:]:
        total = total + (value * 0.1).sum()
    return total


def compare(program, backend, dtype, rtol):
    rng = np.random.default_rng(len(program))
    x, w = (
        rng.normal(size=(4, 3)).astype(dtype),
        tn.tensor(rng.normal(size=(4, 3)).astype(dtype), requires_grad=True),
    )

    def step(x):
        w.grad = None
        total = run(program, x, w)
        total.backward()
        return total

    expected = step(tn.tensor(x))
    gradient = w.grad
    w.grad = None
    compiled = tn.compile(step, backend)
    for _ in range(2):
        got = compiled(x)
        np.testing.assert_allclose(got.data, expected.data, rtol=rtol)
        np.testing.assert_allclose(w.grad, gradient, rtol=rtol, atol=rtol)
        assert (got.dtype, w.grad.dtype) == (expected.dtype, gradient.dtype)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(deadline=None)
@given(programs)
def test_numpy_replays_equal_the_eager_run(program):
    compare(program, "numpy", np.float64, 1e-9)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(programs)
def test_numba_replays_equal_the_eager_run(program):
    pytest.importorskip("numba")
    compare(program, "numba", np.float32, 2e-4)
