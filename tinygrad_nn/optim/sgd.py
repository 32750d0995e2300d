"""SGD, with momentum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinygrad_nn.errors import SettingError
from tinygrad_nn.optim.groups import Parameters
from tinygrad_nn.optim.optimizer import Optimizer
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array, kernel
from tinygrad_nn.settings import check_number


@kernel(*[None] * 5, writes=(0, 2, 3), differentiable=False, method=False)
def sgd_update(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    scratch: Array,
    rate: Array,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Set v = momentum * v + g, w -= rate * v; with Nesterov's momentum, w -= rate * (g + momentum * v)."""
    if weight_decay:
        np.multiply(parameter, weight_decay, out=scratch)
        gradient = np.add(scratch, gradient, out=scratch)
    if momentum:
        np.multiply(velocity, momentum, velocity)
        np.add(velocity, gradient, velocity)
        if nesterov:
            step = np.multiply(velocity, momentum, out=None if weight_decay else scratch)
            gradient = np.add(step, gradient, step)
        else:
            gradient = velocity
    # `out` by position is the quicker call, and an array of the same dtype the quicker factor.
    np.multiply(gradient, rate if rate.dtype is gradient.dtype else float(rate), scratch)
    np.subtract(parameter, scratch, parameter)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, Nesterov's momentum and weight decay.

    Args:
        parameters: leaf tensors that require grad, for example `model.parameters()`, or groups of them, each with a
            rate of its own: `[{"parameters": ..., "lr": ...}, ...]`; see `Optimizer`.
        lr: the learning rate, or a function of the number of steps taken so far; may be left out where every group has
            one.
        momentum: share of the previous step that is kept, in [0, 1).
        nesterov: look ahead along the momentum (Sutskever et al. 2013).
        weight_decay: factor of the L2 penalty (weight_decay / 2) * |w|**2.

    Raises:
        SettingError: a negative, infinite or NaN rate, momentum outside of [0, 1), no or repeated parameters, a
            non-leaf.

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = SGD([w], lr=0.1, momentum=0.9)
        >>> for _ in range(3):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        ...     print(w.data.round(2))
        [0.8 1.6]
        [0.46 0.92]
        [0.06 0.12]
    """

    rule = sgd_update
    elementwise = True

    def __init__(
        self,
        parameters: Parameters,
        lr: float | Schedule | None = None,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        check_number("SGD", "momentum", momentum, below=1)
        check_number("SGD", "weight_decay", weight_decay)
        if nesterov and not momentum:
            raise SettingError("SGD: nesterov=True needs a momentum, for example momentum=0.9")
        self.slots = ("velocity",) if momentum else ()
        options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        super().__init__(parameters, lr, **{name: value for name, value in options.items() if value})

    def _memory(self, scratch: Array, state: Mapping[str, Array]) -> dict[str, Array]:
        # Without momentum there is no velocity, and the rule does not look at it.
        return {"velocity": scratch, **super()._memory(scratch, state)}
