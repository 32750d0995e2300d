"""Pages in windows of three sizes: nothing is cut off, squeezed, hidden behind the map, or told too early."""

import re

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.browser import DESK, PHONE, SMALL
from tests.viz.test_layout import blocks, chain
from tests.viz.test_window import (
    PICTURES,
    SMALLEST,
    neuron,
    perceptron,
    training_step,
)
from tinygrad_nn import nn, viz

SIZES = (DESK, SMALL, PHONE)
INSIDE = (
    "const {left, top, right, bottom} = by('canvas').getBoundingClientRect();"
    "const inside = node => { const box = node.getBoundingClientRect();"
    " return box.left >= left && box.right <= right + 1 && box.top >= top && box.bottom <= bottom + 1; };"
)


@pytest.mark.parametrize("size", SIZES)
def test_a_long_graph_is_as_wide_as_the_window_and_goes_on_below(opened, size):
    page = opened(chain(200).graph(), size)
    wide, high = page.run("return [home[2] / view[2], home[3] / view[3]]")
    assert wide <= 1
    assert high > 1
    assert page.run(SMALLEST) >= 8.99
    # Its rows are filled.
    assert page.run(
        "const {placed, direction} = best(room()); return placed.width * readable() / room()[0]"
    ) == (pytest.approx(0.85, abs=0.15))
    # The map of a ribbon can be met with a finger.
    assert page.run("return by('map').getBoundingClientRect().width") >= 36


def test_all_of_a_long_graph_is_as_large_as_it_can_be_and_fit_goes_back_to_reading(opened):
    page = opened(chain(200).graph())
    scale = "return svg.clientWidth / view[2]"
    reading = page.run(scale)
    page.press("a")
    assert page.run(INSIDE + "return shown().filter(node => !inside(node)).length") == 0
    assert page.run("return Math.max(home[2] / view[2], home[3] / view[3])") == pytest.approx(1, abs=0.01)
    # Rows of the reading view would be a ribbon.
    ribbon = page.run("const {placed, scale} = best(room()); return scale")
    assert page.run(scale) > 1.3 * ribbon
    page.press("f")
    assert page.run(scale) == reading


def test_the_key_that_finds_opens_the_menu_only_where_the_field_is_in_it(opened):
    for size, hidden in ((DESK, True), (PHONE, False)):
        page = opened(perceptron(), size)
        page.press("/")
        assert page.run("return by('menu').hidden") is hidden
        assert page.run("return document.activeElement.id") == "find"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("draw", [neuron, perceptron])
def test_small_graphs_can_be_read_without_moving_them(opened, draw, size):
    page = opened(draw(), size)
    assert page.run(SMALLEST) >= 8.99
    assert page.run(INSIDE + "return shown().filter(node => !inside(node)).length") == 0


