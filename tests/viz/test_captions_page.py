"""Captions in the page, in a real browser: the user's line is lit, entries of gradients show how they come about."""

import re

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.words import english, said_by
from tinygrad_nn import nn, viz
from tinygrad_nn.errors import SettingError
from tinygrad_nn.viz.lines import text_of

A = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
B = np.array([[5.0, -1.0], [6.0, 0.5]], np.float32)


def product(a, b):
    c = a @ b
    d = np.tanh(c)
    return d.sum()


def opened(window, tmp_path, **options):
    picture = viz.draw(product, *(tn.tensor(x, requires_grad=True) for x in (A, B)))
    path = tmp_path / "page.html"
    picture.html(path, **options)
    window.open(path)
    return picture


def texts(window, selector):
    return window.run(
        "return [...document.querySelectorAll(arguments[0])].map(part => part.textContent)", selector
    )


def test_the_line_of_the_user_is_lit_forward_and_backward(window, tmp_path):
    picture = opened(window, tmp_path)
    assert texts(window, "#code .lit") == []
    assert texts(window, "#code code") == ["c = a @ b", "d = np.tanh(c)", "return d.sum()"]
    lit = []
    for _ in picture.facts.steps:
        window.press("ArrowRight")
        lit += texts(window, "#code .lit code")
    lines = [text_of(value.line) for value in picture.graph.ops]
    assert lit == lines + lines[::-1]
    assert window.console() == []


def test_an_entry_of_a_gradient_is_chosen_by_click_and_by_key(window, tmp_path):
    picture = opened(window, tmp_path)
    window.press("End")
    assert texts(window, "#caption") == ["backwardmatmul: a gets g @ bᵀ, and b gets aᵀ @ g"]
    assert texts(window, "#letters") == ["g is the gradient of %1"]
    assert window.run("return document.querySelectorAll('#entries [tabindex=\"0\"]').length") == 2
    steps = picture.facts.steps[-1].arrivals
    first = steps[0].handing.entries("en")
    assert len(texts(window, "#entries .entries:first-child button")) == 4
    window.run("document.querySelector('#entries button[title=\"[0, 0]\"]').click()")
    assert texts(window, "#entries p")[0] == f"a[0, 0]: {first[0].line()}"
    assert " · 5 + " in first[0].line()
    window.run("document.querySelector('#entries button[title=\"[0, 0]\"]').focus()")
    window.run(
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true}))"
    )
    assert texts(window, "#entries p")[0] == f"a[0, 1]: {first[1].line()}"
    assert window.run("return document.activeElement.title") == "[0, 1]"
    assert window.console() == []


def test_gradient_arrows_are_in_the_legend_once_they_are_seen(window, tmp_path):
    opened(window, tmp_path)
    unseen = "return document.querySelector('.legend [data-kind=gradient]').checkVisibility()"
    assert not window.run(unseen)
    window.press("End", "Escape")
    assert window.run(unseen)


def mlp():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Dense(784, 128, rng=0), nn.ReLU(), nn.Dense(128, 10, rng=1))
    loss = nn.losses.cross_entropy(model(rng.normal(size=(32, 784)).astype(np.float32)), np.arange(32) % 10)
    return loss.graph(grads=True, title="手書き数字")


def blocks():
    block = lambda k: nn.Residual(nn.Sequential(nn.Dense(4, 4, rng=k), nn.Tanh()))
    model = nn.Sequential(*[block(k) for k in range(4)], nn.Dense(4, 1, rng=9))
    return (model(np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)) ** 2).mean().graph(grads=True)


def not_finite():
    with np.errstate(all="ignore"):
        a = tn.tensor(np.arange(6.0), requires_grad=True, name="a")
        return (np.log(a) * a).sum().graph(grads=True)


def neuron():
    w = tn.tensor(2.0, requires_grad=True, name="w")
    return np.tanh(w * 3 + 1).graph(grads=True)


def no_loss():
    return np.tanh(tn.tensor([[1.0, 2.0]], requires_grad=True, name="a")).graph()


