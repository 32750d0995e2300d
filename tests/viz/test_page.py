"""The interactive page in a real browser: it loads and logs nothing, and the keyboard reaches every step."""

import re

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X, loss
from tinygrad_nn import nn, viz

RNG = np.random.default_rng(0)


IMAGES = RNG.normal(size=(32, 784)).astype(np.float32)


LABELS = np.arange(32) % 10


def mlp():
    model = nn.Sequential(nn.Dense(784, 128, rng=0), nn.ReLU(), nn.Dense(128, 10, rng=1))
    loss = nn.losses.cross_entropy(model(IMAGES), LABELS)
    return loss.graph(names={"x": IMAGES, "labels": LABELS}, title="MNIST MLP")


def opened(window, picture, path):
    picture.html(path)
    window.open(path)
    return window


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_page_of_an_mlp_is_small_and_self_contained(lang):
    text = mlp().html(lang=lang)
    assert len(text.encode()) < 100_000
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "default-src 'none'" in text
    assert "%6 = cross_entropy(%5, labels" in text


def test_stepping_by_keyboard_shows_every_op_forward_and_backward(window, tmp_path):
    picture = mlp()
    page = opened(window, picture, tmp_path / "mlp.html")
    captions, shown = [], []
    for _ in picture.facts.steps:
        page.press("ArrowRight")
        captions.append(page.run("return document.getElementById('caption').textContent"))
        shown.append(page.run("return document.querySelector('.node.now').id"))
    assert captions == [step.phase + step.caption() for step in picture.facts.steps]
    ops = [f"n{value.index}" for value in picture.graph.ops]
    assert [name.partition("-")[2] for name in shown] == ops + ops[::-1]
    assert page.run("return document.querySelectorAll('.level .edge.gradient.on').length") == 9
    page.press("Home")
    assert page.run("return document.getElementById('count').textContent") == "0 / 12"
    page.press("End")
    assert page.run("return document.getElementById('count').textContent") == "12 / 12"
    assert page.requests() == [(tmp_path / "mlp.html").as_uri()]
    assert page.console() == []


def test_panels_show_statistics_gradient_rule_source_and_module(window, tmp_path):
    picture = mlp()
    page = opened(window, picture, tmp_path / "mlp.html")
    page.run(f"document.querySelector('[id$=n{picture.graph.ops[1].index}]').focus()")
    page.press("Enter")
    text = page.run("return document.getElementById('node').innerText")
    assert "Sequential / 0: Dense" in text
    assert "(32, 128)" in text
    assert "float32" in text
    assert len(re.findall(r"mean \S+ · std \S+ · min \S+ · max \S+", text)) == 2
    assert page.run("return document.querySelector('#node .rule').textContent") == "g"
    page.press("Escape", "ArrowRight", "ArrowRight", "ArrowRight")
    assert page.run("return document.querySelector('#node .rule').textContent") == "g where %2 > 0, else 0"
    page.press("Escape")
    assert page.run("return document.getElementById('node').hidden")


def test_gradients_that_accumulate_are_shown_as_old_and_new(window, tmp_path):
    a, b = (tn.tensor(v, requires_grad=True, name=n) for v, n in ((2.0, "a"), (-3.0, "b")))
    page = opened(window, (a * b + a**2).graph(), tmp_path / "small.html")
    page.press("End")
    row = page.run(
        "return [...document.querySelectorAll('#arrivals tbody tr:first-child td')].map(c => c.innerText)"
    )
    assert row == ["a", "4", "+ -3", "= 1"]
    assert page.run("return document.querySelector('[id$=n0] .gradient').textContent") == "grad 1"
    page.press("ArrowLeft")
    assert page.run("return document.querySelector('[id$=n0] .gradient').textContent") == "grad 4"


