"""A model, or a step of training, as one Python file that needs NumPy alone."""

from __future__ import annotations

import os

from tinygrad_nn.errors import ExportError
from tinygrad_nn.export.file_text import FileText
from tinygrad_nn.export.lines import Lines
from tinygrad_nn.export.tracing import traced
from tinygrad_nn.export.updates import REBINDING, UPDATES
from tinygrad_nn.files import write_atomically
from tinygrad_nn.graph.ir import Graph
from tinygrad_nn.graph.recorder import Recorder, record
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
        >>> import numpy as np, tinygrad_nn as tn
        >>> text = tn.export.numpy(tn.nn.Tanh(), np.zeros((1, 2)))
        >>> print(text[text.index("    # Tanh") :])
            # Tanh
            a1 = np.tanh(x)
        <BLANKLINE>
            return a1
        <BLANKLINE>
    """
    found = traced("export.numpy", model_or_step, example, _graph, dynamic=dynamic)
    text = FileText(Lines(found, UPDATES, REBINDING)).text()
    if path is not None:
        write_atomically(os.fspath(path), [text.encode()])
    return text


def _graph(function: Function, *examples: object) -> Graph:
    """Return the graph of a forward pass, or of a step that begins without gradients."""
    recorder = Recorder()
    record(recorder, function, *examples)
    for leaf, found in recorder.found.items():
        if found is not None or recorder.left.get(leaf) is not None:
            raise ExportError(
                "export.numpy: the step adds to gradients that are there before\n"
                "  hint   optimizer.zero_grad() at its beginning"
            )
    return recorder.graph
