"""The view of neurons: which layers there are, their numbers, and what is drawn of them."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.viz.test_theme import contrast
from tinygrad_nn import nn, viz
from tinygrad_nn.errors import GraphError, SettingError, ShapeError
from tinygrad_nn.primitives import REGISTRY
from tinygrad_nn.viz.document import asset
from tinygrad_nn.viz.network import drawing, layers, page
from tinygrad_nn.viz.network.layers import Box, Column
from tinygrad_nn.viz.network.painting import short
from tinygrad_nn.viz.theme import DARK, LIGHT

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4))
LABELS = np.arange(5) % 3
CROSS_ENTROPY = nn.losses.cross_entropy


def mlp(dtype=np.float64):
    first, last = nn.Dense(4, 6, rng=0, dtype=dtype), nn.Dense(6, 3, rng=1, dtype=dtype)
    return nn.Sequential(first, nn.Tanh(), last)


def stages(view):
    """Return the stages of a view in words."""
    return [
        stage.name if isinstance(stage, Box) else (stage.name, stage.size, stage.formula)
        for stage in view.walk.chain.stages
    ]


def columns(view):
    return view.walk.chain.columns


def test_a_sequential_model_is_layers_of_neurons():
    view = viz.neurons(mlp(), X, LABELS, CROSS_ENTROPY, title="Small")
    assert stages(view) == [("x", 4, ""), ("0: Dense", 6, "tanh(z)"), ("2: Dense", 3, "")]
    assert view.text() == repr(view) == str(view)
    assert view.text().splitlines() == [
        "x               4 inputs",
        "0: Dense        a = tanh(z), 6 neurons",
        "2: Dense        3 neurons",
        f"cross_entropy   {view.walk.loss:.4g}",
    ]


def test_the_numbers_are_those_of_the_computation():
    model = mlp()
    _, hidden, output = columns(viz.neurons(model, X, LABELS, CROSS_ENTROPY))
    np.testing.assert_allclose(hidden.before, X @ hidden.weight + hidden.bias)
    np.testing.assert_allclose(hidden.values, np.tanh(hidden.before))
    np.testing.assert_allclose(hidden.slope, 1 - hidden.values**2)
    np.testing.assert_array_equal(output.values, model(X).data)
    softmax = np.exp(output.values) / np.exp(output.values).sum(1, keepdims=True)
    np.testing.assert_allclose(output.to_before, (softmax - np.eye(3)[LABELS]) / 5)
    np.testing.assert_allclose(hidden.to_values, output.to_before @ output.weight.T)
    np.testing.assert_allclose(hidden.to_before, hidden.to_values * hidden.slope)


def test_gradients_of_weights_are_those_of_backward():
    model, row = mlp(), X[:1]
    x, hidden, output = columns(viz.neurons(model, row, LABELS[:1], CROSS_ENTROPY))
    CROSS_ENTROPY(model(row), LABELS[:1]).backward()
    np.testing.assert_allclose(np.outer(x.values[0], hidden.to_before[0]), model[0].weight.grad)
    np.testing.assert_allclose(np.outer(hidden.values[0], output.to_before[0]), model[2].weight.grad)
    np.testing.assert_allclose(output.to_before[0], model[2].bias.grad)


def test_looking_changes_nothing():
    model = nn.Sequential(
        nn.Dense(4, 6, rng=0), nn.BatchNorm(6), nn.Dropout(0.5, rng=3), nn.Dense(6, 3, rng=1)
    )
    before = {name: array.copy() for name, array in model.state_dict().items()}
    view = viz.neurons(model, X, LABELS, CROSS_ENTROPY)
    view.html()
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    again = viz.neurons(model, X, LABELS, CROSS_ENTROPY)
    assert again.html() == view.html()


def test_functions_of_arrays_are_networks_too():
    w1, b1, w2 = tn.tensor(RNG.normal(size=(4, 3)), name="W1"), np.zeros(3), RNG.normal(size=(3, 1))

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    view = viz.neurons(lambda x: sigmoid(np.maximum(0, np.dot(x, w1) + b1) @ w2), X)
    assert stages(view) == [("x", 4, ""), ("W1", 3, "max(0, z)"), ("", 1, "1 / (1 + exp(-z))")]
    assert "layer 2" in view.text()
    np.testing.assert_allclose(
        columns(view)[2].slope, columns(view)[2].values * (1 - columns(view)[2].values)
    )


def test_examples_may_be_columns_or_one_alone():
    w1, b1, w2 = RNG.normal(size=(6, 4)), np.ones((6, 1)), RNG.normal(size=(4, 6))
    rows = viz.neurons(lambda x: np.tanh(x @ w1.T + b1.T) @ w2.T, X[:4], np.zeros((4, 4)), nn.losses.mse)
    turned = viz.neurons(lambda x: w2 @ np.tanh(w1 @ x + b1), X[:4].T, np.zeros((4, 4)), nn.losses.mse)
    alone = viz.neurons(lambda x: w2 @ np.tanh(w1 @ x + b1[:, 0]), X[0], np.zeros(4), nn.losses.mse)
    for a, b, c in zip(columns(rows), columns(turned), columns(alone), strict=True):
        np.testing.assert_allclose(a.values, b.values)
        np.testing.assert_allclose(a.to_before, b.to_before)
        np.testing.assert_allclose(a.values[:1], c.values)
        np.testing.assert_allclose(4 * a.to_before[:1], c.to_before)


def test_what_is_no_layer_of_neurons_is_a_box():
    model = nn.Sequential(
        nn.Dense(4, 6, rng=0),
        nn.BatchNorm(6),
        nn.Tanh(),
        nn.Residual(nn.Sequential(nn.Dense(6, 6, rng=1), nn.ReLU())),
        nn.Dense(6, 2, rng=2),
        nn.Softmax(),
    )
    view = viz.neurons(model, X)
    assert stages(view) == [
        ("x", 4, ""),
        ("0: Dense", 6, ""),
        "1: BatchNorm",
        ("2: Tanh", 6, "tanh(z)"),
        "3: Residual",
        ("", 6, ""),
        ("4: Dense", 2, "softmax(z)"),
    ]
    assert any("1: BatchNorm: no layer of neurons" in step for step in view.steps)


def test_convolutions_before_neurons_are_one_box():
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, rng=0), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dense(27, 4, rng=1)
    )
    view = viz.neurons(model, RNG.normal(size=(2, 8, 8, 1)))
    assert stages(view) == ["x", "0: Conv2d … 3: Flatten", ("", 27, ""), ("4: Dense", 4, "")]


def test_a_function_in_several_ops_is_one_box():
    def softmax(z):
        e = np.exp(z - np.max(z, axis=1, keepdims=True))
        return e / np.sum(e, axis=1, keepdims=True)

    w = RNG.normal(size=(4, 3))
    assert stages(viz.neurons(lambda x: softmax(x @ w), X))[2:] == [
        "max, subtract, exp, sum, divide",
        ("", 3, ""),
    ]


def test_models_without_neurons_are_refused_with_what_draws_them():
    with pytest.raises(GraphError, match=r"Conv2d has no layer of neurons.*\n  hint   viz.draw\(Conv2d, x\)"):
        viz.neurons(nn.Conv2d(1, 3, 3, rng=0), np.ones((2, 8, 8, 1), np.float32))
    with pytest.raises(GraphError, match=r"LSTM returned tuple, and no tensor\n  hint   viz.draw"):
        viz.neurons(nn.LSTM(4, 3, rng=0), np.ones((2, 5, 4), np.float32))


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [
        (5, X, "int is neither a module nor a function"),
        (tn.tensor(X), X, "Tensor is neither a module nor a function"),
        (nn.Dense, X, r"Dense is a class\n  hint   Dense\(...\)"),
        (mlp(), np.ones((0, 4)), r"x has shape \(0, 4\), and no numbers to show"),
    ],
)
def test_what_is_no_model_and_no_batch_is_refused(model, x, message):
    with pytest.raises((GraphError, ShapeError), match=message):
        viz.neurons(model, x)


def test_long_names_are_shortened_where_they_are_drawn():
    class Part(nn.Module):
        def __init__(self):
            self.a_very_long_name_of_a_layer = nn.Dense(4, 2, rng=0)

        def forward(self, x):
            return self.a_very_long_name_of_a_layer(x)

    class Whole(nn.Module):
        def __init__(self):
            self.encoder, self.head = Part(), nn.Dense(2, 1, rng=1)

        def forward(self, x):
            return self.head(self.encoder(x))

    view = viz.neurons(Whole(), X)
    assert "encoder: Part / a_very_long_name_of_a_layer: Dense" in view.text()
    titles = re.findall(r'class="title"[^>]*>(?:<title>([^<]*)</title>)?([^<]*)<', view.svg())
    assert titles[1][0] == "encoder: Part / a_very_long_name_of_a_layer: Dense"
    assert titles[1][1].endswith("…")
    xs = [float(x) for x in re.findall(r'class="title" x="([^"]*)"', view.svg())]
    rooms = [place.room for place in view._sheet.places]
    assert all(b - a >= (p + q) / 2 for a, b, p, q in zip(xs, xs[1:], rooms, rooms[1:], strict=False))


def test_a_target_needs_its_loss_and_a_loss_is_one_number():
    with pytest.raises(SettingError, match=r"a target, and no loss\n  hint   loss=nn.losses.cross_entropy"):
        viz.neurons(mlp(), X, LABELS)
    with pytest.raises(
        SettingError, match=r"the target is a function\n  hint   viz.neurons\(Sequential, x, target"
    ):
        viz.neurons(mlp(), X, nn.losses.mse)
    with pytest.raises(SettingError, match=r"loss=nn.losses.mse"):
        viz.neurons(mlp(), X, X)
    with pytest.raises(ShapeError, match=r"the loss returned shape \(5,\), and a loss is one number"):
        viz.neurons(mlp(), X, LABELS, lambda y, t: CROSS_ENTROPY(y, t, reduction="none"))
    with pytest.raises(ShapeError, match="the loss returned float"):
        viz.neurons(mlp(), X, LABELS, lambda y, t: 0.5)
    alone = viz.neurons(mlp(), X, loss=lambda y: (y**2).sum())
    assert alone.steps[3].startswith("loss of the 5 rows: ")


def test_without_a_loss_there_is_no_way_back():
    view = viz.neurons(mlp(), X)
    assert len(view.steps) == 3
    assert len(viz.neurons(mlp(), X, LABELS, CROSS_ENTROPY).steps) == 4 + 3


def test_where_no_gradient_comes_it_is_said():
    first, last = nn.Dense(4, 6, rng=0), nn.Dense(6, 3, rng=1)
    view = viz.neurons(lambda x: last(first(x).detach()), X.astype(np.float32), LABELS, CROSS_ENTROPY)
    assert view.text().splitlines()[-1] == "note: no gradient reaches x, Dense"
    assert len(view.steps) == 4 + 1


def test_integers_are_inputs_of_layers_and_of_embeddings():
    xor = viz.neurons(
        nn.Sequential(nn.Dense(2, 3, rng=0), nn.Tanh(), nn.Dense(3, 1, rng=1)), [[0, 0], [0, 1]]
    )
    assert [column.size for column in columns(xor)] == [2, 3, 1]
    words = nn.Sequential(nn.Embedding(10, 4, rng=0), nn.Flatten(), nn.Dense(8, 2, rng=0))
    view = viz.neurons(words, np.array([[1, 2], [3, 4]]), np.array([0, 1]), CROSS_ENTROPY)
    assert stages(view)[1:] == ["0: Embedding … 1: Flatten", ("", 8, ""), ("2: Dense", 2, "")]


def test_large_layers_show_the_first_and_last_neurons_and_say_how_many_are_left_out():
    model = nn.Sequential(nn.Dense(4, 50, rng=0), nn.ReLU(), nn.Dense(50, 3, rng=1))
    view = viz.neurons(model, X, most=7)
    assert "note: 0: Dense: 50 neurons, of which the first 4 and the last 3 are shown" in view.text()
    svg = view.svg()
    assert "43 more" in svg
    assert re.findall(r'class="index"[^>]*>(\d+)<', svg)[4:11] == ["0", "1", "2", "3", "47", "48", "49"]
    assert "note" not in viz.neurons(model, X, most=50).text()


def test_images_are_drawn_as_images():
    rows = RNG.random((3, 64)).astype(np.float32)
    model = nn.Sequential(nn.Flatten(), nn.Dense(64, 5, rng=0))
    for x in (rows, rows.reshape(3, 8, 8)):
        assert viz.neurons(model, x).svg().count("<image") == 1
    assert "<image" not in viz.neurons(model, rows, image=False).svg()
    assert "4 × 16 pixels" in viz.neurons(model, rows, image=(4, 16)).text()
    with pytest.raises(SettingError, match=r"height and width, which multiply to 64, got \(3, 3\)"):
        viz.neurons(model, rows, image=(3, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"most": 1}, "most is at least 2"),
        ({"examples": 0}, "examples is a positive integer"),
        ({"theme": "blue"}, "theme is one of"),
        ({"lang": "de"}, "lang is one of 'en', 'ja'"),
        ({"depth": 2}, "depth"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises((SettingError, TypeError), match=message):
        viz.neurons(mlp(), X, **options)


def test_steps_and_examples_that_are_not_there_are_refused(tmp_path):
    view = viz.neurons(mlp(), X, examples=2)
    with pytest.raises(SettingError, match="step is from 0 to 3, got 4"):
        view.svg(4)
    with pytest.raises(SettingError, match="example is from 0 to 1, got 2"):
        view.render(tmp_path / "x.svg", example=2)
    with pytest.raises(SettingError, match=r"the suffix of '.*x.gif' is none of .svg .html"):
        view.render(tmp_path / "x.gif")


def test_pictures_for_slides_and_papers_are_the_same_picture(tmp_path):
    pytest.importorskip("resvg_py")
    pytest.importorskip("cairosvg")
    view = viz.neurons(mlp(), X, LABELS, CROSS_ENTROPY)
    starts = {
        ".png": b"\x89PNG",
        ".pdf": b"%PDF",
        ".svg": b"<svg",
        ".html": b"<!doctype html>",
        ".txt": b"x  ",
    }
    for suffix, start in starts.items():
        path = view.render(tmp_path / f"view{suffix}", step=5)
        assert path.read_bytes().startswith(start)
    width, height = np.frombuffer((tmp_path / "view.png").read_bytes()[16:24], ">u4")
    svg = ET.parse(tmp_path / "view.svg").getroot()
    assert (width, height) == (2 * int(svg.attrib["width"]), 2 * int(svg.attrib["height"]))


def test_what_others_call_it_is_answered():
    with pytest.raises(AttributeError, match=r"hint   view.render\('net.html'\)"):
        viz.neurons(mlp(), X).show()


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_every_step_is_a_picture_of_its_own_that_names_no_address(theme):
    view = viz.neurons(mlp(), X, LABELS, CROSS_ENTROPY, theme=theme, title="<Small> & mine")
    texts = [view.svg(step) for step in range(len(view.steps) + 1)]
    assert len(set(texts)) == len(texts)
    for text in texts:
        ids = [e.attrib["id"] for e in ET.fromstring(text).iter() if "id" in e.attrib]
        assert len(ids) == len(set(ids))
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert view.svg() == view._repr_svg_() == view._repr_html_() == texts[0]


def test_what_comes_later_shows_no_numbers_yet():
    view = viz.neurons(mlp(), X, LABELS, CROSS_ENTROPY)
    counts = [len(re.findall(r'class="value"[^>]*>[^<]', view.svg(step))) for step in (0, 1, 2, 3)]
    assert counts == [4 + 6 + 3 + 1, 4 + 1, 4 + 6 + 1, 4 + 6 + 3 + 1]


def test_signs_are_told_without_colours():
    svg = viz.neurons(mlp(), X).svg()
    style = re.search("<style>(.*?)</style>", svg, re.DOTALL)[1]
    dashed = re.search(r"([^}]*)\{stroke-dasharray:4 3\}", style)[1]
    assert ".wires .neg" in dashed
    assert ".neg>.fill" in dashed
    assert ".pos" not in dashed


@pytest.mark.parametrize(("theme", "colours"), [("light", LIGHT), ("dark", DARK)])
def test_numbers_can_be_read_in_every_circle(theme, colours):
    for sign in ("pos", "neg"):
        assert contrast(colours["text"], drawing.COLOURS[theme][sign]) >= 7
        assert contrast(colours["ground"], drawing.COLOURS[theme][f"{sign}-line"]) >= 4.5


def test_numbers_fit_into_circles():
    numbers = [
        0.0,
        -0.125,
        0.375,
        9.996,
        -12.34,
        345.6,
        -9999.0,
        12345.0,
        0.00412,
        -3.2e-12,
        2.5e30,
        np.nan,
        -np.inf,
    ]
    assert [short(x) for x in numbers] == [
        "0", "-0.13", "0.38", "10.0", "-12.3", "346", "-9999", "1e4", "4e-3", "-3e-12", "3e30", "NaN", "-∞"
    ]  # fmt: skip


def test_formulas_spell_ops_that_there_are():
    assert all(name in REGISTRY for name in layers._SPELLED)
    assert set(layers._WITH_OPTIONS + layers._OF_ROWS + layers._AS_IT_IS) <= set(REGISTRY)


def test_the_view_speaks_japanese():
    view = viz.neurons(mlp(), X, LABELS, CROSS_ENTROPY, lang="ja")
    assert "6ニューロン" in view.text()
    assert "重みの勾配" in view.steps[-2]
    text = view.html()
    assert '<html lang="ja"' in text
    assert ">再生<" in text
    assert not re.search(r">(Play|Overview|Fit|Keys|Example)\b", text)


def test_the_script_is_given_all_words_that_it_says():
    script = asset("viz/assets/network.js")
    words = re.findall(r"words\.(\w+)|words\[\"([^\"]+)\"\]|say\(\"([^\"]+)\"", script)
    assert {word for found in words for word in found if word} <= set(page._SCRIPTED)


def test_a_column_without_a_formula_hands_on_its_sums():
    output = columns(viz.neurons(mlp(), X))[-1]
    assert isinstance(output, Column)
    assert output.before is output.values
