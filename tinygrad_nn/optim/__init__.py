"""Optimizers, and schedules for their learning rate."""

from typing import TYPE_CHECKING

from tinygrad_nn.hints.lookups import face
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

if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
