"""Running a model and a loss, and taking steps, so that nothing tells afterwards that they have been run or taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import FunctionType, MethodType

import numpy as np

from tinygrad_nn.context import Plan, Temporarily, restoring
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.node import Leaf
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.graph.generators import Places, at, positions
from tinygrad_nn.nn.module import Module
from tinygrad_nn.optim import Optimizer
from tinygrad_nn.optim.groups import Parameter
from tinygrad_nn.primitives import Array
from tinygrad_nn.states import is_stateful


def modules_of(model: object) -> list[tuple[str, Module]]:
    """Return the modules of a model with their paths; of a function, those that it closes over or names."""
    if isinstance(model, Module):
        return list(model.named_modules())
    found: dict[int, tuple[str, Module]] = {}
    for name, root in _named_by(model):
        for leaf in trees.leaves(root):
            if isinstance(leaf, Module):
                for path, module in leaf.named_modules():
                    found.setdefault(id(module), (f"{name}.{path}" if path else name, module))
    return list(found.values())


def _named_by(function: object) -> Iterator[tuple[str, object]]:
    """Yield what a function closes over, has as defaults, is bound to, or names among its globals."""
    if isinstance(function, MethodType):
        yield "self", function.__self__
        function = function.__func__
    if not isinstance(function, FunctionType):
        yield from vars(function).items() if hasattr(function, "__dict__") else ()
        return
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a variable that has no value yet
            continue
    yield from (("default", value) for value in function.__defaults__ or ())
    yield from ((name, function.__globals__[name]) for name in code.co_names if name in function.__globals__)


class Untouched:
    """Knows what running a model may move, and puts it back: random generators, buffers, attributes of modules.

    Args:
        model: whose modules, or those that it names, are put back.
        others: whose random generators are put back besides: the loss, for one.
    """

    def __init__(self, model: object, *others: object) -> None:
        self._generators = list(positions(model, *others))
        self._modules = [module for _, module in modules_of(model)]

    def places(self) -> Places:
        """Return where the generators stand."""
        return positions(*self._generators)

    def block(self, places: Places | None = None) -> Temporarily:
        """Return a context in which generators are at `places`, and after which all is as it was before."""
        places = self.places() if places is None else places
        return Temporarily(lambda: self._plan(places))

    def _plan(self, places: Places) -> Plan:
        attributes = [(vars(module), dict(vars(module))) for module in self._modules]
        buffers = [(array, array.copy()) for array in self._buffers()]
        drawing = at(places)

        def undo() -> None:
            drawing.__exit__()
            for now, before in attributes:
                # What has not changed stays, for other threads may read it.
                now.update({name: value for name, value in before.items() if now.get(name) is not value})
                for name in now.keys() - before.keys():
                    del now[name]
            for array, values in buffers:
                array[...] = values

        return drawing.__enter__, undo

    def _buffers(self) -> list[Array]:
        """Return the arrays of the modules that are no parameters, and may be written."""
        found: dict[int, Array] = {}
        for module in self._modules:
            for value in trees.leaves(list(vars(module).values())):
                if isinstance(value, np.ndarray) or (isinstance(value, Tensor) and not value.is_parameter):
                    array = plain(value)
                    if array.flags.writeable:
                        found[id(array)] = array
        return list(found.values())


def taken_back(parameters: Iterable[Parameter], optimizer: object) -> Temporarily:
    """Return a context after which parameters, gradients, and the state and the rate of an optimizer are as before."""
    leaves = {x._node: x._data for x in parameters if isinstance(x._node, Leaf)}
    kept = [(leaf, leaf.own_grad, leaf.number, array, array.copy()) for leaf, array in leaves.items()]
    state = (optimizer.lr, optimizer.state_dict()) if isinstance(optimizer, Optimizer) else None

    def undo() -> None:
        for leaf, gradient, number, array, values in kept:
            array[...] = values
            # Graphs that use it are as good as they were.
            leaf.own_grad, leaf.number = gradient, number
        if state is not None and isinstance(optimizer, Optimizer):
            optimizer.lr = state[0]
            optimizer.load_state_dict(state[1])

    return restoring(undo)


def same_place(data: object) -> Temporarily:
    """Return a context after which data stand where they stood."""
    place = (data.state_dict(), dict(vars(data))) if is_stateful(data) else None

    def back() -> None:
        if place is not None and is_stateful(data):
            data.load_state_dict(place[0])
            # An epoch that was left is not gone on with.
            vars(data).update(place[1])

    return restoring(back)
