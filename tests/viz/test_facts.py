"""What a reader is told: statistics, rules, the story forward and backward."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X, loss, network
from tinygrad_nn.viz.export import details
from tinygrad_nn.viz.facts import describe, source


@pytest.mark.parametrize(
    ("array", "text", "alert"),
    [
        (np.zeros((0, 3)), "empty", ""),
        (np.full(100, np.nan), "no finite value", "NaN in 100 of 100"),
        (np.full(100, -np.inf), "no finite value", "infinity in 100 of 100"),
    ],
)
def test_arrays_without_statistics_are_described_all_the_same(array, text, alert):
    fact = describe(array)
    assert (fact.text, fact.alert) == (text, alert)


def test_rules_whose_text_is_gone_say_so():
    made = {}
    exec("def rule(g): return g\nbare = lambda g: g", made)
    assert source(made["rule"])[0] == "source not available"
    assert source(made["bare"])[0] == "source not available"
    assert source(made["rule"])[1] == "<string>:1"


def test_explain_tells_forward_and_backward_with_old_and_new_gradients():
    a, b = (tn.tensor(v, requires_grad=True, name=n) for v, n in ((2.0, "a"), (-3.0, "b")))
    text = (a * b + a**2).explain()
    assert "%1 = multiply(a, b)   ()   -6" in text
    assert "power: the gradient reaches a as product(g, product(2, a ** (2 - 1)))" in text
    assert "a (): 4  +  -3  =  1" in text


def test_captions_say_what_broadcasting_does():
    text = (
        (tn.tensor(X, name="x") + tn.tensor(np.zeros(5, np.float32), requires_grad=True, name="b"))
        .sum()
        .explain()
    )
    assert "add: the gradient reaches b summed over axis 0" in text
    assert "spread over (8, 5)" in text
    assert "reaches 0.weight as array.T @ g" in loss().explain()


def test_a_value_that_changed_since_and_a_result_without_ops_are_noted():
    w = tn.tensor([1.0, 2.0], requires_grad=True, name="w")
    total = (w * w).sum()
    w.data = np.array([5.0, 5.0], np.float32)
    assert total.graph().facts.notes[0] == "w (2,) has changed since; values here are the new ones"
    assert "no gradients" in total.graph().text()
    with tn.no_grad():
        detached = w * 2
    assert "viz.draw(f, x)" in str(detached.graph())


def test_a_result_that_is_no_scalar_says_that_it_has_no_gradients():
    assert network().graph(X).facts.notes == [
        "no gradients: the result has shape (8, 3), and a loss is one number"
    ]


def named(**values):
    return [tn.tensor(value, requires_grad=True, name=name) for name, value in values.items()]


def test_rules_are_told_in_the_users_names_whatever_letters_these_are():
    b, a = named(b=1.0, a=2.0)
    assert "the gradient reaches b as g * a = 1 * 2 = 2, and a as g * b = 1 * 1 = 1" in (b * a).explain()
    y, x = named(y=3.0, x=-2.0)
    assert "reaches y as g * x = 1 * (-2) = -2, and x as g * y = 1 * 3 = 3" in (y * x).explain()
    g, w = named(g=3.0, w=0.5)
    assert "reaches g as gradient * w = 1 * 0.5 = 0.5, and w as gradient * g = 1 * 3 = 3" in (g * w).explain()
    (y,) = named(y=0.0)
    assert "reaches y as g * (1 - %1 * %1) = 1 * (1 - 0 * 0) = 1" in np.tanh(y).explain()
    b, a = named(b=np.ones((1, 2), np.float32), a=np.ones((2, 3), np.float32))
    assert "reaches b as g @ a.T, and a as b.T @ g" in (b @ a).sum().explain()


def test_numbers_are_put_in_only_where_all_of_them_are_single_ones():
    w, x = named(w=2.0, x=np.ones(3, np.float32))
    text = (w * x).sum().explain()
    assert "reaches w as g * x, summed over axis 0, and x as g * w" in text
    assert "g * w =" not in text
    (x,) = named(x=2.0)
    assert "add: the gradient reaches x unchanged" in (x + 1).explain()


def test_the_page_and_the_json_tell_rules_in_the_users_names():
    b, a = named(b=1.0, a=2.0)
    picture = (b * a).graph()
    (rules,) = [entry["rules"] for entry in details(picture.graph, picture.facts) if "rules" in entry]
    assert [rule[:2] for rule in rules] == [["b", "g * a"], ["a", "g * b"]]
    assert "is a" not in rules[0][2]
