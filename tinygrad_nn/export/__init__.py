"""Models in other people's formats: what leaves this library."""

from typing import TYPE_CHECKING

from tinygrad_nn.export.numpy_file import numpy
from tinygrad_nn.export.onnx_model import onnx
from tinygrad_nn.hints.lookups import face

__all__ = ["numpy", "onnx"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
