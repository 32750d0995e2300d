"""Ops whose settings are part of their expression: in loops they give what they give eagerly."""

import numpy as np
import pytest

import tinygrad_nn as tn

pytest.importorskip("numba")

FUNCTIONS = {
    **{f"power {k}": lambda x, k=k: x**k for k in (2, 3, 0.5, -0.5, -1, -1.5, -2)},
    "clip": lambda x: np.clip(x, -1, 2),
    "clip from below": lambda x: np.clip(x, 0.5, None),
    "leaky_relu": tn.leaky_relu,
    "a slope of 0": lambda x: tn.leaky_relu(x, negative_slope=0.0),
    "elu": lambda x: tn.elu(x, alpha=2.0),
    "expm1": np.expm1,
    "gelu": lambda x: tn.gelu(x, approximate="tanh"),
    "silu": tn.silu,
}
ENDS = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, 90.0, -90.0, 1e-30, -1e-30]


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_every_function_is_in_one_loop_and_as_exact_as_eagerly_at_the_ends_too(dtype, digits):
    x = np.concatenate([np.linspace(-12, 12, 501), ENDS]).astype(dtype)
    compiled = tn.compile(lambda x: {name: f(x) for name, f in FUNCTIONS.items()}, "numba")
    with np.errstate(all="ignore"):
        expected = {name: f(tn.tensor(x)).data for name, f in FUNCTIONS.items()}
        found = compiled(x)
    for name, y in expected.items():
        # Far left, gelu is a difference of numbers near 1.
        atol = digits if name == "gelu" else 0
        np.testing.assert_allclose(found[name].data, y, rtol=digits, atol=atol, err_msg=name)
    (program,) = compiled.programs
    assert [line.split("(")[0].strip() for line in program.text.splitlines()[1:]] == ["loops", "return"]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x**2.5,
        lambda x: 2.0**x,
        lambda x: x ** np.array([[1.0], [2.0], [0.5]]),
        lambda x: np.clip(x, 3, 1),
        lambda x: np.clip(x, np.array([1.0, 2, 3, 4]), 5),
        lambda x: np.clip(x, 1.0, np.inf),
        lambda x: np.clip(x, np.nan, 2.0),
    ],
)
def test_other_exponents_and_bounds_give_the_same(f, backend):
    x = np.arange(1.0, 13).reshape(3, 4)
    np.testing.assert_allclose(tn.compile(f, backend)(x).data, f(tn.tensor(x)).data, rtol=1e-15)


def test_half_precision_and_integers_are_left_to_numpy(backend):
    for x in (np.arange(1, 7, dtype=np.float16), np.arange(1, 7)):
        step = tn.compile(lambda x: (x**2, np.clip(x, 2, 3), tn.gelu(x, approximate="tanh")), backend)
        eager = (x**2, np.clip(x, 2, 3), tn.gelu(x, approximate="tanh"))
        for found, expected in zip(step(x), eager, strict=True):
            np.testing.assert_allclose(found.data, expected, rtol=1e-3)


@pytest.mark.parametrize("f", [tn.silu, lambda x: tn.gelu(x, approximate="tanh"), tn.elu, tn.leaky_relu])
def test_what_a_derivative_needs_is_computed_in_its_loop_and_not_kept(f):
    x = np.linspace(-12, 12, 4000)

    def step(x):
        return tn.value_and_grad(lambda x: (f(x * 2) * np.cos(np.arange(4000))).sum())(x)

    compiled = tn.compile(step, "numba")
    for found, expected in zip(compiled(x), step(tn.tensor(x)), strict=True):
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-12, atol=1e-14)
    (program,) = compiled.programs
    calls = [line.split("(")[0].strip() for line in program.text.splitlines()[1:]]
    assert [call for call in calls if call not in ("sum", "multiply")] == ["loops", "loops_2", "return"]
