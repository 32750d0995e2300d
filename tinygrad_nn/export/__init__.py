"""Models in other people's formats: what leaves this library."""

from tinygrad_nn.export.numpy_file import numpy
from tinygrad_nn.export.onnx_model import onnx

__all__ = ["numpy", "onnx"]
