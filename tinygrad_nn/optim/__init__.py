"""Optimizers, and schedules for their learning rate."""

from tinygrad_nn.optim import schedules
from tinygrad_nn.optim.adam import Adam, AdamW
from tinygrad_nn.optim.clipping import clip_grad_norm
from tinygrad_nn.optim.optimizer import Optimizer
from tinygrad_nn.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_grad_norm", "schedules"]
