"""Data parallel training on many machines: every rank has the model, and takes its rows of each batch."""

from tinygrad_nn.parallel.communicator import Communicator, world
from tinygrad_nn.parallel.threads import threads

__all__ = ["Communicator", "threads", "world"]
