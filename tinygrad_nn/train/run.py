"""A training in progress, and the callbacks that are told of it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

from tinygrad_nn.checkpoint import Restorable
from tinygrad_nn.errors import ArgumentError, CheckpointError, SettingError
from tinygrad_nn.hints.lookups import Signposts
from tinygrad_nn.hints.words import closest, word
from tinygrad_nn.optim import Distributed, Optimizer
from tinygrad_nn.primitives.signature import parameters_of
from tinygrad_nn.settings import is_integer
from tinygrad_nn.states import State, StateDict, check_entries, is_count, is_number, is_stateful
from tinygrad_nn.train.company import Company
from tinygrad_nn.train.history import History
from tinygrad_nn.train.metrics import Means, Metrics, metrics_by_name
from tinygrad_nn.train.parts import Batch, Keys, Loss, Model, Reader, refuse_whole_arrays


class Callback(Signposts):
    """Base of callbacks: override what you need; `run` knows the model, the optimizer, the history and `stop(why)`.

    What a callback remembers from epoch to epoch it returns from `state_dict`, so that a checkpoint contains
    it. Callbacks are told in the order given, those of a higher `rank` after all others.

    Raises:
        ArgumentError: when a subclass is defined, for a method that begins with `on_` and is none of these events.

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> class StopEarly(Callback):
        ...     def on_epoch(self, run):
        ...         if run.history["loss"][-1] < 0.01:
        ...             run.stop("the loss is small enough")
        >>> X, model = np.ones((4, 2), np.float32), tn.nn.Dense(2, 1, rng=0)
        >>> loss, sgd, batches = tn.nn.losses.mse, tn.optim.SGD(model.parameters(), lr=0.1), [(X, X[:, :1])]
        >>> tn.train.fit(model, loss, sgd, batches, epochs=50, callbacks=[StopEarly()], progress=False).stopped
        'the loss is small enough'
    """

    rank = 0
    shared = False
    """Whether all processes that train together have to have it, because they meet in it."""

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        events = [name for name in vars(Callback) if name.startswith("on_")]
        for name in dir(cls):
            if name.startswith("on_") and name not in events and callable(getattr(cls, name)):
                known = word(name, "events")
                meant = closest(name, events) if known is None else known
                hint = f"\n  hint   def {meant}(self, run)" if meant else ""
                raise ArgumentError(
                    f"{cls.__name__}: there is no event {name}; the events are {', '.join(events)}{hint}"
                )

    def on_start(self, run: Run) -> None:
        """Called once, before the first step."""

    def on_batch(self, run: Run) -> None:
        """Called before every step, when `run.given` is its batch."""

    def on_step(self, run: Run) -> None:
        """Called after every step of the optimizer, when `run.measured` has its loss and metrics."""

    def on_epoch(self, run: Run) -> None:
        """Called after every epoch, when its row stands in the history."""

    def on_interrupt(self, run: Run) -> None:
        """Called after Ctrl-C between two steps, when everything is whole."""

    def on_end(self, run: Run) -> None:
        """Called once at the end, also after Ctrl-C or an error."""

    def __repr__(self) -> str:
        short = (int, float, str, os.PathLike, type(None))
        own = [(name, x) for name, x in vars(self).items() if name[0] != "_" and isinstance(x, short)]
        return f"{type(self).__name__}({', '.join(f'{name}={x!r}' for name, x in own)})"

    def state_dict(self) -> StateDict:
        """Return what a checkpoint has to keep."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned.

        Raises:
            CheckpointError: there is something to restore, and nothing that takes it.
        """
        who = type(self).__name__
        if not isinstance(state, Mapping) or state:
            raise CheckpointError(
                f"the state does not fit this {who}, which remembers nothing; nothing was changed\n"
                "  hint   a callback with a state_dict of its own has a load_state_dict too"
            )


class EachEpoch(Callback):
    """Calls a plain function of the run after every epoch."""

    def __init__(self, function: Callable[[Run], object]) -> None:
        if (takes := parameters_of(function)) is not None:
            given = [p for p in takes if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
            several = any(p.kind is p.VAR_POSITIONAL for p in takes)
            needed = sum(p.default is p.empty for p in given)
            if needed > 1 or not (given or several):
                name = getattr(function, "__name__", type(function).__name__)
                raise ArgumentError(
                    f"fit: a function among the callbacks takes the run, and {name} takes {needed or 'no'} arguments\n"
                    "  hint   lambda run: print(run.history)"
                )
        self._function = function

    def on_epoch(self, run: Run) -> None:
        self._function(run)


class Run:
    """One training in progress, as callbacks see it.

    Attributes:
        epoch, epochs: epochs completed, and wanted.
        batch, steps_per_epoch: steps completed in this epoch, and their number if it is known.
        history: the rows of the completed epochs.
        given: the latest batch, as the data gave it, of which `parts_of(given)` are the model's arguments, the targets
            and the weights of the rows; of several ranks, the rows of this one.
        measured: loss and metrics of the latest step, by name.
        rank, size: which of how many processes this is, that train together; 0 of 1 without `comm=`.
        model, loss, optimizer, data, metrics, callbacks: what `fit` was given; of the data, what is not held out.

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> X, model = np.ones((4, 2), np.float32), tn.nn.Dense(2, 1, rng=0)
        >>> loss, sgd, batches = tn.nn.losses.mse, tn.optim.SGD(model.parameters(), lr=0.1), [(X, X[:, :1])] * 3
        >>> tell = lambda run: print(f"epoch {run.epoch} of {run.epochs}, {run.steps_per_epoch} steps")
        >>> history = tn.train.fit(model, loss, sgd, batches, epochs=2, callbacks=[tell], progress=False)
        epoch 1 of 2, 3 steps
        epoch 2 of 2, 3 steps
    """

    def __init__(
        self,
        model: Model,
        loss: Loss,
        optimizer: Optimizer | Distributed,
        data: Iterable[Batch],
        *,
        epochs: int,
        steps: int | None,
        metrics: Metrics | None,
        callbacks: Iterable[Callback | Callable[[Run], object]],
        keys: Keys,
    ) -> None:
        # An iterator gives them once.
        callbacks = list(callbacks) if isinstance(callbacks, Iterable) else callbacks
        _check_roles(model, loss, optimizer, epochs, callbacks)
        self.metrics = metrics_by_name("fit", metrics)
        self.parts_of = Reader("fit", model, loss, self.metrics, keys)
        refuse_whole_arrays("fit", data)
        self.model: Any = model
        self.loss, self.optimizer, self.data = loss, optimizer, data
        self.epochs, self.company = epochs, Company()
        self._one_shot = isinstance(data, Iterator)
        if (steps is not None) != self._one_shot:
            raise SettingError(
                "fit: data that can be iterated only once need steps=, the batches that make an epoch"
                if self._one_shot
                else "fit: steps is for data that never end; these have epochs of their own"
            )
        self.steps = steps
        self.steps_per_epoch: int | None = steps or (len(data) if isinstance(data, Sized) else None)
        self.callbacks = [c if isinstance(c, Callback) else EachEpoch(c) for c in callbacks]
        self.callbacks.sort(key=lambda callback: callback.rank)
        self.history = History()
        self.epoch = self.batch = 0
        self.given: Batch = ()
        self.measured: Mapping[str, float] = {}
        self.whole = True
        self.stopping: str | None = None
        self.resumed: str | None = None
        self._means = Means()
        self._before = 0.0
        self._batches_here, self._since = 0, time.perf_counter()

    def join(self, company: Company, **facts: object) -> None:
        """Train with others, who have to do the same."""
        shared = [type(callback).__name__ for callback in self.callbacks if callback.shared]
        facts |= {"epochs": self.epochs, "steps": self.steps, "metrics": [*self.metrics], "callbacks": shared}
        self.company = company
        self.optimizer = company.begin(self.model, self.optimizer, self.data, 2 + len(self.metrics), facts)

    @property
    def rank(self) -> int:
        """Which of the processes that train together this is, from 0."""
        return self.company.rank

    @property
    def size(self) -> int:
        """How many processes train together."""
        return self.company.size

    def stop(self, why: str) -> None:
        """Let training end after this epoch, for a reason that the history will name."""
        self.stopping = why
        self.history.stopped = why

    def means(self) -> dict[str, float]:
        """Return the means of loss and metrics over the rows of this epoch so far."""
        return self._means.values()

    def seconds(self) -> float:
        """Return how long this epoch has taken, without the time between an interrupt and its resumption."""
        return self._before + time.perf_counter() - self._since

    def rate(self) -> float:
        """Return the steps per second of this epoch."""
        return self._batches_here / max(time.perf_counter() - self._since, 1e-9)

    def remaining(self) -> Iterator[Batch]:
        """Yield the batches of this epoch that have not been trained on."""
        self._batches_here, self._since = 0, time.perf_counter()
        batches = iter(self.company.part(self.data))
        # The others resume where their state says.
        if not is_stateful(self.data):
            batches = itertools.islice(batches, self.batch, None)
        if self.steps is not None:
            batches = itertools.islice(batches, self.steps - self.batch)
        yield from batches

    def record(self, numbers: Mapping[str, float], rows: float) -> None:
        """Count a completed step, and what was measured of its batch."""
        self._means.add(numbers, rows)
        self.measured = numbers
        self.batch += 1
        self._batches_here += 1
        self.whole = True

    def finish_epoch(self, validation: Mapping[str, float]) -> None:
        """Write the row of this epoch and begin the next."""
        if not self.batch or (self.steps is not None and self.batch < self.steps):
            raise ValueError(f"fit: the data gave {self.batch} batches for epoch {self.epoch + 1}")
        after = {f"val_{name}": value for name, value in validation.items()}
        seconds = self.company.longest(self.seconds())
        self.history.append({**self.means(), **after, "seconds": seconds})
        self.epoch, self.batch, self._before, self._means = self.epoch + 1, 0, 0.0, Means()

    def parts(self) -> dict[str, Restorable]:
        """Return what a checkpoint consists of, by name."""
        stateful = {"model": self.model, "optimizer": self.optimizer, "data": self.data, "run": self}
        remembering = [callback for callback in self.callbacks if callback.state_dict()]
        stateful |= {f"{type(callback).__name__}{k}": callback for k, callback in enumerate(remembering)}
        return {name: part for name, part in stateful.items() if is_stateful(part)}

    def state_dict(self) -> StateDict:
        """Return how far this run has come, as plain data."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "stopping": self.stopping,
            "seconds": self.seconds() if self.batch else 0.0,
            "means": self._means.state_dict(),
            "history": self.history.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            CheckpointError: it is not the state of a run; nothing is changed then.
        """
        check_entries(
            "Run",
            state,
            epoch=is_count,
            batch=is_count,
            stopping=lambda why: why is None or isinstance(why, str),
            seconds=lambda seconds: is_number(seconds) and seconds >= 0,
            means=bool,
            history=bool,
        )
        history, means = History(), Means()
        history.load_state_dict(state["history"])
        means.load_state_dict(state["means"])
        self.history.history, self._means = history.history, means
        self.epoch, self.batch, self._before = state["epoch"], state["batch"], state["seconds"]
        self.stopping = self.history.stopped = state["stopping"]


def _check_roles(model: object, loss: object, optimizer: object, epochs: object, callbacks: object) -> None:
    """Refuse what cannot play the part that `fit` has for it, before anything is trained."""
    call = 'fit(model, tn.nn.losses.cross_entropy, optimizer, data, metrics={"acc": tn.train.accuracy})'
    parts = {
        "the model is a module or a function": (callable(model), model),
        "the loss is a function of predictions and targets": (callable(loss), loss),
        "the optimizer is made of the parameters, SGD(model.parameters(), lr=...)": (
            hasattr(optimizer, "step") and not isinstance(optimizer, type),
            optimizer,
        ),
        "epochs are an integer from 0": (
            is_integer(epochs) and epochs >= 0,
            epochs,
        ),
        "callbacks are a list": (isinstance(callbacks, Iterable), callbacks),
    }
    for expected, (good, part) in parts.items():
        if not good:
            call = f"callbacks=[{part!r}]" if isinstance(part, Callback) else call
            raise ArgumentError(f"fit: {expected}, got {part!r:.60}\n  hint   {call}")
    for callback in callbacks if isinstance(callbacks, Iterable) else ():
        if isinstance(callback, type):
            raise ArgumentError(f"fit: a callback is a class\n  hint   {callback.__name__}(...)")
        if not isinstance(callback, Callback) and not callable(callback):
            raise ArgumentError(
                f"fit: callbacks are tn.train.Callback objects or functions of the run, got {callback!r:.60}\n"
                "  hint   callbacks=[tn.train.EarlyStopping(), lambda run: print(run.history)]"
            )
