"""check_module: what every module owes its users."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_nn.engine import trees
from tinygrad_nn.engine.tensor import Tensor, tensor
from tinygrad_nn.errors import ArgumentError, CheckFailed
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.signature import parameters_of
from tinygrad_nn.testing.bad_states import refuses_bad_states, same_states
from tinygrad_nn.testing.gradcheck import gradcheck
from tinygrad_nn.testing.verdict import close, require

_require = partial(require, "check_module")


def check_module(factory: Callable[[int], Module], *inputs: ArrayLike, batched: bool = True) -> None:
    """Put a module through what all of them have to do; raise `CheckFailed` where it does not.

    Every parameter is listed once and receives a gradient, which is right to second order; the same seed gives
    the same module, whatever NumPy's global generator does; state, copies and pickles are exact; a state that
    does not fit changes nothing; rows of a batch do not see each other, and a batch may have one row or none.

    Args:
        factory: makes the module from a seed, for example `lambda seed: Dense(3, 4, rng=seed)`.
        inputs: arrays, floating ones or integers; their first axis is the batch.
        batched: whether rows are independent of each other, in evaluation mode; of several results, in the first.

    Raises:
        ArgumentError: it is no factory, but a module, for one.
        CheckFailed: says what it does not do.
        GradientMismatch: a gradient is wrong.

    Example:
        >>> from tinygrad_nn.nn import Dense
        >>> check_module(lambda seed: Dense(3, 4, rng=seed), np.ones((2, 3)))
    """
    arrays = [np.asarray(x) for x in inputs]
    _check_factory(factory)
    _seeded(factory)
    _parameters(factory(0), arrays)
    _state(factory)
    _copies(factory(0), arrays)
    if batched:
        _batches(factory(0).eval(), arrays)
    double, wide = (
        _in_double(factory(0).eval()),
        [x.astype(np.float64) for x in arrays if x.dtype.kind == "f"],
    )
    if len(wide) < len(arrays):
        double = _OfFloats(double, arrays)
    gradcheck(double, *wide)
    gradcheck(double, *wide, order=2, mode="directions")


def _check_factory(factory: Callable[[int], Module]) -> None:
    """Refuse what makes no modules from seeds."""
    kind = type(factory).__name__
    if isinstance(factory, Module) or not callable(factory):
        made = f"{kind}(..., rng=seed)" if isinstance(factory, Module) else "Dense(3, 4, rng=seed)"
        raise ArgumentError(
            f"check_module: it takes a factory, which makes a module from a seed, got a {kind}\n"
            f"  hint   check_module(lambda seed: {made}, x)"
        )
    name = getattr(factory, "__name__", kind)
    parameters = parameters_of(factory) or ()
    needed = [
        p
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) > 1:
        raise ArgumentError(
            f"check_module: a factory takes a seed, and {name} needs {', '.join(p.name for p in needed)}\n"
            f"  hint   check_module(lambda seed: {name}(..., rng=seed), x)"
        )
    module: object = factory(0)
    if not isinstance(module, Module):
        raise ArgumentError(
            f"check_module: the factory returned a {type(module).__name__}, expected a Module"
        )


def _same_state(a: Module, b: Module) -> bool:
    return same_states(a.state_dict(), b.state_dict())


def _seeded(factory: Callable[[int], Module]) -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002  that this is left alone is what is checked
    first, again = factory(0), factory(0)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    _require(_same_state(first, again), "the same seed gives another module")
    _require(str(before) == str(after), "making it draws from NumPy's global generator")
    names = [name for name, _ in first.named_parameters()]
    _require(len(set(names)) == len(names), f"a name is listed twice among {names}")
    _require(len({id(p) for p in first.parameters()}) == len(names), "a parameter is listed twice")


def _parameters(module: Module, arrays: list[Array]) -> None:
    results = _results(module, arrays)
    trainable = [
        (name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad
    ]
    if not trainable:
        return
    sum((y.sum() for y in results[1:]), results[0].sum()).backward()
    for name, parameter in trainable:
        _require(parameter.grad is not None, f"parameter {name} receives no gradient")
    module.zero_grad()
    _require(all(p.grad is None for p in module.parameters()), "zero_grad leaves a gradient")


def _state(factory: Callable[[int], Module]) -> None:
    module, other = factory(0), factory(1)
    other.load_state_dict(module.state_dict())
    _require(_same_state(module, other), "a state that was saved and loaded differs")
    refuses_bad_states("check_module", other)


def _copies(module: Module, arrays: list[Array]) -> None:
    module.eval()
    expected = [y._data for y in _results(module, arrays)]
    try:
        blob = pickle.dumps(module)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise CheckFailed(_unpicklable(module)) from error
    for how, twin in (("deepcopy", copy.deepcopy(module)), ("pickle", pickle.loads(blob))):
        _require(_same_state(module, twin), f"a {how} has another state")
        found = [y._data for y in _results(twin, arrays)]
        _require(all(map(np.array_equal, found, expected)), f"a {how} computes something else")
        shared = {id(p) for p in module.parameters()} & {id(p) for p in twin.parameters()}
        _require(not shared, f"a {how} shares its parameters")


def _unpicklable(module: Module) -> str:
    """Return what is said of a module that cannot be pickled: which attribute it is."""
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            for k, item in enumerate(value) if isinstance(value, (list, tuple)) else [(None, value)]:
                if not isinstance(item, Module) and not _can_be_pickled(item):
                    place = ".".join(filter(None, ["self", path, name])) + ("" if k is None else f"[{k}]")
                    return (
                        f"check_module: it cannot be pickled: {place} is {item!r:.80}\n"
                        "  hint   def at the top of a file, or a method, and no lambda"
                    )
    return f"check_module: {type(module).__name__} cannot be pickled\n  hint   its class stands at the top of a file"


def _can_be_pickled(thing: object) -> bool:
    try:
        pickle.dumps(thing)
    except (AttributeError, TypeError, pickle.PicklingError):
        return False
    return True


def _results(module: Module, arrays: list[Array]) -> list[Tensor]:
    """Return the result of a module, or each of several, nested too."""
    return [y for y in trees.leaves(module(*arrays)) if isinstance(y, Tensor)]


def _batches(module: Module, arrays: list[Array]) -> None:
    whole = _results(module, arrays)[0]._data
    rows = [_results(module, [x[k : k + 1] for x in arrays])[0]._data for k in range(len(arrays[0]))]
    _require(close(np.concatenate(rows), whole, 1e-5), "a row alone gives another result than in its batch")
    turned = _results(module, [x[::-1] for x in arrays])[0]._data
    _require(close(turned[::-1], whole, 1e-5), "the order of the rows matters")
    empty = _results(module, [x[:0] for x in arrays])[0]
    _require(empty.shape == (0, *whole.shape[1:]), f"an empty batch gives shape {empty.shape}")
    if empty.requires_grad:
        empty.backward(np.zeros(empty.shape))
        still = all(p.grad is None or not p.grad.any() for p in module.parameters())
        _require(still, "an empty batch has a gradient")


def _in_double(module: Module) -> Module:
    for parameter in module.parameters():
        double = tensor(parameter._data.astype(np.float64), requires_grad=True)
        parameter._data, parameter._node = double._data, double._node
    return module


class _OfFloats(Module):
    """A module as a function of its floating inputs: integers have no derivative, and stay as they are."""

    def __init__(self, module: Module, inputs: list[Array]) -> None:
        self.module, self.inputs = module, inputs

    def forward(self, *floats: Tensor) -> Tensor:
        rest = iter(floats)
        y: Tensor = self.module(*[next(rest) if x.dtype.kind == "f" else x for x in self.inputs])
        return y
