"""Module: a plain class whose attributes are its parameters, buffers and children."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.context import DEFAULT, SCOPE, STATE, Scope, current, no_grad, restoring
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor, wrap
from tinygrad_nn.nn.drawing import Drawing
from tinygrad_nn.nn.summary import TRIED_WITH, Row, Summary, counted_parameters, spell_shape
from tinygrad_nn.primitives import Array
from tinygrad_nn.states import check_state

Inputs = ParamSpec("Inputs")
Output = TypeVar("Output", covariant=True)

# What Scope(...) comes to, in a third of the time.
_new_scope = tuple.__new__


class _HasForward(Protocol[Inputs, Output]):
    """So that type checkers see a call of a module as one of its `forward`."""

    def forward(self, *args: Inputs.args, **kwargs: Inputs.kwargs) -> Output: ...


class Module(Drawing):
    """Base of layers and models: define `forward`, and assign tensors, arrays and modules as attributes.

    A Tensor that requires grad is a parameter, an ndarray is a buffer, a Module is a child; lists, tuples and
    dicts of them are looked into. Names are dotted paths in the order of definition; what is shared is listed
    once, under its first name. No `super().__init__()` is needed.

    Example:
        >>> class Scale(Module):
        ...     def __init__(self):
        ...         self.factor = Tensor(2.0, requires_grad=True)
        ...     def forward(self, x):
        ...         return x * self.factor
        >>> model = Scale()
        >>> model(np.float32(3)), [name for name, _ in model.named_parameters()]
        (Tensor(6., op=multiply), ['factor'])
    """

    training = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; every module defines its own."""
        raise TypeError(f"{type(self).__name__} does not define forward(self, x)")

    def __call__(self: _HasForward[Inputs, Output], *args: Inputs.args, **kwargs: Inputs.kwargs) -> Output:
        previous = SCOPE.get()
        for tracer in STATE.get(DEFAULT).tracers:
            tracer.on_call(self)
        # An interrupt may come as soon as the scope is another.
        try:
            SCOPE.set(_new_scope(Scope, (self, previous)))
            return self.forward(*args, **kwargs)
        finally:
            SCOPE.set(previous)

    def attributes(self) -> Mapping[Any, object]:
        """Return what is looked through for parameters, buffers and children: all attributes, by name."""
        return vars(self)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules directly inside, with their names."""
        for name, value in _flat(self.attributes()):
            if isinstance(value, Module):
                yield name, value

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield this module (its name is empty) and all inside, each once, outermost first."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            path, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            prefix = f"{path}." if path else ""
            stack.extend(reversed([(prefix + name, child) for name, child in module.named_children()]))

    def _named_values(self) -> Iterator[tuple[str, Tensor | Array]]:
        """Yield every leaf tensor and array inside, each once, in the order of definition."""
        seen: set[int] = set()
        names: set[str] = set()
        stack: list[tuple[str, object]] = [("", self)]
        while stack:
            path, value = stack.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, Module):
                prefix = f"{path}." if path else ""
                stack.extend(reversed([(prefix + name, inner) for name, inner in _flat(value.attributes())]))
            elif isinstance(value, np.ndarray) or (isinstance(value, Tensor) and value.is_leaf):
                if path in names:
                    raise ValueError(f"{type(self).__name__}: two tensors or arrays go by the name {path}")
                names.add(path)
                yield path, value

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors that require grad, with their dotted names."""
        for name, value in self._named_values():
            if isinstance(value, Tensor) and value.requires_grad:
                yield name, value

    def parameters(self) -> list[Tensor]:
        """Return the tensors that require grad, in the order of definition."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters, other tensors and buffers by their dotted names."""
        return {name: plain(value).copy() for name, value in self._named_values()}

    def load_state_dict(self, state: Mapping[str, Operand]) -> None:
        """Copy arrays into the parameters and buffers of the same names; all of them, or none.

        Raises:
            CheckpointError: lists every missing and unexpected name and every wrong shape and dtype at once.
        """
        targets = dict(self._named_values())
        # They may be our own.
        copies = {name: plain(value).copy() for name, value in state.items()}
        check_state(type(self).__name__, {name: plain(value) for name, value in targets.items()}, copies)
        for name, value in targets.items():
            plain(value)[...] = copies[name]
            if isinstance(value, Tensor):
                # Tells graphs that used it that it has changed.
                value.data = value._data

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all inside to training behaviour; return the module."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all inside to evaluation behaviour; return the module."""
        return self.train(False)

    def summary(
        self, input_shape: tuple[int, ...] | None = None, *, dtype: DTypeLike = np.float32
    ) -> Summary:
        """Return the table of the modules inside: their names, output shapes and numbers of parameters.

        Args:
            input_shape: shape of one input, without the batch axis; without it there are no output shapes.
            dtype: of the input.

        Example:
            >>> from tinygrad_nn import nn
            >>> nn.Sequential(nn.Dense(784, 10), nn.Softmax()).summary((784,))
            name  layer             output   parameters
            ----------------------------------------------
            0     Dense(784 -> 10)  (N, 10)       7,850
            1     Softmax()         (N, 10)
            ----------------------------------------------
            Sequential: 7,850 parameters, float32, 31.4 kB
        """
        outputs: dict[int, list[str]] = {}
        if input_shape is not None:
            for _, module, output in outputs_of_calls(self, np.zeros((TRIED_WITH, *input_shape), dtype)):
                outputs.setdefault(id(module), []).append(spell_shape(output.shape))
        parameters = self.parameters()
        return Summary(
            type(self).__name__,
            list(_rows(self, outputs)),
            parameters=sum(parameter.size for parameter in parameters),
            nbytes=sum(parameter.nbytes for parameter in parameters),
            dtypes=", ".join(dict.fromkeys(str(parameter.dtype) for parameter in parameters)),
            buffers=sum(x.size for _, x in self._named_values()) - sum(p.size for p in parameters),
        )

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of the representation of a layer without children."""
        return ""

    def __repr__(self) -> str:
        children = list(self.named_children())
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"  {name}: {child!r}".replace("\n", "\n  ") for name, child in children]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


def _flat(items: Mapping[Any, object]) -> Iterator[tuple[str, object]]:
    """Yield the values of a mapping, those of lists, tuples and dicts in it one by one under dotted names."""
    stack = [(str(key), value) for key, value in reversed(list(items.items()))]
    inside: set[int] = set()
    while stack:
        name, value = stack.pop()
        if isinstance(value, (list, tuple, dict)):
            if id(value) in inside:
                continue
            inside.add(id(value))
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            stack.extend(reversed([(f"{name}.{key}", item) for key, item in inner]))
        else:
            yield name, value


def cast_input(x: Operand, dtype: np.dtype) -> Tensor:
    """Return `x` as a tensor; a plain floating array comes in the dtype of a layer's parameters."""
    if type(x) is Tensor:
        if x._data.dtype == dtype or not stands_for_plain(x):
            return x
        return x.astype(dtype) if x.dtype.kind == "f" else x
    if type(x) is np.ndarray and x.dtype is dtype:
        return wrap(x, None)
    x = as_tensor(x)
    return wrap(x._data.astype(dtype), None) if x.dtype.kind == "f" and x.dtype != dtype else x


