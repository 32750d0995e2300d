"""The path of the weights through a training."""

from __future__ import annotations

from collections.abc import Iterator

from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array
from tinygrad_nn.settings import positive_integer
from tinygrad_nn.train.run import Callback, Run


class WeightPath(Callback):
    """Records where the parameters are, before the first step and after every so many, for `tn.plot.descent`.

    It is a sequence of dicts of arrays, as `model.state_dict()` returns them. Where there would be more places than
    `most`, every second one is dropped, and half as many are recorded from then on. A training that is resumed from a
    checkpoint begins another path.

    Args:
        every: steps between two places, at first.
        most: places to keep, each with a copy of all parameters.

    Raises:
        SettingError: `every` or `most` is no positive integer, or `most` is below 3.
        ArgumentError: in `fit`, if the model is no module.

    Example:
        >>> import tinygrad_nn as tn
        >>> X, y = tn.data.moons(100)
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 2, rng=0))
        >>> sgd, path = tn.optim.SGD(model.parameters(), lr=0.1), WeightPath(every=5)
        >>> batches = tn.data.batches(X, y, size=10, rng=0)
        >>> history = tn.train.fit(
        ...     model, tn.nn.losses.cross_entropy, sgd, batches, epochs=2, callbacks=[path], progress=False
        ... )
        >>> len(path), list(path[0])
        (5, ['0.weight', '0.bias'])
    """

    def __init__(self, *, every: int = 1, most: int = 100) -> None:
        self._first = positive_integer("WeightPath", "every", every)
        self._most = max(positive_integer("WeightPath", "most", most), 3)
        self._places: list[dict[str, Array]] = []
        self._every, self._steps = self._first, 0

    def on_start(self, run: Run) -> None:
        if not isinstance(run.model, Module):
            raise ArgumentError(
                "WeightPath: the model is a function, whose parameters have no names\n  hint   a Module"
            )
        self._places, self._every, self._steps = [], self._first, 0
        self._record(run)

    def on_step(self, run: Run) -> None:
        self._steps += 1
        if self._steps % self._every == 0:
            self._record(run)

    def on_end(self, run: Run) -> None:
        if self._steps % self._every:
            self._record(run)

    def _record(self, run: Run) -> None:
        self._places.append({name: p._data.copy() for name, p in run.model.named_parameters()})
        if len(self._places) > self._most:
            self._places = self._places[::2]
            self._every *= 2

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Array]:
        return self._places[index]

    def __iter__(self) -> Iterator[dict[str, Array]]:
        return iter(self._places)

    def __repr__(self) -> str:
        every = "every step" if self._every == 1 else f"every {self._every} steps"
        return f"WeightPath({len(self)} places, {every})"
