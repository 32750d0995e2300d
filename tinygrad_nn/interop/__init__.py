"""Weights of other libraries, carried over."""

from tinygrad_nn.interop.pytorch import load_torch, torch_state

__all__ = ["load_torch", "torch_state"]