def stands_for_plain(x: Tensor) -> bool:
    """Tell whether a tensor stands for a plain array among the arguments of a function that is being captured."""
    return any(tracer.is_plain(x) for tracer in current().tracers)


@contextmanager
def in_mode(model: object, *, training: bool) -> Iterator[None]:
    """Switch a module to training or evaluation for a while, and then each part of it back to what it was."""
    modules = [module for _, module in model.named_modules()] if isinstance(model, Module) else []
    before = [(module, vars(module).get("training")) for module in modules]
    with restoring(partial(_set_back, "training", before)):
        for module in modules:
            module.training = training
        yield


def _set_back(name: str, before: list[tuple[Module, Any]]) -> None:
    """Give modules the attribute that they had; those that had none take it from their class again."""
    for module, value in before:
        if value is None:
            vars(module).pop(name, None)
        else:
            vars(module)[name] = value


def outputs_of_calls(model: Module, *inputs: Operand) -> list[tuple[str, Module, Array]]:
    """Run a model once, in evaluation mode and without a graph; return path, module and output of every call.

    Modules are listed in the order in which they begin; one that is called twice is listed twice. Results
    other than one array are left out.
    """
    calls: list[tuple[Module, list[object]]] = []
    paths = {id(module): (path, module) for path, module in model.named_modules()}
    before = [(module, vars(module).get("forward")) for _, module in paths.values()]
    with restoring(partial(_set_back, "forward", before)):
        for module, _ in before:
            vars(module)["forward"] = _recording(module, calls)
        with no_grad(), in_mode(model, training=False):
            model(*inputs)
    outputs = [
        (module, x._data if isinstance(x, Tensor) else x) for module, results in calls for x in results
    ]
    return [(paths[id(module)][0], module, x) for module, x in outputs if isinstance(x, np.ndarray)]


def _recording(module: Module, calls: list[tuple[Module, list[object]]]) -> Callable[..., object]:
    """Return a `forward` for one instance that notes its call when it begins, and the result when there is one."""
    forward = module.forward

    def recorded(*args: object, **kwargs: object) -> object:
        results: list[object] = []
        calls.append((module, results))
        results.append(forward(*args, **kwargs))
        return results[0]

    return recorded


def _rows(model: Module, outputs: Mapping[int, list[str]]) -> Iterator[Row]:
    """Yield the rows of the summary: what each module inside puts out, and how many parameters it has of its own."""
    counted: set[int] = set()
    for path, module in model.named_modules():
        children = list(module.named_children())
        if module is model and children:
            continue
        inner = {id(parameter) for _, child in children for parameter in child.parameters()}
        direct = [parameter for parameter in module.parameters() if id(parameter) not in inner]
        new = [parameter for parameter in direct if id(parameter) not in counted]
        counted.update(id(parameter) for parameter in direct)
        yield Row(
            path,
            repr(module).partition("(\n")[0],
            " and ".join(dict.fromkeys(outputs.get(id(module), []))),
            counted_parameters(sum(p.size for p in new), shared=len(new) < len(direct)) if direct else "",
        )
