"""What is seen of a page, in a real browser: sizes, overlaps, contrast, fingers, paper, and pages without script."""

import base64
import json
import re
import struct
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.browser import DESK, PHONE, SMALL
from tests.viz.test_layout import blocks, chain, skipping
from tinygrad_nn import nn, viz
from tinygrad_nn.viz.layout import ACROSS, in_rows, strip
from tinygrad_nn.viz.page import levels

DIGITS = np.random.default_rng(0).uniform(size=(32, 784)).astype(np.float32)
LABELS = np.arange(32) % 10


def neuron():
    x1, x2, w1, w2, b = (
        tn.tensor(v, requires_grad=True, name=n)
        for v, n in ((2.0, "x1"), (0.0, "x2"), (-3.0, "w1"), (1.0, "w2"), (6.88, "b"))
    )
    return np.tanh(x1 * w1 + x2 * w2 + b).graph(title="One neuron")


def perceptron(depth=1, **options):
    hidden = [layer for k in range(1, depth) for layer in (nn.Dense(128, 128, rng=k), nn.ReLU())]
    model = nn.Sequential(nn.Dense(784, 128, rng=0), nn.ReLU(), *hidden, nn.Dense(128, 10, rng=9))
    loss = nn.losses.cross_entropy(model(DIGITS), LABELS)
    return loss.graph(names={"x": DIGITS, "labels": LABELS}, title="MNIST MLP", fold_repeats=False, **options)


def training_step():
    model = nn.Sequential(nn.Dense(5, 4, rng=0), nn.Tanh(), nn.Dense(4, 3, rng=1))
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)

    def step(x, labels):
        optimizer.zero_grad()
        loss = nn.losses.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    return viz.draw(step, DIGITS[:8, :5], LABELS[:8] % 3, title="A training step")


PICTURES = {
    "neuron": neuron,
    "perceptron": perceptron,
    "deep": lambda: perceptron(8),
    "step": training_step,
    "blocks": lambda: blocks(12),
    "chain": lambda: chain(58).graph(),
    "gradients": lambda: perceptron(3, grads=True),
}


@pytest.mark.parametrize(("name", "count"), [("blocks", 3), ("blocks", 1), ("chain", 7), ("step", 2)])
def test_the_script_lays_rows_as_files_have_them(opened, name, count):
    picture = PICTURES[name]()
    page = opened(picture)
    page.run("showLevel(data.levels.length - 1)")
    (_, scene) = levels(picture.graph, picture.facts, picture.options)[-1]
    rows = in_rows(strip(scene, picture.options), count, ACROSS)
    there = page.run(f"const s = stripOf('LR'); return inRows(s, evenly(s, {count}), PADS.LR)")
    assert set(there["boxes"]) == set(rows.boxes)
    # The script has paths in whole points.
    for name, box in rows.boxes.items():
        assert there["boxes"][name] == pytest.approx(box, abs=1.5)
    for name, parts in rows.groups.items():
        assert np.allclose(there["groups"][name], parts, atol=1.5)
    for name, path in rows.paths.items():
        assert np.allclose(there["paths"][name[1:]], path, atol=2)


SMALLEST = (
    "const texts = [...svg.querySelectorAll('.node:not([hidden]) text, .heading:not([hidden]) text')];"
    "const scale = svg.clientWidth / view[2];"
    "return Math.min(...texts.map(text => parseFloat(getComputedStyle(text).fontSize) * scale))"
)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("neuron", DESK),
        ("deep", DESK),
        ("step", DESK),
        ("chain", DESK),
        ("step", SMALL),
        ("perceptron", PHONE),
    ],
)
def test_texts_have_nine_pixels_at_fit_for_up_to_sixty_nodes(opened, name, size):
    page = opened(PICTURES[name](), size)
    assert page.run("return shown().length") <= 60
    page.press("f")
    assert page.run(SMALLEST) >= 8.99
    assert page.run(
        "const {width, height} = svg.getBoundingClientRect(); return width / height"
    ) == pytest.approx(page.run("return view[2] / view[3]"), rel=1e-3)


def test_fit_shows_all_of_a_graph_in_a_window_that_is_large_enough(opened):
    for name in ("neuron", "deep"):
        page = opened(PICTURES[name]())
        assert page.run("return by('map').hasAttribute('hidden')"), name


