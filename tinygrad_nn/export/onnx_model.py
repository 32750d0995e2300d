"""A captured graph as an ONNX model: names, shapes that grow with the batch, the file. Needs `onnx` (extra `onnx`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_nn.errors import ArgumentError, ExportError, SettingError, printable
from tinygrad_nn.export.conversion import Growing, Writer
from tinygrad_nn.export.converters import CONVERTERS
from tinygrad_nn.graph.ir import Graph
from tinygrad_nn.graph.recorder import trace
from tinygrad_nn.nn.module import in_mode
from tinygrad_nn.primitives.operands import Function
from tinygrad_nn.settings import is_integer

if TYPE_CHECKING:
    from onnx import ModelProto

FIRST_OPSET = 20
"""The first in which all ops are that the converters use."""


def _package() -> ModuleType:
    try:
        import onnx
    except ImportError:
        raise ImportError(
            'export to ONNX needs the package onnx\n  hint   pip install "tinygrad_nn[onnx]"'
        ) from None
    return onnx


def onnx(
    model: Function,
    example: object,
    path: str | os.PathLike[str] | None = None,
    *,
    dynamic: bool = True,
    names: Sequence[str] | None = None,
    opset: int = FIRST_OPSET,
) -> ModelProto:
    """Return what a model computes as an ONNX model (onnx.ai), in evaluation mode; write it to a file, if there is one.

    Inputs and outputs keep their layout, channels last; where ONNX wants channels first, transposes stand inside.
    Parameters have their dotted names, nodes the path of the modules that made them. The model is checked by
    `onnx.checker`; it is left in the mode in which it was.

    Args:
        model: a module, or any function of tensors.
        example: an array as `model` takes it, or a tuple of several; their values do not matter.
        path: where to write the model.
        dynamic: whether the first axis of inputs and outputs, the batch, may have any length in the file; the model is
            run on a batch of one more, to see which shapes grow with it.
        names: of the inputs, then of the outputs; by default those of the function's parameters, and `output`.
        opset: the version of ONNX's operators, 20 or later.

    Raises:
        ExportError: an op has no converter, the model trains, draws random numbers, or depends on the batch's
            length; says which line of the graph, and which module.
        ImportError: the package `onnx` is not installed.
        SettingError, ArgumentError: a setting that is none; another number of names than there are.

    Example:
        >>> import tinygrad_nn as tn
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 3, rng=0), tn.nn.Tanh())
        >>> exported = tn.export.onnx(model, np.zeros((1, 2), np.float32))
        >>> [node.op_type for node in exported.graph.node]
        ['MatMul', 'Add', 'Tanh', 'Identity']
    """
    package = _package()
    if not callable(model):
        raise ArgumentError(f"export.onnx: expected a model or another function, got {type(model).__name__}")
    if not is_integer(opset) or opset < FIRST_OPSET:
        raise SettingError(f"export.onnx: opset is an integer from {FIRST_OPSET}, got {opset!r}")
    examples = example if type(example) is tuple else (example,)
    graph = _traced(model, examples)
    growing = _growing(graph, _traced(model, _longer(examples))) if dynamic else Growing(graph)
    exported = Writer(graph, growing, package, opset).model(CONVERTERS, _named(graph, names), _title(model))
    package.checker.check_model(exported, full_check=True)
    if path is not None:
        package.save_model(exported, os.fspath(path))
    return exported


def _traced(model: Function, examples: tuple[object, ...]) -> Graph:
    """Return the graph of a forward pass in evaluation mode."""
    with in_mode(model, training=False):
        return trace(model, *examples)[0]


def _title(model: Function) -> str:
    return printable(getattr(model, "__name__", type(model).__name__))


# Which shapes grow with the batch


def _longer(examples: tuple[object, ...]) -> tuple[object, ...]:
    """Return the examples for a batch of one sample more."""
    arrays = [np.asarray(x) for x in examples]
    if not arrays or not arrays[0].ndim or not len(arrays[0]):
        raise ArgumentError(
            "export.onnx: the first axis of the example is the batch, and has a sample at least\n"
            "  hint   dynamic=False for a model without a batch"
        )
    return tuple(np.concatenate([x, x[:1]]) if x.ndim and len(x) == len(arrays[0]) else x for x in arrays)


def _growing(graph: Graph, longer: Graph) -> Growing:
    """Compare two graphs of the same function, the second for a batch that has a sample more."""
    hint = "\n  hint   dynamic=False exports it for this length alone"
    if [getattr(v, "op", None) for v in graph.values] != [getattr(v, "op", None) for v in longer.values]:
        raise ExportError(f"export.onnx: what the model does depends on the length of the batch{hint}")
    batch = graph.values[graph.inputs[0]].shape[0]
    by = [
        tuple(b - a for a, b in zip(value.shape, other.shape, strict=True))
        for value, other in zip(graph.values, longer.values, strict=True)
    ]
    return Growing(graph, batch, by)


def _named(graph: Graph, names: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Return the names of inputs and outputs."""
    labels, count = graph.labels(), len(graph.inputs)
    if names is None:
        several = len(graph.outputs) > 1
        outputs = [f"output{k}" if several else "output" for k in range(len(graph.outputs))]
        return [labels[k] for k in graph.inputs], outputs
    names = list(names)
    if len(names) != count + len(graph.outputs) or len(set(names)) < len(names):
        raise ArgumentError(
            f"export.onnx: names are different ones for {count} inputs and {len(graph.outputs)} outputs, got {names!r}"
        )
    return names[:count], names[count:]