def test_keys_change_detail_zoom_and_theme_and_find_nodes(window, tmp_path):
    page = opened(window, mlp(), tmp_path / "mlp.html")
    count = "return document.querySelectorAll('.node:not([hidden])').length"
    assert page.run(count) == 12
    page.press("d")
    assert page.run(count) == 4
    page.press("d", "d")
    page.press("/", "r", "e", "l", "u", "Enter")
    assert page.run("return document.getElementById('hits').textContent") == "1 of 1"
    assert "relu" in page.run("return document.querySelector('.chosen').textContent")
    page.press("Escape")
    before = page.run("return document.querySelector('.level').getAttribute('viewBox')")
    page.press("+")
    assert page.run("return document.querySelector('.level').getAttribute('viewBox')") != before
    page.press("f", "t")
    assert page.run("return document.documentElement.dataset.theme") == "dark"
    assert page.console() == []


NODES = "return document.querySelectorAll('.node:not([hidden])').length"


MODULES = (
    "return [...document.querySelectorAll('.node.module:not([hidden])')]"
    ".map(node => node.querySelector('text').textContent)"
)


def module(title):
    """Return the script that finds the box of a closed module."""
    return f"[...document.querySelectorAll('.node.module:not([hidden])')].find(n=>n.textContent.startsWith({title!r}))"


def blocks(count, **options):
    model = nn.Sequential(*[nn.Sequential(nn.Dense(6, 6, rng=k), nn.Tanh()) for k in range(count)])
    return model.graph(np.ones((2, 6), np.float32), **options)


def test_a_folded_run_of_blocks_opens_and_closes_one_by_one(window, tmp_path):
    page = opened(window, blocks(40), tmp_path / "blocks.html")
    assert page.run(MODULES) == ["1: Sequential … 39: Sequential"]
    page.run("document.querySelector('.node.module:not([hidden])').focus()")
    page.press("Enter")
    assert "39 more of the same" in page.run("return document.getElementById('node').innerText")
    assert page.run(MODULES) == [f"{k}: Sequential" for k in range(1, 40)]
    before = page.run(NODES)
    # Two of them, by keyboard and by its button.
    page.run(f"{module('7: Sequential')}.focus()")
    page.press("Enter")
    page.run(f"choose({module('39: Sequential')}.id.slice(2))")
    page.run("document.getElementById('open').click()")
    assert "7: Sequential" not in page.run(MODULES)
    assert "39: Sequential" not in page.run(MODULES)
    assert page.run("return document.getElementById('detail').value") == "-1"
    # Its parts are closed: Dense and Tanh.
    assert page.run(NODES) == before + 2
    page.run("document.getElementById('open').click()")
    assert "39: Sequential" in page.run(MODULES)
    page.run("showLevel(data.levels.length - 1)")
    assert page.run(NODES) == 201
    assert page.run(MODULES) == []
    assert page.console() == []


def test_no_label_is_wider_than_its_shape(window, tmp_path):
    page = opened(window, mlp(), tmp_path / "mlp.html")
    overflow = page.run(
        "return [...document.querySelectorAll('.node:not([hidden])')].filter(node => {"
        " const box = node.querySelector('.shape').getBBox();"
        " return [...node.querySelectorAll('text')].some(text => {"
        "  const inner = text.getBBox();"
        "  return inner.x < box.x || inner.x + inner.width > box.x + box.width"
        "   || inner.y < box.y || inner.y + inner.height > box.y + box.height; }); })"
        ".map(node => node.id)"
    )
    assert overflow == []


@pytest.mark.parametrize("options", [{"grads": True}, {"fold_repeats": False}])
def test_a_page_has_its_levels_with_gradients_and_with_repeats_opened(options):
    model = nn.Sequential(*[nn.Dense(5, 5, rng=k) for k in range(6)])
    loss = lambda x: (model(x) ** 2).sum()
    page = viz.draw(loss, X, **options).html()
    assert "all ops" in page
    assert ("all ops, repeats opened" in page) is ("fold_repeats" not in options)


def test_a_page_without_steps_has_no_player_and_no_story():
    page = loss().graph().html(steps=False)
    assert '"steps":[]' in page
    assert "gradient reaches" not in page
