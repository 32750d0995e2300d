"""What a film has recorded: its frames, what was measured at every step, and what the page is made of."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import UsageWarning
from tinygrad_nn.languages import Language, phrase
from tinygrad_nn.nn.embedding import Embedding
from tinygrad_nn.primitives import Array
from tinygrad_nn.train.film.asking import Asked, Sample, ask, untouched
from tinygrad_nn.train.film.layers import Activations, Gradients, Weights
from tinygrad_nn.train.film.looks import Guesses, Line, Look, Plane, Taken, Truth
from tinygrad_nn.train.film.packing import Json, rounded
from tinygrad_nn.train.film.phrases import PHRASES
from tinygrad_nn.train.film.units import Hidden, Network, before_last, chain_of
from tinygrad_nn.train.parts import Model
from tinygrad_nn.train.sampling import places_of
from tinygrad_nn.viz.entries import number

FRAMES = 100
"""Frames that a film aims at."""
KEPT = 400
"""Frames that are held in memory; of more every other one is let go, the first and the last never."""
POINTS = 1000
"""Points of a curve."""


class Moment(NamedTuple):
    """After how many steps and epochs, at which rate."""

    step: int
    epoch: float
    rate: float


class Frame(NamedTuple):
    """One moment, and what each look has of it."""

    step: int
    epoch: float
    rate: float
    taken: Mapping[str, Taken]


class Finding(NamedTuple):
    """Something that a doctor found, as one of its reports says it, and the step after which it was first there."""

    step: int
    name: str
    module: str
    text: str
    line: str


class Recording:
    """The frames of one training, and all else that its page needs.

    Attributes:
        every: so many steps are between two frames.
        looks: what is looked at in each frame.
        steps: the numbers measured at every step, by name.
        epochs: the number of steps at the end of each epoch, with its row of the history.
        reports: for the steps at which they changed, what doctors reported, the most important first.
        asked_doctor: whether a doctor was among the callbacks.
        ended: in words, why the training ended early.
    """

    def __init__(self, title: str, lang: Language, every: int) -> None:
        self.title, self.lang, self.every = title, lang, every
        self.frames: list[Frame] = []
        self.looks: list[Look] = []
        self.steps: dict[str, list[float]] = {}
        self.epochs: list[tuple[int, Mapping[str, float]]] = []
        self.reports: dict[int, list[Finding]] = {}
        self.asked_doctor = False
        self.ended: str | None = None
        self.start = 0
        self.model = ""
        self._notes: list[str] = []
        self._sample: Sample | None = None

    def say(self, name: str, **fields: object) -> None:
        """Add a note to the page."""
        text = phrase(PHRASES, name, self.lang, **fields)
        if text not in self._notes:
            self._notes.append(text)

    def measure(self, numbers: Mapping[str, float]) -> None:
        """Keep what was measured at a step."""
        for name, value in numbers.items():
            self.steps.setdefault(name, []).append(float(value))

    def look(
        self,
        model: Model,
        parameters: Mapping[str, Tensor],
        of: Sample,
        before: Mapping[str, Array],
        moment: Moment,
    ) -> None:
        """Record a frame of this moment."""
        taken: dict[str, Taken] = {}
        with untouched(model):
            asked = Asked(model, of, None, [], parameters, before)
            try:
                asked = ask(model, parameters, of, before)
            except Exception as error:
                self.fails("sample", error)
            if not self.frames:
                self._begin(asked, of)
            for look in list(self.looks):
                try:
                    taken[look.part] = look.take(asked)
                except Exception as error:
                    self.fails(look.part, error)
                    self.looks.remove(look)
        self.frames.append(Frame(moment.step, moment.epoch, moment.rate, taken))
        if len(self.frames) > KEPT:
            self.every *= 2
            self.frames = [*self.frames[:-1:2], self.frames[-1]]

    def fails(self, part: str, error: Exception) -> None:
        """Say on the page, and once to the program, what cannot be shown; the training is not to suffer from it."""
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        before = len(self._notes)
        self.say("note-fails", part=phrase(PHRASES, part, self.lang), error=text)
        if len(self._notes) > before:
            warnings.warn(f"Film: {self._notes[-1]}", UsageWarning, stacklevel=2)

    def _begin(self, asked: Asked, of: Sample) -> None:
        """Choose what there is to look at in this model and these data."""
        self._sample = of
        predictions = asked.predictions
        truth = Truth(of, predictions)
        # Whole numbers that stand for something have nothing between them.
        x = None if any(isinstance(call.module, Embedding) for call in asked.calls) else of.only
        rows, flat = (0, False) if predictions is None else (len(predictions), predictions.ndim <= 2)
        columns = 0 if predictions is None or not rows else predictions.size // rows
        if predictions is not None and truth.targets is None:
            self.say("note-no-guesses", shape=predictions.shape)
        one = x is not None and x.shape[1:] in ((), (1,)) and x.dtype.kind == "f"
        two = x is not None and x.shape[1:] == (2,) and flat and 0 < columns <= 10
        chain = chain_of(asked) if of.only is not None and of.only.ndim == 2 else []
        makers: dict[str, tuple[object, Callable[[], Look]]] = {
            "plane": (two, lambda: Plane(of, truth, columns)),
            "line": (one and rows, lambda: Line(of, truth)),
            "guesses": (truth.targets is not None, lambda: Guesses(of, truth)),
            "network": (chain, lambda: Network(chain, of)),
            "weights": (any(p.ndim >= 2 for p in asked.parameters.values()), lambda: Weights(asked, of)),
            "activations": (asked.calls, lambda: Activations(asked)),
            "hidden": (truth.targets is not None and before_last(asked) is not None, lambda: Hidden(truth)),
            "gradients": (asked.parameters, lambda: Gradients(asked)),
        }
        for part, (there, make) in makers.items():
            if there:
                try:
                    self.looks.append(make())
                except Exception as error:
                    self.fails(part, error)
        for look in self.looks:
            for name, fields in look.notes:
                self.say(name, **fields)

    @property
    def findings(self) -> list[Finding]:
        """What the last report says."""
        return next(reversed(self.reports.values()), [])

    def find(self, findings: Sequence[object], step: int) -> None:
        """Keep what doctors report now; each finding has a name, and may have module, text or numbers, and line."""
        self.asked_doctor = True
        known = {(finding.name, finding.module): finding.step for finding in self.findings}
        report = []
        for finding in findings:
            text = getattr(finding, "text", None) or getattr(finding, "numbers", "")
            if isinstance(text, Mapping):
                text = ", ".join(f"{name} {number(value)}" for name, value in text.items())
            name, module = str(getattr(finding, "name", finding)), str(getattr(finding, "module", None) or "")
            since = known.get((name, module), step)
            found = Finding(since, name, module, str(text), str(getattr(finding, "line", None) or ""))
            if found not in report:
                report.append(found)
        if report != self.findings:
            self.reports[step] = report

    def rows_looked_at(self) -> int:
        """Return how many rows of data the model was asked about."""
        only = self._sample.only if self._sample else None
        return 0 if only is None else len(only)

    def thinned(self, most: int) -> list[Frame]:
        """Return at most so many frames, evenly spread, the first and the last among them."""
        return [self.frames[k] for k in places_of(len(self.frames), most)]

    def packed(self, frames: Sequence[Frame]) -> Json:
        """Return what the page has of some frames, and of all steps."""
        parts: Json = {}
        for look in list(self.looks):
            taken = [frame.taken[look.part] for frame in frames if look.part in frame.taken]
            if taken:
                parts[look.part] = look.packed(taken)
        rows = list(self.epochs)
        names = [name for name in (rows[-1][1] if rows else {}) if name != "seconds"]
        return {
            "title": self.title,
            "model": self.model,
            "steps": [frame.step for frame in frames],
            "epochs": rounded([frame.epoch for frame in frames]),
            "rates": rounded([frame.rate for frame in frames]),
            "curves": self._curves(),
            "history": {
                "ends": [step for step, _ in rows],
                "columns": {name: rounded([row[name] for _, row in rows]) for name in names},
            },
            "parts": parts,
            "doctor": self.asked_doctor,
            "reports": [
                [step, [finding._asdict() for finding in report]] for step, report in self.reports.items()
            ],
            "notes": self._said(len(frames)),
        }

    def _curves(self) -> Json:
        """Return loss and metrics of the steps: the means of neighbours, where there are more than can be drawn."""
        columns: Json = {}
        count = max(map(len, self.steps.values()), default=0)
        width = max(1, math.ceil(count / POINTS))
        ends = [min(k + width, count) for k in range(0, count, width)]
        for name, values in self.steps.items():
            pieces = [values[k : k + width] for k in range(0, count, width)]
            columns[name] = rounded([sum(piece) / len(piece) for piece in pieces if piece])
        return {"steps": [self.start + end for end in ends], "columns": columns, "width": width}

    def _said(self, shown: int) -> list[str]:
        texts = [*self._notes]
        total = max(map(len, self.steps.values()), default=0)
        said = {"shown": shown, "recorded": len(self.frames), "steps": total, "every": self.every}
        texts.insert(0, phrase(PHRASES, "note-frames", self.lang, **said))
        if self.rows_looked_at():
            texts.insert(1, phrase(PHRASES, "note-rows", self.lang, rows=self.rows_looked_at()))
        if total > POINTS:
            texts.append(phrase(PHRASES, "note-curve-thinned", self.lang, width=math.ceil(total / POINTS)))
        if self.start:
            texts.append(phrase(PHRASES, "note-resumed", self.lang, step=self.start))
        if self.ended:
            texts.append(phrase(PHRASES, "note-ended", self.lang, why=self.ended))
        return texts
