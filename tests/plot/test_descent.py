"""Landscapes of losses: which plane is shown, what the loss is there, where the path lies, and who is left alone."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.data import moons
from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.plot.landscape import flat_weights, loss_at, plane_of_path, random_plane

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

X, Y = moons(60)


def network():
    return nn.Sequential(
        nn.Dense(2, 8, rng=0), nn.BatchNorm(8), nn.Tanh(), nn.Dropout(0.5, rng=2), nn.Dense(8, 2, rng=1)
    )


def trained(every=2):
    model, path = network(), tn.train.WeightPath(every=every)
    batches = tn.data.batches(X, Y, size=20, rng=0)
    sgd = optim.SGD(model.parameters(), lr=0.3)
    tn.train.fit(model, cross_entropy, sgd, batches, epochs=4, callbacks=[path], progress=False)
    return model, path


def bowl(x, y):
    return x * x / 20 + y * y


def rolled():
    """Return a path of gradient descent in the bowl."""
    w = tn.tensor([-7.0, 2.0], requires_grad=True)
    sgd, points = optim.SGD([w], lr=0.9), [w.data.copy()]
    for _ in range(10):
        sgd.zero_grad()
        bowl(w[0], w[1]).backward()
        sgd.step()
        points.append(w.data.copy())
    return points


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def line_of(ax):
    return ax.lines[0].get_xydata()


def test_a_descent_is_drawn_on_the_axes_it_is_given():
    model, path = trained()
    figure, ax = plt.subplots()
    assert tn.plot.descent(model, cross_entropy, (X, Y), path=path, resolution=5, ax=ax) is ax
    assert tn.plot.descent(bowl, resolution=5).figure is not figure
    assert len(plt.get_fignums()) == 2


def test_the_path_of_a_training_goes_from_its_start_to_the_trained_weights():
    model, path = trained()
    ax = tn.plot.descent(model, cross_entropy, (X, Y), path=path, resolution=5)
    places = line_of(ax)
    assert len(places) == len(path) == 7
    np.testing.assert_allclose(places[-1], 0, atol=1e-6)
    assert places[0, 0] < 0
    assert legend_of(ax) == ["start", "end"]
    shares = [
        float(label.partition("(")[2].partition("%")[0]) for label in (ax.get_xlabel(), ax.get_ylabel())
    ]
    assert shares[0] > shares[1] > 0
    assert sum(shares) <= 100.1
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    assert np.all(
        (left < places[:, 0]) & (places[:, 0] < right) & (low < places[:, 1]) & (places[:, 1] < high)
    )


def test_the_plane_of_a_path_is_the_one_in_which_it_lies():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(50, 2)))[0].T
    inside = rng.normal(size=(12, 2)) * [5, 1]
    rows = 3 + inside @ basis
    plane = plane_of_path(rows, rng)
    np.testing.assert_allclose(plane.directions @ plane.directions.T, np.eye(2), atol=1e-9)
    np.testing.assert_allclose([plane.at(*place) for place in plane.places(rows)], rows, atol=1e-9)
    assert plane.names[0].startswith("first principal component (")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_path_that_goes_straight_has_a_plane_too(count):
    rng = np.random.default_rng(0)
    rows = np.outer(np.arange(count), rng.normal(size=9))
    plane = plane_of_path(rows, rng)
    np.testing.assert_allclose(plane.directions @ plane.directions.T, np.eye(2), atol=1e-9)
    assert plane.names[1] == "a random direction"
    np.testing.assert_allclose(plane.places(rows)[:, 1], 0, atol=1e-9)
    places = [{"w": row} for row in rows]

    class One(nn.Module):
        def __init__(self):
            self.w = tn.tensor(rows[-1], requires_grad=True)

        def forward(self, x):
            return tn.as_tensor(x) * (self.w * self.w).sum()

    ax = tn.plot.descent(One(), lambda p, y: p.sum(), (np.ones(2), np.ones(2)), path=places, resolution=5)
    assert len(line_of(ax)) == count


def test_random_directions_are_as_long_as_the_weights_filter_by_filter():
    model = nn.Sequential(nn.Conv2d(1, 3, 3, rng=0), nn.Flatten(), nn.Dense(12, 2, rng=1))
    plane = random_plane(model, np.random.default_rng(0))
    ends = np.cumsum([p.size for p in model.parameters()])[:-1]
    for direction in plane.directions:
        for p, part in zip(model.parameters(), np.split(direction, ends), strict=True):
            part = part.reshape(p.shape)
            if p.ndim == 1:
                assert not part.any()
                continue
            others = tuple(range(p.ndim - 1))
            np.testing.assert_allclose((part**2).sum(axis=others), (p.data**2).sum(axis=others), rtol=1e-5)
    flat = flat_weights(model, [model.state_dict()])[0]
    np.testing.assert_array_equal(plane.at(0, 0), flat)


def test_the_loss_at_a_place_is_that_of_the_model_with_these_weights():
    model, path = trained()
    here, before = (flat_weights(model, [place])[0] for place in (model.state_dict(), path[0]))
    found = loss_at(model, cross_entropy, (X, Y), [here, before])
    assert found[0] == pytest.approx(tn.train.evaluate(model, cross_entropy, (X, Y))["loss"], rel=1e-5)
    buffers = {name: array for name, array in model.state_dict().items() if name not in path[0]}
    model.load_state_dict(buffers | path[0])
    assert found[1] == pytest.approx(tn.train.evaluate(model, cross_entropy, (X, Y))["loss"], rel=1e-5)


@pytest.mark.parametrize("broken", [False, True])
def test_the_model_is_left_alone(broken):
    model, path = trained()
    waiting = cross_entropy(model.train()(X), Y)
    before, calls = model.state_dict(), []

    def loss(predictions, labels):
        calls.append(model.training)
        if broken and len(calls) > 3:
            raise KeyboardInterrupt
        return cross_entropy(predictions, labels)

    if broken:
        with pytest.raises(KeyboardInterrupt):
            tn.plot.descent(model, loss, (X, Y), path=path, resolution=5)
    else:
        tn.plot.descent(model, loss, (X, Y), path=path, resolution=5)
    after = model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert not any(calls)
    assert all(module.training for _, module in model.named_modules())
    waiting.backward()


def test_several_paths_share_a_plane_and_are_named():
    (model, first), (_, second) = trained(), trained(every=4)
    ax = tn.plot.descent(model, cross_entropy, (X, Y), path={"a": first, "b": second}, resolution=5)
    assert legend_of(ax) == ["a", "b", "start", "end"]
    lines = [line.get_xydata() for line in ax.lines if len(line.get_xydata()) > 1]
    np.testing.assert_allclose(lines[0][::2], lines[1], atol=1e-6)


@pytest.mark.parametrize(
    ("f", "names"),
    [
        (bowl, ("x", "y")),
        (lambda w: w[0] ** 2 / 20 + w[1] ** 2, ("w[0]", "w[1]")),
        (lambda w: (w * w * np.array([0.05, 1.0])).sum(), ("w[0]", "w[1]")),
        (lambda a, b: tn.as_tensor(bowl(a, b)), ("a", "b")),
        (lambda a, b, scale=1.0: scale * float(bowl(a, b)), ("a", "b")),
        (np.hypot, ("x1", "x2")),
    ],
)
def test_a_function_of_two_numbers_is_drawn_however_it_is_written(f, names):
    points = rolled()
    ax = tn.plot.descent(f, path=points, resolution=9)
    assert (ax.get_xlabel(), ax.get_ylabel()) == names
    np.testing.assert_allclose(line_of(ax), points)
    assert tn.plot.descent(f, limits=((-2, 3), (0, 1)), resolution=9).get_xlim() == (-2, 3)


def test_the_lowest_area_is_where_the_function_is_least():
    ax = tn.plot.descent(lambda x, y: (x - 0.5) ** 2 + y**2, resolution=41)
    lowest = ax.collections[0].get_paths()[0].get_extents()
    assert lowest.x0 < 0.5 < lowest.x1
    assert lowest.y0 < 0 < lowest.y1
    assert lowest.width < 1


@pytest.mark.parametrize(
    "f", [lambda x, y: 1.0, lambda x, y: np.nan, lambda x, y: np.log(x) if x > 0.5 else np.nan]
)
def test_what_has_no_contours_is_drawn_without(f):
    tn.plot.descent(f, resolution=7).figure.draw_without_rendering()


def test_mistaken_calls_of_descent_say_what_to_write():
    model, path = trained()
    one = np.zeros(2)
    for call, error, message in (
        (lambda: tn.plot.descent(model), ArgumentError, "a module comes with its loss and with arrays"),
        (
            lambda: tn.plot.descent(bowl, cross_entropy, (X, Y)),
            ArgumentError,
            "a function of two numbers alone",
        ),
        (
            lambda: tn.plot.descent(model, cross_entropy, (X, Y), path=[np.zeros(3)]),
            ShapeError,
            r"place 0 of the path has no 0.weight of shape \(2, 8\)\n  hint   path.append\(model.state_dict\(\)\)",
        ),
        (lambda: tn.plot.descent(bowl, path=[path[0]["0.weight"]]), ShapeError, "are points of two numbers"),
        (
            lambda: tn.plot.descent(bowl, path=[one, one]),
            SettingError,
            r"all 2 places .*\n  hint   path.append\(w.da",
        ),
        (
            lambda: tn.plot.descent(model, cross_entropy, (X, Y), path={"a": [path[0]] * 3}),
            SettingError,
            r"all 3 places of the path 'a' are the same.*\n  hint   path.append\(model.state_dict",
        ),
        (lambda: tn.plot.descent(bowl, path=[]), SettingError, "the path has no place"),
        (lambda: tn.plot.descent(bowl, limits=((1, 0), (0, 1))), SettingError, "limits are"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert plt.get_fignums() == []
