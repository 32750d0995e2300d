"""What gradcheck says of a wrong gradient: each usual mistake, planted several times, is named; nothing else is."""

import re

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.testing import CheckFailed, GradientMismatch, gradcheck
from tinygrad_nn.testing.diagnosis import DIAGNOSES

RNG = np.random.default_rng(0)
X = np.array([[0.3, -1.2, 2.0], [1.1, 0.7, -0.4], [-0.8, 1.6, 0.9], [2.2, -0.3, 0.5]])
SQUARE = np.array([[1.0, 2.0, -0.5], [0.3, -1.1, 0.7], [2.0, 0.4, 1.3]])
VECTOR = np.array([0.5, -1.5, 2.5, 0.25, -0.75])
LABELS = np.array([2, 0, 1, 1])
ONE_HOT = np.eye(3)[LABELS]
T = RNG.normal(size=(4, 2))
W = RNG.normal(size=(3, 2))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def mean_cross_entropy(z):
    return -(ONE_HOT * log_softmax(z)).sum() / len(z)


def sum_cross_entropy(z):
    return -(ONE_HOT * log_softmax(z)).sum()


def cube(x):
    return (x**3).sum()


def slope(x):
    return 3 * x * x


def quiet_divide(a, b):
    with np.errstate(all="ignore"):
        return a / b


def mse(w):
    return ((X @ w - T) ** 2).mean()


def mse_slope(w):
    return 2 * X.T @ (X @ w - T) / T.size


def affine_slopes(w, b):
    error = 2 * (X @ w + b - T) / T.size
    return X.T @ error, error.sum(axis=0)


def changed(gradient, where, factor=1.5):
    def wrong(x):
        g = gradient(x).copy()
        g[where] *= factor
        return g

    return wrong


def rule(rule_, function):
    """Return a function of a tensor whose derivative is a rule that may be wrong."""

    def planted(x):
        return tn.kernel(rule_, name="planted", method=False)(lambda x: function(x))(x)

    return planted


def relu_like(x):
    return np.where(x > 0, x * x, 3 * x)


def huber(x):
    return np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5).sum()


