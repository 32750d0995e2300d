"""NumPy functions without a derivative rule: they run on the plain arrays, or are refused where a gradient is lost."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_nn.engine.conversions import Conversions, tell_tracers
from tinygrad_nn.errors import NoGradientRule
from tinygrad_nn.primitives import Function


def without_rule(function: Function, args: Any, kwargs: Any, refusal: NoGradientRule | None = None) -> Any:
    """Run a NumPy function, or a call of it, without rule on the plain arrays; refuse it if a gradient is lost."""

    def bare(x: Any) -> Any:
        if isinstance(x, Conversions):
            if function in _PROPERTIES:
                return x._data
            if x.requires_grad and function not in _POSITIONS:
                raise refusal or NoGradientRule(_no_rule(function))
            tell_tracers(x, _spelled(function))
            return x._data
        return type(x)(map(bare, x)) if type(x) in (list, tuple) else x

    return function(*map(bare, args), **{key: bare(value) for key, value in kwargs.items()})


def _spelled(function: Any) -> str:
    """Spell a NumPy function as code calls it: np.fft.fft, np.add.reduce."""
    owner = getattr(function, "__self__", None)  # of the method of a ufunc
    if isinstance(owner, np.ufunc):
        return f"{_spelled(owner)}.{function.__name__}"
    home = (getattr(function, "__module__", None) or "numpy").replace("numpy", "np", 1)
    return f"{home}.{function.__name__}"


def _no_rule(function: Any) -> str:
    name = _spelled(function)
    if isinstance(getattr(function, "__self__", None), np.ufunc):
        hint = "with a rule: reduce of np.add, np.multiply, np.maximum, np.minimum, outer of all"
    else:
        hint = f"to add the rule: tn.op({name}, lambda g, x: ...)"
    return f"{name} has no derivative rule\n  hint   without gradient: {name}(t.detach(), ...); {hint}"


_PROPERTIES = frozenset({np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type})
_POSITIONS = frozenset(
    {
        np.nonzero,
        np.flatnonzero,
        np.argwhere,
        np.digitize,
        np.argpartition,
        np.lexsort,
        np.isin,
    }
)
"""Functions whose results are places or truths, in plain arrays: no gradient could come back through them."""
