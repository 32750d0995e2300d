"""A captured graph as an ONNX model: names, shapes that grow with the batch, the file. Needs `onnx` (extra `onnx`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from tinygrad_nn.errors import ArgumentError, SettingError
from tinygrad_nn.export.conversion import Writer
from tinygrad_nn.export.converters import CONVERTERS
from tinygrad_nn.export.tracing import traced
from tinygrad_nn.graph.ir import Graph
from tinygrad_nn.graph.recorder import trace
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
        >>> import numpy as np, tinygrad_nn as tn
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 3, rng=0), tn.nn.Tanh())
        >>> exported = tn.export.onnx(model, np.zeros((1, 2), np.float32))
        >>> [node.op_type for node in exported.graph.node]
        ['MatMul', 'Add', 'Tanh', 'Identity']
    """
    package = _package()
    if not is_integer(opset) or opset < FIRST_OPSET:
        raise SettingError(f"export.onnx: opset is an integer from {FIRST_OPSET}, got {opset!r}")
    found = traced("export.onnx", model, example, _graph, dynamic=dynamic)
    exported = Writer(found, package, opset).model(CONVERTERS, _named(found.graph, names))
    package.checker.check_model(exported, full_check=True)
    if path is not None:
        package.save_model(exported, os.fspath(path))
    return exported


def _graph(function: Function, *examples: object) -> Graph:
    return trace(function, *examples)[0]


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
