"""Pictures: what they show, on the axes they are given, without showing anything."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.data import moons
from tinygrad_nn.errors import LabelError, ShapeError
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import History

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

X, Y = moons(60)
RECORD = History(
    {"loss": [3.0, 2.0, 2.5], "acc": [0.1, 0.5, 0.4], "val_loss": [3.0, 2.5, 2.4], "seconds": [1.0, 1, 1]}
)


def network():
    return nn.Sequential(nn.Dense(2, 8, rng=0), nn.ReLU(), nn.Dense(8, 2, rng=1), nn.Tanh())


def after_backward():
    model = network()
    cross_entropy(model(X), Y).backward()
    return model


LEARNED = after_backward()
TRIED = SimpleNamespace(
    rates=[0.001, 0.01, 0.1, 1.0],
    losses=[2.0, 1.0, 1.5, 40.0],
    smoothed=[2.0, 1.4, 1.5, 9.0],
    suggestion=0.003,
)
SLOPES = np.linspace(-1, 2, 12).reshape(1, 4, 3)

PLOTS = {
    "agreement": lambda **o: tn.plot.agreement([(2 * SLOPES, SLOPES, SLOPES != 0)], **o),
    "history": lambda **o: RECORD.plot(**o),
    "decision_boundary": lambda **o: tn.plot.decision_boundary(network(), X, Y, resolution=20, **o),
    "rates": lambda **o: tn.plot.rates(TRIED, **o),
    "scatter": lambda **o: tn.plot.scatter(X, Y, **o),
    "images": lambda **o: tn.plot.images(np.random.default_rng(0).random((5, 64)), **o),
    "weights": lambda **o: tn.plot.weights(nn.Dense(49, 6, rng=0), **o),
    "activations": lambda **o: tn.plot.activations(network(), X, **o),
    "descent": lambda **o: tn.plot.descent(network(), cross_entropy, (X, Y), resolution=4, **o),
    "gradient_flow": lambda **o: tn.plot.gradient_flow(LEARNED, **o),
    "confusion": lambda **o: tn.plot.confusion(Y, Y[::-1], **o),
}


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_draws_on_the_axes_it_is_given_and_shows_nothing(name, monkeypatch, tmp_path):
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("show was called"))
    figure, ax = plt.subplots()
    assert PLOTS[name](ax=ax) is ax
    assert plt.get_fignums() == [figure.number]
    figure.savefig(tmp_path / "given.png")
    own = PLOTS[name]()
    assert own.figure is not figure
    own.figure.savefig(tmp_path / "own.png")


def test_history_pairs_training_and_validation_and_marks_the_best_epoch():
    ax = RECORD.plot("loss", "val_loss")
    loss, best, val_loss, val_best = ax.lines
    assert len(ax.figure.axes) == 1
    assert loss.get_color() == val_loss.get_color()
    assert (loss.get_linestyle(), val_loss.get_linestyle()) == ("-", "--")
    assert best.get_xydata().tolist() == [[2, 2.0]]
    assert val_best.get_xydata().tolist() == [[3, 2.4]]
    with pytest.raises(ValueError, match="no epoch"):
        History().plot()


def test_metrics_have_a_panel_of_their_own():
    ax = RECORD.plot()
    assert [axes.get_ylabel() for axes in ax.figure.axes] == ["loss", "acc"]
    assert [legend_of(axes) for axes in ax.figure.axes] == [["loss", "val_loss"], ["acc"]]


@pytest.mark.parametrize("kind", ["of a grid", "by hand"])
def test_both_panels_of_a_history_stand_in_the_space_of_the_axes_given(kind):
    figure = plt.figure()
    ax = figure.add_subplot(2, 2, 2) if kind == "of a grid" else figure.add_axes((0.5, 0.5, 0.4, 0.4))
    figure.add_subplot(2, 2, 3)
    space = ax.get_position()
    assert RECORD.plot(ax=ax) is ax
    figure.draw_without_rendering()
    left, right = ax.get_position(), figure.axes[-1].get_position()
    assert space.x0 <= left.x0 < left.x1 < right.x0 < right.x1 <= space.x1 + 1e-9
    assert (left.y0, left.y1) == (right.y0, right.y1) == (space.y0, space.y1)


def test_the_boundary_is_where_the_model_says():
    half_plane = lambda points: np.stack([0 * points[:, 0], points[:, 0] - 0.5], axis=1)
    for model in (half_plane, lambda points: half_plane(points)[:, 1:]):
        ax = tn.plot.decision_boundary(model, X, resolution=50)
        regions = ax.collections[0].get_array().reshape(50, 50)
        across = np.linspace(*ax.get_xlim(), 50)
        np.testing.assert_array_equal(regions.astype(bool), np.broadcast_to(across > 0.5, (50, 50)))
    with pytest.raises(ShapeError, match=r"\(N, 2\) are needed, got \(60, 1\)"):
        tn.plot.decision_boundary(half_plane, X[:, :1])


def test_a_boundary_does_not_take_the_time_of_a_colour_for_each_place(monkeypatch):
    made, to_rgba = [], matplotlib.colors.to_rgba
    monkeypatch.setattr(matplotlib.colors, "to_rgba", lambda *a, **k: made.append(1) or to_rgba(*a, **k))
    tn.plot.decision_boundary(network(), X, Y, resolution=100)
    assert len(made) < 1000


def regions(model, **options):
    """Return the class of each column of a picture, and how strong its colour is."""
    ax = tn.plot.decision_boundary(model, X, resolution=40, **options)
    mesh = ax.collections[0]
    return mesh.get_array().reshape(40, 40)[0], np.reshape(mesh.get_alpha(), (40, 40))[0]


ACROSS = np.linspace(X[:, 0].min() - 0.1 * np.ptp(X[:, 0]), X[:, 0].max() + 0.1 * np.ptp(X[:, 0]), 40)


def share(x):
    return 1 / (1 + np.exp(-3 * (x[:, :1] - 0.5)))


@pytest.mark.parametrize(
    "model",
    [
        share,
        lambda x: share(x)[:, 0],
        lambda x: np.concatenate([1 - share(x), share(x)], axis=1),
        lambda x: 3 * (x[:, :1] - 0.5),
        lambda x: np.concatenate([0 * x[:, :1], 3 * (x[:, :1] - 0.5)], axis=1),
        lambda x: tn.sigmoid(tn.as_tensor(3 * (x[:, :1] - 0.5))),
    ],
    ids=["probabilities", "flat", "two probabilities", "logit", "two logits", "a tensor"],
)
def test_probabilities_and_logits_of_a_model_are_drawn_alike(model):
    classes, strength = regions(model)
    np.testing.assert_array_equal(classes, ACROSS > 0.5)
    p = share(ACROSS[:, None])[:, 0]
    np.testing.assert_allclose(strength, 0.3 + 0.7 * np.abs(2 * p - 1), atol=1e-5)


def test_integers_are_classes():
    for column in (True, False):
        model = lambda x: np.digitize(x[:, :1] if column else x[:, 0], [0.0, 1.0])  # noqa: B023
        classes, strength = regions(model)
        np.testing.assert_array_equal(classes, np.digitize(ACROSS, [0.0, 1.0]))
        assert (strength == 1).all()
    np.testing.assert_array_equal(regions(lambda x: x[:, 0] > 0)[0], ACROSS > 0)
    np.testing.assert_array_equal(regions(lambda x: np.where(x[:, 0] > 0, 1, -1))[0], ACROSS > 0)


def test_integers_that_are_floats_are_classes_too():
    classes, strength = regions(lambda x: np.digitize(x[:, :1], [0.0, 1.0]).astype(float))
    np.testing.assert_array_equal(classes, np.digitize(ACROSS, [0.0, 1.0]))
    assert (strength == 1).all()
    # A step function gives probabilities, of which the picture is the same.
    np.testing.assert_array_equal(regions(lambda x: (x[:, 0] > 0).astype(float))[0], ACROSS > 0)


@pytest.mark.parametrize(
    "model",
    [
        lambda x: np.sign(x[:, 0]),
        lambda x: np.where(x[:, 0] > 0, 1, -1),
        lambda x: 1 / (1 + np.exp(-x[:, 0])),
        lambda x: x[:, :1] * 0.7,
        lambda x: np.stack([-x[:, 0], x[:, 0]], axis=1),
    ],
    ids=["signs", "integers", "probability", "margin", "scores"],
)
def test_classes_that_are_minus_one_and_one_are_two(model):
    sides = np.where(X[:, 0] > 0, 1, -1)
    ax = tn.plot.decision_boundary(model, X, sides, resolution=40)
    assert legend_of(ax)[:2] == ["class -1", "class 1"]
    assert not any(text.startswith("class 0") for text in legend_of(ax))
    np.testing.assert_array_equal(ax.collections[0].get_array().reshape(40, 40)[0], ACROSS > 0)


def test_predictions_that_are_not_finite_are_drawn_without_confidence():
    classes, strength = regions(lambda x: np.where(x[:, :1] > 0, np.nan, -np.inf))
    assert not classes.any()
    np.testing.assert_allclose(strength, np.where(ACROSS > 0, 0.3, 1.0))


def test_wrong_predictions_are_framed_and_written_out():
    ax = tn.plot.images(np.zeros((4, 5, 5)), labels=[1, 2, 3, 4], predictions=[1, 2, 8, 4])
    assert texts(ax) == ["1", "2", "3, not 8", "4"]
    assert len(ax.patches) == 1
    with pytest.raises(ShapeError, match="4 images, but 3 labels"):
        tn.plot.images(np.zeros((4, 5, 5)), labels=[1, 2, 3])
    with pytest.raises(ShapeError, match="shape="):
        tn.plot.images(np.zeros((4, 6)))
    tn.plot.images(np.zeros((4, 6)), shape=(2, 3))


def test_every_column_of_the_weights_is_drawn():
    matrix = np.arange(12.0).reshape(4, 3)
    shown = tn.plot.weights(matrix, columns=3).images[0]
    canvas = np.asarray(shown.get_array())
    for k in range(3):
        np.testing.assert_array_equal(canvas[:, 3 * k : 3 * k + 2], matrix[:, k].reshape(2, 2))
    assert shown.get_clim() == (-11, 11)


def test_dead_units_are_counted():
    model = network()
    model[0].weight.data[:, :3] = 0
    model[0].bias.data[:3] = -1
    dead = int((np.ptp(model[1](model[0](X)).data, axis=0) == 0).sum())
    assert dead >= 3
    words = texts(tn.plot.activations(model, X))
    assert f"1: ReLU\n{dead} of 8 dead" in words
    assert "3: Tanh\n0 of 2 dead" in words
    with pytest.raises(ValueError, match="no layer without parameters"):
        tn.plot.activations(nn.Dense(2, 2), X)


def test_no_gradient_and_a_zero_one_are_spelled_out():
    model = after_backward()
    model[0].bias.grad = None
    model[2].bias.grad = np.zeros(2, np.float32)
    ax = tn.plot.gradient_flow(model)
    assert texts(ax) == ["no grad", "zero"]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
    ]


def test_the_confusion_matrix_counts_and_says_how_many_are_right():
    ax = tn.plot.confusion([0, 0, 1, 2], [0, 1, 1, 1], classes=["a", "b", "c"])
    written = {tuple(map(round, text.get_position())): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (1, 2): "1"}
    assert ax.get_title() == "2 of 4 right, 2 wrong"
    with pytest.raises(ShapeError):
        tn.plot.confusion([0], [0, 1])


@pytest.mark.parametrize("name", PLOTS)
def test_without_matplotlib_the_extra_is_named_before_anything_is_computed(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setattr(nn.Sequential, "forward", lambda *_: pytest.fail("the model was called"))
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_nn\[plot\]'"):
        PLOTS[name]()


@pytest.mark.parametrize("points", [np.zeros(4), np.zeros((4, 3))])
def test_points_have_two_features(points):
    for draw in (
        lambda: tn.plot.scatter(points, np.zeros(4, int)),
        lambda: tn.plot.decision_boundary(network(), points),
    ):
        with pytest.raises(ShapeError, match=r"points of shape \(N, 2\) are needed, got \(4"):
            draw()
    assert plt.get_fignums() == []


def test_weights_are_a_matrix():
    with pytest.raises(ShapeError, match=r"weights: a matrix \(pixels, units\) is needed, got \(49,\)"):
        tn.plot.weights(np.zeros(49))
    assert plt.get_fignums() == []


def test_a_column_without_numbers_has_no_best_epoch():
    ax = History({"loss": [2.0, 1.0], "val_loss": [float("nan")] * 2}).plot()
    assert [line.get_label() for line in ax.lines if line.get_marker() == "None"] == ["loss", "val_loss"]
    assert len([line for line in ax.lines if line.get_marker() == "o"]) == 1


def test_a_class_that_is_chosen_nowhere_has_no_boundary():
    only_first = lambda x: np.stack([x[:, 0] * 0 + 1, x[:, 0] * 0, x[:, 0] * 0], axis=1)
    ax = tn.plot.decision_boundary(only_first, X, Y, resolution=10)
    assert [type(drawn).__name__ for drawn in ax.collections].count("QuadContourSet") == 0


def test_before_backward_the_gradient_flow_says_that_there_are_no_gradients():
    ax = tn.plot.gradient_flow(network())
    assert texts(ax) == ["no grad"] * 4
    assert ax.get_legend() is None
    assert ax.figure.legends == []


def test_gradients_are_dots_where_they_are_and_no_bars_from_anywhere():
    model = after_backward()
    ax = tn.plot.gradient_flow(model)
    assert not ax.patches
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    sizes = [np.abs(p.grad) for p in model.parameters()]
    np.testing.assert_allclose(dots, [f(size) for size in sizes for f in (np.mean, np.max)])
    model[0].weight.grad[0, 0] = np.inf
    assert texts(tn.plot.gradient_flow(model)) == ["not finite"]


NAMES = np.array(["cat", "dog"])
LABELS = {
    "integers": Y,
    "a list": Y.tolist(),
    "floats": Y.astype(float),
    "one-hot": np.eye(2)[Y],
    "one-hot tensor": tn.one_hot(Y, 2),
    "a column": Y[:, None],
    "booleans": Y.astype(bool),
    "names": NAMES[Y],
    "names in a list": NAMES[Y].tolist(),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_drawn_however_they_are_written(kind):
    labels = LABELS[kind]
    expected = ["cat", "dog"] if kind.startswith("names") else ["class 0", "class 1"]
    ax = tn.plot.scatter(X, labels)
    assert legend_of(ax) == expected
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), X[Y == 0])
    assert legend_of(tn.plot.decision_boundary(network(), X, labels, resolution=10))[:2] == expected
    first = "cat" if kind.startswith("names") else "0"
    wrong = [*LABELS[kind][1:], LABELS[kind][0]] if isinstance(labels, list) else None
    shown = tn.plot.images(np.zeros((60, 2, 2)), labels=labels, predictions=wrong)
    assert texts(shown)[int(np.argmin(Y))].startswith(first)
    table = tn.plot.confusion(labels, labels)
    assert table.get_title() == "60 of 60 right, 0 wrong"
    assert [label.get_text() for label in table.get_xticklabels()] == [
        first,
        "dog" if first == "cat" else "1",
    ]


def test_scores_and_numbers_are_predictions_of_labels_that_are_names():
    scores = np.eye(2)[1 - Y] * 3.0
    assert tn.plot.confusion(NAMES[Y], scores).get_title() == "0 of 60 right, 60 wrong"
    assert (
        tn.plot.confusion(NAMES[Y], Y, classes=["cat", "dog", "fox"]).get_title() == "60 of 60 right, 0 wrong"
    )
    ax = tn.plot.images(np.zeros((60, 4)), labels=Y, predictions=scores)
    assert set(texts(ax)) == {"0, not 1", "1, not 0"}
    assert legend_of(tn.plot.scatter(X, Y, classes=["a", "b"])) == ["a", "b"]
    said = tn.plot.decision_boundary(lambda x: NAMES[(x[:, 0] > 0).astype(int)], X, NAMES[Y], resolution=10)
    assert legend_of(said) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.ones((60, 3)), ShapeError, r"labels of shape \(60, 3\) are not one-hot"),
        (np.full(60, 0.5), LabelError, "labels are integers, got 0.5"),
        (np.zeros((60, 1, 1)), ShapeError, r"labels have shape \(60, 1, 1\), expected \(N,\)"),
        (Y[:-1], ShapeError, "60 points, but 59 labels"),
    ],
)
def test_what_are_no_labels_is_refused(labels, error, message):
    for draw in (tn.plot.scatter, lambda *a: tn.plot.decision_boundary(network(), *a)):
        with pytest.raises(error, match=message):
            draw(X, labels)
    with pytest.raises(LabelError, match="there is no class 1 among a"):
        tn.plot.scatter(X, Y, classes=["a"])
    assert plt.get_fignums() == []


def test_the_legend_of_a_boundary_names_classes_and_shades():
    ax = tn.plot.decision_boundary(network(), X, Y, resolution=10)
    assert legend_of(ax) == ["class 0", "class 1", "50% sure", "75% sure", "100% sure"]
    three = lambda x: np.stack([x[:, 0], x[:, 1], 0 * x[:, 0]], axis=1)
    expected = ["class 0", "class 1", "class 2", "33% sure", "67% sure", "100% sure"]
    assert legend_of(tn.plot.decision_boundary(three, X, resolution=30)) == expected
    assert legend_of(tn.plot.decision_boundary(lambda x: x[:, 0] > 0, X, Y, resolution=10)) == expected[:2]


def test_inside_of_axes_the_legend_stands_where_there_are_the_fewest_points():
    points = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1], [1, 0.9], [0.9, 1], [0.1, 0.9]])
    for turn, corner in (
        ([1, 1], (0.0, 0.0)),
        ([-1, 1], (1.0, 0.0)),
        ([1, -1], (0.0, 1.0)),
        ([-1, -1], (1.0, 1.0)),
    ):
        weighed = np.concatenate([points, points[[1, 2]]]) * turn
        figure, ax = plt.subplots()
        tn.plot.scatter(weighed, np.zeros(9, int), ax=ax)
        figure.draw_without_rendering()
        box = ax.get_legend().get_window_extent().transformed(ax.transAxes.inverted())
        assert abs((box.x0 + box.x1) / 2 - corner[0]) < 0.5
        assert abs((box.y0 + box.y1) / 2 - corner[1]) < 0.5


def test_errors_are_what_a_confusion_matrix_paints():
    ax = tn.plot.confusion([0] * 90 + [1] * 10 + [0], [0] * 90 + [1] * 9 + [0, 1])
    canvas = np.asarray(ax.images[0].get_array())
    saturation = canvas.max(axis=-1) - canvas.min(axis=-1)
    assert (np.diag(saturation) < 0.01).all()
    assert saturation[1, 0] > saturation[0, 1] > 0.1


def test_rates_are_drawn_with_the_suggestion_and_without_what_diverged():
    ax = tn.plot.rates(TRIED)
    assert ax.get_xscale() == "log"
    assert legend_of(ax) == ["loss of a batch", "mean", "suggestion 0.003"]
    assert 2 < ax.get_ylim()[1] < 3
    nothing = SimpleNamespace(**(vars(TRIED) | {"suggestion": None}))
    assert legend_of(tn.plot.rates(nothing)) == ["loss of a batch", "mean"]


def test_gradients_that_agree_lie_on_the_diagonal_and_wrong_ones_do_not():
    wrong = SLOPES > 1
    ax = tn.plot.agreement([(np.where(wrong, 3, 1) * SLOPES, SLOPES, wrong), (SLOPES, SLOPES, SLOPES > 9)])
    assert legend_of(ax) == ["input 0, right: 8", "input 0, wrong: 4", "input 1, right: 12"]
    right, false, other = (dots.get_offsets() for dots in ax.collections)
    assert (right[:, 0] == right[:, 1]).all()
    assert (other[:, 0] == other[:, 1]).all()
    np.testing.assert_allclose(false[:, 1], 3 * false[:, 0])


def test_gradients_of_very_different_sizes_are_drawn_on_logarithmic_axes():
    sizes = np.logspace(-4, 4, 9)
    ax = tn.plot.agreement([(-sizes, sizes, sizes > 0)])
    assert ax.get_xscale() == ax.get_yscale() == "symlog"
    ax.figure.draw_without_rendering()
    assert tn.plot.agreement([]).get_xscale() == "linear"


def test_a_check_is_drawn_from_its_report_passed_or_failed():
    slope = lambda x: 2 * x
    passed = tn.testing.gradcheck((lambda x: (x * x).sum(), slope), np.arange(3.0))
    assert legend_of(passed.plot()) == ["right: 3"]
    _, ax = plt.subplots()
    with pytest.raises(tn.testing.GradientMismatch) as failure:
        tn.testing.gradcheck((lambda x: (x * x).sum(), lambda x: -slope(x)), np.arange(3.0))
    assert failure.value.report.plot(ax=ax) is ax
    assert legend_of(ax) == ["right: 1", "wrong: 2"]
