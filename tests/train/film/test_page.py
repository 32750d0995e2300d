"""The page of a film in a real browser: every frame is reached and drawn, and nothing is loaded or logged."""

import itertools
import json
import re

import numpy as np
import pytest

from tests.support.browser import DESK, PHONE, SMALL
from tests.support.training import trained
from tests.support.words import english, said_by
from tests.train.film.test_film import DIGITS, IMAGES, Doctor, Fickle, filmed
from tinygrad_nn import nn, train
from tinygrad_nn.train import Film
from tinygrad_nn.train.film.phrases import PHRASES
from tinygrad_nn.viz.network.words import PHRASES as NEURONS

INK = """
return [...document.querySelectorAll('canvas')].map(canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const bytes = copy.getImageData(0, 0, canvas.width, canvas.height).data;
  let ink = 0;
  for (let k = 3; k < bytes.length; k += 4) ink += bytes[k] > 0;
  return ink / (bytes.length / 4);
});
"""
READY = "return document.documentElement.dataset.ready === 'yes'"


@pytest.fixture(scope="module")
def moons():
    film = Film(every=3)
    trained(epochs=3, size=50, validation=0.2, callbacks=[film, Doctor()])
    return film


def opened(window, film, path):
    film.render(path)
    window.open(path)
    while not window.run(READY):
        pass
    return window


def text(page, name):
    return page.run(f"return document.getElementById('{name}').innerText")


def test_the_keyboard_reaches_every_frame_and_the_page_says_what_is_there(window, moons, tmp_path):
    page = opened(window, moons, tmp_path / "moons.html")
    steps = [frame.step for frame in moons.recording.frames]
    assert text(page, "count") == f"{len(steps)} / {len(steps)}"
    page.press("Home")
    shown = []
    for _ in steps:
        shown.append(int(text(page, "now").split()[1]))
        page.press("ArrowRight")
    assert shown == steps
    page.press("ArrowLeft")
    assert text(page, "count") == f"{len(steps) - 1} / {len(steps)}"
    assert "dead-units (1: ReLU) at step 9" in " ".join(text(page, "panel-findings").split())
    page.press("Home")
    assert "dead-units" not in text(page, "panel-findings")
    assert "no gradient yet" in page.run("return document.querySelector('#panel-gradients canvas').ariaLabel")
    assert [a for a in page.requests() if not a.startswith("data:")] == [(tmp_path / "moons.html").as_uri()]
    assert page.console() == []


def test_every_panel_is_drawn_in_light_and_dark(window, moons, tmp_path):
    page = opened(window, moons, tmp_path / "moons.html")
    for _ in range(2):
        ink = page.run(INK)
        assert len(ink) == 7
        assert min(ink) > 0.02
        page.press("t")
    assert page.run("return document.getElementById('still').hidden")
    assert page.console() == []


def test_a_panel_is_enlarged_and_the_film_plays(window, moons, tmp_path):
    page = opened(window, moons, tmp_path / "moons.html")
    page.press("2")
    assert page.run("return document.querySelectorAll('.panel').length > 1")
    visible = "return [...document.querySelectorAll('.panel')].filter(p => p.offsetWidth).map(p => p.id)"
    assert page.run(visible) == ["panel-curves"]
    page.press("Escape")
    assert len(page.run(visible)) > 5
    page.run("document.getElementById('speed').value = '4'")
    page.press("Space")
    assert text(page, "play") == "Pause"
    while text(page, "play") == "Pause":
        pass
    assert text(page, "count") == f"{len(moons.recording.frames)} / {len(moons.recording.frames)}"


def test_a_unit_says_its_sum_and_panels_say_what_they_are(window, moons, tmp_path):
    page = opened(window, moons, tmp_path / "moons.html")
    page.run("document.querySelector('#panel-network canvas').focus()")
    page.press("\ue015")
    said = page.run("return document.querySelector('#panel-network figure p').textContent")
    network = moons.recording.frames[-1].taken["network"]
    assert said.startswith("0 [0]: z = Σ w·a + b = ")
    z = float(re.search(r" = (\S+); a = ", said)[1])
    assert z == pytest.approx(network["units"].reshape(-1, 5)[0, 1], abs=6e-3)
    page.run("document.querySelector('#panel-gradients header button').click()")
    page.run(
        "[...document.querySelectorAll('.panel button')].filter(b => b.textContent === '?').forEach(b => b.click())"
    )
    assert "vanishing" in text(page, "panel-gradients")
    assert page.console() == []