def wide_update():
    model = nn.Sequential(nn.Dense(4, 8, rng=0), nn.Tanh(), nn.Dense(8, 3, rng=1))
    adam = tn.optim.Adam(model.parameters(), lr=0.01)

    def step(x, labels):
        loss = nn.losses.cross_entropy(model(x), labels)
        loss.backward()
        adam.step()
        return loss

    return viz.draw(step, np.ones((16, 4), np.float32), np.arange(16) % 3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("draw", [training_step, wide_update, lambda: chain(200).graph()])
def test_the_op_of_a_step_is_in_the_window_and_not_behind_the_map(opened, draw, size):
    page = opened(draw(), size)
    assert not page.run("return by('map').hasAttribute('hidden')")
    hidden = page.run(
        INSIDE + "const found = [];"
        "for (let k = 1; k <= data.steps.length; k += k < 60 ? 1 : 9) {"
        " goto(k); const node = document.querySelector('.node.now'), box = node.getBoundingClientRect();"
        " const map = by('map').getBoundingClientRect();"
        " const behind = map.width && box.right > map.left && box.bottom > map.top;"
        " if (!inside(node) || behind) found.push([k, node.id]); }"
        "return found"
    )
    assert hidden == []


def test_a_walk_along_rows_moves_the_picture_down_and_not_aside(opened):
    page = opened(chain(120).graph())
    sides = page.run(
        "const seen = new Set(); for (let k = 1; k <= 120; k++) { goto(k); seen.add(view[0]); } return [...seen]"
    )
    assert len(sides) == 1


@pytest.mark.parametrize("size", SIZES)
def test_numbers_of_entries_are_not_broken(opened, size):
    page = opened(perceptron(), size)
    page.run("goto(data.steps.findIndex(s => s.arrivals.some(a => (a.entries || []).length > 5)) + 1)")
    heights = page.run(
        "return [...document.querySelectorAll('.entries button')].map(one => one.getBoundingClientRect().height)"
    )
    assert len(heights) > 5
    assert max(heights) < 28
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    assert page.run("return by('story').scrollWidth <= by('story').clientWidth")


def test_rows_of_entries_say_where_they_begin(opened):
    page = opened(perceptron())
    page.run("goto(data.steps.length)")
    rows = page.run(
        "return [...document.querySelectorAll('.entries tr')].map(row =>"
        " [row.querySelector('th').textContent, ...[...row.querySelectorAll('button')].map(b => b.title)])"
    )
    assert all(head == first for head, first, *_ in rows)
    assert [row[0] for row in rows][:2] == ["[0, 0]", "[1, 0]"]
    # The largest entry stands in a row of its own.
    assert len(rows) == 3
    assert len(rows[2]) == 2


def test_where_one_entry_is_told_nobody_is_asked_to_choose(opened):
    page = opened(chain(70).graph())
    page.run("goto(data.steps.length)")
    assert page.run("return by('entries').querySelectorAll('button, h3').length") == 0
    assert re.search(r"x\[\d\]: .* = ", page.run("return by('entries').innerText"))


@pytest.mark.parametrize("size", SIZES)
def test_the_player_takes_two_rows_at_most_with_room_to_slide(opened, size):
    page = opened(perceptron(), size)
    assert page.run("return by('slider').clientWidth") >= 80
    tops = page.run(
        "return [...document.querySelectorAll('.player > *')]"
        ".map(one => Math.round(one.getBoundingClientRect().top / 20))"
    )
    assert len(set(tops)) <= 2
    assert page.run("return document.querySelector('.player').clientHeight") < 100


@pytest.mark.parametrize("size", SIZES)
def test_the_toolbar_is_one_row_in_which_words_are_whole(opened, size):
    page = opened(blocks(12, title="Twelve residual blocks"), size)
    assert page.run("return document.querySelector('header').clientHeight") < 56
    assert page.run(
        "const h = document.querySelector('h1');"
        "return h.scrollWidth <= h.clientWidth && h.scrollHeight <= h.clientHeight"
    )
    page.run("by('more').click()")
    fits = (
        "const paper = element('canvas').getContext('2d'), style = getComputedStyle(by('find'));"
        "paper.font = style.font;"
        "return paper.measureText(by('find').placeholder).width + 22 <= by('find').clientWidth"
    )
    assert page.run(fits)


@pytest.mark.parametrize("size", [DESK, SMALL])
def test_no_list_scrolls_in_a_list_and_the_player_stays(opened, size):
    page = opened(perceptron(3), size)
    page.run("goto(0)")
    nested = page.run(
        "const scrolls = e => /auto|scroll/.test(getComputedStyle(e).overflowY) && e.scrollHeight > e.clientHeight + 1;"
        "return [...document.querySelectorAll('#panel, #panel *')].filter(scrolls)"
        ".filter((e, _, all) => all.some(around => around !== e && around.contains(e)))"
        ".map(e => e.id || e.tagName)"
    )
    assert nested == []
    page.run("goto(8); by('details').scrollTop = 10000; by('story').scrollTop = 10000")
    top, high = page.run(
        "const box = by('play').getBoundingClientRect(); return [box.top, by('panel').getBoundingClientRect().top]"
    )
    assert 0 <= top - high < 40


def test_values_appear_when_they_are_computed(opened):
    page = opened(neuron())
    values = (
        "return shown().filter(node => { const value = node.querySelector('.value');"
        " return value && getComputedStyle(value).visibility === 'visible'; }).length"
    )
    assert page.run(values) == 10
    counts = [page.run(f"goto({step});{values}") for step in range(1, 6)]
    assert counts == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_heat_map_says_which_colour_is_which_number(opened, theme):
    page = opened(perceptron())
    page.run(f"setTheme('{theme}'); choose(1)")
    assert page.run("return document.querySelectorAll('#node figure canvas').length") == page.run(
        "return document.querySelectorAll('#node figure .scale').length"
    )
    scale, ends = page.run(
        "const bar = document.querySelector('#node .scale');"
        "return [getComputedStyle(bar).backgroundImage, ['input', 'update'].map(colour)]"
    )
    for red, green, blue in ends:
        assert f"rgb({red}, {green}, {blue})" in scale


def test_what_is_asked_for_in_a_field_stands_out(opened):
    page = opened(perceptron())
    for theme in ("light", "dark"):
        page.run(f"setTheme('{theme}')")
        asked, muted = page.run(
            "return [getComputedStyle(by('find'), '::placeholder').color, getComputedStyle(by('hits')).color]"
        )
        assert asked == muted


def test_paper_says_nothing_of_buttons(opened):
    page = opened(perceptron())
    page.show_as("print")
    assert page.run("return by('caption').getBoundingClientRect().height") == 0
    page.run("goto(2)")
    assert page.run("return by('caption').innerText").startswith("forward")
    assert page.run("return by('caption').getBoundingClientRect().height") > 0
    page.show_as("screen")


def test_a_page_of_paper_is_filled_by_a_graph_of_any_length(opened):
    for picture in (perceptron(), chain(200).graph()):
        page = opened(picture, PHONE)
        page.show_as("print")
        page.resize(718, 1000)
        page.run("window.dispatchEvent(new Event('beforeprint'))")
        wide, high = page.run("const box = svg.getBoundingClientRect(); return [box.width, box.height]")
        drawn = min(wide, high * page.run("return home[2] / home[3]"))
        assert drawn > 500
        page.show_as("screen")
        page.resize(*PHONE)
        page.run("window.dispatchEvent(new Event('afterprint'))")
        assert page.run("return home[2] * readable() <= by('canvas').clientWidth + 20")


def without_script(window, path, page):
    path.write_text(re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL), encoding="utf-8")
    window.open_blank()
    window.resize(*PHONE)
    window.show_as("screen")
    window.open(path)


