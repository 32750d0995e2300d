"""From a running function to the graph as data: derivatives, copies, whole training steps, what may be read."""

import copy

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X, Y, network
from tests.support.steps import training_step
from tinygrad_nn import nn
from tinygrad_nn.errors import CaptureError, GraphError
from tinygrad_nn.graph.recorder import tensors, trace


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
        old = tn.tensor(w.detach())
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return w - old

    graph, _ = trace(step, np.ones(2, np.float32))
    (index,) = graph.outputs
    np.testing.assert_array_equal(graph.evaluate()[index], [-0.5, -0.5])
    np.testing.assert_array_equal(w.data, [1, 2])


def test_a_copy_of_a_parameter_reads_the_parameter_and_one_of_data_a_constant():
    w = tn.tensor([1.0, 2.0], requires_grad=True, name="w")
    graph, _ = trace(lambda: (w.copy() * tn.tensor(X[0, :2]), w.copy()))
    kinds = [(graph.values[call.operands[0]].kind, graph.values[call.operands[0]].name) for call in graph.ops]
    assert kinds[:1] == [("parameter", "w")]
    assert [v.kind for v in graph.values].count("parameter") == 1
    w.data[:] = 5
    assert graph.evaluate()[graph.outputs[-1]].tolist() == [5, 5]


def test_a_copy_of_a_named_constant_reads_the_constant_and_one_of_a_result_its_op():
    scale = tn.tensor([1.0, 2.0], name="scale")
    graph, _ = trace(lambda x: tn.tensor(scale) * tn.tensor(x + scale), X[0, :2])
    copied = [graph.values[call.operands[0]] for call in graph.ops if call.op.name == "astype"]
    assert [(value.kind, value.name) for value in copied] == [("constant", "scale"), ("op", None)]
    assert [value.name for value in graph.values].count("scale") == 1


def test_the_inputs_of_an_op_of_numpy_have_the_names_of_its_operands():
    graph, _ = trace(np.multiply, X, X + 1)
    assert [graph.values[k].name for k in graph.inputs] == ["a", "b"]


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
    before = model.state_dict()
    graph, _ = trace(training_step(model, optimizer), X, Y)
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
    "read",
    [
        lambda t: t.data,
        lambda t: t.sum().item(),
        lambda t: float(t.sum()),
        lambda t: int(t.sum()),
        lambda t: float(f"{t.sum():.3f}"),
        np.asarray,
    ],
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


def test_an_array_that_is_updated_twice_is_replayed_without_being_written():
    w = tn.tensor([1.0], requires_grad=True)
    optimizer = tn.optim.SGD([w], lr=0.5)

    def twice(x):
        for _ in range(2):
            optimizer.zero_grad()
            (w * x).sum().backward()
            optimizer.step()
        return w * 1

    graph, _ = trace(twice, np.ones(1, np.float32))
    assert graph.text().count("in place") == 2
    (index,) = graph.outputs
    assert graph.evaluate()[index] == 0
    assert w.item() == 1


def test_results_that_are_named_are_called_so_and_leaves_among_the_arguments_are_inputs():
    w = tn.tensor([1.0, 2.0], requires_grad=True, name="w")

    def f(t):
        y = t * 3
        y.name = "tripled"
        return y

    graph, result = trace(f, w)
    assert graph.text() == "tripled = multiply(w, 3)   (2,)"
    assert tn.gradients(result, w, cotangent=np.ones(2)).tolist() == [3, 3]


def test_a_function_without_a_signature_has_numbered_inputs():
    class Product:
        __signature__ = "not known"

        def __call__(self, *args):
            return args[0] * args[1]

    graph, _ = trace(Product(), X, X + 1)
    assert [graph.values[k].name for k in graph.inputs] == ["input0", "input1"]


def test_inputs_are_called_as_positional_parameters_alone():
    def f(first, /, second, *more, flag=False, **others):
        return first * second * more[0] * more[1]

    graph, _ = trace(f, *[X] * 4)
    assert [graph.values[k].name for k in graph.inputs] == ["first", "second", "input2", "input3"]


def test_numbers_that_do_not_depend_on_inputs_may_be_read_during_capture():
    scale = tn.tensor(2.0)
    graph, _ = trace(lambda x: x * float(scale) * scale * float(scale), X)
    np.testing.assert_array_equal(graph.evaluate()[-1], X * 8)
    with pytest.raises(CaptureError, match="bool"):
        trace(lambda x: x if bool(x.sum() > 0) else -x, X)


def test_trace_takes_a_function():
    with pytest.raises(GraphError, match=r"got Tensor\n  hint   t.graph\(\).graph"):
        tn.trace(tn.tensor(2.0))