PLANTED = {
    "unused-argument": [
        ((lambda a, b: (a * a).sum(), lambda a, b: (2 * a, b)), VECTOR, VECTOR),
        ((lambda w, b: ((X @ w + T[0] - T) ** 2).mean(), lambda w, b: affine_slopes(w, T[0])), W, T[0]),
        ((lambda w, b: ((X @ W + b - T) ** 2).mean(), lambda w, b: affine_slopes(W, b)), W, T[0]),
    ],
    "not-finite": [
        ((cube, lambda x: np.where(x == x.max(), np.nan, slope(x))), X),
        ((cube, lambda x: np.where(x == 0.7, np.inf, slope(x))), X),
        ((cube, lambda x: quiet_divide(slope(x) * x, x)), np.array([0.0, 1.0])),
    ],
    "no-gradient": [
        ((cube, np.zeros_like), X),
        (lambda x: tn.tensor(x.detach().numpy() ** 2) + 0 * x, VECTOR),
        (lambda x: np.sin(x.detach()) + 0 * x, X),
        (rule(lambda g, x: 0 * g, np.tanh), VECTOR),
    ],
    "opposite-sign": [
        ((cube, lambda x: -slope(x)), X),
        ((mean_cross_entropy, lambda z: (ONE_HOT - softmax(z)) / len(z)), X),
        ((mse, lambda w: -mse_slope(w)), W),
        (rule(lambda g, x: g * np.sin(x), np.cos), VECTOR),
        (rule(lambda g, x: -g / x, np.log), np.array([0.5, 1.0, 2.0])),
    ],
    "times-n": [
        ((mean_cross_entropy, lambda z: softmax(z) - ONE_HOT), X),
        ((mse, lambda w: mse_slope(w) * len(X)), W),
        ((lambda x: x.mean(), np.ones_like), VECTOR),
        ((lambda x: x.mean(), lambda x: -np.ones_like(x)), VECTOR),
        (rule(lambda g, x: 5 * g * x, lambda x: x * x / 2), VECTOR),
        ((lambda x: x.mean(), np.ones_like), VECTOR[:2]),
    ],
    "divided-by-n": [
        ((sum_cross_entropy, lambda z: (softmax(z) - ONE_HOT) / len(z)), X),
        ((lambda x: (x * x).sum(), lambda x: x), X[:2]),
        ((mse, lambda w: X.T @ (X @ w - T) / T.size), W),
        (rule(lambda g, x: g * x * x, lambda x: x * x * x), VECTOR[:3]),
    ],
    "constant-ratio": [
        ((lambda x: np.sqrt((x * x).sum()), lambda x: x), VECTOR),
        ((lambda x: np.exp(x.sum()), np.ones_like), VECTOR),
        ((cube, lambda x: 0.3 * slope(x)), X),
        ((mse, lambda w: 1.7 * mse_slope(w)), W),
        ((lambda x: (x * x).sum(), lambda x: x), X),
        ((lambda x: (x * x).sum() / 2, lambda x: 2 * x), X),
        ((lambda x: x**3 * 1.0, lambda x: x * x), np.array(1.5)),
        (rule(lambda g, x: g * x * x, lambda x: x * x * x), VECTOR),
        (rule(lambda g, x: 3 * g * x, lambda x: x * x / 2), VECTOR),
        (lambda x: x * x.detach(), VECTOR),
        (rule(lambda g, y: 1.01 * g * (1 - y * y), np.tanh), VECTOR),
    ],
    "exchanged-inputs": [
        ((lambda a, b: (a * b * b).sum(), lambda a, b: (2 * a * b, b * b)), X, X + 1),
        ((lambda a, b: float(a @ b), lambda a, b: (a, b)), VECTOR, VECTOR[::-1]),
        (
            (lambda a, b: np.exp(a * 2 + b).sum(), lambda a, b: (np.exp(2 * a + b), 2 * np.exp(2 * a + b))),
            X,
            X,
        ),
    ],
    "transposed": [
        ((lambda w: VECTOR[:3] @ w @ X[0], lambda w: np.outer(X[0], VECTOR[:3])), SQUARE),
        ((lambda w: ((X @ w) ** 2).sum(), lambda w: (2 * X.T @ X @ w).T), SQUARE),
        (rule(lambda g, x: g @ SQUARE, lambda x: x @ SQUARE), X[:2]),
        (rule(lambda g, x: SQUARE @ g, lambda x: SQUARE @ x), SQUARE[:, :2]),
    ],
    "one-hot-forgotten": [
        ((lambda b: mean_cross_entropy(X + b), lambda b: softmax(X + b).mean(axis=0)), X[0]),
        ((lambda b: sum_cross_entropy(X + b), lambda b: softmax(X + b).sum(axis=0)), X[0]),
        ((mean_cross_entropy, lambda z: softmax(z) / len(z)), X),
        ((sum_cross_entropy, softmax), X),
        ((sum_cross_entropy, lambda z: softmax(z) - LABELS[:, None]), X),
        ((mean_cross_entropy, lambda z: (softmax(z) - LABELS[:, None]) / len(z)), X),
    ],
    "penalty": [
        ((mse, lambda w: mse_slope(w) + 0.01 * w), W),
        ((lambda w: mse(w) + 0.05 * (w * w).sum(), mse_slope), W),
        ((mean_cross_entropy, lambda z: (softmax(z) - ONE_HOT) / len(z) + 0.1 * z), X),
    ],
    "offset": [
        ((cube, lambda x: slope(x) + 0.25), X),
        ((mse, lambda w: mse_slope(w) - 1e-3), W),
        ((lambda x: np.exp(x).sum(), lambda x: np.exp(x) - 1), VECTOR),
    ],
    "variable-factor": [
        (rule(lambda g, y: g * (1 - y), np.tanh), VECTOR),
        (rule(lambda g, y: g * y, lambda x: 1 / (1 + np.exp(-x))), VECTOR),
        (rule(lambda g, y: g, lambda x: 1 / (1 + np.exp(-x))), VECTOR),
        (rule(lambda g, y: g, np.exp), X),
        ((cube, lambda x: 1.0 * slope(x) * x), X),
        ((cube, lambda x: slope(x) / x), X),
        (rule(lambda g, x: g * x * np.cos(x), np.sin), VECTOR),
        (rule(lambda g, x: g, np.log), np.array([0.5, 2.0, 3.0])),
    ],
    "elementwise": [
        (rule(lambda g, y: g * y * (1 - y), lambda x: softmax(np.atleast_2d(x)).reshape(x.shape)), VECTOR),
        (rule(lambda g, y: -y * (g * y).sum(), lambda x: softmax(np.atleast_2d(x)).reshape(x.shape)), VECTOR),
        (rule(lambda g, x: g, lambda x: x - x.mean()), VECTOR),
    ],
    "branch": [
        (rule(lambda g, x: g * 2 * x, relu_like), X),
        (rule(lambda g, x: g * np.where(x > 0, 2 * x, 2.5), relu_like), VECTOR),
        ((lambda x: np.abs(x).sum(), np.ones_like), X),
        ((lambda x: np.maximum(x, 0).sum(), np.ones_like), X),
        ((huber, lambda x: x), X),
        ((lambda x: np.minimum(x, 1.0).sum(), np.ones_like), X),
    ],
    "one-place": [
        ((cube, changed(slope, 1)), X),
        ((cube, changed(slope, (slice(None), -1), 0)), X),
        ((cube, changed(slope, (1, 2))), X),
        ((cube, changed(slope, 3)), VECTOR),
        ((cube, changed(slope, (slice(None), 0, slice(None)))), X.reshape(2, 3, 2)),
        ((mse, changed(mse_slope, (slice(None), 1), -1)), W),
        (rule(lambda g, x: g * np.cos(x) * (np.arange(5) != 1), np.sin), VECTOR),
    ],
    "other-order": [
        ((cube, lambda x: slope(x)[::-1]), X),
        ((mse, lambda w: mse_slope(w).T.reshape(w.shape)), W),
        ((cube, lambda x: np.roll(slope(x), 1)), VECTOR),
    ],
}


