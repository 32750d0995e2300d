"""Capture: existing results, running functions, whole training steps, errors."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import CaptureError, GraphError, GraphFreed
from tinygrad_nn.graph.builder import from_error, from_result
from tinygrad_nn.graph.recorder import tensors, trace

X = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
Y = np.arange(8) % 3


def network():
    return nn.Sequential(nn.Dense(5, 4, rng=0), nn.Tanh(), nn.Dense(4, 3, rng=1))


def test_an_existing_result_prints_one_line_an_op():
    loss = nn.losses.cross_entropy(network()(X), Y)
    assert from_result(loss, names={"x": X}).check().text() == (
        "%1 = matmul(x, 0.weight)         (8, 4)   Sequential / 0: Dense\n"
        "%2 = add(%1, 0.bias)             (8, 4)   Sequential / 0: Dense\n"
        "%3 = tanh(%2)                    (8, 4)   Sequential / 1: Tanh\n"
        "%4 = matmul(%3, 2.weight)        (8, 3)   Sequential / 2: Dense\n"
        "%5 = add(%4, 2.bias)             (8, 3)   Sequential / 2: Dense\n"
        "%6 = cross_entropy(%5, labels)   ()"
    )


def test_replaying_a_captured_result_gives_it_again():
    loss = nn.losses.cross_entropy(network()(X), Y)
    assert from_result(loss).evaluate()[-1] == loss.item()


def test_an_operand_used_twice_stands_there_twice():
    x = tn.tensor(2.0, requires_grad=True, name="x")
    graph = from_result(x * x)
    assert graph.values[-1].operands == (0, 0)


def test_promotion_of_a_zero_dimensional_leaf_is_replayed():
    scale = tn.tensor(np.float64(2), requires_grad=True)
    y = scale * tn.tensor([1.0, 2.0])
    values = from_result(y).evaluate()
    assert values[-1].dtype == y.dtype == np.float32


def test_capture_of_a_released_graph_says_what_to_do():
    x = tn.tensor(2.0, requires_grad=True)
    y = x * x
    y.backward()
    with pytest.raises(GraphFreed, match="retain_graph=True"):
        from_result(y)


def test_a_parameter_changed_since_is_noted():
    x = tn.tensor(2.0, requires_grad=True, name="x")
    y = x * x
    x.data = np.float32(3)
    assert "x () has changed since" in from_result(y).notes[0]


def test_value_and_grad_is_one_graph_of_forward_and_backward():
    graph, result = trace(tn.value_and_grad(lambda x: (np.tanh(x) * x).sum()), X)
    values = graph.check().evaluate()
    assert {value.phase for value in graph.ops} == {"forward", "backward"}
    for index, tensor in zip(graph.outputs, result, strict=True):
        np.testing.assert_array_equal(values[index], tensor.data)


@pytest.mark.parametrize(
    "function",
    [
        tn.value_and_grad(lambda x: (np.tanh(x) * x).sum()),
        tn.jacobian(lambda x: np.sin(x[0])),
        tn.hessian(lambda x: (x[0] ** 3).sum()),
        lambda x: tn.jvp(np.exp, x, x),
        lambda x: tn.vjp(np.sqrt, x * x)[1](x),
        lambda x: tn.tensor(x) * 2,
        lambda x: tn.tensor(x, dtype=np.float64) * x,
        lambda x: copy.deepcopy(x) * 2,
    ],
)
def test_derivatives_and_copies_follow_new_inputs(function):
    graph, _ = trace(function, X)
    other = X[::-1] * 2
    values = graph.evaluate([other])
    for index, expected in zip(graph.outputs, tensors(function(tn.as_tensor(other))), strict=True):
        np.testing.assert_allclose(values[index], expected.data, rtol=1e-5, atol=1e-6)


def test_a_copy_of_a_parameter_keeps_the_value_that_it_had():
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    optimizer = tn.optim.SGD([w], lr=0.5)

    def step(x):
        old = tn.tensor(w)
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return w - old

    graph, _ = trace(step, np.ones(2, np.float32))
    (index,) = graph.outputs
    np.testing.assert_array_equal(graph.evaluate()[index], [-0.5, -0.5])
    np.testing.assert_array_equal(w.data, [1, 2])


def test_a_captured_gradient_follows_new_inputs():
    model = network()

    def step(x, labels):
        loss = nn.losses.cross_entropy(model(x / 2), labels)
        return tn.gradients(loss, model.parameters())

    graph, _ = trace(step, X, Y)
    other, labels = X[::-1] * 2, (Y + 1) % 3
    values = graph.evaluate([other, labels])
    for index, expected in zip(graph.outputs, step(other, labels), strict=True):
        np.testing.assert_allclose(values[index], expected.data, rtol=1e-5, atol=1e-7)


def test_a_training_step_is_one_graph_and_its_replay_writes_nothing():
    model = network()
    optimizer = tn.optim.Adam(model.parameters())

    def step(x, labels):
        optimizer.zero_grad()
        loss = nn.losses.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    before = model.state_dict()
    graph, _ = trace(step, X, Y)
    values = graph.check().evaluate()
    updates = [value for value in graph.ops if value.phase == "update"]
    assert [graph.values[update.operands[0]].name for update in updates] == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
    ]
    assert all(graph.values[update.operands[1]].phase == "backward" for update in updates)
    assert len(graph.hosts) == 1
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert not np.array_equal(values[updates[0].operands[0]], before["0.weight"])


def test_gradients_that_meet_are_added_in_the_graph():
    graph, _ = trace(tn.grad(lambda x: (x * x + x).sum()), X)
    assert [v.op.name for v in graph.ops if v.phase == "backward"].count("add") == 2


@pytest.mark.parametrize(
    "read", [lambda t: t.data, lambda t: t.sum().item(), lambda t: float(t.sum()), np.asarray]
)
def test_reading_a_value_during_capture_is_refused(read):
    with pytest.raises(CaptureError, match="baked"):
        trace(lambda x: x * read(x * 2), X)


def test_one_array_given_twice_is_two_inputs():
    graph, _ = trace(lambda a, b: a - b, X, X)
    assert len(graph.inputs) == 2
    np.testing.assert_array_equal(graph.evaluate([X, 2 * X])[-1], -X)


def test_nested_arguments_are_inputs():
    graph, _ = trace(
        lambda batch, scale: batch["x"] * batch["pair"][1] * scale, {"x": X, "pair": (Y, X)}, 2.0
    )
    assert [graph.values[k].name for k in graph.inputs] == [
        "batch['x']",
        "batch['pair'][0]",
        "batch['pair'][1]",
    ]


def test_an_error_has_the_graph_up_to_the_op_that_failed():
    with pytest.raises(tn.errors.ShapeError) as caught:
        network()(X[:, :4])
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    graph = from_error(caught.value).check()
    assert graph.values[-1].kind == "error"
    assert "0.weight" in graph.text()
    with pytest.raises(GraphError, match="does not come from an op"):
        from_error(ValueError("other"))


def test_two_models_with_the_same_names_are_told_apart():
    class Decoder(nn.Sequential):
        pass

    y = Decoder(nn.Dense(4, 2, rng=0))(nn.Sequential(nn.Dense(5, 4, rng=1))(X))
    names = [value.name for value in from_result(y).values if value.kind == "parameter"]
    assert names == ["Sequential.0.weight", "Sequential.0.bias", "Decoder.0.weight", "Decoder.0.bias"]


def test_a_chain_of_30000_ops_is_captured():
    y = tn.tensor(1.0, requires_grad=True)
    for _ in range(30_000):
        y = y + 1
    assert len(from_result(y).ops) == 30_000


def test_an_invalid_graph_is_refused_with_everything_that_is_wrong():
    graph = from_result(tn.tensor(1.0, requires_grad=True) + 1)
    graph.values[-1].operands = (5,)
    graph.outputs = (9,)
    with pytest.raises(GraphError) as caught:
        graph.check()
    assert len(str(caught.value).splitlines()) == 4
