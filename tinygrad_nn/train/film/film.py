"""The film of a training: a callback that records it, and the page, the picture and the server that show it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tinygrad_nn.data.minibatches import Batches, Stream
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.files import StrPath, as_path, expect_folder, write_atomically
from tinygrad_nn.languages import checked_language
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array
from tinygrad_nn.settings import positive_integer
from tinygrad_nn.train.film import gif, page
from tinygrad_nn.train.film.asking import ROWS, Sample, sample
from tinygrad_nn.train.film.live import Server
from tinygrad_nn.train.film.recording import FRAMES, Moment, Recording
from tinygrad_nn.train.metrics import is_array
from tinygrad_nn.train.parts import Batch
from tinygrad_nn.train.run import Callback, Run

EARLY = 10
"""Frames after each of which doctors are asked; later it is every fourth."""

Data = Batch | Iterable[Batch]


class Film(Callback):
    """Records a training, and makes one page of it that plays offline: a slider over the steps, and all that moves.

    Of two features the page shows the decision boundary and how sure the model is, of one the curve; of every training
    loss, metrics and rate, weights as pictures, the spreads of activations and gradients by layer, small networks unit
    by unit, predictions for a sample, and what a doctor among the callbacks found, at the step where it did. The page
    is written when training ends, in one stroke, after Ctrl-C and after an error too; of ranks the first writes it.
    The training stays bit for bit what it is without a film.

    Args:
        path: of the page, .html, or of a moving picture, .gif; None to call `render` later.
        every: record a frame after so many steps; by default so that a training has about a hundred frames.
        data: what to show predictions and boundary of, a batch such as (X, y), or batches; by default some rows of the
            training set where `data` of `fit` is of `tn.data`, and the first batch otherwise.
        live: serve the page on this machine alone (127.0.0.1) while training goes on, and print its address; in a
            notebook show it there.
        port: of the live page; 0 takes one that is free.
        title: of the page; by default it names the model.
        lang: the language of the page, "en" or "ja".

    Raises:
        SettingError: `every` below 1, an unknown language.
        ArgumentError: a path with another suffix.
        OSError: when training ends, if the file cannot be written.

    Example:
        >>> import tinygrad_nn as tn
        >>> from tinygrad_nn import nn
        >>> X, y = tn.data.moons(60)
        >>> model = nn.Sequential(nn.Dense(2, 8, rng=0), nn.Tanh(), nn.Dense(8, 2, rng=1))
        >>> film = Film(every=5)
        >>> batches, optimizer = tn.data.batches(X, y, size=20, rng=0), tn.optim.Adam(model.parameters(), lr=0.1)
        >>> loss = nn.losses.cross_entropy
        >>> history = tn.train.fit(model, loss, optimizer, batches, epochs=5, callbacks=[film], progress=False)
        >>> film
        Film(4 frames of 15 steps: Sequential)
        >>> film.html()[:15]
        '<!doctype html>'
    """

    # After all others, of which some put other weights into the model, or find something.
    rank = 2

    def __init__(
        self,
        path: StrPath | None = None,
        *,
        every: int | None = None,
        data: Data | None = None,
        live: bool = False,
        port: int = 0,
        title: str | None = None,
        lang: str = "en",
    ) -> None:
        self.path = None if path is None else _checked_path("Film", path)
        self.every = None if every is None else positive_integer("Film", "every", every)
        self.data = None if data is None else _first_batch(data)
        self.title, self.lang = title, checked_language("Film", lang)
        self.recording = Recording(title or "", self.lang, self.every or 1)
        self._server = Server(self, port) if live else None
        self._parameters: dict[str, Tensor] = {}
        self._sample: Sample | None = None
        self._before: dict[str, Array] = {}
        self._step = 0

    def on_start(self, run: Run) -> None:
        if run.rank:
            return
        if self.path is not None:
            expect_folder(self.path)
        model = run.model
        name = type(model).__name__ if isinstance(model, Module) else getattr(model, "__name__", "function")
        per_epoch = run.steps_per_epoch
        every = self.every or max(1, math.ceil(run.epochs * (per_epoch or 0) / FRAMES))
        self.recording = Recording(self.title or name, self.lang, every)
        self.recording.model = repr(model) if isinstance(model, Module) else name
        self._step = self.recording.start = run.epoch * (per_epoch or 0) + run.batch
        named = model.named_parameters() if isinstance(model, Module) else ()
        others = [p for p in run.optimizer.parameters if isinstance(p, Tensor)]
        self._parameters = dict(named) or {p.name or f"parameter {k}": p for k, p in enumerate(others)}
        self._sample = None
        if self._server is not None:
            self._server.start()

    def on_batch(self, run: Run) -> None:
        if run.rank:
            return
        if self._sample is None:
            self._sample = self._first_rows(run)
            if self._sample is not None:
                self._record(run, {})
        if (self._step + 1) % self.recording.every == 0:
            self._before = {name: p._data.copy() for name, p in self._parameters.items()}

    def on_step(self, run: Run) -> None:
        if run.rank:
            return
        self._step += 1
        self.recording.measure(run.measured)
        if self._step % self.recording.every == 0:
            self._record(run, self._before)
        self._before = {}

    def on_epoch(self, run: Run) -> None:
        if run.rank:
            return
        row = {name: run.history[name][-1] for name in run.history}
        self.recording.epochs.append((self._step, row))
        if run.epoch >= run.epochs or run.stopping is not None:
            self._record_last(run)

    def on_interrupt(self, run: Run) -> None:
        if not run.rank:
            self._record_last(run)

    def on_end(self, run: Run) -> None:
        if run.rank:
            return
        error = sys.exception()
        self.recording.ended = run.history.stopped
        if error is not None:
            self.recording.ended = f"{type(error).__name__}: {error}".partition("\n")[0]
        self._ask_doctors(run)
        if self._server is not None:
            self._server.ended = True
        if self.path is not None and self.recording.frames:
            self.render(self.path)

    def _first_rows(self, run: Run) -> Sample | None:
        """Return the rows to show predictions of; None while there are none."""
        if self.data is not None:
            inputs, targets, _ = run.parts_of(self.data)
            return sample(inputs, targets)
        try:
            inputs, targets, _ = run.parts_of(
                run.data.sample(ROWS) if isinstance(run.data, (Batches, Stream)) else run.given
            )
            found = sample(inputs, targets)
        except Exception as error:
            self.recording.fails("sample", error)
            return Sample([], ())
        only = found.only
        return None if only is not None and not len(only) else found

    def _record(self, run: Run, before: Mapping[str, Array]) -> None:
        """Record a frame of this moment."""
        if self._sample is None:
            return
        done = run.batch / run.steps_per_epoch if run.steps_per_epoch else 0.0
        lr = run.optimizer.lr
        rate = lr(max(int(run.optimizer.steps) - 1, 0)) if callable(lr) else lr
        moment = Moment(self._step, run.epoch + done, float(rate))
        self.recording.look(run.model, self._parameters, self._sample, before, moment)
        frames = len(self.recording.frames)
        # A report takes a doctor longer than a frame takes here, and most is wrong from the beginning.
        if frames <= EARLY or frames % 4 == 0:
            self._ask_doctors(run)

    def _record_last(self, run: Run) -> None:
        if self.recording.frames and self.recording.frames[-1].step != self._step:
            self._record(run, {})

    def _ask_doctors(self, run: Run) -> None:
        """Take over the reports of doctors: of callbacks with a `report` that has `findings`."""
        reports = [getattr(getattr(callback, "report", None), "findings", None) for callback in run.callbacks]
        if any(findings is not None for findings in reports):
            self.recording.find([finding for findings in reports for finding in findings or ()], self._step)

    def html(self) -> str:
        """Return the page, which loads nothing and needs nothing beside it.

        Raises:
            ArgumentError: nothing has been recorded.
        """
        return page.page([self._recorded("html")], self.lang)

    def render(self, path: StrPath) -> None:
        """Write the film, in one stroke: .html for the page, .gif for a moving picture.

        Raises:
            ArgumentError: another suffix; nothing has been recorded.
            ImportError: for a .gif, if Pillow is not there.
            OSError: the file cannot be written.
        """
        if _checked_path("render", path).suffix == ".gif":
            self.gif(path)
        else:
            write_atomically(path, [self.html().encode()])

    def gif(self, path: StrPath, *, seconds: float = 10.0) -> None:
        """Write a moving picture of boundary, predictions or weights, and the loss, which takes so long.

        Raises:
            ArgumentError: nothing has been recorded.
            ImportError: Pillow is not there (extra `plot`).
            OSError: the file cannot be written.
        """
        write_atomically(path, [gif.gif(self._recorded("gif"), seconds)])

    @staticmethod
    def compare(path: StrPath, *films: Film, lang: str | None = None) -> None:
        """Write one page on which films run side by side on one slider, each under its title.

        Raises:
            ArgumentError: fewer than two films, of which each has recorded something; another suffix than .html.
            OSError: the file cannot be written.
        """
        if len(films) < 2 or not all(isinstance(film, Film) for film in films):
            raise ArgumentError(
                "compare: two films or more are needed\n  hint   Film.compare(path, film_a, film_b)"
            )
        if _checked_path("compare", path).suffix != ".html":
            raise ArgumentError(f"compare: writes a page, got {Path(path).name}\n  hint   compare.html")
        chosen = films[0].lang if lang is None else checked_language("compare", lang)
        text = page.page([film._recorded("compare") for film in films], chosen)
        write_atomically(path, [text.encode()])

    def close(self) -> None:
        """End the server of a live page, which otherwise ends with the program."""
        if self._server is not None:
            self._server.stop()

    def _recorded(self, who: str) -> Recording:
        if not self.recording.frames:
            raise ArgumentError(
                f"Film.{who}: nothing has been recorded yet\n  hint   fit(..., callbacks=[film]), and then film.{who}"
            )
        return self.recording

    def _repr_html_(self) -> str:
        return page.framed(self.html()) if self.recording.frames else repr(self)

    def __repr__(self) -> str:
        steps = max(map(len, self.recording.steps.values()), default=0)
        return f"Film({len(self.recording.frames)} frames of {steps} steps: {self.recording.title or 'not begun'})"


def _first_batch(data: Data) -> Batch:
    """Return the batch that data are, or the first of them.

    Raises:
        ArgumentError: they are neither.
    """
    if isinstance(data, (Batches, Stream)):
        return data.sample(ROWS)
    if isinstance(data, Iterable) and not is_array(data):
        parts = data if isinstance(data, (tuple, list, Mapping)) else next(iter(data), ())
        if isinstance(parts, list) and parts and isinstance(parts[0], (tuple, list, Mapping)):
            parts = parts[0]
        if isinstance(parts, (tuple, list, Mapping)) and len(parts) > 1:
            return parts
    raise ArgumentError(
        f"Film: data are a batch or batches, got {type(data).__name__} {data!r:.60}\n  hint   data=(X, y)"
    )


def _checked_path(who: str, path: StrPath) -> Path:
    found = Path(as_path(who, path))
    if found.suffix not in (".html", ".gif"):
        raise ArgumentError(f"{who}: a film is a page, .html, or a moving picture, .gif, got {found.name!r}")
    return found
