"""gradcheck and its numerical side: right answers, planted bugs, kinks, and what a failure says."""

import math
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.testing import (
    GradientMismatch,
    directional_derivative,
    gradcheck,
    numerical_gradient,
    numerical_jacobian,
)

X = np.array([[0.3, -1.2, 2.0], [1.1, 0.7, -0.4]])


def test_numerical_gradient_is_good_to_nine_digits():
    x = np.array([0.3, 1.2, 2.0])
    found = numerical_gradient(lambda x: np.exp(np.sin(x) * x).sum(), x)
    expected = np.exp(np.sin(x) * x) * (np.cos(x) * x + np.sin(x))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_numerical_gradient_takes_plain_functions_and_several_inputs():
    a, b = numerical_gradient(lambda x, y: float(x) * math.sin(float(y)), 2.0, 0.5)
    np.testing.assert_allclose([a, b], [math.sin(0.5), 2 * math.cos(0.5)], rtol=1e-10)


def test_numerical_jacobian_has_the_shape_of_result_and_input():
    W = np.arange(12.0).reshape(3, 4)
    J = numerical_jacobian(lambda x: x @ W, X)
    assert J.shape == (2, 4, 2, 3)
    np.testing.assert_allclose(J[1, :, 1, :], W.T, atol=1e-9)


def test_directional_derivative_is_the_jacobian_times_the_direction():
    v = np.ones_like(X)
    np.testing.assert_allclose(directional_derivative(np.tanh, X, v), 1 - np.tanh(X) ** 2, rtol=1e-9)


@pytest.mark.parametrize("check", [numerical_gradient, gradcheck])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_only_float64_is_taken(check, dtype):
    with pytest.raises(tn.errors.DtypeError, match="float64"):
        check(lambda x: x.sum(), X.astype(dtype))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_right_gradients_pass_at_every_order(order):
    report = gradcheck(lambda x, y: np.exp(x) * np.tanh(y) / (y * y + 1), X, X[0], order=order)
    assert report.method == "complex step"
    assert report.nonzero
    assert report.inconclusive == 0


def test_a_module_is_checked_in_its_inputs_and_its_parameters():
    model = tn.nn.Sequential(
        tn.nn.Dense(3, 4, rng=0, dtype=np.float64), tn.nn.Tanh(), tn.nn.Dense(4, 2, rng=1, dtype=np.float64)
    )
    before = model.state_dict()
    report = gradcheck(model, X, order=2)
    assert report.entries == 4 * (6 + 26) + (6 + 26) ** 2
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_large_jacobians_are_projected():
    report = gradcheck(np.sin, np.linspace(-1, 1, 100), order=2)
    assert report.mode == "directions"
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: _one_entry_off(x), np.linspace(-1, 1, 100))


def test_a_rule_that_takes_no_complex_numbers_is_compared_with_central_differences():
    assert gradcheck(np.arcsinh, X, order=2).nonzero


def _one_entry_off(x):
    mask = np.arange(100) == 37
    return np.where(mask, x.detach() * 0.5 + x * 0.5, x)


@pytest.mark.parametrize(
    ("function", "gradient"),
    [
        (lambda x: (x**3).sum(), lambda x: 3 * x * x * (1 + 1e-8)),
        (lambda x: (x**3).sum(), lambda x: -3 * x * x),
        (lambda x: np.abs(x).sum(), lambda x: np.ones_like(x)),
        (lambda x: np.log(np.cosh(x)).sum(), lambda x: np.tanh(x) + 1e-6),
        (lambda x: np.max(x), lambda x: np.full_like(x, 1 / x.size)),
    ],
    ids=["scaled", "sign", "abs", "offset", "max"],
)
def test_planted_bugs_in_hand_written_gradients_are_found(function, gradient):
    with pytest.raises(GradientMismatch, match="the gradient is wrong"):
        gradcheck((function, gradient), X)


def test_hand_written_gradients_pass_when_they_are_right():
    assert gradcheck((lambda x: (x**3).sum(), lambda x: 3 * x * x), X).method == "complex step"
    assert gradcheck((lambda x: np.abs(x).sum(), np.sign), X).method == "central differences"
    assert gradcheck((lambda a, b: float(a @ b), lambda a, b: (b, a)), X[0], X[1]).nonzero


