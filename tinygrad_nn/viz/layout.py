"""Fourth stage, from a scene to positions: Graphviz places boxes and arrows, and a long strip is laid in rows.

Rows are read like lines of text: an arrow that leaves a row on its right goes on at the left of the next one. In a
picture from top to bottom they are columns. `assets/rows.js` does the same in the page, where modules open and close
and windows change; a test compares both.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from typing import NamedTuple

from tinygrad_nn.viz import render
from tinygrad_nn.viz.dot import digraph
from tinygrad_nn.viz.options import Direction, Options
from tinygrad_nn.viz.scene import Scene

Point = tuple[float, float]
Box = tuple[float, float, float, float]

# How far lines between rows are from the row and from each other, how far frames reach beyond a cut, and how round
# corners are.
_AWAY, _LANE, _NEST, _ROUND = 12.0, 7.0, 7.0, 7.0
# How much larger a picture has to get for another row.
_WORTH = 1.1


@dataclass(slots=True)
class Layout:
    """Positions in points, y downwards.

    Attributes:
        boxes: for each box its centre, width and height.
        groups: for each frame the parts of it, one in each row, as left, top, right and bottom.
        paths: for each arrow where it begins, and for every curve of it two control points and its end.
    """

    width: float
    height: float
    boxes: dict[str, Box] = field(default_factory=dict)
    groups: dict[str, list[Box]] = field(default_factory=dict)
    paths: dict[str, list[Point]] = field(default_factory=dict)

    def turned(self) -> Layout:
        """Return the layout with rows for columns."""
        return Layout(
            self.height,
            self.width,
            {name: (y, x, h, w) for name, (x, y, w, h) in self.boxes.items()},
            {name: [(y0, x0, y1, x1) for x0, y0, x1, y1 in parts] for name, parts in self.groups.items()},
            {name: [(y, x) for x, y in path] for name, path in self.paths.items()},
        )


def strip(scene: Scene, options: Options) -> Layout:
    """Return where Graphviz places the boxes and arrows of a scene, however long that is."""
    # Arrows of gradients run beside those of the data, and have no say in the layout.
    data = replace(scene, links=[link for link in scene.links if not link.kind])
    graph = json.loads(render.run_graphviz(digraph(data, options).source, "json0"))
    _, _, wide, high = map(float, graph["bb"].split(","))
    positions = Layout(wide, high)
    for element in graph.get("objects", ()):
        if "pos" in element:
            x, y = map(float, element["pos"].split(","))
            w, h = 72 * float(element["width"]), 72 * float(element["height"])
            positions.boxes[element["name"]] = (x, high - y, w, h)
        elif "bb" in element:
            x0, y0, x1, y1 = map(float, element["bb"].split(","))
            positions.groups[element["name"].removeprefix("cluster_")] = [(x0, high - y1, x1, high - y0)]
    for edge in graph.get("edges", ()):
        # The text is: e,tip start control control point ... point; the last curve is drawn up to the tip.
        tip, *points = edge["pos"].removeprefix("e,").split()
        spots = [tuple(map(float, spot.split(","))) for spot in [*points[:-1], tip]]
        positions.paths[edge["id"]] = [(x, high - y) for x, y in spots]
    return positions


def fitted(long: Layout, direction: Direction, room: Point) -> Layout:
    """Return a strip in as many rows as make it largest in a room, but no larger than it is."""
    if direction == "TB":
        return _fitted(long.turned(), (room[1], room[0]), DOWN).turned()
    return _fitted(long, room, ACROSS)


def _fitted(long: Layout, room: Point, pads: _Pads) -> Layout:
    scales = [
        min(1.0, room[0] / (long.width / n), room[1] / (n * (long.height + 3 * _AWAY)))
        for n in range(1, 1 + max(len(long.boxes) // 3, 1))
    ]
    count = 1 + next(k for k, scale in enumerate(scales) if scale * _WORTH >= max(scales))
    return in_rows(long, count, pads) if count > 1 else long


def in_rows(long: Layout, count: int, pads: _Pads) -> Layout:
    """Return a strip in rows of about the same length."""
    # The strip begins and ends at cuts that nothing crosses.
    cuts = [_Cut(long, x) for x in (-1.0, *_places(long, count), long.width + 1.0)]
    bounds = [cut.x for cut in cuts]
    result, down = Layout(0.0, 0.0, groups={name: [] for name in long.groups}), 0.0
    shifts: list[Point] = []
    tops: list[float] = []
    for start, end in pairwise(cuts):
        frames = _frames(long, start, end, pads)
        top, bottom = _span(long, frames, start.x, end.x)
        if shifts:
            down += 2 * _AWAY + _LANE * len(start.arrows)
        tops.append(down)
        shifts.append((-start.x, down - top))
        for name, (x0, y0, x1, y1) in frames.items():
            result.groups[name].append((x0 - start.x, y0 + down - top, x1 - start.x, y1 + down - top))
        down += bottom - top
    for name, (x, y, w, h) in long.boxes.items():
        dx, dy = shifts[_row(bounds, x)]
        result.boxes[name] = (x + dx, y + dy, w, h)
    for name, path in long.paths.items():
        whole: list[Point] = []
        for k, piece in enumerate(_split(path, bounds), _row(bounds, path[0][0])):
            dx, dy = shifts[k]
            moved = [(x + dx, y + dy) for x, y in piece]
            if whole:
                lane, nested = cuts[k].arrows.index(name), max(cuts[k].inside.values(), default=-1)
                (x, y), (into_x, into_y) = whole[-1], moved[0]
                right = x + _AWAY + pads.end(nested) + _LANE * (len(cuts[k].arrows) - 1 - lane)
                left, between = (
                    into_x - _AWAY - pads.start(nested) - _LANE * lane,
                    tops[k] - _AWAY - _LANE * lane,
                )
                corners = [
                    (x, y),
                    (right, y),
                    (right, between),
                    (left, between),
                    (left, into_y),
                    (into_x, into_y),
                ]
                whole += _rounded(corners)[1:]
            whole += moved[1:] if whole else moved
        result.paths[name] = whole
    return _closed(result)


class _Pads(NamedTuple):
    """How far a frame reaches beyond what is in it: above, below, and at a cut on the left and on the right."""

    above: float
    below: float
    lead: float
    nest: float

    def start(self, inside: int) -> float:
        """Return how far a frame reaches to the left of a cut: beyond those in it that are cut there too."""
        return self.lead + self.nest * inside if inside >= 0 else 0.0

    def end(self, inside: int) -> float:
        return _NEST * max(inside, 0)


# Titles stand above; in a picture whose rows are columns that is on the left.
ACROSS, DOWN = _Pads(32.0, 12.0, 0.0, _NEST), _Pads(12.0, 12.0, 22.0, 20.0)


class _Cut:
    """A place where a strip is cut.

    Attributes:
        arrows: those that cross it, from top to bottom.
        inside: for each frame that is cut, how many that are cut stand in each other in it.
    """

    def __init__(self, long: Layout, x: float) -> None:
        self.x = x
        heights = {
            name: _height(path, x) for name, path in long.paths.items() if path[0][0] < x < path[-1][0]
        }
        self.arrows = sorted(heights, key=lambda name: (heights[name], name))
        self.inside: dict[str, int] = {}
        for name, frame in _from_within(long):
            if frame[0] < x < frame[2]:
                within = [
                    depth for other, depth in self.inside.items() if _holds(frame, long.groups[other][0])
                ]
                self.inside[name] = 1 + max(within, default=-1)


def _from_within(long: Layout) -> list[tuple[str, Box]]:
    """Return the frames of a strip, each behind those that stand in it."""
    return sorted(
        ((name, box) for name, (box,) in long.groups.items()), key=lambda entry: entry[1][2] - entry[1][0]
    )


def _holds(frame: Box, other: Box) -> bool:
    return frame[0] <= other[0] and frame[1] <= other[1] and other[2] <= frame[2] and other[3] <= frame[3]


def _frames(long: Layout, start: _Cut, end: _Cut, pads: _Pads) -> dict[str, Box]:
    """Return the parts of frames in a row; one that is cut is as high as what is left in it needs."""
    parts: dict[str, Box] = {}
    spots = [(x, y - h / 2, x, y + h / 2) for x, y, _, h in long.boxes.values() if start.x < x < end.x]
    for name, frame in _from_within(long):
        x0, y0, x1, y1 = frame
        if x1 < start.x or x0 > end.x:
            continue
        if name in start.inside or name in end.inside:
            inner = [
                box
                for box in (*spots, *parts.values())
                if x0 < box[2] and box[0] < x1 and y0 < box[1] and box[3] < y1
            ]
            x0 = max(x0, start.x - pads.start(start.inside.get(name, -1)))
            x1 = min(x1, end.x + pads.end(end.inside.get(name, -1)))
            y0 = min((box[1] for box in inner), default=y0 + pads.above) - pads.above
            y1 = max((box[3] for box in inner), default=y1 - pads.below) + pads.below
        parts[name] = (x0, y0, x1, y1)
    return parts


def _span(long: Layout, frames: Mapping[str, Box], left: float, right: float) -> Point:
    """Return the top and the bottom of a row."""
    spans = [(y - h / 2, y + h / 2) for x, y, _, h in long.boxes.values() if left < x < right]
    spans += [(y0, y1) for _, y0, _, y1 in frames.values()]
    spans += [(y, y) for path in long.paths.values() for x, y in path if left < x < right]
    return min(top for top, _ in spans), max(bottom for _, bottom in spans)


def _places(long: Layout, count: int) -> list[float]:
    """Return where to cut a strip: between boxes, through few arrows and frames, in parts of about the same length."""
    costs: list[tuple[float, int]] = []
    frames = [box for (box,) in long.groups.values()]
    end = inf
    for left, right in sorted((x - w / 2, x + w / 2) for x, _, w, _ in long.boxes.values()):
        if left > end:
            cut, framed = _between(end, left, frames)
            crossed = sum(path[0][0] < cut < path[-1][0] for path in long.paths.values())
            costs.append((cut, crossed + 3 * framed))
        end = right if end == inf else max(end, right)
    part = long.width / count
    places = []
    for k in range(1, count):
        near = [
            (cost + 3 * abs(x - k * part) / part, x) for x, cost in costs if abs(x - k * part) < 0.45 * part
        ]
        if near:
            places.append(min(near)[1])
    return places


def _between(left: float, right: float, frames: Sequence[Box]) -> tuple[float, int]:
    """Return where between boxes a cut goes through the fewest frames, with the most room, and how many these are."""
    sides = sorted({left, right, *(x for box in frames for x in box[::2] if left < x < right)})
    cuts = [
        (sum(box[0] < (a + b) / 2 < box[2] for box in frames), a - b, (a + b) / 2) for a, b in pairwise(sides)
    ]
    framed, _, cut = min(cuts)
    return cut, framed


def _row(bounds: list[float], x: float) -> int:
    """Return the row that a place of a strip is in."""
    return min(max(bisect_right(bounds, x), 1), len(bounds) - 1) - 1


def _height(path: list[Point], x: float) -> float:
    """Return where a path crosses a cut."""
    return _split(path, [path[0][0] - 1, x, path[-1][0] + 1])[0][-1][1]


def _split(path: list[Point], bounds: list[float]) -> list[list[Point]]:
    """Return the parts of a path between cuts."""
    row, last = _row(bounds, path[0][0]), _row(bounds, path[-1][0])
    pieces = [[path[0]]]
    for k in range(1, len(path), 3):
        curve = [pieces[-1][-1], *path[k : k + 3]]
        while row < last and curve[3][0] > bounds[row + 1]:
            before, curve = _divided(curve, bounds[row + 1])
            pieces[-1] += before[1:]
            pieces.append([curve[0]])
            row += 1
        pieces[-1] += curve[1:]
    return pieces


def _divided(curve: list[Point], cut: float) -> tuple[list[Point], list[Point]]:
    """Return the parts of a curve before and behind a cut (de Casteljau 1959)."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        before, behind = _at(curve, middle)
        low, high = (middle, high) if before[3][0] < cut else (low, middle)
    return before, behind


