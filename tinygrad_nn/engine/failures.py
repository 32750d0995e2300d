"""Errors that teach: what went wrong in an op, on which tensors, in which module, and what to write instead."""

from __future__ import annotations

import math
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.errors import (
    ArgumentError,
    DtypeError,
    IndexingError,
    LabelError,
    MatrixError,
    ShapeError,
    TinygradError,
    UsageWarning,
)
from tinygrad_nn.hints.calls import is_refused, wrong_call
from tinygrad_nn.primitives import Params, Shape
from tinygrad_nn.primitives.record import Record

_OURS = (str(Path(__file__).parents[1]), str(Path(np.__file__).parent))
_SIDES = ("left", "right")
_KINDS: dict[type[Exception], type[TinygradError]] = {
    np.exceptions.AxisError: ShapeError,
    np.linalg.LinAlgError: MatrixError,
    IndexError: IndexingError,
    TypeError: DtypeError,
    ValueError: ShapeError,
}
"""What an error of NumPy becomes; the first that fits."""


def worded(op: Record, operands: Any, arrays: Any, params: Params, error: Exception) -> Exception:
    """Return the error to raise instead of NumPy's: one line of summary, then operands, module and a hint."""
    if isinstance(error, TinygradError):
        return error
    if is_refused(op.function, error):
        return wrong_call(op.function, operands, params, error, op.name)
    hint = _axis_hint(params)
    kind = ArgumentError if hint else next(ours for base, ours in _KINDS.items() if isinstance(error, base))
    shapes = [np.shape(a) for a in arrays]
    lines = [f"{op.name}: {_summary(op, shapes, error)}"]
    for k, (x, shape) in enumerate(zip(operands, shapes, strict=True)):
        label = _SIDES[k] if len(shapes) == 2 else f"operand {k}"
        dtype = getattr(arrays[k], "dtype", type(arrays[k]).__name__)
        lines.append(f"  {label:<6} {shape!s:<11} {dtype!s:<8} {_name(x)}".rstrip())
    if params:
        lines.append("  with   " + ", ".join(f"{name}={value!r}" for name, value in params.items()))
    path = module_path(context.SCOPE.get())
    if path:
        lines.append(f"  in     {path}")
    hint = hint or _hint(op, shapes, operands, params, error)
    if hint:
        lines.append(f"  hint   {hint}")
    failure = kind("\n".join(lines))
    failure.call = (op, tuple(operands), params, context.SCOPE.get())
    return failure


def cause_of(op: Record, error: Exception) -> BaseException | None:
    """Return what the error to raise is shown to come from: nothing, where it says more than NumPy does."""
    if isinstance(error, TinygradError):
        return error.__cause__
    return None if str(op.home[0]).startswith("tinygrad_nn.") else error


# Raised here instead of given where the library stands: `again` gives it for the line that the user has written.
warnings.filterwarnings("error", category=RuntimeWarning, module=r"tinygrad_nn\.engine\.tensor$")


def again(op: Record, operands: Any, arrays: Any, params: Params, warning: RuntimeWarning) -> Any:
    """Compute what NumPy has warned of once more, and warn for the user's line, of what it was computed from."""
    with np.errstate(all="ignore"):
        out = op.function(*arrays, **params)
    known = [(x, a) for x, a in zip(operands, arrays, strict=True) if isinstance(a, np.ndarray)]
    of = " and ".join(f"{_name(x)} {a.shape}".lstrip() for x, a in known)
    path = module_path(context.SCOPE.get())
    text = f"{warning}, of {of}" + (f"\n  in     {path}" if path else "")
    try:
        warnings.warn(text, RuntimeWarning, stacklevel=users_frame()[1])
    except RuntimeWarning as raised:
        raise raised from None
    return out


