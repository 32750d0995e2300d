"""Positions: long pictures in rows or columns, nothing on top of anything else, in seconds."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import loss
from tinygrad_nn import nn, viz
from tinygrad_nn.viz import render
from tinygrad_nn.viz.dot import extent
from tinygrad_nn.viz.layout import ACROSS, fitted, in_rows, strip

ROOM = (1200.0, 900.0)


def chain(count):
    y = tn.tensor(np.ones(8, np.float32), requires_grad=True, name="x")
    for _ in range(count):
        y = np.tanh(y)
    return y.sum()


def skipping(count, back):
    """Return a result of 2 * count + 1 ops, in which each second one reaches back."""
    kept = [tn.tensor(np.ones(4, np.float32), requires_grad=True, name="x")]
    for _ in range(count):
        kept.append(np.tanh(kept[-1]) + kept[back(len(kept))])
    return kept[-1].sum()


class Block(nn.Module):
    def __init__(self, seed):
        self.first, self.second = nn.Dense(6, 6, rng=seed), nn.Dense(6, 6, rng=seed + 50)

    def forward(self, x):
        return np.maximum(x + self.second(np.tanh(self.first(x))), 0)


def blocks(count, **options):
    model = nn.Sequential(*[Block(k) for k in range(count)])
    return model.graph(np.ones((2, 6), np.float32), fold_repeats=False, **options)


def placed(picture):
    options = picture.options
    return fitted(strip(picture.scene, options), options.direction, ROOM)


def inside(frame, box):
    x, y, w, h = box
    x0, y0, x1, y1 = frame
    return x0 < x - w / 2 and x + w / 2 < x1 and y0 < y - h / 2 and y + h / 2 < y1


PICTURES = {
    "chain": lambda: chain(150).graph(),
    "blocks": lambda: blocks(12),
    "columns": lambda: blocks(12, direction="TB"),
    "skips": lambda: skipping(40, lambda k: max(k - 5, 0)).graph(),
}


def test_a_long_picture_is_laid_in_rows_that_are_read_like_lines():
    whole = strip(PICTURES["chain"]().scene, PICTURES["chain"]().options)
    rows = placed(PICTURES["chain"]())
    assert whole.width / whole.height > 100
    assert 0.5 < rows.width / rows.height < 3
    ops = [rows.boxes[name] for name in rows.boxes]
    # From one to the next it goes to the right, or down and back to the left.
    turns = [b[0] < a[0] for a, b in pairwise(ops)]
    assert turns == [b[1] > a[1] for a, b in pairwise(ops)]
    assert 5 < sum(turns) < 30


def test_a_picture_from_top_to_bottom_is_laid_in_columns():
    columns = placed(PICTURES["columns"]())
    assert 0.4 < columns.width / columns.height < 2.5
    assert columns.groups["c0"][0][0] < columns.groups["c0"][1][0]


def test_a_picture_that_fits_stays_as_it_is():
    picture = loss().graph()
    whole = strip(picture.scene, picture.options)
    assert fitted(whole, "LR", ROOM) == whole


@pytest.mark.parametrize("name", PICTURES)
def test_boxes_do_not_overlap_and_stand_in_their_frames(name):
    picture = PICTURES[name]()
    rows = placed(picture)
    for (x, y, w, h), (a, b, c, d) in combinations(rows.boxes.values(), 2):
        assert abs(x - a) > (w + c) / 2 or abs(y - b) > (h + d) / 2
    for item in picture.scene.items.values():
        frame = item.group
        while frame is not None:
            group = picture.scene.groups[frame]
            assert any(inside(part, rows.boxes[item.id]) for part in rows.groups[group.id])
            frame = group.parent
    edge = [value for parts in rows.groups.values() for part in parts for value in part]
    assert all(0 <= value <= max(rows.width, rows.height) for value in edge)


@pytest.mark.parametrize("name", PICTURES)
def test_every_arrow_goes_from_its_tail_to_its_head(name):
    picture = PICTURES[name]()
    rows = placed(picture)
    for k, link in enumerate(picture.scene.links):
        path = rows.paths[f"e{k}"]
        assert len(path) % 3 == 1
        for end, spot in ((link.tail, path[0]), (link.head, path[-1])):
            x, y, w, h = rows.boxes[end]
            assert abs(spot[0] - x) <= w / 2 + 2
            assert abs(spot[1] - y) <= h / 2 + 2


def test_lines_between_rows_keep_clear_of_boxes_and_of_each_other():
    rows = placed(PICTURES["blocks"]())
    levels = {}
    for name, path in rows.paths.items():
        for start, again, end, end_again in zip(path, path[1:], path[2:], path[3:], strict=False):
            if start == again and end == end_again and start[1] == end[1] and math.dist(start, end) > 30:
                level, left, right = start[1], *sorted((start[0], end[0]))
                assert levels.setdefault(level, name) == name
                for x, y, w, h in rows.boxes.values():
                    assert abs(y - level) > h / 2 or x + w / 2 < left or right < x - w / 2
    assert len(levels) >= 6


def test_no_arrow_of_a_neuron_goes_around_a_box():
    w1, w2, b = (tn.tensor(v, requires_grad=True, name=n) for v, n in ((-3.0, "w1"), (1.0, "w2"), (6.9, "b")))
    picture = viz.draw(lambda x1, x2: np.tanh(x1 * w1 + x2 * w2 + b), 2.0, 0.0)
    for path in strip(picture.scene, picture.options).paths.values():
        way = sum(math.dist(a, c) for a, c in pairwise(path))
        assert way < 1.05 * math.dist(path[0], path[-1])


def test_cuts_go_between_modules():
    picture = PICTURES["blocks"]()
    rows = placed(picture)
    parts = {group.title: len(rows.groups[group.id]) for group in picture.scene.groups.values()}
    assert parts.pop("Sequential") > 2
    assert set(parts.values()) == {1}


def test_as_many_rows_as_asked_for_or_as_there_are_places_to_cut():
    picture = PICTURES["chain"]()
    whole = strip(picture.scene, picture.options)
    for count in (2, 3, 7):
        rows = in_rows(whole, count, ACROSS)
        assert len({round(y) for _, y, _, _ in rows.boxes.values()}) == count


@pytest.mark.parametrize(
    "back", [lambda k: max(k - 7, 0), lambda k: k // 2, lambda k: 0], ids=["near", "half", "first"]
)
def test_401_ops_with_arrows_that_skip_are_laid_out_whole(back):
    picture = skipping(200, back).graph(max_nodes=None)
    assert len(picture.graph.ops) == 401
    assert len(placed(picture).boxes) >= 401
    assert not picture.facts.notes


def test_who_waits_is_told_for_what(monkeypatch, capfd):
    if render.shutil.which("dot") is None:
        pytest.skip("needs dot")
    picture = skipping(100, lambda k: k // 2).graph()
    # However busy the machine is.
    monkeypatch.setattr(render, "_PATIENCE", 60.0)
    picture.svg()
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(render, "_PATIENCE", 0.0)
    picture.svg()
    assert capfd.readouterr().err == "laying out a picture of 301 arrows takes a few seconds ...\n"


def test_the_box_of_what_is_left_out_has_room_for_its_text():
    picture = chain(40).graph(max_nodes=10)
    _, _, *size = strip(picture.scene, picture.options).boxes["more"]
    assert size == pytest.approx(extent(picture.scene.items["more"]), abs=0.1)


def test_long_lines_of_numbers_stand_in_two():
    x = tn.tensor([0.123456, -0.234567, 0.345678, 0.456789], requires_grad=True, name="x")
    (item, *_) = (x * 2).graph().scene.items.values()
    assert item.texts() == ["x", "(4,)", "[0.1235, -0.2346,", "0.3457, 0.4568]"]
