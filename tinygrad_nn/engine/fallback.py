"""NumPy functions without a derivative rule: they run on the plain arrays, or are refused where a gradient is lost."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tinygrad_nn.engine.conversions import Conversions, tell_tracers
from tinygrad_nn.errors import NoGradientRule
from tinygrad_nn.primitives import Function


def without_rule(function: Function, args: Any, kwargs: Any, refusal: NoGradientRule | None = None) -> Any:
    """Run a NumPy function, or a call of it, without rule on the plain arrays.

    Raises:
        NoGradientRule: a gradient would be lost, or a tensor be written into.
    """
    only_asks = function in _PROPERTIES
    if not only_asks and (function in _WRITERS or getattr(function, "__name__", "") == "at"):
        destination = next(iter([*args, *kwargs.values()]))
        if isinstance(destination, Conversions):
            raise NoGradientRule(_no_writing(function))

    def bare(x: Any) -> Any:
        if isinstance(x, Conversions):
            if only_asks:
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
    home = getattr(function, "__module__", None)
    if home is None:
        # Ufuncs do not tell.
        scipy = sys.modules.get("scipy.special")
        home = "scipy.special" if getattr(scipy, function.__name__, None) is function else "numpy"
    return f"{home.replace('numpy', 'np', 1)}.{function.__name__}"


def _no_rule(function: Any) -> str:
    name = _spelled(function)
    if name.startswith("np.fft."):
        hint = (
            "complex numbers stay out; real and imaginary part are two products:\n"
            "         k = 2 * np.pi / n * np.outer(np.arange(n), np.arange(n)); t @ np.cos(k), -(t @ np.sin(k))"
        )
    elif isinstance(getattr(function, "__self__", None), np.ufunc):
        hint = "with a rule: reduce of np.add, np.multiply, np.maximum, np.minimum, outer of all"
    else:
        hint = _INSTEAD.get(function) or f"to add the rule: tn.op({name}, lambda g, x: ...)"
    return f"{name} has no derivative rule\n  hint   without gradient: {name}(t.detach(), ...); {hint}"


def _no_writing(function: Any) -> str:
    name = _spelled(function)
    instead = _WRITERS.get(function)
    if instead is None:
        operands = "t[index]" if function.__self__.nin == 1 else "t[index], values"
        instead = f"{_NEW}.set({_spelled(function.__self__)}({operands})) if no index repeats"
    return f"{name} writes into its first argument\n  hint   {instead}"


_INSTEAD: dict[Any, str] = {
    np.apply_along_axis: "np.stack([f(row) for row in t]), along the first axis",
    np.apply_over_axes: "np.sum(t, axis=axes, keepdims=True); its like take several axes too",
}
"""What to write instead of functions for which a rule would be no help."""
_NEW = "t = t.at[index]"
_WHERE = "t = np.where(mask, values, t)"
_WRITERS: dict[Any, str] = {
    np.put: f"{_NEW}.set(values); np.put counts the elements of np.ravel(t)",
    np.put_along_axis: f"{_NEW}.set(values); for axis=1 of a matrix, index = (np.arange(len(t))[:, None], indices)",
    np.place: f"{_NEW}.set(values), with the mask for an index",
    np.putmask: _WHERE,
    np.copyto: f"{_WHERE}; outside of a graph, t.data = values",
    np.fill_diagonal: f"{_NEW}.set(values); index = (np.arange(n), np.arange(n))",
    np.add.at: f"{_NEW}.add(values)",
    np.subtract.at: f"{_NEW}.add(-values)",
}
"""Functions that write into their first argument, and what makes a new tensor instead."""
_PROPERTIES = frozenset(
    {
        np.shape,
        np.ndim,
        np.size,
        np.iscomplexobj,
        np.isrealobj,
        np.result_type,
        np.common_type,
        np.einsum_path,
        np.may_share_memory,
        np.shares_memory,
        np.diag_indices_from,
        np.tril_indices_from,
        np.triu_indices_from,
    }
)
"""Functions that look at shapes, dtypes and memory, not at values."""
_POSITIONS = frozenset(
    {
        np.nonzero,
        np.flatnonzero,
        np.argwhere,
        np.digitize,
        np.argpartition,
        np.nanargmax,
        np.nanargmin,
        np.lexsort,
        np.isin,
        np.isreal,
        np.iscomplex,
        np.array_equiv,
        np.histogram,
        np.histogram2d,
        np.histogramdd,
        np.linalg.matrix_rank,
        np.array_repr,
        np.array_str,
        np.array2string,
    }
)
"""Functions whose results are places, truths, counts or text, plain: no gradient could come back through them."""
