"""The errors this library raises: each says what happened, on which op and shapes, and what to write instead.

Every error derives from `TinygradError` and from the builtin that a NumPy user would catch for it. `UsageWarning` is
for what works, and is hardly meant.
"""

from typing import Any

import numpy as np


def printable(text: str) -> str:
    """Return a name as everything shows it: in one line, without what steers terminals or is no text in XML.

    Example:
        >>> printable("層" + chr(27)) == "層" + chr(92) + "x1b"
        True
    """
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _steers(c) else c for c in text)


def _steers(character: str) -> bool:
    """Tell whether a character is none: a control, half of a pair, unassigned, a separator, an order of direction."""
    # Few programs have such names.
    import unicodedata

    kind, direction = unicodedata.category(character), unicodedata.bidirectional(character)
    return kind in ("Cc", "Cs", "Cn", "Zl", "Zp") or direction in _DIRECTIONS


_DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


class TinygradError(Exception):
    """Base of every error raised by tinygrad_nn.

    Example:
        >>> import tinygrad_nn as tn
        >>> try:
        ...     tn.tensor(np.ones((2, 3))) @ np.ones((2, 3))
        ... except ValueError as error:  # the builtin one works too
        ...     print(error)
        ...     print(isinstance(error, TinygradError))
        matmul: inner dimensions differ: (2, 3) @ (2, 3)
          left   (2, 3)      float64
          right  (2, 3)      float64
          hint   (2, 3) @ (3, 2) works: x @ w.T
        True
    """

    call: tuple[Any, ...] | None = None
    """Where an op failed: (op, operands, parameters, scope), from which a picture of the way there is drawn."""

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes as text: the operands of the call cannot leave theirs."""
        return type(self), self.args


class ShapeError(TinygradError, ValueError):
    """Operand shapes do not fit the op."""


class LabelError(TinygradError, ValueError, IndexError):
    """A class label lies outside the classes that the logits have."""


class IndexingError(TinygradError, IndexError):
    """An index does not fit the shape it is applied to."""


class DtypeError(TinygradError, TypeError):
    """A dtype or kind of array is not supported by the operation."""


class ArgumentError(TinygradError, TypeError):
    """A call has an argument that the function does not take, or lacks one."""


class SettingError(TinygradError, ValueError):
    """A parameter has a value that the op is not defined for."""


class DivisorError(TinygradError, ZeroDivisionError):
    """What the op divides by is 0."""


class MatrixError(TinygradError, np.linalg.LinAlgError):
    """A matrix is singular, not square, or else not one that the op is defined for."""


class GraphFreed(TinygradError, RuntimeError):
    """The arrays saved for backward have already been released."""


class GraphError(TinygradError, RuntimeError):
    """The graph does not allow the operation, for example a backward pass from a tensor without one."""


class StaleValue(TinygradError, RuntimeError):
    """A value was overwritten between the forward and the backward pass."""


class NoGradientRule(TinygradError, TypeError):
    """An op, or a keyword of it, has no derivative rule."""


class BadRule(TinygradError, TypeError):
    """A derivative rule is declared wrongly or returned something that cannot be a gradient."""


class CaptureError(TinygradError, RuntimeError):
    """Something happened during capture that a replay could not repeat."""


class ExportError(TinygradError, ValueError):
    """A model cannot be written in a format; says which op, in which line of its graph and in which module."""


class DatasetError(TinygradError, ValueError):
    """A data file is missing, damaged or not what it should be."""


class CheckpointError(TinygradError, ValueError):
    """A checkpoint is damaged, foreign or does not match the model."""


class RendererNotFound(TinygradError, RuntimeError):
    """No program that turns DOT into the wanted picture is installed."""


class NonFinite(TinygradError, FloatingPointError):
    """A NaN or an infinity appeared; `history` is what training had recorded by then.

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([1.0], requires_grad=True)
        >>> sgd, batches = tn.optim.SGD([w], lr=1e30), [(np.ones((2, 1)), np.zeros((2, 1)))]
        >>> try:
        ...     tn.train.fit(lambda x: x * w, tn.nn.losses.mse, sgd, batches, epochs=9, progress=False)
        ... except NonFinite as error:
        ...     print(error)
        ...     print(len(error.history), "epochs before")
        the loss is inf in epoch 3, batch 1; this step was not taken
          hint   a smaller learning rate, optim.clip_grad_norm, or look at the batch named here
        2 epochs before
    """

    history: Any = None


class RankError(TinygradError, RuntimeError):
    """Another rank of a job has failed, or ranks that have to do the same do not."""


class CheckFailed(TinygradError, AssertionError):
    """An op, a module or an optimizer does not do what every one of its kind has to."""


class GradientMismatch(CheckFailed):
    """A derivative rule and the numerical derivative disagree; `report` is what gradcheck has compared.

    Example:
        >>> import tinygrad_nn as tn
        >>> try:
        ...     tn.testing.gradcheck((lambda x: x @ x, lambda x: -2 * x), np.ones(3))
        ... except GradientMismatch as error:
        ...     print(error.report)
        GradcheckReport(3 entries, complex step, largest error 4, 3 wrong, opposite-sign)
    """

    report: Any = None


class UsageWarning(UserWarning):
    """Something works, but hardly as it was meant; says what to write."""


__all__ = [name for name, x in globals().items() if isinstance(x, type) and x.__module__ == __name__]


def __dir__() -> list[str]:
    """List the errors."""
    return __all__
