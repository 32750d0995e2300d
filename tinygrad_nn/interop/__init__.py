"""Weights of other libraries, carried over, and tensors under the array API standard's names (`xp`)."""

from tinygrad_nn.engine import namespace as xp
from tinygrad_nn.interop.keras import load_keras
from tinygrad_nn.interop.pytorch import load_torch, torch_state

__all__ = ["load_keras", "load_torch", "torch_state", "xp"]
