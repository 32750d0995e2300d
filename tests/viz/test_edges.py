"""Pictures and graphs of what seldom happens: bad values in folded boxes, cuts with gradients, lost sources."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, viz
from tinygrad_nn.errors import CaptureError, GraphError
from tinygrad_nn.graph.recorder import trace
from tinygrad_nn.viz.facts import describe, source
from tinygrad_nn.viz.render import run_graphviz

X = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)


class Log(nn.Module):
    def forward(self, x):
        return np.log(x) * 2


def boxes(picture):
    return {item.lines[0]: item for item in picture.scene.items.values()}


# What stands in the boxes


def test_a_folded_module_says_whether_a_nan_starts_in_it():
    model = nn.Sequential(Log(), nn.Tanh())
    with np.errstate(all="ignore"):
        picture = model.graph(np.array([1.0, -1.0], np.float32), depth=1)
    assert boxes(picture)["0: Log"].alert == "NaN starts in here"
    assert boxes(picture)["1: Tanh"].alert == "NaN in here"


def test_an_infinite_gradient_is_spelled_out():
    x = tn.tensor([0.0, 4.0], requires_grad=True, name="x")
    with np.errstate(all="ignore"):
        picture = np.sqrt(x).sum().graph(grads=True)
    assert boxes(picture)["x"].gradient == "grad infinity in 1 of 2"


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


def test_modules_are_folded_level_by_level_until_the_picture_fits():
    block = lambda seed: nn.Sequential(nn.Dense(5, 5, rng=seed), nn.Tanh(), nn.Dense(5, 5, rng=seed + 1))
    model = nn.Sequential(nn.Sequential(block(0), nn.Sigmoid()), nn.Sequential(block(5), nn.ReLU()))
    picture = model.graph(X, max_nodes=3)
    assert list(boxes(picture)) == ["x", "0: Sequential", "1: Sequential"]
    assert picture.scene.notes[-1] == "modules below depth 1 are folded; max_nodes=None opens them"
    assert sum("are folded" in note for note in picture.scene.notes) == 1


def test_a_cut_picture_keeps_the_gradient_arrows_between_what_is_left():
    y = tn.tensor(1.0, requires_grad=True)
    for _ in range(30):
        y = y * 1.5
    picture = y.graph(max_nodes=6, grads=True)
    ids = {item.id for item in picture.scene.items.values()}
    arrows = [link for link in picture.scene.links if link.kind == "gradient"]
    assert arrows
    assert all({link.tail, link.head} <= ids for link in picture.scene.links)
    assert all(picture.scene.links[link.along].tail == link.head for link in arrows)
    assert "more nodes" in picture.svg()


def test_a_legend_with_many_entries_goes_on_in_another_row():
    w = tn.tensor(np.ones(5, np.float32), requires_grad=True, name="w")
    optimizer = tn.optim.SGD([w], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = ((x * w) + np.ones(5, np.float32)).sum()
        loss.backward()
        optimizer.step()
        return loss

    picture = viz.draw(step, X, direction="TB", fold_constants=False, values=False)
    legend = [line for line in picture.svg().split("<") if line.startswith('text class="note"')]
    assert len({line.split('y="')[1].split('"')[0] for line in legend}) >= 2


@pytest.mark.parametrize("options", [{"grads": True}, {"fold_repeats": False}])
def test_a_page_has_its_levels_with_gradients_and_with_repeats_opened(options):
    model = nn.Sequential(*[nn.Dense(5, 5, rng=k) for k in range(6)])
    loss = lambda x: (model(x) ** 2).sum()
    page = viz.draw(loss, X, **options).html()
    assert "all ops" in page
    assert ("all ops, repeats opened" in page) is ("fold_repeats" not in options)


def test_a_dot_that_fails_says_what_it_said(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: sys.executable)
    failed = SimpleNamespace(returncode=1, stdout=b"", stderr=b"syntax error in line 1\n")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="dot -Tsvg failed: syntax error in line 1$"):
        run_graphviz("digraph {", "svg")


def test_rules_whose_text_is_gone_say_so():
    made = {}
    exec("def rule(g): return g\nbare = lambda g: g", made)
    assert source(made["rule"])[0] == "source not available"
    assert source(made["bare"])[0] == "source not available"
    assert source(made["rule"])[1] == "<string>:1"


# Graphs


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


def test_a_value_that_is_given_cannot_have_operands_nor_an_op():
    for name in ("operands", "op"):
        with pytest.raises(AttributeError):
            broken(lambda v, name=name: setattr(v[0], name, (0,)))


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


def test_numbers_that_do_not_depend_on_inputs_may_be_read_during_capture():
    scale = tn.tensor(2.0)
    graph, _ = trace(lambda x: x * float(scale) * scale * float(scale), X)
    np.testing.assert_array_equal(graph.evaluate()[-1], X * 8)
    with pytest.raises(CaptureError, match="bool"):
        trace(lambda x: x if bool(x.sum() > 0) else -x, X)