@pytest.mark.parametrize(
    ("name", "fn", "xs"), [(name, fn, xs) for name in PLANTED for fn, *xs in PLANTED[name]]
)
def test_a_planted_mistake_is_named(name, fn, xs):
    with pytest.raises(GradientMismatch) as failure:
        gradcheck(fn, *xs)
    findings = failure.value.report.findings
    assert [finding.name for finding in findings] in ([name], [name, name]), findings
    assert f"  looks like {'' if len(xs) == 1 or findings[0].input is None else 'input '}" in str(
        failure.value
    )
    assert findings[0].text in str(failure.value)


def test_every_diagnosis_has_mistakes_planted():
    assert set(PLANTED) == {diagnosis.name for diagnosis in DIAGNOSES}
    assert all(len(twins) > 2 for twins in PLANTED.values())


@pytest.mark.parametrize("seed", range(8))
def test_what_is_no_usual_mistake_is_not_called_one(seed):
    rng = np.random.default_rng(seed)
    noise = {x.shape: rng.normal(size=x.shape) for x in (X, VECTOR, W)}
    for function, gradient, x in ((cube, slope, X), (cube, slope, VECTOR), (mse, mse_slope, W)):
        with pytest.raises(GradientMismatch) as failure:
            gradcheck((function, lambda x, g=gradient: g(x) + 0.1 * noise[x.shape]), x)
        assert failure.value.report.findings == ()
        assert "looks like" not in str(failure.value)


RIGHT = {
    "cube": ((cube, slope), X),
    "cross entropy": ((mean_cross_entropy, lambda z: (softmax(z) - ONE_HOT) / len(z)), X),
    "mse": ((mse, mse_slope), W),
    "abs": ((lambda x: np.abs(x).sum(), np.sign), X),
    "relu at its kink": (
        (lambda x: np.maximum(x, 0).sum(), lambda x: (x > 0) * 1.0),
        np.array([0.0, 1.0, -1.0]),
    ),
    "two inputs": ((lambda a, b: (a * b * b).sum(), lambda a, b: (b * b, 2 * a * b)), X, X + 1),
    "softmax": (tn.softmax, X),
    "a product": (lambda a, b: a @ b, X, W),
    "a model": (tn.nn.Sequential(tn.nn.Dense(3, 4, rng=0, dtype=np.float64), tn.nn.Tanh()), X),
    "zero": (lambda x: tn.softmax(x).sum(), X),
}


@pytest.mark.parametrize("name", RIGHT)
def test_of_a_right_gradient_nothing_is_said(name):
    fn, *xs = RIGHT[name]
    report = gradcheck(fn, *xs)
    assert (report.wrong, report.findings) == (0, ())


@pytest.mark.parametrize(
    ("fn", "x"),
    [
        ((lambda w: mse(W), mse_slope), W),
        ((lambda x: float(cube(X)), slope), X),
        ((lambda x: 1.0, np.ones_like), VECTOR),
        ((lambda x: float(cube(X)), np.zeros_like), X),
        ((lambda x: 1.0, lambda x: x), np.linspace(1, 2, 5000)),
    ],
)
def test_of_a_function_that_uses_nothing_no_gradient_is_called_wrong(fn, x):
    with pytest.raises(CheckFailed, match=r"^gradcheck: the function does not use its argument") as failure:
        gradcheck(fn, x)
    assert type(failure.value) is CheckFailed


