"""Optimizers: one update rule each, in place on every parameter's array, with reused scratch memory.

A rule is registered as a kernel that declares what it writes, so that a captured step contains it. Its learning
rate and step count are 0-d arrays, set before each step, so that they are inputs and never constants of a capture.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.engine.node import tick
from tinygrad_nn.primitives.declare import kernel
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.states import check_fit

Array = np.ndarray[Any, Any]
Schedule = Callable[[int], float]


@kernel(*[None] * 5, writes=(0, 2, 3), differentiable=False, method=False)
def sgd_update(
    parameter: Any,
    gradient: Any,
    velocity: Any,
    scratch: Any,
    rate: Any,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Set v = momentum * v + g, w -= rate * v; with Nesterov's momentum, w -= rate * (g + momentum * v)."""
    if weight_decay:
        np.multiply(parameter, weight_decay, out=scratch)
        gradient = np.add(scratch, gradient, out=scratch)
    if momentum:
        velocity *= momentum
        velocity += gradient
        if nesterov:
            step = velocity * momentum
            step += gradient
            gradient = step
        else:
            gradient = velocity
    np.multiply(gradient, float(rate), scratch)  # out= by position is the quicker call
    np.subtract(parameter, scratch, parameter)


@kernel(*[None] * 7, writes=(0, 2, 3, 4), differentiable=False, method=False)
def adam_update(
    parameter: Any,
    gradient: Any,
    first: Any,
    second: Any,
    scratch: Any,
    rate: Any,
    count: Any,
    *,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Set m and v to the running means of g and g * g; w -= rate * m_hat / (sqrt(v_hat) + eps) (Kingma and Ba 2015)."""
    b1, b2 = betas
    lr, t = float(rate), int(count)
    if weight_decay and decoupled:
        parameter *= 1 - lr * weight_decay
    elif weight_decay:
        gradient = gradient + weight_decay * parameter
    np.subtract(gradient, first, out=scratch)
    scratch *= 1 - b1
    first += scratch
    second *= b2
    np.multiply(gradient, gradient, out=scratch)
    scratch *= 1 - b2
    second += scratch
    np.sqrt(second, out=scratch)
    scratch *= 1 / math.sqrt(1 - b2**t)
    scratch += eps
    np.divide(first, scratch, out=scratch)
    scratch *= lr / (1 - b1**t)
    parameter -= scratch


class Optimizer:
    """Base of optimizers: holds the parameters, the step count, the learning rate and the state of each parameter.

    Subclasses name the rule that updates one parameter, the state arrays it keeps (`slots`) and its options.
    """

    rule: Primitive
    slots: tuple[str, ...] = ()
    _options: dict[str, Any]

    def __init__(self, parameters: Iterable[Any], lr: float | Schedule) -> None:
        who = type(self).__name__
        if hasattr(parameters, "parameters") or callable(parameters):
            what = "a model" if hasattr(parameters, "parameters") else "a function"
            raise ValueError(f"{who}: got {what}\n  hint   {who}(model.parameters(), lr=...)")
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(
                f"{who}: the list of parameters is empty\n  hint   {who}(model.parameters(), lr=...)"
            )
        for k, parameter in enumerate(self.parameters):
            if not getattr(parameter, "requires_grad", False) or not parameter.is_leaf:
                raise ValueError(
                    f"{who}: parameter {k} is not a leaf tensor that requires grad: {type(parameter).__name__}"
                )
        if len({id(parameter) for parameter in self.parameters}) < len(self.parameters):
            raise ValueError(f"{who}: a parameter is listed more than once")
        if not callable(lr):
            _check(who, "lr", lr, 0, math.inf)
        self.lr = lr
        self.steps = np.zeros((), np.int64)
        self._rate = np.zeros(())
        self.state: list[dict[str, Array]] = [
            {slot: np.zeros_like(parameter._data) for slot in self.slots} for parameter in self.parameters
        ]
        scratch = [np.empty_like(parameter._data) for parameter in self.parameters]
        self._memory = [self._operands(state, own) for state, own in zip(self.state, scratch, strict=True)]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters:
            parameter._node.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises:
            ValueError: the rate, or what a schedule returned, is no number, negative, infinite or NaN.
        """
        _, watchers, tracers = context.current()
        for watcher in watchers:
            watcher.before_step(self.parameters)
        # Every tracer is told, so not any() of a generator.
        if True not in [tracer.on_host(self._prepare) for tracer in tracers]:
            self._prepare()
        update = self.rule if tracers else self.rule.function
        options = self._options
        for parameter, memory in zip(self.parameters, self._memory, strict=True):
            gradient = parameter._node.grad
            if gradient is not None:
                update(parameter._data, gradient, *memory, **options)
                parameter._node.number = tick()

    def _prepare(self) -> None:
        """Count the step and set the rate; plain Python work that a replay of a captured step repeats."""
        rate = self.lr(int(self.steps)) if callable(self.lr) else self.lr
        _check(type(self).__name__, f"the learning rate of step {self.steps}", rate, 0, math.inf)
        self._rate[...] = rate
        self.steps[...] = int(self.steps) + 1  # `+= 1` costs NumPy an iterator

    def _operands(self, state: dict[str, Array], scratch: Array) -> tuple[Array, ...]:
        """Return what the rule takes after a parameter and its gradient: state, scratch, rate and step count."""
        return (*state.values(), scratch, self._rate, self.steps)

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the step count and of every state array, by name."""
        named = {
            f"{k}.{slot}": array.copy() for k, state in enumerate(self.state) for slot, array in state.items()
        }
        return {"steps": self.steps.copy(), **named}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, exactly; all of it, or nothing.

        Raises:
            CheckpointError: lists missing and unexpected names and wrong shapes and dtypes.
        """
        own = {"steps": self.steps}
        own |= {f"{k}.{slot}": array for k, kept in enumerate(self.state) for slot, array in kept.items()}
        given = {name: np.asarray(value) for name, value in state.items()}
        steps = given.get("steps", self.steps)
        counts = steps.shape == () and steps.dtype == self.steps.dtype
        negative = [f"negative    steps: {steps}"] if counts and steps < 0 else []
        check_fit(type(self).__name__, own, given, negative)
        for name, array in own.items():
            array[...] = given[name]


def _check(who: str, name: str, value: Any, low: float, high: float, open_end: bool = False) -> None:
    good = isinstance(value, (int, float, np.floating, np.integer)) and low <= value <= high
    if not good or (open_end and value == high) or math.isinf(value):
        bound = f"[{low}, {high}{')' if open_end or math.isinf(high) else ']'}"
        raise ValueError(f"{who}: {name} is a number in {bound}, got {value!r}")


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, Nesterov's momentum and weight decay.

    Args:
        parameters: leaf tensors that require grad, for example `model.parameters()`.
        lr: the learning rate, or a function of the number of steps taken so far.
        momentum: share of the previous step that is kept, in [0, 1).
        nesterov: look ahead along the momentum (Sutskever et al. 2013).
        weight_decay: factor of the L2 penalty (weight_decay / 2) * |w|**2.

    Raises:
        ValueError: a negative, infinite or NaN rate, momentum outside of [0, 1), no or repeated parameters, a non-leaf.
    """

    rule = sgd_update

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float | Schedule,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        _check("SGD", "momentum", momentum, 0, 1, open_end=True)
        _check("SGD", "weight_decay", weight_decay, 0, math.inf)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov=True needs a momentum, for example momentum=0.9")
        self.slots = ("velocity",) if momentum else ()
        super().__init__(parameters, lr)
        options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        self._options = {name: value for name, value in options.items() if value}

    def _operands(self, state: dict[str, Array], scratch: Array) -> tuple[Array, ...]:
        return state.get("velocity", scratch), scratch, self._rate


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), with L2 regularisation through `weight_decay`.

    The bias correction counts the steps of the optimizer, also for a parameter whose first gradient comes later.

    Args:
        parameters: leaf tensors that require grad.
        lr: the learning rate, or a function of the number of steps taken so far.
        betas: decay of the running means of the gradient and of its square, each in [0, 1).
        eps: added to the root of the second mean.
        weight_decay: factor of the L2 penalty, added to the gradient.

    Raises:
        ValueError: a bad rate, beta, eps or decay, no or repeated parameters, a non-leaf.
    """

    rule = adam_update
    slots = ("first", "second")
    _decoupled = False

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float | Schedule = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        who = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"{who}: betas are two numbers, got {betas!r}")
        for k, beta in enumerate(betas):
            _check(who, f"betas[{k}]", beta, 0, 1, open_end=True)
        _check(who, "eps", eps, 0, math.inf)
        _check(who, "weight_decay", weight_decay, 0, math.inf)
        super().__init__(parameters, lr)
        if any(parameter.dtype.itemsize < 4 for parameter in self.parameters):
            raise ValueError(
                f"{who}: float16 is too narrow for the squares of gradients\n  hint   float32 parameters"
            )
        self._options = {"betas": (float(betas[0]), float(betas[1])), "eps": float(eps)}
        if weight_decay:
            self._options |= {"weight_decay": weight_decay, "decoupled": self._decoupled}


