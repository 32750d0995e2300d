"""check_optimizer: what every optimizer owes its parameters, and its published formula step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.engine.tensor import Tensor, tensor
from tinygrad_nn.errors import CheckFailed
from tinygrad_nn.primitives import Array
from tinygrad_nn.testing.bad_states import Stateful, copied, refuses_bad_states, same_states
from tinygrad_nn.testing.verdict import require


class Optimizer(Stateful, Protocol):
    """What can be checked: one of the library's, or anything with the same methods."""

    def step(self) -> None:
        """Update the parameters that have a gradient."""

    def zero_grad(self) -> None:
        """Forget all gradients."""


Factory = Callable[[Sequence[Tensor]], Optimizer]
Formula = Callable[[Array, Callable[[int], Array], int], Array]
_require = partial(require, "check_optimizer")


def check_optimizer(factory: Factory, formula: Formula | None = None, *, steps: int = 100) -> None:
    """Put an optimizer through what all of them have to do; raise `CheckFailed` where it does not.

    It has to refuse empty, repeated and derived parameters; update in place, in the parameter's dtype, without
    writing into gradients; skip parameters without one; treat parameters independently; save and restore its
    state bit for bit, and nothing at all from a state that does not fit.

    Args:
        factory: makes the optimizer from parameters, for example `lambda ps: SGD(ps, lr=0.1, momentum=0.9)`.
        formula: the published update as a plain loop, `(w, gradient, steps) -> w`, where `gradient(k)` is that of
            step k; the trajectories have to agree to 1e-12.
        steps: how many.

    Example:
        >>> from tinygrad_nn.optim import SGD
        >>> check_optimizer(lambda ps: SGD(ps, lr=0.1), lambda w, g, n: w - sum(0.1 * g(k) for k in range(n)))
    """
    _refusals(factory)
    for dtype in (np.float32, np.float64):
        _in_place(factory, dtype)
    _independent(factory)
    _resumes(factory)
    _restores_all_or_nothing(factory)
    if formula is not None:
        _follows(factory, formula, steps)


def _gradient(k: int, size: int = 6) -> Array:
    """Return the gradient of step k: of changing size and sign, now and then exactly zero."""
    rng = np.random.default_rng(k)
    return rng.normal(size=size) * 10.0 ** rng.integers(-3, 3) * (k % 7 != 3)


def _parameter(dtype: DTypeLike = np.float64, size: int = 6) -> Tensor:
    return tensor(np.linspace(-1, 2, size).astype(dtype), requires_grad=True)


def _run(optimizer: Optimizer, parameters: list[Tensor], steps: Iterable[int]) -> None:
    for k in steps:
        for parameter in parameters:
            parameter.grad = _gradient(k, parameter.size).astype(parameter.dtype)
        optimizer.step()


def _refusals(factory: Factory) -> None:
    w = _parameter()
    cases: dict[str, list[Any]] = {
        "an empty list": [],
        "a parameter twice": [w, w],
        "a result": [w * 2],
        "a tensor that requires no grad": [tensor([1.0])],
        "an array": [np.ones(2)],
    }
    for what, parameters in cases.items():
        try:
            factory(parameters)
        except ValueError:
            continue
        raise CheckFailed(f"check_optimizer: {what} is accepted as parameters")


def _in_place(factory: Factory, dtype: DTypeLike) -> None:
    w, still = _parameter(dtype), _parameter(dtype)
    array, before = w._data, still._data.copy()
    optimizer = factory([w, still])
    w.grad = g = _gradient(1).astype(dtype)
    g_before = g.copy()
    result = w * w
    optimizer.step()
    _require(w._data is array and w.dtype == dtype, f"a {np.dtype(dtype)} parameter is not updated in place")
    _require(not np.array_equal(array, before), "a step with a gradient changes nothing")
    _require(np.array_equal(g, g_before), "a step writes into the gradient")
    _require(np.array_equal(still._data, before), "a parameter without a gradient is changed")
    try:
        result.sum().backward()
    except RuntimeError:
        pass
    else:
        raise CheckFailed("check_optimizer: a graph from before the step can be differentiated after it")
    optimizer.zero_grad()
    _require(w.grad is None, "zero_grad leaves a gradient")


def _independent(factory: Factory) -> None:
    together, apart = [_parameter(), _parameter(size=3)], [_parameter(), _parameter(size=3)]
    _run(factory(together), together, range(5))
    for parameter in apart:
        _run(factory([parameter]), [parameter], range(5))
    for a, b in zip(together, apart, strict=True):
        _require(np.array_equal(a._data, b._data), "a parameter moves otherwise in company than alone")


def _resumes(factory: Factory) -> None:
    w = _parameter()
    optimizer = factory([w])
    _run(optimizer, [w], range(5))
    state, weights = optimizer.state_dict(), w._data.copy()
    copies = copied(state)
    _run(optimizer, [w], range(5, 10))
    _require(same_states(state, copies), "the saved state shares memory with the live one")
    again = tensor(weights, requires_grad=True)
    resumed = factory([again])
    resumed.load_state_dict(state)
    _run(resumed, [again], range(5, 10))
    _require(np.array_equal(w._data, again._data), "a run that was saved and restored differs")


def _restores_all_or_nothing(factory: Factory) -> None:
    w = _parameter()
    optimizer = factory([w])
    _run(optimizer, [w], range(3))
    refuses_bad_states("check_optimizer", optimizer)


def _follows(factory: Factory, formula: Formula, steps: int) -> None:
    w = _parameter()
    start = w._data.copy()
    optimizer = factory([w])
    for k in range(steps):
        _run(optimizer, [w], [k])
        expected = formula(start.copy(), _gradient, k + 1)
        text = f"after step {k + 1} the parameter is {w._data!r}, the formula gives {expected!r}"
        _require(np.allclose(w._data, expected, rtol=1e-12, atol=1e-12), text)