def test_digits_on_a_phone_fit_its_width(window, tmp_path):
    model = nn.Sequential(nn.Dense(784, 16, rng=0), nn.ReLU(), nn.Dense(16, 10, rng=1))
    film = filmed(model, IMAGES, DIGITS, epochs=3)
    window.resize(390, 844)
    try:
        page = opened(window, film, tmp_path / "digits.html")
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        assert min(page.run(INK)) > 0.02
        assert "of 64 right" in text(page, "panel-images")
        assert page.console() == []
    finally:
        window.resize(1280, 760)


def test_a_live_page_plays_what_there_is_when_it_is_opened(window):
    film = Film(live=True)
    trained(epochs=2, size=50, callbacks=[film])
    try:
        window.visit(film._server.address)
        while not window.run(READY):
            pass
        assert text(window, "count") == "9 / 9"
        assert window.console() == []
    finally:
        film.close()
        window.open_blank()


def test_two_films_run_on_one_slider(window, tmp_path):
    films = [Film(every=every, title=f"every {every}") for every in (2, 5)]
    for film in films:
        trained(epochs=2, callbacks=[film])
    Film.compare(tmp_path / "both.html", *films)
    window.open(tmp_path / "both.html")
    while not window.run(READY):
        pass
    steps = sorted({frame.step for film in films for frame in film.recording.frames})
    assert text(window, "count") == f"{len(steps)} / {len(steps)}"
    assert window.run("return document.querySelectorAll('#panel-plane canvas').length") == 2
    assert json.loads(window.run("return document.getElementById('data').textContent"))["films"]
    assert window.console() == []


def test_findings_that_a_later_report_dropped_are_gone(window, tmp_path):
    film = Film(every=1)
    trained(epochs=3, size=50, callbacks=[film, Fickle()])
    page = opened(window, film, tmp_path / "fickle.html")
    said = []
    page.press("Home")
    for _ in film.recording.frames:
        shown = page.run(
            "return [...document.querySelectorAll('#panel-findings li b')].map(b => b.textContent)"
        )
        if not said or shown != said[-1]:
            said.append(shown)
        page.press("ArrowRight")
    assert said[0] == []
    assert said[-1] == ["b"]
    assert ["a", "b"] in said


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("size", [DESK, SMALL, PHONE])
def test_the_head_of_a_film_and_of_its_panels_is_whole_in_every_window(window, tmp_path, size, lang):
    film = Film(every=3, lang=lang)
    trained(epochs=3, size=50, validation=0.2, callbacks=[film, Doctor()])
    window.resize(*size)
    page = opened(window, film, tmp_path / "moons.html")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    cut = page.run(
        "return [...document.querySelectorAll('h1, h2, header button, header select')].filter(e => e.offsetWidth"
        " && (e.scrollWidth > e.clientWidth + 1 || e.offsetHeight > 34)).map(e => e.innerText)"
    )
    assert cut == []
    assert page.run("return document.getElementById('speed').offsetWidth") > 40
    # Numbers of different lengths do not move the page while it plays.
    heights = set()
    page.press("Home")
    for _ in film.recording.frames:
        heights.add(page.run("return document.querySelector('header').offsetHeight"))
        page.press("ArrowRight")
    assert len(heights) == 1
    assert heights.pop() < (60 if size == DESK else 110)


