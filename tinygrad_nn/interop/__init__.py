"""Weights of other libraries, carried over, and tensors under the array API standard's names (`xp`)."""

from typing import TYPE_CHECKING

from tinygrad_nn.engine import namespace as xp
from tinygrad_nn.hints.lookups import face
from tinygrad_nn.interop.keras import load_keras
from tinygrad_nn.interop.pytorch import load_torch, torch_state

__all__ = ["load_keras", "load_torch", "torch_state", "xp"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
