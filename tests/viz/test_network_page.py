"""The page of a network in a real browser: the player paints what the pictures show, and numbers add up."""

import itertools
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.browser import PHONE, SMALL
from tests.support.words import english, said_by
from tinygrad_nn import nn, viz
from tinygrad_nn.viz.entries import number
from tinygrad_nn.viz.network.painting import short

RNG = np.random.default_rng(0)
SVG = "{http://www.w3.org/2000/svg}"


def small():
    model = nn.Sequential(
        nn.Dense(2, 16, rng=0), nn.Tanh(), nn.Dense(16, 3, rng=1), nn.ReLU(), nn.Dense(3, 2, rng=2)
    )
    x = RNG.normal(size=(5, 2)).astype(np.float32)
    return viz.neurons(model, x, np.arange(5) % 2, nn.losses.cross_entropy, examples=3)


def digits():
    model = nn.Sequential(nn.Dense(784, 128, rng=0), nn.ReLU(), nn.Dense(128, 10, rng=1))
    x = RNG.random((32, 784)).astype(np.float32)
    return viz.neurons(model, x, np.arange(32) % 10, nn.losses.cross_entropy, title="MNIST MLP")


def opened(window, view, path):
    view.html(path)
    window.open(path)
    return window


def test_the_page_of_an_mlp_is_small_and_self_contained():
    text = digits().html()
    assert len(text.encode()) < 100_000
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "default-src 'none'" in text
    assert "@@" not in text


def painted(svg):
    """Return what can be seen of a network in SVG: classes, texts and attributes that steps change."""
    changing = ("fill-opacity", "stroke-opacity", "stroke-width", "href")
    return [
        (
            sorted(e.attrib.get("class", "").split()),
            [e.attrib[key] for key in changing if key in e.attrib],
            (e.text or "").strip(),
        )
        for e in ET.fromstring(svg).iter()
        if e.tag in (f"{SVG}{tag}" for tag in ("g", "path", "circle", "text", "image"))
        and e.attrib.get("class") != "caption"
    ]


@pytest.mark.parametrize("view", [small(), digits()], ids=["small", "digits"])
def test_the_player_paints_what_the_pictures_show(window, tmp_path, view):
    page = opened(window, view, tmp_path / "view.html")
    for example in range(2):
        for step in range(len(view.steps) + 1):
            # A chosen neuron is marked, and all lines but its own are faint.
            page.run("overview()")
            shown = painted(page.run("return new XMLSerializer().serializeToString(svg)"))
            # A file has its title, legend and notes besides.
            assert shown == painted(view.svg(step, example))[: len(shown)], (step, example)
            if step:
                caption = page.run("return document.getElementById('caption').textContent")
                assert caption.endswith(view.steps[step - 1])
            page.press("ArrowRight")
        page.press("Home", "n")
    requests = [address for address in page.requests() if not address.startswith("data:")]
    assert requests == [(tmp_path / "view.html").as_uri()]
    assert page.console() == []


ROWS = (
    "return [...document.querySelectorAll('#node .terms')].map(table => "
    "[...table.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.textContent)))"
)


def total(rows):
    """Return what the products of a table sum to, and what the table says that they do."""
    *terms, last = [float(row[3]) for row in rows if row[3]]
    return sum(terms), last


@pytest.mark.parametrize("view", [small(), digits()], ids=["small", "digits"])
def test_the_numbers_of_every_neuron_add_up(window, tmp_path, view):
    page = opened(window, view, tmp_path / "view.html")
    columns = view.walk.chain.columns
    page.press("n")
    for k in (1, 2):
        for i in (0, 2):
            page.run(f"choose({k}, {i})")
            came, *went = page.run(ROWS)
            z = columns[k].before[1, i]
            assert came[-1][3] == number(float(f"{z:.4g}"))
            for rows in (came, *went):
                found, said = total(rows)
                assert abs(found - said) <= 2e-3 * max(abs(float(row[3])) for row in rows if row[3])
            text = page.run("return document.getElementById('node').innerText")
            assert f"= {number(float(columns[k].to_before[1, i]))}" in text
            which, weight, a, _, gradient = came[0]
            if which.isdecimal():
                assert a == number(float(columns[k - 1].values[1, int(which)]))
                assert weight == number(float(columns[k].weight[int(which), i]))
            assert float(gradient) == pytest.approx(float(a) * columns[k].to_before[1, i], rel=2e-3)


