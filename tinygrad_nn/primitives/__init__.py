"""What an op is: its rules, its operands, the record that everything else follows from, and how it is declared."""

from tinygrad_nn.primitives.composite import Composite
from tinygrad_nn.primitives.declare import composite, kernel, op
from tinygrad_nn.primitives.operands import Array, Axis, Call, Function, Operands, Params, Shape, Shapes
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY, Record

__all__ = [
    "REGISTRY",
    "Array",
    "Axis",
    "Call",
    "Composite",
    "Function",
    "Operands",
    "Params",
    "Primitive",
    "Record",
    "Shape",
    "Shapes",
    "composite",
    "kernel",
    "op",
]
