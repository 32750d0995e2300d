"""Data parallel training on many machines: every rank has the model, and takes its rows of each batch."""

from typing import TYPE_CHECKING

from tinygrad_nn.hints.lookups import face
from tinygrad_nn.parallel.communicator import Communicator, world
from tinygrad_nn.parallel.threads import threads

__all__ = ["Communicator", "threads", "world"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
