"""What an op is: its rules, its operands, the record that everything else follows from, and how it is declared."""

from tinygrad_nn.primitives.declare import composite, kernel, op
from tinygrad_nn.primitives.operands import Array, Axis, Call, Function, Operands, Params, Shape, Shapes

__all__ = [
    "Array",
    "Axis",
    "Call",
    "Function",
    "Operands",
    "Params",
    "Shape",
    "Shapes",
    "composite",
    "kernel",
    "op",
]
