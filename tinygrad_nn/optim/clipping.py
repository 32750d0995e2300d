"""Clipping of gradients."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.errors import SettingError
from tinygrad_nn.optim.groups import Parameter
from tinygrad_nn.optim.optimizer import no_gradient
from tinygrad_nn.primitives import Array, kernel


@kernel(None, variadic=True, writes=(0,), differentiable=False, method=False)
def gradient_norm(norm: Array, *gradients: Array, error_if_nonfinite: bool = True) -> None:
    """The Euclidean norm of all gradients together, in double precision, filled into a 0-d array."""
    flat = (np.asarray(g, np.float64).reshape(-1) for g in gradients)
    # Twice as fast as np.sum(np.square(g)).
    total = math.sqrt(sum(float(x.dot(x)) for x in flat))
    if not math.isfinite(total) and error_if_nonfinite:
        raise ValueError(f"clip_grad_norm: the norm of the gradients is {total}; nothing was changed")
    norm[...] = total


@kernel(None, None, writes=(0,), differentiable=False, method=False)
def scale_down(gradient: Array, norm: Array, *, max_norm: float) -> None:
    """Scale a gradient by max_norm / norm where the norm is larger than that."""
    if norm > max_norm:
        gradient *= max_norm / float(norm)


def clip_grad_norm(
    parameters: Parameter | Iterable[Parameter], max_norm: float, *, error_if_nonfinite: bool = True
) -> float | None:
    """Scale all gradients together, in place, so that their norm is at most `max_norm`; return the norm they had.

    While a step is being captured for `tn.compile` there is no norm yet, and None is returned.

    Raises:
        GraphError: no parameter has a gradient.
        SettingError: a `Distributed` optimizer has these parameters, which sums the gradients of all ranks in its step.
        ValueError: `max_norm` is not positive, or the norm is infinite or NaN (unless
            `error_if_nonfinite=False`).

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([3.0, 4.0], requires_grad=True)
        >>> (w * w / 2).sum().backward()
        >>> clip_grad_norm([w], 1.0), w.grad
        (5.0, array([0.6, 0.8], dtype=float32))
    """
    if hasattr(parameters, "named_parameters"):
        raise SettingError(
            "clip_grad_norm: got a model\n  hint   clip_grad_norm(model.parameters(), max_norm)"
        )
    if not isinstance(max_norm, (int, float, np.number)) or not max_norm > 0:
        raise SettingError(f"clip_grad_norm: max_norm is positive, got {max_norm!r}")
    several: dict[Any, None] = dict.fromkeys([parameters] if hasattr(parameters, "grad") else parameters)
    gradients = [p._node.grad for p in several if p.grad is not None]
    if not gradients:
        raise no_gradient("clip_grad_norm", len(several))
    if SUMMING:
        _refuse_those_of_one_rank(several)
    return clip(gradients, max_norm, error_if_nonfinite=error_if_nonfinite)


# Raised in the middle of scaling, an error of floating-point numbers would leave it half done.
@np.errstate(all="ignore")
def clip(gradients: list[Array], max_norm: float, *, error_if_nonfinite: bool) -> float | None:
    """Scale gradients together; see `clip_grad_norm`."""
    norm = np.zeros(())
    gradient_norm(norm, *gradients, error_if_nonfinite=error_if_nonfinite)
    for gradient in gradients:
        scale_down(gradient, norm, max_norm=max_norm)
    return None if context.current().tracers else float(norm)


SUMMING: list[weakref.ref[Any]] = []
"""The optimizers whose step sums gradients over ranks."""


def _refuse_those_of_one_rank(parameters: Iterable[Parameter]) -> None:
    several = {id(p) for p in parameters}
    for known in tuple(SUMMING):
        optimizer = known()
        if optimizer is not None and any(id(p) in several for p in optimizer.parameters):
            raise SettingError(
                "clip_grad_norm: these are the gradients of one rank, and Distributed.step sums those of all\n"
                "  hint   optim.Distributed(optimizer, comm, clip=1.0), which clips after the sum"
            )
