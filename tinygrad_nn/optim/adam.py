"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tinygrad_nn.optim.groups import Parameters, check_betas, wide_enough
from tinygrad_nn.optim.optimizer import Optimizer
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array, kernel
from tinygrad_nn.settings import check_number


@kernel(*[None] * 7, writes=(0, 2, 3, 4), differentiable=False, method=False)
def adam_update(
    parameter: Array,
    gradient: Array,
    first: Array,
    second: Array,
    scratch: Array,
    rate: Array,
    count: Array,
    *,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Set m and v to the running means of g and g * g; w -= rate * m_hat / (sqrt(v_hat) + eps) (Kingma and Ba 2015)."""
    b1, b2 = betas
    lr, t = float(rate), int(count)
    if weight_decay and not decoupled:
        gradient = gradient + weight_decay * parameter
    # `out` by position is the quicker call.
    np.subtract(gradient, first, scratch)
    np.multiply(scratch, 1 - b1, scratch)
    np.add(first, scratch, first)
    np.multiply(second, b2, second)
    np.multiply(gradient, gradient, scratch)
    np.multiply(scratch, 1 - b2, scratch)
    np.add(second, scratch, second)
    # m / (sqrt(v) / root + eps) with one product less.
    root = math.sqrt(1 - b2**t)
    np.sqrt(second, scratch)
    np.add(scratch, eps * root, scratch)
    np.divide(first, scratch, scratch)
    np.multiply(scratch, lr * root / (1 - b1**t), scratch)
    # Last of all, and with no call, after which an interrupt comes: it finds the parameter as it was.
    if weight_decay and decoupled:
        parameter *= 1 - lr * weight_decay
    parameter -= scratch


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), with L2 regularisation through `weight_decay`.

    The bias correction counts the steps of the optimizer, also for a parameter whose first gradient comes later.

    Args:
        parameters: leaf tensors that require grad, or groups `{"parameters": ..., "lr": ...}`; see `Optimizer`.
        lr: the learning rate, or a function of the number of steps taken so far.
        betas: decay of the running means of the gradient and of its square, each in [0, 1).
        eps: added to the root of the second mean.
        weight_decay: factor of the L2 penalty, added to the gradient.

    Raises:
        SettingError: a bad rate, beta, eps or decay, no or repeated parameters, a non-leaf.

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = Adam([w], lr=0.1)
        >>> (w * [1.0, 100.0]).sum().backward()
        >>> optimizer.step()
        >>> w.data.round(3)  # at first all move by the rate, whatever the size of their gradients
        array([0.9, 1.9], dtype=float32)
    """

    rule = adam_update
    elementwise = True
    slots = ("first", "second")
    _decoupled = False

    def __init__(
        self,
        parameters: Parameters,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        who = type(self).__name__
        decays = check_betas(who, betas)
        check_number(who, "eps", eps)
        check_number(who, "weight_decay", weight_decay)
        options: dict[str, object] = {"betas": decays, "eps": float(eps)}
        if weight_decay:
            options |= {"weight_decay": weight_decay, "decoupled": self._decoupled}
        super().__init__(parameters, lr, **options)

    def _memory(self, scratch: Array, state: Mapping[str, Array]) -> dict[str, Array]:
        wide_enough(type(self).__name__, scratch.dtype)
        return super()._memory(scratch, state)


class AdamW(Adam):
    """Adam with decoupled weight decay, w -= lr * weight_decay * w (Loshchilov and Hutter 2019); 0.01 by default.

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.5)
        >>> (w * 0.0).sum().backward()
        >>> optimizer.step()
        >>> w
        Tensor([0.95, 1.9 ], requires_grad=True)
    """

    _decoupled = True

    def __init__(
        self,
        parameters: Parameters,
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)
