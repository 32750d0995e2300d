"""Which line of the user's program made a value: recorded where a graph is traced or somebody asks, shown beside it."""

import numpy as np

import tinygrad_nn as tn
from tests.support.networks import X, Y, network
from tests.support.steps import training_step
from tinygrad_nn import nn, viz
from tinygrad_nn.viz.export import details
from tinygrad_nn.viz.lines import listings, text_of


def texts(picture):
    return [value.line and text_of(value.line) for value in picture.graph.ops]


def test_a_drawn_function_has_the_line_of_every_op_and_none_of_ours():
    def model(x):
        hidden = np.tanh(x @ np.ones((5, 2), np.float32))
        return nn.losses.mse(hidden, np.zeros((8, 2), np.float32))

    picture = viz.draw(model, X)
    first, *_, last = texts(picture)
    assert first == "hidden = np.tanh(x @ np.ones((5, 2), np.float32))"
    assert last == "return nn.losses.mse(hidden, np.zeros((8, 2), np.float32))"
    assert {value.line.file for value in picture.graph.ops} == {__file__}


def test_a_model_of_ours_has_no_lines_of_the_user():
    assert set(texts(network().graph(X))) == {None}


def test_a_training_step_has_the_lines_of_its_backward_pass_and_its_update():
    model = network()
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)

    def step(x, labels):
        loss = nn.losses.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    picture = viz.draw(step, X, Y)
    found = {value.phase: text_of(value.line) for value in picture.graph.ops}
    assert found == {
        "forward": "loss = nn.losses.cross_entropy(model(x), labels)",
        "backward": "loss.backward()",
        "update": "optimizer.step()",
    }


def test_results_have_lines_only_where_they_are_recorded():
    a = tn.tensor(2.0, requires_grad=True)
    with tn.record_lines():
        b = a * 3.0
    c = b + a
    assert texts(c.graph()) == ["b = a * 3.0", None]
    with tn.debug():
        d = np.sin(a)
    assert texts(d.graph()) == ["d = np.sin(a)"]
    assert "test_lines.py:" in c.explain()
    assert ": b = a * 3.0\n" in c.explain()


def test_recording_lines_ends_with_its_block_and_decorates():
    @tn.record_lines()
    def square(x):
        return x * x

    x = tn.tensor(2.0, requires_grad=True)
    assert texts(square(x).graph()) == ["return x * x"]
    assert texts((x * x).graph()) == [None]


def test_a_listing_has_the_lines_in_between_and_marks_longer_gaps():
    @tn.record_lines()
    def far(x):
        y = x * 2.0

        y = y + 1.0
        z = np.zeros(3)
        z[0] = 1.0
        z[1] = 2.0
        return y * z

    picture = far(tn.tensor(np.ones(3), requires_grad=True)).sum().graph()
    (listing,) = listings(picture.graph)
    assert listing["file"] == "test_lines.py"
    assert [line for _, line in listing["lines"]] == ["y = x * 2.0", "", "y = y + 1.0", "⋮", "return y * z"]
    (first, *_) = [entry["line"] for entry in details(picture.graph, picture.facts) if "line" in entry]
    assert first == f"test_lines.py:{listing['lines'][0][0]}"


def test_a_program_without_source_has_no_listing():
    made = {"tn": tn, "x": tn.tensor(2.0, requires_grad=True)}
    exec(compile("with tn.record_lines():\n    y = x * x", "<typed>", "exec"), made)
    picture = made["y"].graph()
    assert listings(picture.graph) == []
    assert picture.graph.ops[0].line == ("<typed>", 2)


def test_a_compiled_step_is_captured_as_before():
    model = network()
    step = tn.compile(training_step(model, tn.optim.SGD(model.parameters(), lr=0.1)))
    assert float(step(X, Y)) > float(step(X, Y))