OVERLAPS = """
const found = [], scale = svg.clientWidth / view[2];
const texts = [...svg.querySelectorAll('.node:not([hidden]) text, .heading:not([hidden]) text')]
  .map(text => [text, text.getBoundingClientRect()]).filter(([, box]) => box.width);
const boxes = shown().map(node => [node.id, node.querySelector('.shape').getBoundingClientRect()]);
const meet = (a, b) => a.left + scale < b.right && b.left + scale < a.right &&
  a.top + 2 * scale < b.bottom && b.top + 2 * scale < a.bottom;
texts.forEach(([text, a], i) => texts.slice(i + 1).forEach(([other, b]) => {
  if (meet(a, b)) found.push(`${text.textContent} on ${other.textContent}`);
}));
boxes.forEach(([id, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
  if (meet(a, b)) found.push(`${id} on ${other}`);
}));
for (const [text, a] of texts)
  if (text.closest('.heading')) for (const [id, b] of boxes) if (meet(a, b)) found.push(`${text.textContent} on ${id}`);
for (const node of shown()) {
  const shape = node.querySelector('.shape').getBBox();
  for (const text of node.querySelectorAll('text')) {
    const inner = text.getBBox();
    const leaves = inner.x < shape.x || inner.x + inner.width > shape.x + shape.width ||
      inner.y < shape.y || inner.y + inner.height > shape.y + shape.height;
    if (inner.width && leaves) found.push(`${text.textContent} leaves ${node.id}`);
  }
}
return found;
"""


@pytest.mark.parametrize(("name", "size"), [*((name, DESK) for name in PICTURES), ("blocks", PHONE)])
def test_nothing_overlaps_on_any_level_and_with_any_module_closed(opened, name, size):
    page = opened(PICTURES[name](), size)
    for level in range(page.run("return data.levels.length")):
        page.run(f"showLevel({level})")
        assert page.run(OVERLAPS) == []
    for unit in page.run("return Object.keys(data.units)")[:6]:
        page.run(f"showLevel(data.levels.length - 1); toggle('{unit}', true)")
        assert page.run(OVERLAPS) == []
    assert page.console() == []


def test_a_closed_module_takes_no_more_room_than_its_box(opened):
    page = opened(perceptron())
    before = page.run("return best(room()).long.width")
    page.run("toggle(data.groups.c0.unit, true)")
    assert page.run("return best(room()).long.width") < before - 300
    # Its parts are gone, and the arrows that led to them lead to the box.
    assert page.run("return item('n1').hasAttribute('hidden')")
    box, tip = page.run(
        "const box = item(data.groups.c0.unit).getBoundingClientRect();"
        "const k = data.links.findIndex(([tail]) => tail === data.place[0]), edge = item(`e${k}`);"
        "const end = edge.getPointAtLength(edge.getTotalLength()).matrixTransform(edge.getScreenCTM());"
        "return [[box.left, box.top, box.right, box.bottom], [end.x, end.y]]"
    )
    assert tip[0] == pytest.approx(box[0], abs=2)
    assert box[1] < tip[1] < box[3]


def test_a_click_on_a_title_closes_a_module_and_one_on_its_box_opens_it(opened):
    page = opened(perceptron())
    click = (
        "const {{left, top, width, height}} = {0}.getBoundingClientRect();"
        "const at = {{clientX: left + width / 2, clientY: top + height / 2, pointerId: 1, bubbles: true}};"
        "const target = document.elementFromPoint(at.clientX, at.clientY);"
        "svg.setPointerCapture = () => {{}};"
        "for (const kind of ['pointerdown', 'pointerup']) target.dispatchEvent(new PointerEvent(kind, at));"
    )
    page.run(click.format("item('c1-title')"))
    unit = page.run("return data.groups.c1.unit")
    assert not page.run(f"return item('{unit}').hasAttribute('hidden')")
    page.run(click.format(f"item('{unit}')"))
    assert page.run(f"return item('{unit}').hasAttribute('hidden')")
    assert page.run("return by('detail').selectedOptions[0].textContent") == "all ops"


