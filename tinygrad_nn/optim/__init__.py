"""Optimizers, and schedules for their learning rate."""

from tinygrad_nn.optim import schedules
from tinygrad_nn.optim.optimizers import SGD, Adam, AdamW, Optimizer, clip_grad_norm

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_grad_norm", "schedules"]
