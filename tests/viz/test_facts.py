"""What a reader is told: statistics, rules, the story forward and backward."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X, network
from tinygrad_nn.viz.facts import describe
from tinygrad_nn.viz.sources import source


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
    assert (fact.text(), fact.alert()) == (text, alert)


def test_rules_whose_text_is_gone_say_so():
    made = {}
    exec("def rule(g): return g\nbare = lambda g: g", made)
    assert source(made["rule"])[0] == "source not available"
    assert source(made["bare"])[0] == "source not available"
    assert source(made["rule"])[1] == "<string>:1"


def test_a_value_that_changed_since_and_a_result_without_ops_are_noted():
    w = tn.tensor([1.0, 2.0], requires_grad=True, name="w")
    total = (w * w).sum()
    w.data = np.array([5.0, 5.0], np.float32)
    assert total.graph().facts.told("en")[0] == "w (2,) has changed since; values here are the new ones"
    assert "no gradients" in total.graph().text()
    with tn.no_grad():
        detached = w * 2
    assert "viz.draw(f, x)" in str(detached.graph())


def test_a_result_that_is_no_scalar_says_that_it_has_no_gradients():
    assert network().graph(X).facts.told("en") == [
        "no gradients: the result has shape (8, 3), and a loss is one number"
    ]