def _summary(op: Record, shapes: list[Shape], error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if op.name == "matmul":
        left, right = shapes
        if not (left and right):
            return f"{left} @ {right}: 0-d"
        if left[-1] != right[-2 if len(right) > 1 else 0]:
            return f"inner dimensions differ: {left} @ {right}"
        return f"batch dimensions do not broadcast: {left} @ {right}"
    if "broadcast" in text:
        return "shapes do not broadcast: " + " and ".join(map(str, shapes))
    return text


def _axis_hint(params: Params) -> str:
    """Return what to write where an axis is neither an integer nor a tuple."""
    axis = params.get("axis")
    if isinstance(axis, (list, np.ndarray)):
        return f"an axis is an integer, several are a tuple: axis={tuple(np.asarray(axis).tolist())}"
    return ""


def _hint(op: Record, shapes: list[Shape], operands: Any, params: Params, error: Exception) -> str:
    if isinstance(error, np.linalg.LinAlgError) and len(shapes[0]) > 1 and shapes[0][-2] == shapes[0][-1]:
        n = shapes[0][-1]
        return f"a small multiple of the identity makes a matrix regular: a + 1e-6 * np.eye({n})"
    axes = params.get("axes") or ()
    if op.name == "transpose" and len(axes) == 2 != len(shapes[0]):
        return f"np.swapaxes(t, {', '.join(map(str, axes))}) exchanges two axes"
    if op.name != "matmul":
        return ""
    if not all(shapes):
        return "a 0-d operand is multiplied with *"
    left, right = shapes
    scope = context.SCOPE.get()
    if scope is not None and getattr(scope.module, "weight", None) is operands[1] and len(right) == 2:
        told = f"this layer expects {right[0]} features per row, got {left[-1]}"
        return "\n         ".join([*_as_rows(left, right[0]), told])
    if len(left) == len(right) == 2 and left[1] == right[1]:
        return f"{left} @ {right[::-1]} works: x @ w.T"
    return ""


def _as_rows(shape: Shape, features: int) -> list[str]:
    """Return what to write where an input has all the features of its rows, or may have, but not on its last axis."""
    axes = len(shape)
    first = next((k for k in range(axes - 1) if math.prod(shape[k:]) == features), None)
    if first == 0:
        return ["x.reshape(1, -1) for a batch of one"]
    if first == 1:
        return ["nn.Flatten() before it, or x.reshape(len(x), -1)"]
    if first is not None:
        return [f"x.reshape(*x.shape[:{first}], -1)"]
    if axes > 3:
        return [f"nn.Flatten() before it, and then a layer of {math.prod(shape[1:])} features"]
    return ["x.T: rows are samples, and columns features"] if axes == 2 and shape[0] == features else []


def _name(x: Any) -> str:
    name = getattr(x, "name", None)
    if name:
        return str(name)
    scope = context.SCOPE.get()
    while scope is not None and scope.parent is not None:
        scope = scope.parent
    if scope is not None and hasattr(scope.module, "named_parameters"):
        return next((path for path, parameter in scope.module.named_parameters() if parameter is x), "")
    return ""


def module_path(scope: context.Scope | None) -> str:
    """Spell a call of nested modules: Sequential / 2: Dense(128 -> 10)."""
    parts = []
    for call in scope.chain() if scope is not None else ():
        text = repr(call.module)
        if call is not scope or "\n" in text:
            text = type(call.module).__name__
        parts.append(f"{call.key()}: {text}" if call.parent is not None else text)
    return " / ".join(parts)


def label_error(who: str, labels: Any, classes: int) -> LabelError:
    """Return the error for the first label outside of [0, classes)."""
    position = position_of((labels < 0) | (labels >= classes))
    return LabelError(
        f"{who}: label {labels[position]} at position {position} is outside of the {classes} classes "
        f"0 to {classes - 1}"
    )


def position_of(wrong: Any) -> int | tuple[int, ...]:
    """Return where an array of bools is first true: one number, or one for each axis.

    Example:
        >>> position_of(np.array([False, True])), position_of(np.array([[False], [True]]))
        (1, (1, 0))
    """
    first = int(np.argmax(wrong))
    return first if wrong.ndim == 1 else tuple(map(int, np.unravel_index(first, wrong.shape)))


def users_frame() -> tuple[FrameType, int]:
    """Return the innermost frame of code that is neither ours nor NumPy's, and how many calls there are to it."""
    frame, calls = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, calls = frame.f_back, calls + 1
    return frame, calls


def warn_of_usage(text: str) -> None:
    """Give a `UsageWarning` for the user's line."""
    warnings.warn(text, UsageWarning, stacklevel=users_frame()[1])