@pytest.mark.parametrize(
    "bug",
    [
        lambda x: x * x.detach(),
        lambda x: x * np.sin(x.detach()),
        lambda x: tn.tensor(x.detach().numpy()) + x,
        lambda x: np.where(x > 0.5, x, x.detach()),
    ],
)
def test_a_value_that_was_cut_from_the_graph_is_found(bug):
    with pytest.raises(GradientMismatch):
        gradcheck(bug, X)


def test_ones_as_cotangent_would_hide_this_one():
    """The gradient of softmax(x).sum() is zero whatever the rule does; the whole Jacobian is not."""
    assert gradcheck(tn.softmax, X).nonzero
    assert not gradcheck(lambda x: tn.softmax(x).sum(), X).nonzero


def test_at_a_kink_any_slope_between_the_two_sides_is_right():
    function = lambda x: np.maximum(x, 0).sum()
    at_kink = np.array([0.0, 1.0, -1.0])
    for slope in (0.0, 0.5, 1.0):
        assert gradcheck((function, lambda x, s=slope: np.where(x == 0, s, x > 0)), at_kink).kinks == 1
    for slope in (-0.1, 1.1):
        with pytest.raises(GradientMismatch):
            gradcheck((function, lambda x, s=slope: np.where(x == 0, s, x > 0)), at_kink)


def test_a_cotangent_picks_one_combination_of_results():
    cotangent = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert gradcheck(np.exp, X, cotangent=cotangent).entries == X.size


def test_the_numerical_method_can_be_chosen():
    assert gradcheck(np.exp, X, method="central").method == "central differences"
    assert gradcheck(np.exp, X, method="complex").method == "complex step"
    with pytest.raises(tn.errors.GraphError, match="central"):
        gradcheck(tn.relu, X, method="complex")