def test_panels_leave_no_hole_at_their_end(window, moons, tmp_path):
    for size in (DESK, SMALL, PHONE):
        window.resize(*size)
        page = opened(window, moons, tmp_path / "moons.html")
        last, row = page.run(
            "const box = e => { const {left, right} = e.getBoundingClientRect(); return [left, right]; };"
            "const all = [...document.querySelectorAll('.panel')], top = all.at(-1).offsetTop;"
            "return [box(all[0]), all.filter(e => e.offsetTop === top).map(box)]"
        )
        assert row[0][0] == last[0]
        wide = page.run("return document.getElementById('panels').clientWidth")
        assert row[-1][1] - row[0][0] == pytest.approx(wide, abs=26)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_axes_say_what_they_are_and_texts_do_not_meet(window, tmp_path, lang):
    film = Film(every=3, lang=lang)
    trained(epochs=3, size=50, validation=0.2, callbacks=[film])
    window.resize(*DESK)
    page = opened(window, film, tmp_path / "moons.html")
    boxes = page.run(
        "const seen = {}, draw = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {"
        " const wide = this.measureText(text).width, share = {left: 0, center: 0.5, right: 1}[this.textAlign];"
        " const left = x - wide * share;"
        " const panel = this.canvas.closest('.panel');"
        " if (text && panel) (seen[panel.id] ||= []).push([text, left, left + wide, y, this.canvas.clientWidth]);"
        " draw.call(this, text, x, y); };"
        "document.getElementById('first').click();"
        "CanvasRenderingContext2D.prototype.fillText = draw; return seen"
    )
    for panel in ("panel-curves", "panel-activations", "panel-gradients"):
        for text, left, right, _, wide in boxes[panel]:
            assert -1 <= left <= right <= wide + 1, text
        for one, other in itertools.combinations(boxes[panel], 2):
            apart = one[2] < other[1] or other[2] < one[1] or abs(one[3] - other[3]) >= 11
            assert apart, (panel, one, other)
    assert {"en": "step", "ja": "ステップ"}[lang] in [text for text, *_ in boxes["panel-curves"]]
    assert page.console() == []


def test_paper_is_light_and_has_no_controls(window, moons, tmp_path):
    window.resize(*DESK)
    page = opened(window, moons, tmp_path / "moons.html")
    page.run("setTheme('dark'); window.dispatchEvent(new Event('beforeprint'))")
    page.show_as("print")
    assert page.run("return document.documentElement.dataset.theme") == "light"
    controls = "[...document.querySelectorAll('button, select, input')].filter(e => !e.closest('.list'))"
    shown = f"return {controls}.filter(e => e.offsetWidth).length"
    assert page.run(shown) == 0
    page.show_as("screen")
    page.run("window.dispatchEvent(new Event('afterprint'))")
    assert page.run("return document.documentElement.dataset.theme") == "dark"


def test_sentences_name_no_colour_that_one_theme_alone_has():
    for name, texts in {**PHRASES, **NEURONS}.items():
        if "theme" in name or name in ("dark", "light"):
            continue
        for text in texts.values():
            assert not re.search(r"(?i)\b(dark|pale|black|white)", text), name
            assert not re.search("暗|黒|白|薄", text), name


def test_all_that_a_film_says_in_japanese_is_japanese_but_names(window, tmp_path):
    film = Film(every=6, lang="ja")
    trained(epochs=2, size=50, validation=0.2, callbacks=[film, train.Doctor(lang="ja")])
    page = opened(window, film, tmp_path / "film.html")
    said = set(said_by(page))
    for key in ["Home", "ArrowRight", "ArrowRight", *"?123456789", "Escape"]:
        page.press(key)
        said |= set(said_by(page))
    assert (
        english(said, ["Dense weight bias Tanh ReLU tanh sigmoid loss val_loss acc val_acc Sequential"]) == {}
    )


def test_the_dot_on_a_curve_is_at_the_number_that_is_told(window, tmp_path):
    film = Film(every=4)
    trained(epochs=4, size=20, callbacks=[film])
    window.resize(*DESK)
    page = opened(window, film, tmp_path / "moons.html")
    heights = page.run(
        "const seen = [], draw = CanvasRenderingContext2D.prototype.arc;"
        "CanvasRenderingContext2D.prototype.arc = function (x, y, r, ...rest) {"
        " if (r === 4 && this.canvas.closest('#panel-curves')) seen.push(y); draw.call(this, x, y, r, ...rest); };"
        "const found = []; by('first').click();"
        "for (let k = 1; k < steps.length; k++) { seen.length = 0; by('next').click(); found.push(seen[0]); }"
        "CanvasRenderingContext2D.prototype.arc = draw; return found"
    )
    told = [film.recording.steps["loss"][frame.step - 1] for frame in film.recording.frames[1:]]
    assert len(told) == len(heights) > 5
    # A loss of 31 steps and more is drawn smoothed.
    assert len(film.recording.steps["loss"]) > 30
    assert np.corrcoef(told, heights)[0, 1] < -0.9999
