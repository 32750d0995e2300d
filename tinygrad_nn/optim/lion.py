"""Lion."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.optim.groups import Parameters, check_betas
from tinygrad_nn.optim.optimizer import Optimizer
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array, kernel
from tinygrad_nn.settings import check_number


@kernel(*[None] * 5, writes=(0, 2, 3), differentiable=False, method=False)
def lion_update(
    parameter: Array,
    gradient: Array,
    first: Array,
    scratch: Array,
    rate: Array,
    *,
    betas: tuple[float, float],
    weight_decay: float,
) -> None:
    """w -= rate * (sign(b1 * m + (1 - b1) * g) + decay * w), then m = b2 * m + (1 - b2) * g (Chen et al. 2023)."""
    b1, b2 = betas
    lr = float(rate)
    np.multiply(gradient, 1 - b1, out=scratch)
    scratch += b1 * first
    np.sign(scratch, out=scratch)
    scratch *= lr
    parameter *= 1 - lr * weight_decay
    parameter -= scratch
    first *= b2
    np.multiply(gradient, 1 - b2, out=scratch)
    first += scratch


class Lion(Optimizer):
    """Lion (Chen et al. 2023, arXiv:2302.06675): every entry moves by the rate, in the direction of a running mean.

    Rates are to be three to ten times smaller than Adam's, and decays as many times larger, by the paper.

    Args:
        parameters: leaf tensors that require grad, or groups `{"parameters": ..., "lr": ...}`; see `Optimizer`.
        lr: the learning rate, or a function of the number of steps taken so far.
        betas: share of the mean in the step's direction, and decay of the mean, each in [0, 1).
        weight_decay: decoupled, w -= lr * weight_decay * w.

    Raises:
        SettingError: a bad rate, beta or decay, no or repeated parameters, a non-leaf.

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = Lion([w], lr=0.25)
        >>> (w * [-1.0, 100.0]).sum().backward()
        >>> optimizer.step()
        >>> w
        Tensor([1.25, 1.75], requires_grad=True)
    """

    rule = lion_update
    elementwise = True
    slots = ("first",)

    def __init__(
        self,
        parameters: Parameters,
        lr: float | Schedule = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        who = type(self).__name__
        decays = check_betas(who, betas)
        check_number(who, "weight_decay", weight_decay)
        super().__init__(parameters, lr, betas=decays, weight_decay=weight_decay)
