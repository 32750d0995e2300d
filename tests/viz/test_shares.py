"""Shares of the time in pictures: each box has its own, each frame that of what is in it, and nothing is made up."""

import re

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import X, Y, network
from tests.support.steps import training_step
from tests.support.words import english
from tinygrad_nn import viz
from tinygrad_nn.graph.times import Times
from tinygrad_nn.viz.shares import percent


def step():
    model = network()
    return training_step(model, tn.optim.SGD(model.parameters(), lr=0.1))


def graph():
    return tn.trace(step(), X, Y)[0]


def index(graph, name, phase="forward"):
    return next(value.index for value in graph.ops if value.op.name == name and value.phase == phase)


def drawn(parts, **options):
    """Return the boxes, by their titles, and the frames of a picture of a step that took 10 seconds."""
    whole = graph()
    places = {tuple(sorted(index(whole, *key) for key in keys)): took for keys, took in parts.items()}
    picture = viz.draw(Times.of(whole, 10.0, places), **options)
    boxes = {item.lines[0]: item for item in picture.scene.items.values()}
    frames = [group.title for group in picture.scene.groups.values()]
    return boxes, frames, picture


def test_a_box_says_its_share_and_that_of_its_rules_and_frames_add_up():
    whole = graph()
    tanh = index(whole, "tanh")
    rules = tuple(v.index for v in whole.ops if v.of == tanh)
    first, second = (v.index for v in whole.ops if v.op.name == "matmul" and v.phase == "forward")
    times = Times.of(whole, 10.0, {(tanh,): 0.5, rules: 2.0, (first,): 3.0, (second,): 1.0})
    picture = viz.draw(times)
    texts = {item.lines[0]: item.time for item in picture.scene.items.values()}
    assert texts["%3 tanh"] == "5.0 % · backward 20 %"
    assert [group.title for group in picture.scene.groups.values()] == [
        "Sequential · 45 % · backward 20 %",
        "0: Dense · 30 %",
        "1: Tanh · 5.0 % · backward 20 %",
        "2: Dense · 10 %",
    ]
    assert (
        "10 s a call: forward 45 %, backward 20 %, between ops 35 %; filled from 10 % on"
        in picture.scene.notes
    )
    assert [item.lines[0] for item in picture.scene.items.values() if item.hot] == [
        "%1 @",
        "%3 tanh",
        "%4 @",
    ]


def test_what_one_loop_does_together_is_a_part_of_it_for_each_and_whole_around_them():
    boxes, frames, _ = drawn({(("add", "forward"), ("tanh", "forward")): 4.0})
    assert boxes["%3 tanh"].time == "part of 40 %"
    assert not boxes["%3 tanh"].hot
    assert frames == ["Sequential · 40 %", "0: Dense · part of 40 %", "1: Tanh · part of 40 %", "2: Dense"]


def test_folded_modules_have_the_share_of_all_that_is_in_them():
    boxes, _, _ = drawn({(("add", "forward"), ("tanh", "forward")): 4.0}, depth=0)
    assert boxes["Sequential"].time == "40 %"
    assert boxes["Sequential"].hot


def test_updates_are_in_the_note_alone_and_the_backward_pass_has_no_boxes():
    boxes, _, picture = drawn({(("sgd_update", "update"),): 1.0})
    assert "sgd_update" not in boxes
    assert not any("%" in item.time for item in picture.scene.items.values())
    assert picture.scene.notes == ["10 s a call: update 10 %, between ops 90 %; filled from 10 % on"]


def test_pictures_of_all_formats_show_them():
    _, _, picture = drawn({(("tanh", "forward"),): 5.0})
    for text in (picture.svg(), picture.dot, picture.mermaid(), picture.json(), picture.html()):
        assert "50 %" in text
    assert re.search(r'class="node op hot"', picture.svg())
    assert "#fde4c8" in picture.dot


def test_a_profile_is_drawn():
    picture = viz.draw(tn.profile(step(), X, Y, calls=2).times(), title="A step")
    ops = [item for item in picture.scene.items.values() if item.kind == "op"]
    assert all("%" in item.time for item in ops)


@pytest.mark.parametrize(("share", "text"), [(1, "100 %"), (0.0995, "10 %"), (0.0994, "9.9 %"), (0, "0.0 %")])
def test_small_shares_have_a_digit_after_the_point(share, text):
    assert percent(np.float64(share)) == text


def test_shares_are_told_in_japanese():
    whole = graph()
    tanh = index(whole, "tanh")
    rules = tuple(v.index for v in whole.ops if v.of == tanh)
    picture = viz.draw(Times.of(whole, 10.0, {(tanh,): 0.5, rules: 2.0}), lang="ja")
    texts = {item.lines[0]: item.time for item in picture.scene.items.values()}
    assert texts["%3 tanh"] == "5.0 % · 逆伝播 20 %"
    assert "順伝播 5.0 %, 逆伝播 20 %, 演算の間 75 %" in picture.scene.notes[0]
    assert english(picture.scene.notes, ["s"]) == {}