@pytest.mark.parametrize("draw", [mlp, blocks, not_finite, neuron, no_loss])
def test_all_that_a_page_says_in_japanese_is_japanese_but_names(window, tmp_path, draw):
    picture = draw()
    picture.html(tmp_path / "page.html", lang="ja")
    window.open(tmp_path / "page.html")
    said = set(said_by(window))
    for key in [
        *["ArrowRight"] * len(picture.facts.steps),
        "Escape",
        "?",
        "Escape",
        "t",
        "Space",
        "Space",
        "Home",
    ]:
        window.press(key)
        said |= set(said_by(window))
    for text in ("a", "nothing"):
        window.run(
            "by('find').value = arguments[0]; by('find').dispatchEvent(new Event('input')); nextHit()", text
        )
        said |= set(said_by(window))
    for _ in range(window.run("return data.levels.length")):
        window.press("d")
        said |= set(said_by(window))
        for node in window.run("return shown().map(node => node.id)"):
            window.run("pick(document.getElementById(arguments[0]))", node)
            said |= set(said_by(window))
    names = [*picture.graph.labels(), *[value.op.name for value in picture.graph.ops]]
    kinds = ["Dense ReLU Tanh Sequential Residual", "float32 int64 float64", "softmax one-hot inf nan"]
    assert english(said, [*names, *kinds, "fold_repeats=False max_nodes=None"]) == {}
    assert window.console() == []


def test_while_numbers_are_tried_the_page_speaks_japanese(window, tmp_path):
    neuron().html(tmp_path / "page.html", lang="ja")
    window.open(tmp_path / "page.html")
    for key in ("End", "ArrowLeft"):
        window.press(key)
        window.run("choose(arguments[0], true)", 0)
        window.run(
            "const field = document.querySelector('.whatif input[type=number]'); field.value = -2;"
            "field.dispatchEvent(new Event('input')); field.dispatchEvent(new Event('change'));"
        )
        assert english(said_by(window), ["w float32", "multiply tanh add"]) == {}
    assert window.console() == []


@pytest.mark.parametrize("draw", [mlp, blocks, not_finite, no_loss])
def test_what_explains_a_graph_in_japanese_is_japanese_but_names(draw):
    picture = draw()
    names = [*picture.graph.labels(), *[value.op.name for value in picture.graph.ops]]
    assert english([picture.explain(lang="ja")], [*names, "softmax one-hot for", "inf nan"]) == {}


def test_a_picture_in_japanese_has_its_legend_labels_and_notes_in_it():
    loss = nn.losses.mse(nn.Dense(2, 1, rng=0)(np.ones((3, 2), np.float32)), np.zeros((3, 1), np.float32))
    picture = loss.graph(grads=True, lang="ja")
    texts = list(re.findall(r"<(?:text|title|desc)[^>]*>([^<]*)", picture.svg()))
    assert {"パラメータ", "勾配の流れ"} <= set(texts)
    names = [*picture.graph.labels(), *[value.op.name for value in picture.graph.ops]]
    assert english(texts, [*names, "Dense", "in_features"]) == {}
    assert picture.explain() == picture.explain(lang="ja")
    assert picture.html() == picture.html(lang="ja")
    with pytest.raises(SettingError, match="graph: lang is one of 'en', 'ja', got 'de'"):
        loss.graph(lang="de")


def test_the_page_speaks_japanese(window, tmp_path):
    opened(window, tmp_path, lang="ja")
    assert window.run("return document.documentElement.lang") == "ja"
    assert texts(window, "#caption") == ["→ キーか「再生」で、順伝播から誤差逆伝播まで一つずつたどれます。"]
    window.press("ArrowRight")
    assert texts(window, "#caption") == ["順伝播%1 = matmul(a, b)"]
    window.press("End")
    assert texts(window, "#caption") == ["逆伝播matmul：a の勾配は g @ bᵀ、b の勾配は aᵀ @ g"]
    assert texts(window, "#letters") == ["g は %1 の勾配"]
    assert texts(window, "#arrivals th") == ["勾配", "これまで", "届いた分", "合計"]
    assert window.console() == []


def test_a_page_without_lines_has_no_listing(window, tmp_path):
    w = tn.tensor(2.0, requires_grad=True)
    path = tmp_path / "page.html"
    (w * w).graph().html(path)
    window.open(path)
    assert not window.run("return document.getElementById('code').checkVisibility()")
    window.press("End")
    assert texts(window, "#caption") == [
        "backwardmultiply: w gets g · w = 1 · 2 = 2, and w gets g · w = 1 · 2 = 2"
    ]
