"""A model, or a step of training, as one Python file that needs NumPy alone."""

from __future__ import annotations

import os

import numpy as np

from tinygrad_nn.errors import ArgumentError, ExportError, printable
from tinygrad_nn.export.file_text import FileText
from tinygrad_nn.export.lines import Lines
from tinygrad_nn.export.updates import REBINDING, UPDATES
from tinygrad_nn.files import write_atomically
from tinygrad_nn.graph.ir import Graph
from tinygrad_nn.graph.recorder import Recorder, record
from tinygrad_nn.nn.module import in_mode
from tinygrad_nn.primitives.operands import Function


def numpy(
    model_or_step: Function,
    example: object,
    path: str | os.PathLike[str] | None = None,
    *,
    dynamic: bool = True,
) -> str:
    """Return a Python file that computes the same with NumPy alone, weights inside; write it to `path`, if given.

    A model becomes `forward(...)`, in evaluation mode; another function becomes `step(...)` if it has a backward pass
    or updates, which are written out: parameters and what optimizers keep are arrays of the file that a step changes.
    Zeros beside infinities, which derivatives of this library protect, are not protected there.

    Args:
        model_or_step: a module, or a function of tensors, such as a step of training that returns its loss.
        example: an array as it takes it, or a tuple of several; their values do not matter.
        path: where to write the file.
        dynamic: whether the batch, the first axis of the first input, may have any length; the function is then traced
            for a batch of one more too, to see what follows its length.

    Raises:
        ExportError: an op has no spelling, says which line of the graph and which module; something depends on the
            length of the batch in a way that cannot be written; a step adds to the gradients of the one before.
        ArgumentError: `model_or_step` is no function; an example without a batch.

    Example:
        >>> import tinygrad_nn as tn
        >>> text = tn.export.numpy(tn.nn.Tanh(), np.zeros((1, 2)))
        >>> print(text[text.index("    # Tanh") :])
            # Tanh
            a1 = np.tanh(x)
        <BLANKLINE>
            return a1
        <BLANKLINE>
    """
    if not callable(model_or_step):
        raise ArgumentError(
            f"export.numpy: expected a model or another function, got {type(model_or_step).__name__}"
        )
    examples = example if type(example) is tuple else (example,)
    graph = _traced(model_or_step, examples)
    longer = _traced(model_or_step, _longer(examples)) if dynamic else None
    if longer is not None and [_op(v) for v in graph.values] != [_op(v) for v in longer.values]:
        raise ExportError(
            "export.numpy: what the function does depends on the length of the batch\n"
            "  hint   dynamic=False writes it for this length alone"
        )
    name = printable(getattr(model_or_step, "__name__", type(model_or_step).__name__))
    text = FileText(name, Lines(graph, longer, UPDATES, REBINDING)).text()
    if path is not None:
        write_atomically(os.fspath(path), [text.encode()])
    return text


def _op(value: object) -> object:
    return getattr(value, "op", None)


def _traced(function: Function, examples: tuple[object, ...]) -> Graph:
    """Return the graph of a model in evaluation mode, or of a function as it is."""
    recorder = Recorder()
    with in_mode(function, training=False):
        record(recorder, function, *examples)
    for leaf, found in recorder.found.items():
        if found is not None or recorder.left.get(leaf) is not None:
            raise ExportError(
                "export.numpy: the step adds to gradients that are there before\n"
                "  hint   optimizer.zero_grad() at its beginning"
            )
    return recorder.graph


def _longer(examples: tuple[object, ...]) -> tuple[object, ...]:
    """Return the examples for a batch of one sample more."""
    arrays = [np.asarray(x) for x in examples]
    if not arrays or not arrays[0].ndim or not len(arrays[0]):
        raise ArgumentError(
            "export.numpy: the first axis of the example is the batch, and has a sample at least\n"
            "  hint   dynamic=False for a function without a batch"
        )
    return tuple(np.concatenate([x, x[:1]]) if x.ndim and len(x) == len(arrays[0]) else x for x in arrays)
