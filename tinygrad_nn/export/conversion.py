"""What a converter has at hand: a call of an op, and the file that grows with it: its names, constants and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinygrad_nn.errors import ExportError
from tinygrad_nn.export.expressions import length
from tinygrad_nn.export.naming import free
from tinygrad_nn.export.tracing import Traced, refused
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.primitives import Array, Params, Primitive, Shape

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Setting = float | str | Sequence[int]
"""What ONNX calls an attribute."""

LARGE = 2**62
"""Beyond the end of any axis."""

_IR_VERSION = 10


class Writer:
    """Makes nodes and constants; each has a name that nothing else has."""

    def __init__(self, traced: Traced, package: ModuleType, opset: int) -> None:
        self.traced = traced
        self.graph = traced.graph
        self.package = package
        self.opset = opset
        self.labels = self.graph.labels()
        self.nodes: list[NodeProto] = []
        self.constants: dict[object, tuple[str, Array]] = {}
        self.names: dict[int, str] = {}
        self.parts: dict[int, Mapping[str, str]] = {}
        self._taken: set[str] = set()
        self._input = ""
        self._batch = ""

    def free(self, wish: str) -> str:
        """Return a name that is not taken, as near to the wish as can be."""
        return free(wish, self._taken)

    def constant(self, array: Array, name: str = "constant") -> str:
        """Return the name of an array in the file; equal ones are there once."""
        array = np.array(array, order="C")
        key = name if name != "constant" else (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = self.free(name), array
        return self.constants[key][0]

    def node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], where: str, **settings: Setting
    ) -> None:
        """Add a node."""
        name = self.free(f"{where}{kind}")
        self.nodes.append(self.package.helper.make_node(kind, inputs, outputs, name=name, **settings))

    def batch(self) -> str:
        """Return the length of the batch, found in the first input."""
        if not self._batch:
            self._batch = self.free("batch")
            self.node("Shape", [self._input], [self._batch], "", start=0, end=1)
        return self._batch

    def dtype(self, dtype: np.dtype) -> int:
        """Return ONNX's number of a dtype."""
        return int(self.package.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _info(self, name: str, value: Value) -> object:
        shape = [
            length(by, size - by * self.traced.batch, "batch").text if by else size
            for by, size in zip(self.traced.growth(value), value.shape, strict=True)
        ]
        return self.package.helper.make_tensor_value_info(name, self.dtype(value.dtype), shape)

    def model(
        self, converters: Mapping[Primitive, Converter], names: tuple[list[str], list[str]]
    ) -> ModelProto:
        """Return the model."""
        helper, graph = self.package.helper, self.graph
        # What the user has named comes first.
        self._taken.update((*names[0], *names[1]))
        for k, name in zip(graph.inputs, names[0], strict=True):
            self.names[k] = name
        self._input = names[0][0] if names[0] else ""
        for call in graph.ops:
            converter = converters.get(call.op)
            conversion = Conversion(self, call)
            if call.op.writes:
                raise conversion.refused("an update: what is exported is a forward pass")
            if converter is None:
                raise conversion.refused("has no converter to ONNX")
            made = converter(conversion)
            if isinstance(made, str):
                self.names[call.index] = made
            else:
                self.parts[call.index] = made
        for k, name in zip(graph.outputs, names[1], strict=True):
            value = graph.values[k]
            self.node("Identity", [self.named(value)], [name], f"{name}/")
        nodes, used = self._needed(names[1])
        made = helper.make_graph(
            nodes,
            self.traced.title,
            [self._info(name, graph.values[k]) for k, name in zip(graph.inputs, names[0], strict=True)],
            [self._info(name, graph.values[k]) for k, name in zip(graph.outputs, names[1], strict=True)],
            [
                self.package.numpy_helper.from_array(array, name)
                for name, array in self.constants.values()
                if name in used
            ],
        )
        opsets = [helper.make_opsetid("", self.opset)]
        exported: ModelProto = helper.make_model(
            made, opset_imports=opsets, producer_name="tinygrad_nn", ir_version=_IR_VERSION
        )
        return exported

    def _needed(self, outputs: Sequence[str]) -> tuple[list[NodeProto], set[str]]:
        """Return the nodes that the outputs depend on, and all names that these read."""
        used, kept = set(outputs), []
        for node in reversed(self.nodes):
            if used.intersection(node.output):
                kept.append(node)
                used.update(node.input)
        return kept[::-1], used

    def named(self, value: Value) -> str:
        """Return the name of any value of the graph."""
        return self.names[value.index] if value.index in self.names else self.given(value, value.dtype)

    def given(self, value: Value, dtype: np.dtype) -> str:
        """Return the name of a parameter or constant, in a dtype."""
        array = np.asarray(value.data)
        if any(self.traced.growth(value)):
            if array.size and (array != array.flat[0]).any():
                raise ExportError(
                    f"export.onnx: a constant of shape {value.shape} has a row for each sample of the batch\n"
                    "  hint   make it an argument of the function, or dynamic=False"
                )
            once = self.constant(np.full((1,) * array.ndim, array.flat[0] if array.size else 0, dtype))
            return self.expanded(once, value)
        if value.name is not None and array.dtype == dtype:
            return self.constant(array, value.name)
        return self.constant(array.astype(dtype))

    def expanded(self, name: str, value: Value) -> str:
        """Return a value stretched to the shape of another."""
        growth = self.traced.growth(value)
        if any(growth):
            parts = [self._length(by, size) for by, size in zip(growth, value.shape, strict=True)]
            shape = self.free("shape")
            self.node("Concat", parts, [shape], "", axis=0)
        else:
            shape = self.constant(np.array(value.shape, np.int64))
        result = self.free("expanded")
        self.node("Expand", [name, shape], [result], "")
        return result

    def _length(self, by: int, size: int) -> str:
        """Return the length of an axis, as a vector of one number."""
        rest = self.constant(np.array([size - by * self.traced.batch], np.int64))
        if not by:
            return rest
        scaled, whole = self.free("length"), self.free("length")
        self.node("Mul", [self.constant(np.array([by], np.int64)), self.batch()], [scaled], "")
        self.node("Add", [scaled, rest], [whole], "")
        return whole


class Conversion:
    """One call of an op, and what a converter needs to write it in ONNX's operators.

    Attributes:
        call: the call.
        values: its operands.
        params: its settings.
        dtype: of its result.
    """

    def __init__(self, writer: Writer, call: Call) -> None:
        self.writer = writer
        self.call = call
        self.values = [writer.graph.values[k] for k in call.operands]
        self.params: Params = call.params
        self.dtype = call.dtype

    @property
    def shape(self) -> Shape:
        """The shape of the result, for the batch that was given."""
        return self.call.shape

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of the operands."""
        return [value.shape for value in self.values]

    @cached_property
    def common(self) -> np.dtype:
        """The dtype that the operands have together, as NumPy promotes them."""
        return np.result_type(
            *[
                v.dtype if isinstance(v, Call) or isinstance(v.data, np.ndarray) else v.data
                for v in self.values
            ]
        )

    def x(self, place: int = 0, dtype: np.dtype | None = None) -> str:
        """Return the name of an operand, in a dtype; by default in its own, that of the others for a plain number."""
        value = self.values[place]
        weak = not isinstance(value, Call) and not isinstance(value.data, np.ndarray)
        dtype = dtype or (self.common if weak else value.dtype)
        if value.index in self.writer.parts:
            raise self.refused("reads a result of a recurrent network that ONNX does not give")
        if value.index not in self.writer.names:
            return self.writer.given(value, dtype)
        return self.cast(self.writer.names[value.index], value.dtype, dtype)

    def all(self) -> list[str]:
        """Return the names of all operands, in the dtype that they have together."""
        return [self.x(k, self.common) for k in range(len(self.values))]

    def cast(self, name: str, old: np.dtype, new: np.dtype) -> str:
        """Return a value in another dtype."""
        return name if old == new else self.op("Cast", name, to=self.writer.dtype(new))

    def op(self, kind: str, *inputs: str, **settings: Setting) -> str:
        """Add a node of one result, and return its name."""
        return self.ops(kind, 1, *inputs, **settings)[0]

    def ops(self, kind: str, count: int, *inputs: str, **settings: Setting) -> list[str]:
        """Add a node of several results, and return their names."""
        writer, scope = self.writer, self.call.scope
        chain = [s.key() for s in scope.chain()[1:]] if scope is not None else []
        where = "".join(f"{key}/" for key in chain)
        outputs = [writer.free(f"{where}{kind.lower()}_{self.call.index}") for _ in range(count)]
        writer.node(kind, inputs, outputs, where, **settings)
        return outputs

    def constant(self, array: ArrayLike, dtype: DTypeLike | None = None) -> str:
        """Return a constant array."""
        return self.writer.constant(np.asarray(array, dtype))

    def ints(self, *numbers: int) -> str:
        """Return a constant vector of integers."""
        return self.constant(numbers, np.int64)

    def like(self, number: float) -> str:
        """Return a constant number of the dtype of the result."""
        return self.constant(number, self.dtype)

    def fixed(self) -> None:
        """Refuse the call if shapes of its operands grow with the batch."""
        if any(any(self.writer.traced.growth(value)) for value in (*self.values, self.call)):
            raise self.refused("cannot have a batch of any length\n  hint   dynamic=False")

    def target(self, value: Value) -> str:
        """Return the shape of a value for Reshape, where -1 stands for what grows with the batch."""
        growth = self.writer.traced.growth(value)
        if sum(map(bool, growth)) > 1 or (any(growth) and 0 in value.shape):
            raise self.refused("has several axes that grow with the batch\n  hint   dynamic=False")
        return self.ints(*[-1 if n else size for n, size in zip(growth, value.shape, strict=True)])

    def reshaped(self, name: str, value: Value) -> str:
        """Return a value in the shape of another."""
        return self.op("Reshape", name, self.target(value), allowzero=int(0 in value.shape))

    def flat(self, name: str) -> str:
        """Return a value as a vector."""
        return self.op("Reshape", name, self.ints(-1))

    def transposed(self, name: str, axes: Sequence[int]) -> str:
        """Return a value with its axes in another order."""
        axes = list(axes)
        return name if axes == sorted(axes) else self.op("Transpose", name, perm=axes)

    def broadcast(self, name: str, value: Value | None = None) -> str:
        """Return a value stretched to the shape of another, of the result by default."""
        return self.writer.expanded(name, value or self.call)

    def channels_first(self, name: str, rank: int) -> str:
        """Return (N, *space, C) as (N, C, *space)."""
        return self.transposed(name, (0, rank - 1, *range(1, rank - 1)))

    def channels_last(self, name: str, rank: int) -> str:
        """Return (N, C, *space) as (N, *space, C)."""
        return self.transposed(name, (0, *range(2, rank), 1))

    def sliced(self, name: str, first: int, last: int, axis: int, step: int = 1) -> str:
        """Return a part of a value along an axis."""
        return self.op("Slice", name, self.ints(first), self.ints(last), self.ints(axis), self.ints(step))

    def backwards(self, name: str, axis: int) -> str:
        """Return a value with the elements of an axis from the last one to the first."""
        return self.sliced(name, -1, -LARGE, axis, -1)

    def numbers(self, function: Callable[..., Array], shape: Shape) -> Array:
        """Return which element of an array each element of function(array) is."""
        return function(np.arange(math.prod(shape)).reshape(shape))

    def picked(self, name: str, numbers: Array) -> str:
        """Return elements of a value by their number."""
        return self.op("Gather", self.flat(name), self.constant(numbers, np.int64), axis=0)

    def put_back(self, name: str, numbers: Array, value: Value) -> str:
        """Return zeros, of the shape of a value, with each element added to the one of its number."""
        zeros = self.constant(np.zeros(math.prod(value.shape), self.dtype))
        places = self.constant(np.asarray(numbers).reshape(-1), np.int64)
        total = self.op("ScatterElements", zeros, places, self.flat(name), axis=0, reduction="add")
        return self.reshaped(total, value)

    def refused(self, why: str) -> ExportError:
        """Return an error that names the line of the graph, and the module."""
        return refused("export.onnx", self.call, self.writer.labels, why)


Converter = Callable[[Conversion], str | Mapping[str, str]]
"""Returns the name of the result; or, where ONNX has it in parts, that of each by its index, as Python writes it."""
