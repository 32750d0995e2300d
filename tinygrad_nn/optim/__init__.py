"""Optimizers, and schedules for their learning rate."""

from typing import TYPE_CHECKING, NoReturn

from tinygrad_nn.hints import OPTIMIZERS, no_attribute
from tinygrad_nn.optim import schedules
from tinygrad_nn.optim.adagrad import Adagrad
from tinygrad_nn.optim.adam import Adam, AdamW
from tinygrad_nn.optim.clipping import clip_grad_norm
from tinygrad_nn.optim.distributed import Distributed
from tinygrad_nn.optim.lion import Lion
from tinygrad_nn.optim.optimizer import Optimizer
from tinygrad_nn.optim.rmsprop import RMSprop
from tinygrad_nn.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Distributed",
    "Lion",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm",
    "schedules",
]


# A type checker that knew of it would take every name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        """Say what to write instead of another library's name of something."""
        raise no_attribute("module 'tinygrad_nn.optim'", name, OPTIMIZERS)
