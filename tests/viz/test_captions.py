"""What steps say: rules as mathematics in the user's names, with numbers put in, in every language."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X, Y, loss, network
from tinygrad_nn import nn
from tinygrad_nn.errors import SettingError
from tinygrad_nn.viz.export import details


def named(**values):
    return [tn.tensor(value, requires_grad=True, name=name) for name, value in values.items()]


def test_explain_tells_forward_and_backward_with_old_and_new_gradients():
    a, b = named(a=2.0, b=-3.0)
    text = (a * b + a**2).explain()
    assert "%1 = multiply(a, b)   ()   -6" in text
    assert "power: a gets g · 2 · a = 1 · 2 · 2 = 4" in text
    assert "a (): 4  +  -3  =  1" in text
    assert "add: the gradient reaches %1 unchanged, and %2 unchanged" in text


def test_the_formula_of_tanh_has_its_number_put_in():
    (x,) = named(x=0.881)
    assert "tanh: x gets g · (1 − y²) = 1 · (1 − 0.7069²) = 0.5003" in np.tanh(x).explain()


def test_captions_say_what_broadcasting_does():
    text = (
        (tn.tensor(X, name="x") + tn.tensor(np.zeros(5, np.float32), requires_grad=True, name="b"))
        .sum()
        .explain()
    )
    assert "add: the gradient reaches b summed over axis 0" in text
    assert "unchanged, spread over (8, 5)" in text


def test_the_bias_of_a_convolution_gets_a_sum():
    layer = nn.Conv1d(1, 2, 2, rng=0)
    text = layer(np.ones((1, 4, 1), np.float32)).sum().explain()
    assert "and bias gets g, summed over axis 0, 1" in text


def test_rules_are_told_in_the_users_names_whatever_letters_these_are():
    b, a = named(b=1.0, a=2.0)
    assert "b gets g · a = 1 · 2 = 2, and a gets g · b = 1 · 1 = 1" in (b * a).explain()
    y, x = named(y=3.0, x=-2.0)
    assert "y gets g · x = 1 · (−2) = −2, and x gets g · y = 1 · 3 = 3" in (y * x).explain()
    g, w = named(g=3.0, w=0.5)
    assert "g gets gradient · w = 1 · 0.5 = 0.5, and w gets gradient · g = 1 · 3 = 3" in (g * w).explain()
    assert "g の勾配は 勾配 · w = 1 · 0.5 = 0.5" in (g * w).explain(lang="ja")
    (y,) = named(y=0.0)
    assert "y gets g · (1 − %1²) = 1 · (1 − 0²) = 1" in np.tanh(y).explain()
    b, a = named(b=np.ones((1, 2), np.float32), a=np.ones((2, 3), np.float32))
    assert "b gets g @ aᵀ, and a gets bᵀ @ g" in (b @ a).sum().explain()


def test_a_number_that_is_a_sum_is_written_out_and_a_long_one_begins_with_its_largest_terms():
    w, x = named(w=2.0, x=np.array([1.0, -2.0, 3.0], np.float32))
    text = (w * x).sum().explain()
    assert "w gets g · x, summed over axis 0 = 1 · 1 + 1 · (−2) + 1 · 3 = 2, and x gets g · w" in text
    w, x = named(w=2.0, x=np.arange(9, dtype=np.float32))
    assert "= 1 · 8 + 1 · 7 + 1 · 6 + … (6 more terms, none larger) = 36, and" in (w * x).sum().explain()


def test_of_matrices_the_largest_entry_is_told_as_its_sum_of_products():
    a, b = named(a=np.array([[1.0, 2.0], [3.0, 4.0]]), b=np.array([[5.0], [6.0]]))
    text = (a @ b * np.array([[1.0], [-2.0]])).sum().explain()
    assert "matmul: a gets g @ bᵀ, and b gets aᵀ @ g" in text
    assert "for example a[1, 1]: −2 · 6 = −12" in text
    assert "for example b[1, 0]: 2 · 1 + 4 · (−2) = −6" in text


def test_the_gradient_of_cross_entropy_is_softmax_minus_one_hot():
    text = loss().explain()
    assert "cross_entropy: %5 gets (softmax(%5) − one-hot(Y)) · g / 8\n" in text
    assert "− 1) · 1 / 8 = −0.1121" in text
    (p,) = named(p=np.full((2, 2), 0.5))
    assert "nll: %1 gets −g · one-hot(labels)" in nn.losses.nll(np.log(p), [0, 1]).explain()


def test_a_rule_that_is_no_formula_says_where_it_stands():
    def rule(g, x):
        slope = np.cos(x)
        return g * slope

    sine = tn.op(lambda x: np.sin(x), rule, name="sine_by_statements")
    (x,) = named(x=0.0)
    assert "sine_by_statements: x gets what the rule at viz/test_captions.py:" in sine(x).explain()


@pytest.mark.parametrize(
    ("rule", "formula"),
    [
        (lambda g, x: g * np.ones(4) / x.size, "g · ones(4) / 4"),
        (lambda g, x: g / len(x) * np.cos(x), "g / 4 · cos(x)"),
        (lambda g, x: g * x.clip(0, 1) / x.shape[0], "g · clip(x, 0, 1) / 4"),
        (lambda g, x: x * g.sum(), "x · (Σ g)"),
        (lambda g, x: g * (x @ x)[()] * np.ones_like(x), "g · (x @ x)"),
    ],
)
def test_methods_and_sizes_in_rules_are_mathematics_too(rule, formula):
    name = f"of_sizes_{formula}"
    made = tn.op(lambda x: np.cos(x), rule, name=name)
    x = tn.tensor(np.arange(4.0), requires_grad=True, name="x")
    assert f"{name}: x gets {formula}\n" in made(x).sum().explain()


MATRIX = np.array([[1.0, 2.0], [3.0, 4.0]])


def test_the_variables_of_a_users_rule_are_told_by_their_names():
    turned = tn.op(lambda x: MATRIX @ x, lambda g: g @ MATRIX, name="turned_by_a_matrix")
    text = (
        (turned(tn.tensor([1.0, 2.0], requires_grad=True, name="x")) * np.array([1.0, -1.0])).sum().explain()
    )
    assert "turned_by_a_matrix: x gets g @ MATRIX" in text
    assert "for example x[0]: 1 · 1 + (−1) · 3 = −2" in text


@pytest.mark.parametrize(
    "rule",
    [
        lambda g, x: g * np.cos(x)[..., None][:1],
        lambda g, x: g * np.cos(x) if x > 0 else g,
        lambda g, x: g * {"slope": np.cos(x)}["slope"],
        lambda g, x: g * (np.cos(x) if np.isfinite(x).all() else 1),
    ],
)
def test_a_rule_that_is_code_is_not_told_as_mathematics(rule):
    sine = tn.op(lambda x: np.sin(x), rule, name="sine_by_code")
    (x,) = named(x=0.0)
    assert "sine_by_code: x gets what the rule at viz/test_captions.py:" in sine(x).explain()


def test_a_rule_that_cannot_be_looked_into_goes_without_numbers():
    calls = []

    def slope(x):
        calls.append(x)
        assert len(calls) < 2, "called again"
        return np.cos(x)

    sine = tn.op(lambda x: np.sin(x), lambda g, x: g * slope(x), name="sine_once")
    (x,) = named(x=0.0)
    assert "sine_once: x gets g · slope(x)\n" in sine(x).explain()


def test_the_formula_of_a_users_op_is_its_source_unless_one_is_declared():
    plain = tn.op(lambda x: x**3, lambda g, x: g * (3 * np.square(x)), name="cube_by_source")
    helped = tn.op(lambda x: x**3, lambda g, x: _slope(x) * g, name="cube_by_helper", formula="3 * x**2 * g")
    (x,) = named(x=2.0)
    assert "x gets g · 3 · square(x) = 1 · 3 · square(2) = 12" in plain(x).explain()
    assert "x gets 3 · x² · g = 3 · 2² · 1 = 12" in helped(x).explain()


def _slope(x):
    return 3 * x * x


def test_explain_and_the_page_speak_japanese():
    model = network()
    text = nn.losses.cross_entropy(model(X), Y).explain(lang="ja")
    assert text.startswith("順伝播\n")
    assert "誤差逆伝播：%6 の勾配 1 から" in text
    assert "%3 の勾配は g @ 2.weightᵀ、2.weight の勾配は %3ᵀ @ g" in text
    assert "勾配は %4 にそのまま、2.bias に軸 0 について足し合わせて伝わる" in text
    assert "gets" not in text
    assert "gradient" not in text
    with pytest.raises(SettingError, match="explain: lang is one of 'en', 'ja', got 'de'"):
        loss().explain(lang="de")


def test_captions_are_those_of_the_moment_the_picture_was_drawn():
    (w,) = named(w=2.0)
    picture = (w * w).graph()
    with tn.no_grad():
        w *= 5.0
    assert "w gets g · w = 1 · 2 = 2" in picture.explain()


def test_the_page_and_the_json_tell_rules_in_the_users_names():
    b, a = named(b=1.0, a=2.0)
    picture = (b * a).graph()
    (rules,) = [entry["rules"] for entry in details(picture.graph, picture.facts) if "rules" in entry]
    assert [rule[:2] for rule in rules] == [["b", "g · a"], ["a", "g · b"]]
    assert "ops/arithmetic.py:" in rules[0][2]
