"""An exponential moving average of a model's weights, which often predicts better than the last ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tinygrad_nn.context import Plan, Temporarily, current
from tinygrad_nn.errors import ArgumentError, CaptureError, SettingError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array, kernel
from tinygrad_nn.settings import check_number
from tinygrad_nn.states import State, StateDict, are_arrays, check_entries, check_state, is_count
from tinygrad_nn.train.run import Callback, Run


@kernel(*[None] * 4, writes=(0, 2), differentiable=False, method=False)
def average_update(average: Array, parameter: Array, scratch: Array, share: Array) -> None:
    """Set a = (1 - share) * a + share * w."""
    if share == 1:
        average[...] = parameter
        return
    np.subtract(parameter, average, out=scratch)
    scratch *= float(share)
    average += scratch


class EMA(Callback):
    """A running mean of the parameters of a model: a = decay * a + (1 - decay) * w (Polyak and Juditsky 1992).

    As a callback of `fit` it is updated after every step; in a loop of your own, also in a compiled step, write
    `ema.update()` behind `optimizer.step()`. In a block `with ema.averaged():` the model has the averaged weights. The
    first update takes the weights as they are. Buffers are not averaged: the model's own serve both.

    Args:
        model: the module whose parameters are averaged, frozen ones too.
        decay: a number in [0, 1), or a function of the number of updates so far, for example
            `lambda n: min(0.999, (1 + n) / (10 + n))`, which forgets the first weights sooner.

    Raises:
        ArgumentError: `model` is no module with parameters; in `fit`, if the optimizer has none of them.
        ValueError: a decay outside of [0, 1).

    Example:
        >>> from tinygrad_nn import nn
        >>> model = nn.Dense(1, 1, rng=0)
        >>> ema = EMA(model, decay=0.5)
        >>> for w in (0.0, 2.0, 4.0):
        ...     model.weight.data[...] = w
        ...     ema.update()
        >>> with ema.averaged():
        ...     print(model.weight.data)
        [[2.5]]
        >>> print(model.weight.data)
        [[4.]]
    """

    def __init__(self, model: Module, decay: float | Callable[[int], float] = 0.999) -> None:
        parameters = dict(model.named_parameters()) if isinstance(model, Module) else {}
        if not parameters:
            raise ArgumentError(
                f"EMA: averages the parameters of a module, got {type(model).__name__} without any\n"
                "  hint   tn.train.EMA(model, decay=0.999)"
            )
        if not callable(decay):
            check_number("EMA", "decay", decay, below=1)
        self.decay = decay
        self.updates = np.zeros((), np.int64)
        self._parameters = parameters
        self._averages = {name: parameter._data.copy() for name, parameter in parameters.items()}
        self._scratch = {name: np.empty_like(average) for name, average in self._averages.items()}
        self._share = np.zeros(())
        self._in_use = False

    def update(self) -> None:
        """Take the weights that the model has now into the average.

        Raises:
            SettingError: the model has the averaged weights at this moment; the decay is none.
        """
        self._refuse_if_in_use("update")
        tracers = current().tracers
        # Every tracer is told, so not any() of a generator.
        if not tracers or True not in [tracer.on_host(self._prepare) for tracer in tracers]:
            self._prepare()
        step = average_update if tracers else average_update.function
        for name, parameter in self._parameters.items():
            step(self._averages[name], parameter._data, self._scratch[name], self._share)

    def _prepare(self) -> None:
        """Count the update and set the share of the new weights; plain work that a replay of a step repeats."""
        decay = self.decay(int(self.updates)) if callable(self.decay) else self.decay
        check_number("EMA", f"the decay of update {self.updates}", decay, below=1)
        self._share[...] = 1 - decay if self.updates else 1.0
        self.updates[...] = int(self.updates) + 1

    def averaged(self) -> Temporarily:
        """Return a context in which the model has the averaged weights; it has its own again after it.

        Raises:
            SettingError: it has them already.
            CaptureError: in a step that is captured.
        """
        return Temporarily(self._plan)

    def _plan(self) -> Plan:
        self._refuse_if_in_use("averaged")
        if current().tracers:
            raise CaptureError(
                "EMA.averaged during capture: a replay would not repeat it\n  hint   `with ema.averaged():` outside"
            )
        own = {name: parameter._data.copy() for name, parameter in self._parameters.items()}

        def change() -> None:
            self._in_use = True
            self._write(self._averages)

        def undo() -> None:
            self._write(own)
            self._in_use = False

        return change, undo

    def _write(self, weights: Mapping[str, Array]) -> None:
        for name, parameter in self._parameters.items():
            parameter._data[...] = weights[name]
            # Tells graphs that used it that it has changed.
            parameter.data = parameter._data

    def _refuse_if_in_use(self, what: str) -> None:
        if self._in_use:
            raise SettingError(
                f"EMA.{what}: the model has its averaged weights at this moment\n"
                "  hint   behind the block of `with ema.averaged():`"
            )

    def on_start(self, run: Run) -> None:
        ours = {id(parameter) for parameter in self._parameters.values()}
        if not any(id(parameter) in ours for parameter in run.optimizer.parameters):
            raise ArgumentError(
                "EMA: it averages none of the parameters that this optimizer trains\n  hint   tn.train.EMA(model)"
            )

    def on_step(self, run: Run) -> None:
        self.update()

    def state_dict(self) -> StateDict:
        averages = {name: average.copy() for name, average in self._averages.items()}
        return {"updates": int(self.updates), "averages": averages}

    def load_state_dict(self, state: State) -> None:
        check_entries("EMA", state, updates=is_count, averages=are_arrays)
        check_state("EMA", self._averages, state["averages"])
        for name, average in self._averages.items():
            average[...] = state["averages"][name]
        self.updates[...] = state["updates"]