def test_inputs_are_diagnosed_one_by_one():
    def gradient(w, b):
        error = 2 * (X @ w + b - T) / T.size
        return (X.T @ error).copy(), error.mean(axis=0)

    with pytest.raises(GradientMismatch) as failure:
        gradcheck((lambda w, b: ((X @ w + b - T) ** 2).mean(), gradient), W, np.array([0.1, -0.2]))
    (finding,) = failure.value.report.findings
    assert (finding.name, finding.input) == ("divided-by-n", 1)
    assert "looks like input 1: 1/4 of the derivative everywhere" in str(failure.value)


class _Wrong(tn.nn.Module):
    """A layer whose bias is added twice in the forward pass, and once in the backward pass."""

    def __init__(self):
        self.weight = tn.tensor(W, requires_grad=True)
        self.bias = tn.tensor(np.array([0.5, -1.0]), requires_grad=True)

    def forward(self, x):
        return np.tanh(x @ self.weight + self.bias + self.bias.detach())


def test_parameters_of_a_module_are_named():
    with pytest.raises(GradientMismatch) as failure:
        gradcheck(_Wrong(), X)
    text = str(failure.value)
    assert re.search(r"worst .* with respect to bias\[\d\]", text)
    assert "looks like bias: 1/2 of the derivative everywhere" in text


def test_the_number_that_was_forgotten_is_named_by_what_it_counts():
    with pytest.raises(GradientMismatch, match=r"N = 4 is the number of rows of an input"):
        gradcheck((mean_cross_entropy, lambda z: softmax(z) - ONE_HOT), X)
    with pytest.raises(GradientMismatch, match=r"N = 12 is the number of entries of an input"):
        gradcheck((lambda x: (x * x).mean(), lambda x: 2 * x), X)


def test_a_constant_ratio_is_seen_in_projections_too():
    x = np.linspace(0.1, 2, 5000)
    for factor, name in (
        (-1, "opposite-sign"),
        (5000, "times-n"),
        (0.3, "constant-ratio"),
        (0, "no-gradient"),
    ):
        with pytest.raises(GradientMismatch) as failure:
            gradcheck((cube, lambda x, c=factor: c * slope(x)), x)
        assert [finding.name for finding in failure.value.report.findings] == [name]
    with pytest.raises(GradientMismatch) as failure:
        gradcheck((cube, changed(slope, slice(10))), x)
    assert failure.value.report.findings == ()


def test_of_several_large_inputs_each_is_looked_at_alone():
    a, b = np.linspace(0.1, 2, 3000), np.linspace(-1, 1, 3000)
    wrong = lambda a, b: (b * b * np.cos(a), -2 * b * np.sin(a))
    with pytest.raises(GradientMismatch) as failure:
        gradcheck((lambda a, b: (np.sin(a) * b * b).sum(), wrong), a, b)
    (finding,) = failure.value.report.findings
    assert (finding.name, finding.input) == ("opposite-sign", 1)
    assert "  looks like input 1: -1 times the derivative everywhere" in str(failure.value)


def test_small_gradients_stand_side_by_side():
    with pytest.raises(GradientMismatch) as failure:
        gradcheck((cube, changed(slope, 1, 2)), X)
    lines = str(failure.value).splitlines()
    start = lines.index("  input 0    rule | numerical   (* differs)")
    assert lines[start + 2] == "     7.26*  2.94*  0.96* |  3.63   1.47   0.48"
    assert all("*" not in lines[start + k] for k in (1, 3, 4))
    with pytest.raises(GradientMismatch) as failure:
        gradcheck((cube, lambda x: slope(x) * (1 + 1e-7)), VECTOR)
    assert "18.75000188*" in str(failure.value)
    with pytest.raises(GradientMismatch) as failure:
        gradcheck((cube, changed(slope, 1)), np.linspace(1, 2, 17))
    assert "rule | numerical" not in str(failure.value)


def test_the_gradients_of_results_stand_side_by_side_a_line_for_each():
    with pytest.raises(GradientMismatch) as failure:
        gradcheck(rule(lambda g, x: -g * np.cos(x), np.sin), np.array([0.0, 1.0]))
    text = str(failure.value)
    assert "input 0    rule | numerical   (* differs, a line for each result)" in text
    assert "-0.5403*" in text
