"""What a reader is told: statistics, rules, the story forward and backward."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X, loss, network
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
    assert "power: the gradient reaches a as product(g, product(b, a ** (b - 1)))" in text
    assert "a (): 4  +  -3  =  1" in text


def test_captions_say_what_broadcasting_does():
    text = (
        (tn.tensor(X, name="x") + tn.tensor(np.zeros(5, np.float32), requires_grad=True, name="b"))
        .sum()
        .explain()
    )
    assert "add: the gradient reaches b summed over axis 0" in text
    assert "spread over (8, 5)" in text
    assert "reaches 0.weight as a.T @ g" in loss().explain()


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
