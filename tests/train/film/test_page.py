"""The page of a film in a real browser: every frame is reached and drawn, and nothing is loaded or logged."""

import json
import re

import pytest

from tests.support.training import trained
from tests.support.words import english, said_by
from tests.train.film.test_film import DIGITS, IMAGES, Doctor, filmed
from tinygrad_nn import nn, train
from tinygrad_nn.train import Film

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
    assert "dead-units 1: ReLU at step 9" in " ".join(text(page, "panel-findings").split())
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
