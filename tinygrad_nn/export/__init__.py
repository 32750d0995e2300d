"""Models in other people's formats: what leaves this library."""

from tinygrad_nn.export.onnx_model import onnx

__all__ = ["onnx"]