class AdamW(Adam):
    """Adam with decoupled weight decay, w -= lr * weight_decay * w (Loshchilov and Hutter 2019); 0.01 by default."""

    _decoupled = True
    __init__ = functools.partialmethod(Adam.__init__, weight_decay=0.01)


@kernel(None, variadic=True, writes=(0,), differentiable=False, method=False)
def gradient_norm(norm: Any, *gradients: Any, error_if_nonfinite: bool = True) -> None:
    """The Euclidean norm of all gradients together, in double precision, filled into a 0-d array."""
    total = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients))
    if not math.isfinite(total) and error_if_nonfinite:
        raise ValueError(f"clip_grad_norm: the norm of the gradients is {total}; nothing was changed")
    norm[...] = total


@kernel(None, None, writes=(0,), differentiable=False, method=False)
def scale_down(gradient: Any, norm: Any, *, max_norm: float) -> None:
    """Scale a gradient by max_norm / norm where the norm is larger than that."""
    if norm > max_norm:
        gradient *= max_norm / float(norm)


def clip_grad_norm(
    parameters: Iterable[Any], max_norm: float, *, error_if_nonfinite: bool = True
) -> float | None:
    """Scale all gradients together, in place, so that their norm is at most `max_norm`; return the norm they had.

    While a step is being captured for `tn.compile` there is no norm yet, and None is returned.

    Raises:
        ValueError: `max_norm` is not positive, or the norm is infinite or NaN (unless
            `error_if_nonfinite=False`).
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm is positive, got {max_norm!r}")
    several = [parameters] if hasattr(parameters, "grad") else parameters
    gradients = [p._node.grad for p in dict.fromkeys(several) if p.grad is not None]
    norm = np.zeros(())
    gradient_norm(norm, *gradients, error_if_nonfinite=error_if_nonfinite)
    for gradient in gradients:
        scale_down(gradient, norm, max_norm=max_norm)
    return None if context.current().tracers else float(norm)
