"""The graph as data: its text, its inputs, and what makes it invalid."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X
from tinygrad_nn.errors import GraphError
from tinygrad_nn.graph.builder import captured
from tinygrad_nn.graph.recorder import trace
from tinygrad_nn.languages import width


def test_a_graph_prints_as_its_text_and_wants_as_many_inputs_as_it_has():
    graph, _ = trace(lambda x: x * 2, X)
    assert str(graph) == graph.text() == "%1 = multiply(x, 2)   (8, 5)"
    for inputs in ([], [X, X]):
        with pytest.raises(GraphError, match=f"the graph has 1 inputs, got {len(inputs)}"):
            graph.evaluate(inputs)


def broken(change):
    graph, _ = trace(lambda x: np.tanh(x) * 2, X)
    change(graph.values)
    return graph


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda v: setattr(v[1], "index", 7), "value 1 says that its index is 7"),
        (lambda v: setattr(v[0], "kind", "thing"), "value 0 has kind 'thing' and phase 'forward'"),
        (lambda v: setattr(v[1], "phase", "later"), "value 1 has kind 'op' and phase 'later'"),
        (lambda v: setattr(v[0], "kind", "op"), "value 0 of kind op lacks its op"),
        (lambda v: setattr(v[1], "kind", "constant"), "value 1 of kind constant has an op"),
        (lambda v: setattr(v[1], "kind", "error"), "value 1 failed, but others come after it"),
        (lambda v: setattr(v[0], "shape", (2,)), r"value 0 has shape \(2,\), its array \(8, 5\)"),
    ],
)
def test_a_graph_that_was_changed_wrongly_is_refused(change, problem):
    with pytest.raises(GraphError, match=problem):
        broken(change).check()


def test_an_invalid_graph_is_refused_with_everything_that_is_wrong():
    graph = captured(tn.tensor(1.0, requires_grad=True) + 1).graph
    graph.values[-1].operands = (5,)
    graph.outputs = (9,)
    with pytest.raises(GraphError) as caught:
        graph.check()
    assert len(str(caught.value).splitlines()) == 4


def test_a_value_that_is_given_cannot_have_operands_nor_an_op():
    for name in ("operands", "op"):
        with pytest.raises(AttributeError):
            broken(lambda v, name=name: setattr(v[0], name, (0,)))


def test_shapes_stand_under_each_other_where_names_are_of_full_width():
    x = tn.tensor([1.0, 2.0], requires_grad=True, name="入力")
    lines = str(np.exp(x * tn.tensor(2.0, name="係数")).sum().graph()).splitlines()
    assert len({width(line[: line.rindex("(")]) for line in lines}) == 1
