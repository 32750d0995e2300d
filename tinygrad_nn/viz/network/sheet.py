"""What is shown of a network, and where: the neurons of each layer, boxes, the loss, and the steps of the walk."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tinygrad_nn.languages import phrase
from tinygrad_nn.viz.entries import number
from tinygrad_nn.viz.network.layers import Box, Column
from tinygrad_nn.viz.network.options import Choices
from tinygrad_nn.viz.network.walk import Walk
from tinygrad_nn.viz.network.words import PHRASES
from tinygrad_nn.viz.theme import LINE, TITLE, width

RADIUS, PITCH = 19.0, 54.0
# The longest side of an image, and of one of its pixels.
_SIDE, _PIXEL = 170.0, 6.0
# A row of so many numbers, a square, may be an image.
_IMAGE = 64
_TITLE_ROOM = 150.0
_GAP, _LEAST_GAP = 24.0, 10.0


@dataclass(slots=True)
class Place:
    """Where a stage is drawn, and what of it.

    Attributes:
        kind: `neurons`, `image` (of the input), `box` or `loss`.
        title, lines: what is written above neurons, or inside of the box.
        shown: which neurons; `left` of them are left out, behind the first `lead`.
        wide, high, x, ys: its size, its centre, and those of its neurons; `room` is the width with what is written,
            `spare` how much nearer to the place before it may come in a narrow window.
    """

    kind: str
    stage: Column | Box
    title: str
    lines: list[str]
    wide: float
    high: float
    shown: list[int] = field(default_factory=list)
    lead: int = 0
    left: int = 0
    image: tuple[int, int] | None = None
    room: float = 0.0
    spare: float = 0.0
    x: float = 0.0
    ys: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Step:
    """One step of the walk: which place computes, or hands gradients back, and what to say of it."""

    phase: str
    place: int
    caption: str


class Sheet:
    """All that is shown of a walk.

    Attributes:
        places: from the input to the output, and the loss if there is one.
        examples: how many rows can be looked at.
        middle, wide: where the centres of columns are, and how wide all of it is.
        steps: forward, then backward.
    """

    def __init__(self, walk: Walk, choices: Choices, image: tuple[int, int] | bool) -> None:
        self.walk, self.choices = walk, choices
        self._most, self._image = choices.most, image
        self.examples = min(choices.examples, walk.chain.rows)
        self.places = [self._place(k, stage) for k, stage in enumerate(walk.chain.stages)]
        if walk.loss is not None:
            self.places.append(self._box("loss", Box([walk.loss_name], []), [number(walk.loss)]))
        high = max(place.high for place in self.places)
        self.middle = high / 2
        self.wide = self._arrange(min(max(0.24 * high, 84.0), 170.0))
        self.steps = [*self._forward(), *self._backward()]

    def say(self, name: str, **fields: object) -> str:
        """Return a phrase in the language of the view."""
        return phrase(PHRASES, name, self.choices.lang, **fields)

    def notes(self) -> list[str]:
        """Return what the reader of a picture has to know: what is left out, and where no gradient comes."""
        notes = []
        for place in self.places:
            if place.left:
                n, last = place.lead + place.left, len(place.shown) - place.lead
                notes.append(self.say("left out", layer=place.title, n=n + last, first=place.lead, last=last))
        unreached = [
            p.title for p in self.places if isinstance(p.stage, Column) and p.stage.to_before is None
        ]
        if self.walk.loss is not None and unreached:
            notes.append(self.say("no gradient", names=", ".join(unreached)))
        return notes

    def _place(self, k: int, stage: Column | Box) -> Place:
        if isinstance(stage, Box):
            return self._box("box", stage, [] if k else [" × ".join(map(str, stage.shape))])
        before = self.walk.chain.stages[: k + 1]
        layers = sum(isinstance(s, Column) and s.weight is not None for s in before)
        title = stage.name or self.say("result" if stage.weight is None else "layer", n=layers)
        lines = [f"a = {stage.formula}"] if stage.formula else []
        image = self._as_image(stage) if k == 0 else None
        if image is not None:
            h, w = image
            pixel = min(_PIXEL, _SIDE / max(image))
            lines.append(self.say("image", h=h, w=w))
            return Place("image", stage, title, lines, w * pixel, h * pixel, image=image)
        n = stage.size
        one, several = ("one", "neurons") if k else ("value", "values")
        lines.append(self.say(one) if n == 1 else self.say(several, n=n))
        lead, shown = n, list(range(n))
        if n > self._most:
            lead = (self._most + 1) // 2
            shown = [*range(lead), *range(n - self._most // 2, n)]
        left = n - len(shown)
        high = PITCH * (len(shown) - (not left)) + 2 * RADIUS
        return Place("neurons", stage, title, lines, 2 * RADIUS, high, shown, lead, left)

    def _box(self, kind: str, stage: Box, more: list[str]) -> Place:
        lines = [*wrapped(stage.name), *more]
        wide = max(width(text, LINE, 1.08) for text in lines) + 20
        return Place(kind, stage, stage.name, more, max(wide, 60.0), 1.4 * LINE * len(lines) + 26)

    def _as_image(self, column: Column) -> tuple[int, int] | None:
        if isinstance(self._image, tuple) or not self._image:
            return self._image or None
        side = math.isqrt(column.size)
        square = side * side == column.size >= _IMAGE and column.size > self._most
        return self.walk.chain.image or ((side, side) if square else None)

    def _arrange(self, gap: float) -> float:
        """Give every place its x and y; return where the last one ends."""
        x = 0.0
        for k, place in enumerate(self.places):
            place.room = place.wide
            if place.kind not in ("box", "loss"):
                texts = [(place.title, TITLE * 1.08), *((text, LINE) for text in place.lines)]
                place.room = max(place.wide, *(width(fitted(text, size), size) for text, size in texts))
            between = max(gap - (place.room - place.wide) / 2, _GAP) if k else 0.0
            place.spare = max(between - _LEAST_GAP, 0.0)
            x += between + place.room / 2
            place.x = x
            x += place.room / 2
            top = self.middle - PITCH * (len(place.shown) - (not place.left)) / 2
            skips = [bool(place.left and n >= place.lead) for n in range(len(place.shown))]
            place.ys = [top + PITCH * (n + skip) for n, skip in enumerate(skips)]
        return x

    def _forward(self) -> list[Step]:
        """Return the steps from the input to the output, and the loss."""
        steps = []
        for k, place in enumerate(self.places):
            stage, layer = place.stage, place.title
            box = self.places[k - 1].title
            if place.kind == "loss":
                rows, value = self.walk.chain.rows, number(self.walk.loss)
                how = "loss" if rows > 1 else "loss of one"
                caption = self.say(how, loss=layer, rows=rows, value=value)
            elif isinstance(stage, Box):
                caption = self.say("box", box=layer)
            elif stage.weight is not None:
                function = self.say("then", formula=stage.formula) if stage.formula else ""
                bias = "" if stage.bias is None else self.say("bias")
                caption = self.say("computes", layer=layer, bias=bias, function=function)
            elif not k:
                caption = self.say("given", layer=layer)
            elif stage.formula:
                caption = self.say("applies", layer=layer, formula=stage.formula, box=box)
            else:
                caption = self.say("made", layer=layer, box=box)
            steps.append(Step("forward", k, caption))
        return steps

    def _backward(self) -> list[Step]:
        """Return the steps from the loss to the input, as far as gradients come."""
        steps = []
        for k in reversed(range(len(self.places) - 1) if self.walk.loss is not None else ()):
            place, after = self.places[k], self.places[k + 1]
            stage, layer, function = place.stage, place.title, ""
            if isinstance(stage, Box):
                steps.append(Step("backward", k, self.say("back through box", box=layer)))
                continue
            if stage.to_before is None:
                continue
            if stage.formula:
                how = "times slope" if stage.slope is not None else "through"
                function = self.say(how, formula=stage.formula)
            if not k:
                caption = self.say("back to input", layer=layer)
            elif after.kind == "loss":
                caption = self.say("back from loss", layer=layer, loss=after.title, function=function)
            elif after.kind == "box":
                caption = self.say("back from box", layer=layer, box=after.title, function=function)
            else:
                caption = self.say("back", layer=layer, function=function)
            steps.append(Step("backward", k, caption))
        return steps


def fitted(text: str, size: float) -> str:
    """Return a text that fits above a column: without its first parts, which are between slashes, or its end."""
    parts = text.split(" / ")
    while len(parts) > 1 and width(" / ".join(parts), size) > _TITLE_ROOM:
        parts = ["…", *parts[1 + (parts[0] == "…") :]] if parts != ["…", parts[-1]] else parts[1:]
    text = " / ".join(parts)
    if width(text, size) <= _TITLE_ROOM:
        return text
    return next(f"{text[:n]}…" for n in range(len(text), 0, -1) if width(f"{text[:n]}…", size) <= _TITLE_ROOM)


def wrapped(text: str, most: int = 18) -> list[str]:
    """Return a text in lines of about so many characters, at most four, cut at its spaces."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines if len(lines) <= 4 else [*lines[:3], "…"]