def test_numbers_come_with_the_step(window, tmp_path):
    page = opened(window, small(), tmp_path / "view.html")
    page.press("ArrowRight", "ArrowRight")
    text = "return document.getElementById('node').innerText"
    assert "z = Σ w · a + b" in page.run(text)
    assert "what came back" not in page.run(text)
    assert page.run("return document.querySelector('.legend').innerText.includes('weight above zero')")
    page.press("End", "ArrowLeft")
    assert re.search(r"what came back.*δ = ∂L/∂z = ∂L/∂a · ∂a/∂z = .*what came in", page.run(text), re.DOTALL)
    assert page.run("return document.querySelector('.legend').innerText.includes('gradient of a weight')")


def test_the_keyboard_reaches_neurons_examples_zoom_and_theme(window, tmp_path):
    page = opened(window, small(), tmp_path / "view.html")
    chosen = "return document.querySelector('.neuron.chosen')?.id"
    page.press("ArrowRight", "ArrowRight", "ArrowDown")
    assert page.run(chosen) == "v-p1n1"
    page.press("ArrowUp", "ArrowUp")
    assert page.run(chosen) == "v-p1n11"
    page.press("n")
    assert page.run("return document.getElementById('example').textContent") == "2 of 3"
    page.press("p", "p")
    assert page.run("return document.getElementById('example').textContent") == "3 of 3"
    before = page.run("return svg.getAttribute('viewBox')")
    page.press("+")
    assert page.run("return svg.getAttribute('viewBox')") != before
    page.press("f", "t", "Escape")
    assert page.run("return document.documentElement.dataset.theme") == "dark"
    assert page.run(chosen) is None
    stops = page.run("return document.querySelectorAll('main [tabindex]').length")
    assert stops == 1
    assert page.console() == []


def test_a_click_chooses_a_neuron_and_dragging_does_not(window, tmp_path):
    page = opened(window, small(), tmp_path / "view.html")
    events = (
        "const node = document.getElementById('v-p2n1'), box = node.getBoundingClientRect();"
        "const at = (type, dx) => node.dispatchEvent(new PointerEvent(type, {bubbles: true, pointerId: 1,"
        " clientX: box.x + 9 + dx, clientY: box.y + 9}));"
        "canvas.setPointerCapture = () => {};"
    )
    page.run(events + "at('pointerdown', 0); at('pointermove', 60); at('pointerup', 60);")
    assert page.run("return document.querySelector('.chosen')") is None
    page.run(events + "at('pointerdown', 0); at('pointerup', 0);")
    assert page.run("return document.querySelector('.chosen').id") == "v-p2n1"
    assert "2: Dense, neuron 1" in page.run("return document.getElementById('node').innerText")


def test_numbers_are_written_as_python_writes_them(window, tmp_path):
    page = opened(window, small(), tmp_path / "view.html")
    values = [
        *(RNG.normal(size=300) * 10.0 ** RNG.integers(-8, 8, 300)),
        0.0,
        1e4,
        9999.5,
        99995.0,
        0.125,
        -0.375,
        1e-5,
    ]
    said = page.run("return arguments[0].map(x => [number(x), short(x)])", json.loads(json.dumps(values)))
    assert said == [[number(float(x)), short(float(x))] for x in values]


def test_numbers_that_are_not_finite_and_boxes_are_walked_through(window, tmp_path):
    model = nn.Sequential(
        nn.Dense(2, 20, rng=0), nn.BatchNorm(20), nn.Tanh(), nn.Dense(20, 2, rng=1), nn.Softmax()
    )
    x = np.array([[np.nan, 1.0], [np.inf, 2.0]], np.float32)
    # Whether a product warns of them is a matter of the kernels that NumPy's BLAS picks for the processor.
    with np.errstate(invalid="ignore"):
        view = viz.neurons(model, x, x, nn.losses.mse)
    page = opened(window, view, tmp_path / "view.html")
    for _ in view.steps:
        page.press("ArrowRight")
        assert page.run("return document.getElementById('caption').textContent")
    assert page.run("return document.getElementById('v-p0n0').querySelector('.value').textContent") == "NaN"
    page.run("goto(0); choose(3, 0)")
    assert "1: BatchNorm made z = nan" in page.run("return document.getElementById('node').innerText")
    assert page.console() == []