def digits():
    model = nn.Sequential(nn.Dense(784, 128, rng=0), nn.ReLU(), nn.Dense(128, 10, rng=1))
    return viz.neurons(model, np.ones((2, 784), np.float32), np.arange(2), nn.losses.cross_entropy)


@pytest.mark.parametrize("draw", [perceptron, digits])
def test_without_script_a_phone_shows_texts_that_can_be_read(window, tmp_path, draw):
    without_script(window, tmp_path / "plain.html", draw().html())
    size = (
        "const svg = document.querySelector('.level'), scale = svg.clientWidth / svg.viewBox.baseVal.width;"
        "return Math.min(...[...svg.querySelectorAll('text')]"
        ".map(text => scale * parseFloat(getComputedStyle(text).fontSize)))"
    )
    assert window.run(size) >= 9
    assert window.run("return document.documentElement.scrollWidth") <= PHONE[0]


def test_without_script_arrows_of_gradients_are_in_the_picture_as_in_its_legend(window, tmp_path):
    without_script(window, tmp_path / "plain.html", perceptron().html())
    shown = "return getComputedStyle(document.querySelector('.level .edge.gradient')).visibility"
    assert window.run(shown) == "visible"


def test_a_picture_with_few_cuts_is_preferred(opened):
    page = opened(blocks(1), SMALL)
    assert page.run("return best([462, 528]).direction") == "TB"
    assert (
        page.run("return Math.max(...Object.values(best([462, 528]).placed.groups).map(g => g.length))") == 1
    )


def test_a_tap_on_a_phone_brings_the_details(opened):
    page = opened(neuron(), PHONE)
    page.run(
        "svg.setPointerCapture = () => {};"
        "const {left, top, width, height} = item('n0').getBoundingClientRect();"
        "const at = {clientX: left + width / 2, clientY: top + height / 2, pointerId: 1, bubbles: true};"
        "for (const kind of ['pointerdown', 'pointerup']) item('n0').dispatchEvent(new PointerEvent(kind, at));"
    )
    head, panel = page.run(
        "return [document.querySelector('#node h2'), by('panel')].map(e => e.getBoundingClientRect().top)"
    )
    assert 0 <= head - panel < 150


CROSSED = """
const found = [], frames = [...svg.querySelectorAll('rect.group')].map(one => one.getBoundingClientRect());
for (const node of shown()) {
  const a = node.querySelector('.shape').getBoundingClientRect();
  for (const b of frames) {
    const inside = b.left <= a.left && a.right <= b.right && b.top <= a.top && a.bottom <= b.bottom;
    const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
    if (!inside && !apart) found.push(node.textContent);
  }
}
return found;
"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["perceptron", "step", "blocks", "residual"])
def test_no_box_stands_across_a_frame(opened, name, size):
    page = opened(residual() if name == "residual" else PICTURES[name](), size)
    for level in range(page.run("return data.levels.length")):
        page.run(f"showLevel({level})")
        assert page.run(CROSSED) == []
    for unit in page.run("return Object.keys(data.units)")[:8]:
        page.run(f"showLevel(data.levels.length - 1); toggle('{unit}', true)")
        assert page.run(CROSSED) == []


def residual():
    model = nn.Sequential(
        *[nn.Residual(nn.Sequential(nn.Dense(16, 16, rng=k), nn.Tanh())) for k in range(12)]
    )
    return model.graph(np.ones((4, 16), np.float32))


def test_code_and_its_numbers_stand_on_one_line(opened):
    a, b = (tn.tensor(x, requires_grad=True, name=n) for x, n in ((2.0, "a"), (3.0, "b")))
    with tn.record_lines():
        y = np.tanh(a * b)
    page = opened(y.graph())
    number, code = page.run(
        "return ['.number', 'code'].map(part => { const e = document.querySelector(`.listing [data-at] ${part}`),"
        " style = getComputedStyle(e); return [style.font, e.getBoundingClientRect().top]; })"
    )
    assert number[0] == code[0]
    assert number[1] == pytest.approx(code[1], abs=1.5)
