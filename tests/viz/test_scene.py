"""What is on a picture: boxes, arrows, modules, and what is folded."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X, Y, loss, network
from tests.support.steps import training_step
from tinygrad_nn import nn, viz
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.viz.page import levels
from tinygrad_nn.viz.scene import crossed


def boxes(picture):
    return {item.lines[0]: item for item in picture.scene.items.values()}


class Block(nn.Module):
    def __init__(self, seed):
        self.dense = nn.Dense(4, 4, rng=seed)

    def forward(self, x):
        return x + np.tanh(self.dense(x))


class Twice(nn.Module):
    def __init__(self):
        self.cell = nn.Dense(5, 5, rng=0)

    def forward(self, x):
        return self.cell(np.tanh(self.cell(x)))


def test_every_tensor_has_a_name_and_a_shape():
    picture = loss().graph(names={"x": X})
    assert {"x", "0.weight", "0.bias", "2.weight", "2.bias", "Y", "%1 @", "%3 tanh"} <= boxes(picture).keys()
    assert boxes(picture)["0.weight"].lines == ["0.weight", "5 × 4"]
    assert [group.title for group in picture.scene.groups.values()] == [
        "Sequential",
        "0: Dense",
        "1: Tanh",
        "2: Dense",
    ]


def test_one_arrow_per_operand_and_shapes_that_carry_the_kind():
    w = tn.tensor(2.0, requires_grad=True, name="w")
    dot = (w * w + 3).graph().dot
    assert dot.count("n0 -> n1") == 2
    assert "%2 = · + 3" in dot
    assert "peripheries=2" in dot
    assert "rounded" in dot


def test_constants_get_their_own_box_when_they_are_not_folded():
    x = tn.tensor(2.0, requires_grad=True)
    assert "3" in boxes((x + 3).graph(fold_constants=False))


def test_values_and_gradients_stand_in_the_boxes_and_no_grad_is_touched():
    a, b = (tn.tensor(v, requires_grad=True, name=n) for v, n in ((2.0, "a"), (-3.0, "b")))
    c = tn.tensor(4.0, name="c")
    picture = (a * b * c + b * 0).graph(grads=True)
    assert (boxes(picture)["a"].value, boxes(picture)["a"].gradient) == ("2", "grad -12")
    assert boxes(picture)["c"].gradient == "no grad"
    assert a.grad is None
    assert b.grad is None
    assert (a * 0).graph(grads=True).scene.items["n0"].gradient == "grad zero"
    assert [link.kind for link in picture.scene.links].count("gradient") == 6


def test_the_picture_shows_the_values_of_the_moment_it_was_drawn():
    x = tn.tensor([1.0, 2.0], requires_grad=True, name="x")
    picture = (x * 2).sum().graph()
    x.data[...] = 9
    assert boxes(picture)["x"].value == "[1, 2]"


def test_values_can_be_left_out():
    picture = loss().graph(values=False)
    assert {(item.value, item.tooltip) for item in picture.scene.items.values()} == {("", "")}
    assert picture.facts.steps
    assert "std" not in picture.svg()


def test_the_origin_of_a_nan_is_marked():
    x = tn.tensor([1.0, -1.0], requires_grad=True, name="x")
    with np.errstate(invalid="ignore"):
        picture = (np.log(x) * 2).sum().graph()
    assert boxes(picture)["%1 log"].alert == "NaN in 1 of 2 starts here"
    assert boxes(picture)["%3 sum"].alert == "NaN"
    assert not boxes(picture)["x"].alert
    assert "NaN in 1 of 2 starts here" in picture.svg()
    assert "NaN in 1 of 2 starts here" in picture.explain()


def test_a_second_call_says_so_and_shared_parameters_are_drawn_once():
    picture = Twice().graph(X)
    assert [group.title for group in picture.scene.groups.values()] == [
        "Twice",
        "cell: Dense",
        "cell: Dense (call 2)",
    ]
    assert picture.dot.count('label="cell.weight') == 1
    weight = boxes(picture)["cell.weight"]
    assert sum(link.tail == weight.id for link in picture.scene.links) == 2
    assert picture.scene.groups[weight.group].title == "Twice"


def test_value_and_grad_shows_forward_and_backward():
    picture = viz.draw(tn.value_and_grad(lambda x: (np.tanh(x) * x).sum()), X)
    assert "backward pass" in [group.title for group in picture.scene.groups.values()]
    assert sum("backward" in item.marks for item in picture.scene.items.values()) >= 6


def test_a_training_step_is_drawn_whole_and_nothing_happens():
    model = network()
    optimizer = tn.optim.Adam(model.parameters())
    loss().backward()
    for parameter in model.parameters():
        parameter.grad = np.full_like(parameter.data, 7)
    before = model.state_dict() | optimizer.state_dict()
    picture = viz.draw(training_step(model, optimizer), X, Y)
    assert [group.title for group in picture.scene.groups.values()][-2:] == [
        "backward pass",
        "optimizer update",
    ]
    assert all((parameter.grad == 7).all() for parameter in model.parameters())
    after = model.state_dict() | optimizer.state_dict()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])


def test_an_error_is_drawn_up_to_the_op_that_failed():
    with pytest.raises(ShapeError) as caught:
        network()(X[:, :4])
    picture = viz.draw(caught.value)
    failed = boxes(picture)["%1 @"]
    assert (failed.kind, failed.alert) == ("error", "inner dimensions differ: (8, 4) @ (5, 4)")
    assert "hint" in picture.svg()
    assert picture.html()


def test_forty_blocks_are_folded_said_so_and_opened_on_request():
    model = nn.Sequential(nn.Dense(5, 4, rng=0), *[Block(k) for k in range(40)])
    picture = model.graph(X)
    assert len(picture.scene.items) < 20
    assert any("39 modules that repeat" in note for note in picture.scene.notes)
    folded = boxes(picture)["2: Block … 40: Block"]
    assert folded.lines[1:3] == ["39 more of the same", "156 ops · 78 parameters"]
    assert len(model.graph(X, fold_repeats=False, max_nodes=None).scene.items) > 240


def test_bare_ops_are_never_folded_as_repeats():
    y = tn.tensor(1.0, requires_grad=True, dtype=np.float64)
    for _ in range(200):
        y = y + y
    picture = y.graph(max_nodes=None)
    assert sum(item.kind == "op" for item in picture.scene.items.values()) == 200
    assert picture.dot.count("->") == 400
    assert not picture.scene.notes


def test_a_module_that_alternates_with_bare_ops_is_not_folded_as_a_repeat():
    class Loop(nn.Module):
        def __init__(self):
            self.cell = nn.Dense(5, 5, rng=0)

        def forward(self, x):
            for _ in range(5):
                x = np.tanh(self.cell(x))
            return x

    assert sum(item.kind == "op" for item in Loop().graph(X).scene.items.values()) == 15


def test_depth_folds_modules_into_boxes():
    picture = network().graph(X, depth=1)
    assert [item.lines[0] for item in picture.scene.items.values()] == [
        "x",
        "0: Dense",
        "1: Tanh",
        "2: Dense",
    ]
    assert boxes(picture)["0: Dense"].lines[1] == "2 ops · 2 parameters"
    assert list(boxes(network().graph(X, depth=0))) == ["x", "Sequential"]


def test_a_graph_too_large_folds_by_depth_and_says_so():
    picture = network().graph(X, max_nodes=6)
    assert len(picture.scene.items) <= 6
    assert any("modules below depth 1 are folded" in note for note in picture.scene.notes)


def test_a_graph_still_too_large_keeps_the_nodes_nearest_to_the_output_and_says_so():
    y = tn.tensor(1.0, requires_grad=True)
    for _ in range(50):
        y = y * 1.5
    picture = y.graph(max_nodes=10)
    kept = [item for item in picture.scene.items.values() if item.kind == "op"]
    assert [item.values[0] for item in kept] == sorted(v.index for v in picture.graph.ops)[-10:]
    assert picture.scene.notes == [
        "the 41 nodes farthest from the output are left out; max_nodes=None shows them all"
    ]
    assert str(picture).splitlines()[0] == "... 40 earlier ops are left out"
    assert picture.svg()


class Log(nn.Module):
    def forward(self, x):
        return np.log(x) * 2


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


def unrolled(steps):
    w, u = (tn.tensor(np.eye(2, dtype=np.float32), requires_grad=True, name=name) for name in "wu")
    h = x = np.ones((1, 2), np.float32)
    for _ in range(steps):
        h = np.tanh(x @ w + h @ u)
    return h.sum()


def used_everywhere(steps):
    x = tn.tensor(1.0, requires_grad=True, name="x")
    y = x
    for _ in range(steps):
        y = y * x
    return y


def with_skips(steps):
    ys = [tn.tensor(1.0, requires_grad=True, name="x")]
    for k in range(steps):
        ys.append(ys[-1] * ys[k // 2])
    return ys[-1]


@pytest.mark.parametrize("steps", [60, 400])
@pytest.mark.parametrize("build", [unrolled, used_everywhere, with_skips])
def test_the_work_of_a_layout_is_bounded_whatever_the_graph(build, steps):
    picture = build(steps).graph()
    assert crossed(picture.scene) <= 30_000
    assert len(picture.scene.items) <= 301
    assert all(crossed(level) <= 30_000 for _, level in levels(picture.graph, picture.facts, picture.options))
    if crossed(picture.scene) > 1000:
        assert "nslimit=" in picture.dot


def test_a_picture_whose_arrows_cross_too_much_is_cut_and_says_so():
    picture = used_everywhere(290).graph()
    assert len(picture.scene.items) < 250
    assert "farthest from the output are left out" in picture.scene.notes[-1]
    whole = used_everywhere(290).graph(max_nodes=None)
    assert len(whole.scene.items) == 291
    assert not whole.scene.notes
    assert "splines=line" in whole.dot


def test_a_picture_whose_arrows_cross_too_much_is_folded_first():
    class Recurrent(nn.Module):
        def __init__(self):
            self.weight = tn.tensor(1.0, requires_grad=True)

        def forward(self, x):
            for _ in range(290):
                x = x * self.weight
            return x

    model = nn.Sequential(Recurrent(), nn.Tanh())
    picture = model.graph(tn.tensor(1.0, name="x"))
    assert list(boxes(picture)) == ["x", "0: Recurrent", "1: Tanh"]
    assert picture.scene.notes == ["modules below depth 1 are folded; max_nodes=None opens them"]


def test_a_small_limit_leaves_the_result_and_one_box_for_the_rest():
    assert [item.kind for item in used_everywhere(5).graph(max_nodes=1).scene.items.values()] == [
        "more",
        "op",
    ]


def test_a_small_graph_is_laid_out_with_all_patience():
    assert "nslimit" not in loss().graph().dot


def test_the_length_of_a_vector_does_not_look_like_its_value():
    x = tn.tensor(np.ones(3, np.float32), requires_grad=True, name="x")
    picture = (x * tn.tensor(2.0, requires_grad=True, name="s")).graph()
    lines = {item.lines[0]: item.lines[1] for item in picture.scene.items.values()}
    assert lines == {"x": "(3,)", "s": "scalar", "%1 ×": "(3,)"}
