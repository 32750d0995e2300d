"""Adagrad."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinygrad_nn.optim.groups import Parameters, wide_enough
from tinygrad_nn.optim.optimizer import Optimizer
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array, kernel
from tinygrad_nn.settings import check_number


@kernel(*[None] * 6, writes=(0, 2, 3), differentiable=False, method=False)
def adagrad_update(
    parameter: Array,
    gradient: Array,
    total: Array,
    scratch: Array,
    rate: Array,
    count: Array,
    *,
    lr_decay: float,
    eps: float,
    weight_decay: float = 0.0,
) -> None:
    """Add g * g to the total; w -= rate * g / (sqrt(total) + eps) (Duchi, Hazan and Singer 2011)."""
    if weight_decay:
        gradient = gradient + weight_decay * parameter
    np.multiply(gradient, gradient, out=scratch)
    total += scratch
    np.sqrt(total, out=scratch)
    scratch += eps
    np.divide(gradient, scratch, out=scratch)
    scratch *= float(rate) / (1 + (int(count) - 1) * lr_decay)
    parameter -= scratch


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer 2011): steps are divided by the root of the sum of all squares so far.

    Args:
        parameters: leaf tensors that require grad, or groups `{"parameters": ..., "lr": ...}`; see `Optimizer`.
        lr: the learning rate, or a function of the number of steps taken so far.
        lr_decay: the rate of step t, from 1, is divided by 1 + (t - 1) * lr_decay.
        weight_decay: factor of the L2 penalty, added to the gradient.
        initial_accumulator_value: what the sums of squares begin with.
        eps: added to their roots.

    Raises:
        SettingError: a bad rate, decay, value or eps, no or repeated parameters, a non-leaf.

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([1.0, -2.0], requires_grad=True)
        >>> optimizer = Adagrad([w], lr=0.1)
        >>> for _ in range(3):  # gradients stay, steps become smaller
        ...     optimizer.zero_grad()
        ...     (w * [1.0, 100.0]).sum().backward()
        ...     optimizer.step()
        ...     print(w.data.round(3))
        [ 0.9 -2.1]
        [ 0.829 -2.171]
        [ 0.772 -2.228]
    """

    rule = adagrad_update
    elementwise = True
    slots = ("total",)

    def __init__(
        self,
        parameters: Parameters,
        lr: float | Schedule = 1e-2,
        *,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        who = type(self).__name__
        check_number(who, "lr_decay", lr_decay)
        check_number(who, "weight_decay", weight_decay)
        check_number(who, "initial_accumulator_value", initial_accumulator_value)
        check_number(who, "eps", eps)
        given = {"weight_decay": weight_decay} if weight_decay else {}
        super().__init__(parameters, lr, lr_decay=lr_decay, eps=eps, **given)
        for state in self.state:
            state["total"].fill(initial_accumulator_value)

    def _memory(self, scratch: Array, state: Mapping[str, Array]) -> dict[str, Array]:
        wide_enough(type(self).__name__, scratch.dtype)
        return super()._memory(scratch, state)