CONTRAST = """
const luminance = rgb => rgb.map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
const numbers = text => (text.match(/[\\d.]+/g) || []).map(Number);
const ground = element => {
  for (let at = element; at; at = at.parentElement) {
    const [r, g, b, a = 1] = numbers(getComputedStyle(at).backgroundColor);
    if (a > 0.5 && r !== undefined) return [r, g, b];
  }
};
const contrast = (one, other) => {
  const [a, b] = [luminance(one), luminance(other)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
};
const paper = numbers(getComputedStyle(document.body).backgroundColor);
const texts = [...svg.querySelectorAll('.node:not([hidden]) text')];
const drawn = texts.filter(text => getComputedStyle(text).visibility === 'visible').map(text => {
  const fill = getComputedStyle(text.parentNode.querySelector('.shape')).fill;
  let opacity = 1;
  for (let at = text; at !== svg; at = at.parentNode) opacity *= Number(getComputedStyle(at).opacity);
  return opacity < 1 ? 0 : contrast(numbers(getComputedStyle(text).fill), fill === 'none' ? paper : numbers(fill));
});
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), told = [];
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement, box = element.getBoundingClientRect();
  if (!walker.currentNode.data.trim() || !box.width || element.closest('svg, script, option')) continue;
  told.push(contrast(numbers(getComputedStyle(element).color), ground(element)));
}
return [Math.min(...drawn), Math.min(...told), told.length];
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["perceptron", "step"])
def test_texts_stand_out_at_every_step(opened, name, theme):
    page = opened(PICTURES[name]())
    page.run(f"setTheme('{theme}'); unfold('keys', 'help')")
    for step in (0, 3, page.run("return data.steps.length")):
        page.run(f"goto({step})")
        drawn, told, count = page.run(CONTRAST)
        assert drawn >= 7
        assert told >= 4.5
        assert count > 30


STOPS = (
    "return [...document.querySelectorAll('button, select, input, summary, [tabindex]')]"
    ".filter(element => element.tabIndex >= 0 && element.getBoundingClientRect().width).length"
)


def test_one_tab_stop_leads_into_the_graph_and_arrows_go_on(opened):
    page = opened(perceptron())
    few = page.run(STOPS)
    assert few <= 20
    assert page.run("return svg.querySelectorAll('.node[tabindex=\"0\"]').length") == 1
    page.run("svg.querySelector('.node[tabindex=\"0\"]').focus()")
    focused = (
        "const {id} = document.activeElement, value = data.values[id.slice(3)];"
        "return id.startsWith('v-n') ? value.name : item(id.slice(2)).querySelector('text').textContent"
    )
    assert page.run(focused) == "x"
    seen = []
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft"):
        page.press(key)
        seen.append(page.run(focused))
    assert seen == ["%1", "0.weight", "0.bias", "%2", "%1"]
    # Space and Enter show details; nothing plays, and no step was made.
    page.press("Space")
    assert "matmul(x, 0.weight)" in page.run("return by('node').innerText")
    assert page.run("return [timer, step]") == [0, 0]
    page.press("c")
    assert page.run(focused) == "0: Dense"
    page.press("Enter")
    assert page.run("return svg.querySelectorAll('.node.module:not([hidden])').length") == 0
    page.press("Escape", "ArrowRight")
    assert page.run("return step") == 1
    assert page.run(STOPS) <= few + 8


def test_large_graphs_have_as_few_stops(opened):
    page = opened(chain(301).graph())
    assert page.run(STOPS) <= 20


def test_two_fingers_zoom_and_one_goes_on_panning(opened):
    page = opened(perceptron())
    page.run("svg.setPointerCapture = () => {}")
    finger = (
        "svg.dispatchEvent(new PointerEvent('{0}',"
        " {{pointerId: {1}, clientX: {2}, clientY: {3}, bubbles: true}}));"
    )
    before = page.run("return view[2]")
    moves = [("pointerdown", 1, 400, 400), ("pointerdown", 2, 500, 400), ("pointermove", 2, 520, 400)]
    page.run("".join(finger.format(*move) for move in [*moves, ("pointermove", 2, 620, 400)]))
    assert page.run("return view[2]") == pytest.approx(before * 120 / 220, rel=0.01)
    left = page.run("return view[0]")
    page.run(
        "".join(finger.format(*move) for move in [("pointerup", 2, 620, 400), ("pointermove", 1, 300, 400)])
    )
    assert page.run("return view[0]") > left
    page.run(finger.format("pointerup", 1, 300, 400))
    assert page.run("return [fingers.size, chosen]") == [0, None]


def test_a_phone_shows_picture_and_steps_with_a_small_toolbar(opened):
    page = opened(perceptron(), PHONE)
    head, canvas, panel = page.run(
        "return ['header', '#canvas', '#panel'].map(part => document.querySelector(part).getBoundingClientRect())"
        ".map(box => [box.top, box.height])"
    )
    assert head[1] <= 50
    assert canvas[1] >= 0.45 * 844
    assert panel[0] == pytest.approx(head[1] + canvas[1], abs=1)
    assert page.run("return document.documentElement.scrollWidth") == 390
    assert page.run("return by('panel').scrollWidth <= by('panel').clientWidth")
    page.run("by('more').click()")
    assert page.run("return by('find').getBoundingClientRect().width") > 60
    page.run("goto(9)")
    assert page.run("return by('panel').scrollWidth <= by('panel').clientWidth")


def test_the_panel_stands_where_there_is_room_and_the_picture_turns_with_the_window(opened):
    page = opened(neuron())
    assert page.run("return document.body.className") == "side"
    assert page.run("return best([900, 800]).direction") == "LR"
    assert page.run("return best([350, 420]).direction") == "TB"
    page = opened(blocks(12))
    wide, high = (
        page.run(f"return fitting(stripOf('LR'), {room}, 1).count") for room in ("[6000, 300]", "[1000, 900]")
    )
    assert wide < high


def test_the_map_shows_the_window_and_moves_it(opened):
    page = opened(chain(200).graph())
    assert not page.run("return by('map').hasAttribute('hidden')")
    assert page.run("return by('places').getAttribute('d').split('M').length - 1") == 202
    page.run(
        "const {left, top, width, height} = by('map').getBoundingClientRect();"
        "moveTo({clientX: left + width / 2, clientY: top + height / 2})"
    )
    middle = page.run(
        "return [view[0] + view[2] / 2 - home[0] - home[2] / 2, view[1] + view[3] / 2 - home[1] - home[3] / 2]"
    )
    assert middle == pytest.approx([0, 0], abs=0.5)
    page.press("a")
    assert page.run("return by('map').hasAttribute('hidden')")


def test_a_link_leads_to_a_step(opened, window, tmp_path):
    page = opened(perceptron())
    page.press("ArrowRight", "ArrowRight")
    assert page.run("return location.hash") == "#step=2"
    page.run("location.hash = '#step=9'")
    assert page.run("return new Promise(done => setTimeout(() => done(step), 50))") == 9
    page.run("location.reload()")
    assert page.run("return step") == 9
    page.press("Home")
    assert page.run("return location.hash") == ""
    assert page.console() == []


def test_the_player_has_speeds_and_the_screen_can_be_filled(opened):
    page = opened(neuron())
    asked = page.run(
        "const asked = [], real = window.setInterval;"
        "window.setInterval = (action, time) => { asked.push(time); return real(action, time); };"
        "for (const speed of ['0.5', '1', '4']) { by('speed').value = speed; play(); pause(); }"
        "window.setInterval = real; return asked"
    )
    assert asked == [2800, 1400, 350]
    page.run("window.filled = 0; document.documentElement.requestFullscreen = () => { filled += 1; }")
    page.press("x")
    page.run("by('full').click()")
    assert page.run("return filled") == 2


def test_large_text_is_large_in_picture_and_panel(opened):
    page = opened(perceptron())
    size = "return parseFloat(getComputedStyle(by('caption')).fontSize)"
    before = page.run(size)
    page.press("l")
    assert page.run(size) >= 1.4 * before
    assert page.run(SMALLEST) >= 15
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    assert page.run("return by('large').getAttribute('aria-pressed')") == "true"
    page.press("l")
    assert page.run(size) == before


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_is_saved_as_it_is_shown(opened, theme):
    page = opened(perceptron())
    page.run(f"setTheme('{theme}'); toggle(data.groups.c1.unit, true); goto(10)")
    text = page.run("return picture()")
    root = ET.fromstring(text)
    assert "var(" not in text
    assert "0: Dense" in "".join(root.itertext())
    assert "0.weight" not in "".join(root.itertext())
    ground = {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 20, 27)"}[theme]
    assert re.search(r"\.ground \{ fill: (#\w+|rgb\([^)]*\))", text).group(1) in (
        ground,
        "#ffffff",
        "#0f141b",
    )
    image = page.wait_for(
        "drawn().then(blob => blob.arrayBuffer())"
        ".then(all => btoa(String.fromCharCode(...new Uint8Array(all).slice(0, 24))))"
    )
    head = base64.b64decode(image)
    assert head[:4] == b"\x89PNG"
    assert struct.unpack(">II", head[16:24]) == (2 * int(root.get("width")), 2 * int(root.get("height")))
    saved = page.run(
        "const names = []; HTMLAnchorElement.prototype.click = function () { names.push(this.download); };"
        "by('save-svg').click(); return names"
    )
    assert saved == ["MNIST_MLP.svg"]
    assert page.console() == []


def test_paper_has_the_whole_picture_in_light_and_no_controls(opened):
    page = opened(perceptron())
    page.run("setTheme('dark'); zoom(4); window.dispatchEvent(new Event('beforeprint'))")
    page.show_as("print")
    assert page.run("return svg.getAttribute('viewBox').split(' ').map(Number)") == page.run("return home")
    assert page.run("return document.documentElement.dataset.theme") == "light"
    shown = (
        "return ['#more', '#tools', '#zoom', '.player', '#play', '#map', '#text', '#summary', '.level']"
        ".filter(part => document.querySelector(part).getBoundingClientRect().width)"
    )
    assert page.run(shown) == ["#text", "#summary", ".level"]
    page.show_as("screen")
    page.run("window.dispatchEvent(new Event('afterprint'))")
    assert page.run("return document.documentElement.dataset.theme") == "dark"


def test_without_script_picture_legend_and_text_are_there_and_no_controls(window, tmp_path):
    text = re.sub(r"<script>.*?</script>", "", perceptron().html(), flags=re.DOTALL)
    (tmp_path / "plain.html").write_text(text, encoding="utf-8")
    window.open_blank()
    window.resize(*DESK)
    window.show_as("screen")
    window.open(tmp_path / "plain.html")
    shown = (
        "return ['header h1', '#tools', '#more', '#story', '.level', '#v-n0', '#text', '.legend']"
        ".filter(q => document.querySelector(q).getBoundingClientRect().height)"
    )
    assert window.run(shown) == ["header h1", ".level", "#v-n0", "#text", ".legend"]
    assert window.run("return document.querySelectorAll('.node:not([hidden])').length") == 12
    legend = window.run(
        "return [...document.querySelectorAll('.legend li')].filter(e => e.offsetWidth).map(e => e.innerText.trim())"
    )
    assert legend == ["input", "parameter", "op", "output", "gradient flow"]


def test_matrices_have_heat_maps_and_images_are_shown(opened):
    page = opened(perceptron())
    page.run("choose(0)")
    sizes = page.run("return [...document.querySelectorAll('#node canvas')].map(c => [c.width, c.height])")
    assert sizes == [[28, 28]] * 3 + [[20, 20]]
    pixels = page.run(
        "const c = document.querySelector('#node canvas');"
        "return [...c.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, k) => k % 4 === 0)"
    )
    span = np.ptp(DIGITS[0])
    assert np.allclose(np.array(pixels) / 255, (DIGITS[0] - DIGITS[0].min()) / span, atol=0.02)
    page.run("choose(data.values.findIndex(value => value.name === '0.weight'))")
    about = page.run(
        "return [...document.querySelectorAll('#node [role=img]')].map(e => e.getAttribute('aria-label'))"
    )
    assert [text.split()[0] for text in about] == ["heat", "histogram"] * 2
    assert page.console() == []


def test_the_panel_says_each_thing_once(opened):
    page = opened(perceptron())
    page.run("goto(3)")
    words = page.run("return by('panel').innerText")
    assert words.count("Shape") == words.count("Module") == words.count("Value") == 1
    page.run("goto(9)")
    columns = page.run(
        "return [...document.querySelectorAll('#arrivals th')].filter(e => e.offsetWidth).length"
    )
    assert columns == 2


def test_a_page_of_401_ops_is_made_and_shown_in_seconds(opened):
    page = opened(skipping(200, lambda k: max(k - 7, 0)).graph())
    assert page.run("return shown().length") == 402
    assert page.run("const start = performance.now(); arrange(); return performance.now() - start") < 2000
    assert page.run(SMALLEST) >= 8.99
    assert page.console() == []


def test_boxes_are_in_a_page_once_however_many_levels_there_are():
    text = blocks(12).html()
    ids = re.findall(r' id="([^"]+)"', text.split("<body>")[1].split('<script type="application/json"')[0])
    assert len(ids) == len(set(ids))
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1))
    assert len(data["levels"]) >= 3
    assert set(data["strips"]) == {"LR", "TB"}
