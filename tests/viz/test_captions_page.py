"""Captions in the page, in a real browser: the user's line is lit, entries of gradients show how they come about."""

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import viz
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


def test_the_page_speaks_japanese(window, tmp_path):
    opened(window, tmp_path, lang="ja")
    assert window.run("return document.documentElement.lang") == "ja"
    assert texts(window, "#caption") == ["→ か Play で、順伝播から誤差逆伝播まで一つずつたどれます。"]
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