def test_the_picture_is_saved_as_it_is_shown_and_a_step_has_an_address(window, tmp_path):
    page = opened(window, small(), tmp_path / "view.html")
    page.press("ArrowRight", "ArrowRight")
    assert page.run("return location.hash") == "#step=2"
    saved = page.run("return picture()")
    assert "var(--" not in saved
    assert ".neg" in ET.fromstring(saved).find(f"{SVG}style").text
    size = page.run(
        "const image = new Image();"
        "return new Promise(done => { image.onload = () => done([image.width, image.height]);"
        " image.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(picture()); })"
    )
    assert size == page.run("return [Math.round(home[2]), Math.round(home[3])]")
    assert page.console() == []


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (800, 600), (390, 844)])
def test_numbers_can_be_read_at_the_start_on_every_window(window, tmp_path, width, height):
    window._send("POST", f"{window._session}/window/rect", {"width": width, "height": height})
    page = opened(window, digits(), tmp_path / "view.html")
    sizes = page.run(
        "const size = text => parseFloat(getComputedStyle(text).fontSize) * svg.getScreenCTM().a;"
        "return [...svg.querySelectorAll('text')].map(size)"
    )
    assert min(sizes) >= 9
    title = page.run("const h = document.querySelector('h1'); return [h.scrollHeight, h.clientHeight]")
    assert title[0] <= title[1]
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("size", [SMALL, PHONE])
@pytest.mark.parametrize("view", [small(), digits()], ids=["small", "digits"])
def test_layers_stand_nearer_to_each_other_in_a_narrow_window(window, tmp_path, view, size):
    window.resize(*size)
    page = opened(window, view, tmp_path / "view.html")
    boxes, right = page.run(
        "const box = k => { const {left, right} = by(`v-p${k}`).getBoundingClientRect(); return [left, right]; };"
        "return [places.map((_, k) => box(k)), by('canvas').getBoundingClientRect().right]"
    )
    assert boxes[0][0] >= 0
    assert boxes[-1][1] <= right
    assert all(before[1] < after[0] + 1 for before, after in itertools.pairwise(boxes))
    # Every line still leads from neuron to neuron.
    away = page.run(
        "return places.slice(1).map((_, k) => {"
        " const line = by(`v-w${k + 1}`).getBoundingClientRect(), from = by(`v-p${k}`), to = by(`v-p${k + 1}`);"
        " const edges = (part, side) => [...part.querySelectorAll('circle, rect')]"
        "  .map(e => e.getBoundingClientRect()[side]);"
        " return [line.left - Math.max(...edges(from, 'right')), line.right - Math.min(...edges(to, 'left'))]; })"
    )
    assert np.allclose(away, 0, atol=5)
    page.run("goto(steps.length)")
    window.resize(1400, 900)
    page.run("resized()")
    assert page.run("return home[2] === natural[2]")
    assert page.console() == []


def test_all_that_the_view_says_in_japanese_is_japanese_but_names(window, tmp_path):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Dense(2, 4, rng=0), nn.Tanh(), nn.Dense(4, 2, rng=1))
    x, y = rng.normal(size=(3, 2)).astype(np.float32), np.array([0, 1, 0])
    view = viz.neurons(model, x, y, nn.losses.cross_entropy, lang="ja")
    opened(window, view, tmp_path / "page.html")
    said = set(said_by(window))
    for key in [*["ArrowRight"] * 6, "n", "p", "?", "Escape", "t"]:
        window.press(key)
        said |= set(said_by(window))
    names = ["Dense tanh cross_entropy"]
    assert english(said, names) == {}
    assert english(re.findall(r"<(?:text|title|desc)[^>]*>([^<]*)", view.svg()), names) == {}
    assert english([str(view)], names) == {}


def test_the_menu_says_what_its_buttons_do_as_that_of_graphs_does():
    menus = []
    for page in (small().html(), tn.tensor([1.0]).sum().graph().html()):
        menus.append(re.findall(r'<button id="(?:theme|large|full|keys)"[^>]*title="([^"]*)"', page))
    assert menus[0] == menus[1]
    assert menus[0][0] == "Light or dark (t)"
