"""What a check is, and how it fails: with the call that shows it, as a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from tinygrad_nn.engine.autodiff import gradients
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import CheckFailed
from tinygrad_nn.testing.battery.calls import Call
from tinygrad_nn.testing.verdict import snippet, spell

Array = np.ndarray[Any, Any]
Check = Callable[[Call], bool]
CHECKS: dict[str, Check] = {}
"""By name. A check raises `CheckFailed`, and returns False where it does not apply."""

UNDEFINED = (np.empty_like,)
"""Functions whose values are not defined, only shape and dtype."""


def check(function: Check) -> Check:
    """Register a check of the battery."""
    CHECKS[function.__name__] = function
    return function


def script(call: Call) -> list[str]:
    """Return the lines that run the battery on this very call."""
    operands = ", ".join(spell(x) for x in call.operands)
    at_kink = ", at_kink=True" if call.at_kink else ""
    return snippet(
        "from tinygrad_nn.testing.battery.calls import Call",
        f"op = tn.REGISTRY[{call.op.name!r}]",
        f"operands = ({operands},)",
        f"call = Call(op, operands, {call.params!r}, seed={call.seed}, scale={call.scale!r}{at_kink})",
        "tn.testing.battery.run(call)",
    )


def fail(call: Call, name: str, text: str) -> NoReturn:
    """Raise the error of a failed check."""
    lines = [f"{call.op.name}: {name}: {text}", "  reproduce", *[f"    {line}" for line in script(call)]]
    raise CheckFailed("\n".join(lines))


def same(a: Any, b: Any) -> bool:
    """Tell whether two arrays are equal, NaN included."""
    a, b = np.asarray(a), np.asarray(b)
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f"))


def close(a: Any, b: Any, rtol: float, scale: float | None = None) -> bool:
    """Tell whether two arrays agree, relative to the largest entry of `b`; without floats, are equal."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype.kind != "f" or b.dtype.kind != "f":
        return same(a, b)
    with np.errstate(all="ignore"):
        equal = (a == b) | (np.isnan(a) & np.isnan(b))
        near = np.abs(a - b) <= rtol * (largest(b) if scale is None else scale) + 1e-13
    return bool(np.all(equal | near))


def largest(*arrays: Any) -> float:
    """Return the largest finite size of any entry."""
    return max(
        (float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in map(np.asarray, arrays)), default=0.0
    )


def value_and_gradients(
    call: Call, xs: Sequence[Any] | None = None, cotangent: Any = None
) -> tuple[Tensor, list[Array]]:
    """Return result and gradients of a call from the engine, at other operands or for another cotangent."""
    tensors = call.leaves(xs)
    y = call.on_tensors(tensors)
    found = gradients(y, tensors, cotangent=call.cotangent if cotangent is None else cotangent)
    return y, [g._data for g in found]


def saved_arrays(y: Tensor) -> list[Array]:
    """Return what the node of a result has saved."""
    saved: list[Any] = list(getattr(y._node, "saved", ()))
    flat = [a for item in saved for a in (item if isinstance(item, tuple) else (item,))]
    return [a for a in flat if isinstance(a, np.ndarray)]
