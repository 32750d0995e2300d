"""What an op is: its rules, its operands, the record that everything else follows from, and how it is declared."""

from tinygrad_nn.primitives.composite import Composite
from tinygrad_nn.primitives.declare import composite, kernel, op
from tinygrad_nn.primitives.operands import (
    Array,
    ArrayOrTensor,
    Axis,
    Function,
    Mask,
    Operands,
    Params,
    Shape,
    Shapes,
)
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY, Record, Sample

__all__ = [
    "REGISTRY",
    "Array",
    "ArrayOrTensor",
    "Axis",
    "Composite",
    "Function",
    "Mask",
    "Operands",
    "Params",
    "Primitive",
    "Record",
    "Sample",
    "Shape",
    "Shapes",
    "composite",
    "kernel",
    "op",
]
