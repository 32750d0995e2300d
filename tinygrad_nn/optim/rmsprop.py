"""RMSprop."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinygrad_nn.optim.groups import Parameters, wide_enough
from tinygrad_nn.optim.optimizer import Optimizer
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array, kernel
from tinygrad_nn.settings import check_number


@kernel(*[None] * 7, writes=(0, 2, 3, 4, 5), differentiable=False, method=False)
def rmsprop_update(
    parameter: Array,
    gradient: Array,
    square: Array,
    mean: Array,
    velocity: Array,
    scratch: Array,
    rate: Array,
    *,
    alpha: float,
    eps: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> None:
    """Set v to the running mean of g * g; w -= rate * g / (sqrt(v) + eps) (Hinton 2012)."""
    if weight_decay:
        gradient = gradient + weight_decay * parameter
    square *= alpha
    np.multiply(gradient, gradient, out=scratch)
    scratch *= 1 - alpha
    square += scratch
    if centered:
        np.subtract(gradient, mean, out=scratch)
        scratch *= 1 - alpha
        mean += scratch
        np.multiply(mean, mean, out=scratch)
        np.subtract(square, scratch, out=scratch)
        # The variance of equal gradients, which rounding may take below 0.
        np.maximum(scratch, 0, out=scratch)
        np.sqrt(scratch, out=scratch)
    else:
        np.sqrt(square, out=scratch)
    scratch += eps
    np.divide(gradient, scratch, out=scratch)
    if momentum:
        velocity *= momentum
        velocity += scratch
        scratch[...] = velocity
    scratch *= float(rate)
    parameter -= scratch


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, lecture 6e): steps are divided by the root of a running mean of squares.

    Args:
        parameters: leaf tensors that require grad, or groups `{"parameters": ..., "lr": ...}`; see `Optimizer`.
        lr: the learning rate, or a function of the number of steps taken so far.
        alpha: decay of the running mean of squares, in [0, 1).
        eps: added to its root.
        weight_decay: factor of the L2 penalty, added to the gradient.
        momentum: share of the previous step that is kept, in [0, 1).
        centered: divide by the root of the variance instead, squares less the square of the mean (Graves 2013).

    Raises:
        SettingError: a bad rate, alpha, eps, decay or momentum, no or repeated parameters, a non-leaf.

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = RMSprop([w], lr=0.01)
        >>> (w * [1.0, 100.0]).sum().backward()
        >>> optimizer.step()
        >>> w.data.round(3)  # both moved alike: gradients are divided by their size
        array([0.9, 1.9], dtype=float32)
    """

    rule = rmsprop_update
    elementwise = True

    def __init__(
        self,
        parameters: Parameters,
        lr: float | Schedule = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        who = type(self).__name__
        check_number(who, "alpha", alpha, below=1)
        check_number(who, "eps", eps)
        check_number(who, "weight_decay", weight_decay)
        check_number(who, "momentum", momentum, below=1)
        kept = {"square": True, "mean": centered, "velocity": momentum}
        self.slots = tuple(slot for slot, wanted in kept.items() if wanted)
        options = {"weight_decay": weight_decay, "momentum": momentum, "centered": centered}
        given = {name: value for name, value in options.items() if value}
        super().__init__(parameters, lr, alpha=alpha, eps=eps, **given)

    def _memory(self, scratch: Array, state: Mapping[str, Array]) -> dict[str, Array]:
        wide_enough(type(self).__name__, scratch.dtype)
        # What it does not keep, the rule does not look at.
        return {"mean": scratch, "velocity": scratch, **super()._memory(scratch, state)}