def _at(curve: list[Point], t: float) -> tuple[list[Point], list[Point]]:
    before, behind, level = [curve[0]], [curve[-1]], curve
    while len(level) > 1:
        level = [(a + (c - a) * t, b + (d - b) * t) for (a, b), (c, d) in pairwise(level)]
        before.append(level[0])
        behind.insert(0, level[-1])
    return before, behind


def _rounded(corners: list[Point]) -> list[Point]:
    """Return the path along corners, as curves."""
    path = [corners[0]]
    for (a, b), (x, y), (c, d) in zip(corners, corners[1:], corners[2:], strict=False):
        before, behind = abs(x - a) + abs(y - b), abs(c - x) + abs(d - y)
        r = min(_ROUND, before / 2, behind / 2)
        start = (x + (a - x) * r / max(before, 1e-9), y + (b - y) * r / max(before, 1e-9))
        end = (x + (c - x) * r / max(behind, 1e-9), y + (d - y) * r / max(behind, 1e-9))
        path += [path[-1], start, start, (x, y), (x, y), end]
    return [*path, path[-1], corners[-1], corners[-1]]


def _closed(rows: Layout) -> Layout:
    """Return rows with nothing left of or above the origin, and their width and height."""
    xs = [x + side * w / 2 for x, _, w, _ in rows.boxes.values() for side in (-1, 1)]
    ys = [y + side * h / 2 for _, y, _, h in rows.boxes.values() for side in (-1, 1)]
    for parts in rows.groups.values():
        xs += [x for part in parts for x in part[::2]]
        ys += [y for part in parts for y in part[1::2]]
    for path in rows.paths.values():
        xs += [x for x, _ in path]
        ys += [y for _, y in path]
    dx, dy = -min(xs), -min(ys)
    return Layout(
        max(xs) + dx,
        max(ys) + dy,
        {name: (x + dx, y + dy, w, h) for name, (x, y, w, h) in rows.boxes.items()},
        {
            name: [(x0 + dx, y0 + dy, x1 + dx, y1 + dy) for x0, y0, x1, y1 in parts]
            for name, parts in rows.groups.items()
        },
        {name: [(x + dx, y + dy) for x, y in path] for name, path in rows.paths.items()},
    )