def test_a_failure_names_the_worst_entry_and_reproduces_itself():
    def gradient(x):
        wrong = 3 * x * x
        wrong[1, 2] += 0.25
        return wrong

    pair = (lambda x: (x**3).sum(), gradient)
    with pytest.raises(GradientMismatch) as failure:
        gradcheck(pair, X)
    text = str(failure.value)
    assert "input 0[1, 2]" in text
    assert "0.25" in text
    script = text.partition("  reproduce\n")[2]
    assert 1 <= len(script.splitlines()) <= 10
    code = compile("\n".join(line.strip() for line in script.splitlines()), "script", "exec")
    with pytest.raises(GradientMismatch):
        exec(code, {"fn": pair})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradcheck(np.exp), ValueError, "nothing to differentiate"),
        (lambda: gradcheck(np.exp, X, order=0), ValueError, "order"),
        (lambda: gradcheck((np.exp, np.exp), X), tn.errors.ShapeError, "one number"),
        (lambda: gradcheck((np.sum, lambda x: x.T), X), tn.errors.ShapeError, "shape"),
        (lambda: gradcheck(lambda x: 3.0, X), tn.errors.GraphError, "expected Tensors"),
        (lambda: numerical_gradient(np.exp, X), tn.errors.ShapeError, "numerical_jacobian"),
        (lambda: directional_derivative(np.exp, X, X[0]), tn.errors.ShapeError, "direction"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


def cubes(x):
    return (x**3).sum()


def slopes(x):
    return 3 * x * x


def nothing(*_):
    """A function whose author has forgotten `return`."""


RNG = np.random.default_rng(0)
MISTAKEN = {
    "a gradient that is a list of numbers": (
        lambda: gradcheck((cubes, lambda x: [float(v) for v in slopes(x)]), X[0]),
        "returned a list of 3 numbers, expected an array for each input\n  hint   return np.array",
    ),
    "a list of function and gradient": (
        lambda: gradcheck([cubes, slopes], X),
        "are a tuple of two, got a list of 2",
    ),
    "one function in a tuple": (lambda: gradcheck((cubes,), X), "are a tuple of two, got a tuple of 1"),
    "a function without return": (lambda: gradcheck(nothing, X), "nothing returned None\n  hint   return"),
    "a pair of one without return": (lambda: gradcheck((nothing, slopes), X), "nothing returned None"),
    "a gradient without return": (lambda: gradcheck((cubes, nothing), X), "nothing returned None"),
    "numerically, no return": (
        lambda: numerical_gradient(nothing, X),
        "numerical_gradient: nothing returned None",
    ),
    "a Jacobian of no return": (
        lambda: numerical_jacobian(nothing, X),
        "numerical_jacobian: nothing returned None",
    ),
    "a gradient that was called": (
        lambda: gradcheck((cubes, slopes(X)), X),
        "the gradient of the pair is no function, but of type ndarray.*the gradient itself, not what it returns",
    ),
    "a function that was called": (
        lambda: gradcheck((cubes(X), slopes), X),
        "the function of the pair is no function",
    ),
    "a pair that is no tuple": (
        lambda: gradcheck(cubes, slopes, X),
        "a function and its gradient are one argument",
    ),
    "the input first": (lambda: gradcheck(X, cubes), "what comes first is no function, but of type ndarray"),
    "numerically, the input first": (
        lambda: numerical_gradient(X, cubes),
        "numerical_gradient: input 0 is a function",
    ),
    "numerically, no function": (
        lambda: numerical_jacobian(X, X),
        "what comes first is no function, but of type ndarr",
    ),
    "the gradient first": (
        lambda: gradcheck((slopes, cubes), X),
        "returns one number.*the function comes first",
    ),
    "inputs in a dict": (
        lambda: gradcheck(lambda d: (d["w"] * d["b"]).sum(), {"w": X, "b": X}),
        r"input 0 is a dict, no array\n  hint   gradcheck\(lambda w, b: f\({'w': w, 'b': b}\), w, b\)",
    ),
    "numerically, a dict": (
        lambda: numerical_gradient(lambda d: (d["w"] * d["b"]).sum(), {"w": X, "b": X}),
        "numerical_gradient: input 0 is a dict, no array",
    ),
    "no input": (lambda: gradcheck(cubes, None), "input 0 is None, no array"),
    "numbers in a list for two inputs": (
        lambda: gradcheck(lambda a, b: a * b, [1.0, 2.0]),
        r"<lambda> does not take 1 input: missing .* 'b'\n  hint   gradcheck\(f, a, b\)",
    ),
    "one input for two": (
        lambda: gradcheck((lambda a, b: a * b, lambda a, b: (b, a)), X),
        r"does not take 1 input: missing .* 'b'\n  hint   gradcheck\(f, a, b\)",
    ),
    "a setting that is not given": (
        lambda: gradcheck(lambda a, *, k: (a * k).sum(), X),
        r"missing a required .*argument: 'k'\n  hint   gradcheck\(lambda a: f\(a, k=\.\.\.\), a\)",
    ),
    "a setting beside any number of inputs": (
        lambda: gradcheck(lambda *several, k: several[0].sum(), X),
        r"hint   gradcheck\(lambda \*several: f\(\*several, k=\.\.\.\), \*several\)",
    ),
    "integers in a list": (
        lambda: gradcheck(lambda x: (x * x).sum(), [1, 2]),
        r"has dtype int64; .*\n  hint   np\.array\(x, dtype=np\.float64\)",
    ),
    "rows of unequal length": (
        lambda: gradcheck(lambda x: (x * x).sum(), [[1.0, 2.0], [3.0]]),
        "gradcheck: lists in lists are no rectangular array",
    ),
    "inputs in a list": (
        lambda: gradcheck(lambda a, b: (a * b).sum(), [X, X[0]]),
        "input 0 is a list of arrays",
    ),
    "one gradient for two inputs": (
        lambda: gradcheck((lambda a, b: (a * b).sum(), lambda a, b: b), X, X),
        "returned 1 gradient for 2 inputs, expected one for each\n  hint   return d0, d1",
    ),
    "two gradients for one input": (
        lambda: gradcheck((cubes, lambda x: (slopes(x), slopes(x))), X),
        "returned 2 gradients for 1 input",
    ),
    "gradients in another order": (
        lambda: gradcheck((lambda a, b: (a * b).sum(), lambda a, b: (a.sum(axis=0), b + 0 * a)), X, X[0]),
        "hint   gradients come in the order of the inputs",
    ),
    "a transpose": (lambda: gradcheck((cubes, lambda x: slopes(x).T), X), "hint   return the transpose, .T"),
    "a row for each": (
        lambda: gradcheck((lambda b: (X + b).sum(), lambda b: np.ones_like(X)), X[0]),
        r"gradient 0 has shape \(2, 3\), its input has shape \(3,\)\n  hint   .sum\(axis=0\)",
    ),
    "a random function": (
        lambda: gradcheck((lambda x: (x * RNG.normal(size=x.shape)).sum(), slopes), X),
        "is random: two calls with the same input return .* and .*\n  hint   what is random is drawn once, outside",
    ),
    "a random function of tensors": (
        lambda: gradcheck(lambda x: x * RNG.random(), X),
        "is random: two calls",
    ),
    "a random gradient": (
        lambda: gradcheck((cubes, lambda x: slopes(x) * RNG.random()), X),
        "gradient .* is random",
    ),
    "a random function, numerically": (
        lambda: numerical_gradient(lambda x: (x * RNG.random()).sum(), X),
        "is random",
    ),
    "dropout in training": (
        lambda: gradcheck(tn.nn.Sequential(tn.nn.Dropout(0.5, rng=0)), X),
        r"Sequential is random.*\n  hint   model.eval\(\) before",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKEN)
def test_a_call_that_is_mistaken_is_told_plainly(mistake):
    call, message = MISTAKEN[mistake]
    with pytest.raises(tn.errors.TinygradError, match=f"(?s){message}"):
        call()


def test_functions_that_look_mistaken_and_are_not_are_checked():
    assert gradcheck((cubes, lambda x: [slopes(x)]), X).nonzero
    assert gradcheck((lambda a, b: (a * b).sum(), lambda a, b: [b, a]), X, X).nonzero
    assert gradcheck((lambda x: x * x, lambda x: 2 * x), 3.0).nonzero
    assert gradcheck(lambda x: x * np.random.default_rng(0).random(), X).nonzero
    assert gradcheck(tn.nn.Sequential(tn.nn.Dropout(0.5, rng=0)).eval(), X).nonzero
    assert gradcheck(tn.tensor([1.0, 2.0]).__mul__, X[:, :2]).nonzero

    def overwriting(x):
        x *= 2
        return (x * x).sum()

    assert gradcheck((overwriting, lambda x: 8 * x), X).nonzero


def test_a_report_is_one_line_and_says_what_was_not_judged():
    assert repr(gradcheck(np.exp, X)).startswith("GradcheckReport(36 entries, complex step, largest error")
    kink = gradcheck((lambda x: np.abs(x).sum(), np.sign), np.array([0.0, 1.0]), order=1)
    assert "central differences" in repr(kink)
    assert repr(kink).endswith(", 1 at kinks)")
    assert repr(gradcheck(lambda x: (x * 0).sum(), X, order=2)).startswith(
        "GradcheckReport(42 entries up to order 2"
    )
    assert "3 projections" in repr(gradcheck(np.sin, X, mode="directions"))


def test_large_inputs_are_not_spelled_out_in_a_failure():
    with pytest.raises(GradientMismatch) as failure:
        gradcheck((cubes, lambda x: -slopes(x)), np.linspace(1, 2, 3000))
    assert "    # x0 is the input of shape (3000,)" in str(failure.value)
    assert len(str(failure.value)) < 1000


Y = np.array([[0.25, 1.75, -3.5], [2.5, 0.125, -1.0]])


def test_a_pair_has_one_order_and_may_be_weighed():
    pair = (lambda x: (x**3).sum(), lambda x: 3 * x * x)
    with pytest.raises(ValueError, match=r"a \(function, gradient\) pair has one order only"):
        gradcheck(pair, X, order=2)
    assert gradcheck(pair, X, cotangent=2.0).entries == X.size


def test_a_failure_under_a_cotangent_reproduces_it():
    wrong = tn.kernel(lambda g, x: 3 * x * g, name="wrong", reference=np.square)(lambda x: x * x)
    with pytest.raises(GradientMismatch) as failure:
        gradcheck(wrong, X, cotangent=Y)
    script = str(failure.value).partition("  reproduce\n")[2]
    assert "cotangent=" in script
    code = compile("\n".join(line.strip() for line in script.splitlines()), "script", "exec")
    with pytest.raises(GradientMismatch):
        exec(code, {"fn": wrong})


def test_a_failure_with_many_inputs_reproduces_it():
    def wrong(*xs):
        return (sum(xs) * xs[5].detach()).sum()

    with pytest.raises(GradientMismatch) as failure:
        gradcheck(wrong, *np.arange(1.0, 13.0).reshape(6, 2))
    script = str(failure.value).partition("  reproduce\n")[2]
    code = compile("\n".join(line.strip() for line in script.splitlines()), "script", "exec")
    with pytest.raises(GradientMismatch, match="input 5"):
        exec(code, {"fn": wrong})


def test_a_function_may_use_parameters_that_are_no_inputs_of_it():
    w = tn.tensor(Y, requires_grad=True)
    assert gradcheck(lambda x: (x * w * w).sum(), X, order=2).nonzero
    assert gradcheck(lambda x: w + 0 * x.sum(), X).entries == X.size * Y.size
    assert w.grad is None


def test_gradcheck_needs_no_hypothesis():
    script = (
        "import sys, numpy as np; sys.modules['hypothesis'] = None\n"
        "import tinygrad_nn as tn\n"
        "print(tn.testing.gradcheck(np.tanh, np.ones(3)).entries)\n"
        "try: tn.testing.check_op('tanh')\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["9", 'this check needs Hypothesis: pip install "tinygrad_nn[test]"']


@pytest.mark.parametrize(
    "fn", [np.log, (lambda x: np.log(x).sum(), lambda x: 1 / x)], ids=["function", "pair"]
)
def test_outside_of_its_domain_a_function_has_no_gradient_to_be_wrong(fn):
    with (
        np.errstate(all="ignore"),
        pytest.raises(GradientMismatch, match="there is no derivative where the values are"),
    ):
        gradcheck(fn, np.array([-1.0, 2.0]))


def unused(kind):
    w, x = np.ones((2, 2)), np.array([[1.0, 2.0]])
    loss = lambda: tn.tensor(np.sum((x @ w) ** 2))
    return {
        "numerical_gradient": lambda: numerical_gradient(lambda _: loss(), w),
        "numerical_jacobian": lambda: numerical_jacobian(lambda _: loss(), w),
        "directional_derivative": lambda: directional_derivative(lambda _: loss(), w, w),
        "gradcheck": lambda: gradcheck(lambda _: loss(), w),
        "gradcheck of a pair": lambda: gradcheck((lambda _: loss().item(), np.zeros_like), w),
        "gradcheck of order 2": lambda: gradcheck(lambda a, b: loss(), w, w, order=2),
        "its shape only": lambda: gradcheck(lambda t: tn.tensor(np.ones(t.shape)), w),
    }[kind]


KINDS = [
    "numerical_gradient",
    "numerical_jacobian",
    "directional_derivative",
    "gradcheck",
    "gradcheck of a pair",
    "gradcheck of order 2",
    "its shape only",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_that_does_not_use_its_argument_is_named(kind):
    who = "gradcheck" if kind == "its shape only" else kind.split()[0]
    with pytest.raises(
        tn.errors.CheckFailed,
        match=rf"^{who}: the function does not use its argument.*\n  hint   compute with",
    ):
        unused(kind)()


def step(x):
    return np.where(x > 0, 1.0, 0.0).sum()


def picky(x):
    if not (np.abs(x.data) < 10).all():
        raise ValueError("out of range")
    return (x * 0).sum()


@pytest.mark.parametrize(
    "f", [step, picky, lambda x: np.sign(x).sum(), lambda x: np.clip(x, -0.1, 0.1).sum()]
)
def test_a_function_whose_derivative_is_zero_uses_its_argument_all_the_same(f):
    x = np.array([1.0, -2.0])
    assert not numerical_gradient(f, x).any()
    assert not gradcheck(f, x).nonzero


def test_of_no_elements_a_function_may_do_nothing():
    assert not gradcheck(lambda a, b: (a * b).sum(), np.zeros((0, 3)), np.ones((1, 3))).nonzero
