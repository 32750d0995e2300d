"""From a result, or an error, to the graph as data."""

import pickle

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X, Y, network
from tinygrad_nn import nn
from tinygrad_nn.errors import GraphError, GraphFreed
from tinygrad_nn.graph.builder import captured, from_error


def test_an_existing_result_prints_one_line_an_op():
    loss = nn.losses.cross_entropy(network()(X), Y)
    assert captured(loss, names={"x": X}).graph.check().text() == (
        "%1 = matmul(x, 0.weight)         (8, 4)   Sequential / 0: Dense\n"
        "%2 = add(%1, 0.bias)             (8, 4)   Sequential / 0: Dense\n"
        "%3 = tanh(%2)                    (8, 4)   Sequential / 1: Tanh\n"
        "%4 = matmul(%3, 2.weight)        (8, 3)   Sequential / 2: Dense\n"
        "%5 = add(%4, 2.bias)             (8, 3)   Sequential / 2: Dense\n"
        "%6 = cross_entropy(%5, labels)   ()"
    )


def test_replaying_a_captured_result_gives_it_again():
    loss = nn.losses.cross_entropy(network()(X), Y)
    assert captured(loss).graph.evaluate()[-1] == loss.item()


def test_an_operand_used_twice_stands_there_twice():
    x = tn.tensor(2.0, requires_grad=True, name="x")
    graph = captured(x * x).graph
    assert graph.values[-1].operands == (0, 0)


def test_promotion_of_a_zero_dimensional_leaf_is_replayed():
    scale = tn.tensor(np.float64(2), requires_grad=True)
    y = scale * tn.tensor([1.0, 2.0])
    values = captured(y).graph.evaluate()
    assert values[-1].dtype == y.dtype == np.float32


def test_capture_of_a_released_graph_says_what_to_do():
    x = tn.tensor(2.0, requires_grad=True)
    y = x * x
    y.backward()
    with pytest.raises(GraphFreed, match="retain_graph=True"):
        captured(y)


def test_a_parameter_changed_since_is_noted():
    x = tn.tensor(2.0, requires_grad=True, name="x")
    y = x * x
    x.data = np.float32(3)
    assert "x () has changed since" in captured(y).graph.notes[0]


def test_an_error_has_the_graph_up_to_the_op_that_failed():
    with pytest.raises(tn.errors.ShapeError) as caught:
        network()(X[:, :4])
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    graph = from_error(caught.value).check()
    assert graph.values[-1].kind == "error"
    assert "0.weight" in graph.text()
    with pytest.raises(GraphError, match="does not come from an op"):
        from_error(ValueError("other"))


@pytest.mark.parametrize(
    "other", [np.ones((3, 2)), np.ones((3, 2), np.float32).astype(">f4"), [[1.0, 2.0]] * 3]
)
def test_plain_operands_of_an_op_that_failed_are_constants_of_its_graph(other):
    w = tn.tensor(np.ones((3, 3)), requires_grad=True, name="w")
    with pytest.raises(tn.errors.ShapeError) as caught:
        np.add(w * 2, other)
    graph = from_error(caught.value).check()
    left, right = (graph.values[k] for k in graph.values[-1].operands)
    assert (left.kind, right.kind, right.shape) == ("op", "constant", (3, 2))


def test_a_constant_that_is_used_twice_is_one_value_and_a_leaf_is_what_it_is_now():
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    c = np.array([3.0, 4.0], np.float32)
    y = w * c - c
    assert [v.kind for v in captured(y).graph.values].count("constant") == 1
    # Frozen, it stays a parameter.
    w.requires_grad = False
    graph = captured(y).graph
    assert (graph.inputs, [v.kind for v in graph.values].count("parameter")) == ((), 1)
    w.name = "w"
    graph = captured(y).graph
    assert [value.name for value in graph.values if value.kind == "parameter"] == ["w"]


def test_two_models_with_the_same_names_are_told_apart():
    class Decoder(nn.Sequential):
        pass

    y = Decoder(nn.Dense(4, 2, rng=0))(nn.Sequential(nn.Dense(5, 4, rng=1))(X))
    names = [value.name for value in captured(y).graph.values if value.kind == "parameter"]
    assert names == ["Sequential.0.weight", "Sequential.0.bias", "Decoder.0.weight", "Decoder.0.bias"]


def test_a_chain_of_30000_ops_is_captured():
    y = tn.tensor(1.0, requires_grad=True)
    for _ in range(30_000):
        y = y + 1
    assert len(captured(y).graph.ops) == 30_000
