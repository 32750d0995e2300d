"""find_rate: a learning rate from one short run in which it grows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_nn import plot
from tinygrad_nn.errors import ArgumentError, NonFinite, SettingError
from tinygrad_nn.nn.module import in_mode
from tinygrad_nn.optim import Optimizer
from tinygrad_nn.settings import positive_integer
from tinygrad_nn.states import is_stateful
from tinygrad_nn.train.history import number
from tinygrad_nn.train.parts import Batch, Keys, Loss, Model, Reader, refuse_whole_arrays
from tinygrad_nn.train.steps import one_number
from tinygrad_nn.train.untouched import Untouched, modules_of, same_place, taken_back

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEPT = 0.9
"""How much of the mean of the losses so far is kept at each step."""

DIVERGED = 3.0
"""The run ends where the mean has risen by so many times what it had fallen by, or what is left."""

FIRST = 10
"""Steps at the smallest rates, which tell what the loss was before."""

FALL = 0.03
"""A loss has fallen where its mean is less by this share of what it was."""


class Rates:
    """What `find_rate` has found, and how.

    Attributes:
        rates: the learning rate of each step that was taken.
        losses: the loss of its batch, before the step.
        smoothed: their running mean, in which the latest counts for a tenth.

    Example:
        >>> found = Rates()
        >>> for rate, loss in [(0.001, 2.0), (0.01, 1.9), (0.1, 1.0), (1.0, 0.9), (10.0, 50.0)]:
        ...     diverged = found.add(rate, loss)
        >>> diverged, found
        (False, Rates(suggestion 0.1; the loss is least, 1.3949, at 1; 5 rates from 0.001 to 10))
    """

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self._mean = 0.0

    def add(self, rate: float, loss: float) -> bool:
        """Note a step; return whether the loss has diverged."""
        self.rates.append(rate)
        self.losses.append(loss)
        self._mean = KEPT * self._mean + (1 - KEPT) * loss
        self.smoothed.append(self._mean / (1 - KEPT ** len(self.losses)))
        least = min(self.smoothed)
        return self.smoothed[-1] - least > DIVERGED * max(abs(least), self._before - least)

    @property
    def _before(self) -> float:
        """The loss at the smallest rates, at which nothing is learned."""
        return float(np.mean(self.losses[:FIRST]))

    @property
    def _least(self) -> int:
        return int(np.argmin(self.smoothed))

    @property
    def suggestion(self) -> float | None:
        """The rate to train with; None where no rate made the loss fall."""
        fall = self._before - self.smoothed[self._least]
        return self.rates[self._least] / 10 if fall > FALL * abs(self._before) else None

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the losses over the rates, and the suggestion; see `tn.plot.rates`."""
        return plot.rates(self, ax=ax)

    def __repr__(self) -> str:
        looked = f"{len(self.rates)} rates from {self.rates[0]:.3g} to {self.rates[-1]:.3g}"
        if self.suggestion is None:
            return f"Rates(no suggestion: no rate made the loss fall; {looked})"
        least = f"the loss is least, {number(self.smoothed[self._least])}, at {self.rates[self._least]:.3g}"
        return f"Rates(suggestion {self.suggestion:.2g}; {least}; {looked})"


def find_rate(
    model: Model,
    loss: Loss,
    optimizer: Optimizer,
    batches: Iterable[Batch],
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    keys: Keys = None,
) -> Rates:
    """Try learning rates from `low` to `high` in one short run, a larger one at each step, and suggest one.

    The run ends early where the loss diverges. What is suggested is a tenth of the rate at which the mean of the losses
    was least: beyond that rate steps undo what others did, and a whole training needs smaller ones than the best step.
    Afterwards model, gradients, optimizer, its rate or schedule, the place in `batches` and every random generator that
    these can reach are as they were before, whatever happens. The test is Smith's (2015, arXiv:1506.01186; WACV 2017).

    Args:
        model, loss, batches, keys: as for `fit`; batches are iterated over as often as `steps` needs.
        optimizer: of the parameters to train, with its settings; where it has groups, the rates are the factor of all.
        low, high: the first rate and the last; each is the same number of times the one before.
        steps: how many there are.

    Raises:
        ArgumentError: `optimizer` is none; whole arrays instead of batches; batches that can be iterated only once,
            and cannot be put back.
        SettingError: rates that are not positive and growing, fewer than ten steps.
        NonFinite: the loss is infinite or NaN before any step is taken.
        ShapeError: the loss is not one number.
        ValueError: there are no batches.

    Example:
        >>> import tinygrad_nn as tn
        >>> X, y = tn.data.moons(200)
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 16, rng=0), tn.nn.Tanh(), tn.nn.Dense(16, 2, rng=1))
        >>> adam = tn.optim.Adam(model.parameters())
        >>> found = find_rate(model, tn.nn.losses.cross_entropy, adam, tn.data.batches(X, y, size=20, rng=0))
        >>> 0.01 < found.suggestion < 0.3, adam.lr
        (True, 0.001)
    """
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(
            f"find_rate: an optimizer is needed, got {optimizer!r:.60}\n"
            "  hint   find_rate(model, loss, tn.optim.Adam(model.parameters()), batches)"
        )
    refuse_whole_arrays("find_rate", batches)
    if _can_be_used_up(batches):
        raise ArgumentError(
            "find_rate: these batches can be iterated only once, and would be used up\n"
            "  hint   tn.data.batches(X, y, size=100, rng=0)"
        )
    if not 0 < low < high < math.inf:
        raise SettingError(f"find_rate: rates grow from low={low!r:.60} to high={high!r:.60}, both positive")
    if positive_integer("find_rate", "steps", steps) < 10:
        raise SettingError(f"find_rate: steps={steps} are too few to see a loss fall, at least 10 are needed")
    reader = Reader("find_rate", model, loss, {}, keys)
    own = [parameter for _, module in modules_of(model) for parameter in module.parameters()]
    with (
        Untouched(model, loss, optimizer, batches).block(),
        taken_back([*optimizer.parameters, *own], optimizer),
        same_place(batches),
        in_mode(model, training=True),
        np.errstate(all="ignore"),
    ):
        return _run(
            model, loss, optimizer, _again_and_again(batches), reader, np.geomspace(low, high, steps).tolist()
        )


def _run(
    model: Model,
    loss: Loss,
    optimizer: Optimizer,
    batches: Iterator[Batch],
    reader: Reader,
    wanted: list[float],
) -> Rates:
    found = Rates()
    for rate in wanted:
        inputs, targets, weights = reader(next(batches))
        optimizer.zero_grad()
        value = one_number("find_rate", loss(model(*inputs), targets, **weights))
        if not math.isfinite(value.item()):
            break
        if found.add(rate, value.item()):
            break
        optimizer.lr = rate
        value.backward()
        optimizer.step()
    if not found.rates:
        raise NonFinite(
            "find_rate: the loss is infinite or NaN before any step is taken\n"
            "  hint   with tn.debug(): loss(model(x), y) tells which op was the first"
        )
    return found


def _can_be_used_up(batches: object) -> bool:
    return isinstance(batches, Iterator) and not is_stateful(batches)


def _again_and_again(batches: Iterable[Batch]) -> Iterator[Batch]:
    while True:
        some = False
        for batch in batches:
            some = True
            yield batch
        if not some:
            raise ValueError("find_rate: there are no batches")
