"""Dropout, which forgets at random while training."""

from __future__ import annotations

import numpy as np

from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor
from tinygrad_nn.nn.init import Seed
from tinygrad_nn.nn.module import Module
from tinygrad_nn.ops.random import check_dropped, dropout


class Dropout(Module):
    """Sets each element to 0 with probability p while training and divides the others by 1 - p; then does nothing.

    The state of `rng` is in the checkpoint of a model, so that a training that goes on draws what it would have drawn;
    `state_dict()` has arrays alone, and fits models with and without dropout.

    Args:
        p: the probability of dropping, from 0 to 1.
        rng: a seed or generator; a generator is drawn from where it is, and may be shared.

    Raises:
        SettingError: `p` is no number from 0 to 1.

    Example:
        >>> layer = Dropout(0.5, rng=1)
        >>> layer(np.arange(6.0)), layer.eval()(np.arange(6.0))
        (Tensor([ 0.,  0.,  4.,  6.,  8., 10.], dtype=float64), Tensor([0., 1., 2., 3., 4., 5.], dtype=float64))
    """

    def __init__(self, p: float = 0.5, *, rng: Seed = None) -> None:
        check_dropped("Dropout", p)
        self.p = float(p)
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Operand) -> Tensor:
        x = as_tensor(x)
        return dropout(x, self.p, rng=self.rng) if self.training else x

    def extra_repr(self) -> str:
        return f"p={self.p}"
