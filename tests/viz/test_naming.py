"""What is told of values without a name: what the user calls them, and what the model's call does."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import network
from tests.support.steps import training_step
from tinygrad_nn import nn, viz

RNG = np.random.default_rng(0)


def kinds(picture):
    labels = picture.graph.labels()
    return {labels[value.index]: value.kind for value in picture.graph.values if value.kind != "op"}


def test_arrays_and_tensors_are_called_as_the_variables_are_that_hold_them():
    images = RNG.normal(size=(4, 5)).astype(np.float32)
    answers = np.array([0, 1, 2, 0])
    picture = nn.losses.cross_entropy(network()(images), answers).graph()
    assert "%1 = matmul(images, 0.weight)" in str(picture)
    assert "cross_entropy(%5, answers)" in str(picture)
    assert kinds(picture)["images"] == kinds(picture)["answers"] == "input"


def test_a_tensor_without_a_name_is_its_variable_in_captions():
    a, b = tn.tensor(2.0, requires_grad=True), tn.tensor(-3.0, requires_grad=True)
    assert "a gets g · b = 1 · (−3) = −3, and b gets g · a = 1 · 2 = 2" in (a * b).explain()


def test_the_input_of_a_model_is_called_as_in_its_call_where_no_variable_holds_it():
    class Scaled(nn.Module):
        def __init__(self):
            self.dense = nn.Dense(3, 2, rng=0)

        def forward(self, pixels):
            return self.dense(pixels)

    assert "matmul(pixels, dense.weight)" in str(Scaled()(np.ones((2, 3))).sum().graph())
    assert "matmul(x, 0.weight)" in str(network()(RNG.normal(size=(2, 5))).sum().graph())


def test_of_several_arrays_in_a_call_none_is_taken_for_the_input():
    norm = nn.BatchNorm(3)
    norm.eval()
    text = str(norm(np.ones((4, 3))).sum().graph())
    assert "normalising_columns(m, weight, bias" in text.replace("array", "m")
    assert "(x," not in text


def test_the_inputs_of_one_neuron_are_inputs_and_its_weights_parameters():
    x1, x2, w1, w2, b = (tn.tensor(v, requires_grad=True) for v in (2.0, 0.0, -3.0, 1.0, 6.88))
    picture = np.tanh(x1 * w1 + x2 * w2 + b).graph()
    assert kinds(picture) == {
        "x1": "input", "x2": "input", "w1": "parameter", "w2": "parameter", "b": "parameter",
    }  # fmt: skip
    assert picture.facts.gradients


def test_a_parameter_of_a_model_stays_one_whatever_it_is_called():
    class Table(nn.Module):
        def __init__(self):
            self.x = tn.tensor(np.ones(3, np.float32), requires_grad=True, name="x")

        def forward(self, scale):
            return self.x * scale

    assert kinds(Table()(2.0).sum().graph())["x"] == "parameter"


@pytest.mark.parametrize("make", [tn.optim.SGD, tn.optim.Adam])
def test_a_drawn_training_step_has_no_scratch_memory(make):
    model = network()
    x, labels = RNG.normal(size=(4, 5)).astype(np.float32), np.array([0, 1, 2, 0])
    picture = viz.draw(training_step(model, make(model.parameters(), lr=0.1)), x, labels)
    assert "scratch" not in str(picture) + picture.dot + picture.html()


def test_boxes_have_the_number_and_the_sign_of_their_op():
    x = tn.tensor([1.0, 2.0], requires_grad=True, name="x")
    y = np.tanh((x * x + 3) / x - x**2).sum()
    titles = [item.lines[0] for item in y.graph().scene.items.values() if item.kind == "op"]
    assert titles == ["%1 ×", "%2 = · + 3", "%3 /", "%4 = · ^ 2", "%5 −", "%6 tanh", "%7 sum"]


@pytest.mark.parametrize("compiled", [False, True])
def test_inputs_of_a_step_are_called_as_its_arguments_compiled_or_not(compiled):
    def step(pixels, answers):
        return nn.losses.cross_entropy(model(pixels), answers)

    model = network()
    x, y = RNG.normal(size=(4, 5)).astype(np.float32), np.array([0, 1, 2, 0])
    text = str(viz.draw(tn.compile(step) if compiled else step, x, y))
    assert "matmul(pixels, 0.weight)" in text
    assert "answers)" in text
    assert "matmul(x, 0.weight)" in str(viz.draw(tn.compile(model) if compiled else model, x))
