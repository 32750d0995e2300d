"""Module: a plain class whose attributes are its parameters, buffers and children."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ParamSpec, Protocol, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.context import DEFAULT, SCOPE, STATE, Plan, Scope, Temporarily, current, no_grad
from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor
from tinygrad_nn.engine.trees import flat
from tinygrad_nn.errors import ArgumentError, DtypeError, SettingError, ShapeError, printable
from tinygrad_nn.hints.calls import answered, is_refused, wrong_call
from tinygrad_nn.hints.lookups import Signposts
from tinygrad_nn.nn.copies import with_others
from tinygrad_nn.nn.drawing import Drawing
from tinygrad_nn.nn.summary import (
    Row,
    Summary,
    counted_parameters,
    is_function,
    name_of_function,
    shape_of_rows,
    spell_shape,
)
from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.operands import supported
from tinygrad_nn.states import check_state, expect_mapping, meant_for_others

Inputs = ParamSpec("Inputs")
Output = TypeVar("Output", covariant=True)
M = TypeVar("M", bound="Module")

Part: TypeAlias = "Module | Callable[..., object]"
"""What a module is made of: modules, and functions, which have no parameters."""

# What Scope(...) comes to, in a third of the time.
_new_scope = tuple.__new__


class _HasForward(Protocol[Inputs, Output]):
    """So that type checkers see a call of a module as one of its `forward`."""

    def forward(self, *args: Inputs.args, **kwargs: Inputs.kwargs) -> Output: ...


class Module(Signposts, Drawing):
    """Base of layers and models: define `forward`, and assign tensors, arrays and modules as attributes.

    A Tensor made with requires_grad=True is a parameter, an ndarray is a buffer, a Module is a child; lists, tuples and
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
    _given: frozenset[Tensor] = frozenset()
    """Of a copy by `with_parameters`: its new parameters, which may be results."""

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, (np.ndarray, np.generic)):
            present = vars(self).get(name)
            if isinstance(present, np.ndarray):
                # NumPy makes a scalar of what is computed from a 0-d array; a buffer stays one.
                value = np.asarray(value)
            elif isinstance(present, Tensor) and present.requires_grad:
                # It would be a buffer from now on, and an optimizer move what no one uses.
                who = f"{type(self).__name__}: {name} is a parameter, got an array"
                raise ArgumentError(f"{who}\n  hint   model.{name}.data = array")
        object.__setattr__(self, name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; every module defines its own."""
        raise TypeError(f"{type(self).__name__} does not define forward(self, x)")

    def __call__(self: _HasForward[Inputs, Output], *args: Inputs.args, **kwargs: Inputs.kwargs) -> Output:
        previous = SCOPE.get()
        if tracers := STATE.get(DEFAULT)[2]:
            for tracer in tracers:
                tracer.on_module(self)
        try:
            SCOPE.set(_new_scope(Scope, (self, previous)))
            return self.forward(*args, **kwargs)
        except TypeError as error:
            if not is_refused(type(self).forward, error):
                raise
            failure = wrong_call(type(self).forward, (self, *args), kwargs, error)
        finally:
            SCOPE.set(previous)
        raise failure from None

    def attributes(self) -> Mapping[Any, object]:
        """Return what is looked through for parameters, buffers and children: all attributes, by name."""
        return vars(self)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the modules directly inside, with their names."""
        for name, value in self._parts():
            if isinstance(value, Module):
                yield name, value

    def _parts(self) -> Iterator[tuple[str, Part]]:
        """Yield the modules and plain functions directly inside, with their names."""
        for name, value in flat(self.attributes()):
            if isinstance(value, Module) or (is_function(value) and name != "forward"):
                yield name, value

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield this module (its name is empty) and all inside, each once, outermost first."""
        for path, part in self._named_parts():
            if isinstance(part, Module):
                yield path, part

    def _named_parts(self) -> Iterator[tuple[str, Part]]:
        """Yield modules as `named_modules` does, and plain functions as often as they are there."""
        for tracer in current().tracers:
            tracer.on_module(self)
        seen: set[int] = set()
        stack: list[tuple[str, Part]] = [("", self)]
        while stack:
            path, part = stack.pop()
            if id(part) in seen:
                continue
            yield path, part
            if isinstance(part, Module):
                seen.add(id(part))
                prefix = f"{path}." if path else ""
                stack.extend(reversed([(prefix + name, inner) for name, inner in part._parts()]))

    def _named_values(self) -> Iterator[tuple[str, Tensor | Array]]:
        """Yield every leaf tensor and array inside, each once, in the order of definition."""
        for tracer in current().tracers:
            tracer.on_module(self)
        seen: set[int] = set()
        names: set[str] = set()
        given: set[Tensor] = set()
        stack: list[tuple[str, object]] = [("", self)]
        while stack:
            path, value = stack.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, Module):
                given |= value._given
                prefix = f"{path}." if path else ""
                stack.extend(reversed([(prefix + name, inner) for name, inner in flat(value.attributes())]))
            elif isinstance(value, np.ndarray) or (
                isinstance(value, Tensor) and (value.is_leaf or value in given)
            ):
                if path in names:
                    raise SettingError(f"{type(self).__name__}: two tensors or arrays go by the name {path}")
                names.add(path)
                yield path, value

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters, frozen ones too, with their dotted names."""
        given = {x for _, module in self.named_modules() for x in module._given}
        for name, value in self._named_values():
            if isinstance(value, Tensor) and (value.is_parameter or value in given):
                yield name, value

    def parameters(self) -> list[Tensor]:
        """Return the parameters in the order of definition, also those that `p.requires_grad = False` has frozen."""
        return [parameter for _, parameter in self.named_parameters()]

    def with_parameters(self, parameters: Mapping[str, Operand]) -> Self:
        """Return a copy with other tensors as parameters, results too; all else is shared, this module stays as it is.

        The modules inside and the lists, tuples and dicts that hold them are copied, arrays and other objects are not.
        What is computed with the copy has gradients for what its parameters were computed from.

        Args:
            parameters: tensors by the names of the parameters that they replace; the others stay.

        Raises:
            SettingError: there is no parameter of this name, or it cannot be reached for another one.
            ShapeError, DtypeError: a tensor has another shape or dtype than the parameter that it replaces.

        Example:
            >>> from tinygrad_nn import nn
            >>> model = nn.Dense(2, 1, rng=0)
            >>> twice = model.with_parameters({"weight": 2 * model.weight})
            >>> bool((twice(np.ones(2)) == 2 * model(np.ones(2))).all())
            True
        """
        who = f"{type(self).__name__}.with_parameters"
        own = dict(self.named_parameters())
        new = {name: as_tensor(x) for name, x in parameters.items()}
        for name, x in new.items():
            if name not in own:
                raise SettingError(
                    f"{who}: there is no parameter {name!r}\n  hint   names are {', '.join(own) or 'none'}"
                )
            if x.shape != own[name].shape:
                raise ShapeError(f"{who}: {name} has shape {own[name].shape}, the new one {x.shape}")
            if x.dtype != own[name].dtype:
                raise DtypeError(f"{who}: {name} has dtype {own[name].dtype}, the new one {x.dtype}")
        modules = [module for _, module in self.named_modules()]
        copied = with_others(self, modules, {id(own[name]): x for name, x in new.items()})
        reached = {id(x) for _, x in copied.named_parameters()}
        for name, x in new.items():
            if id(x) not in reached:
                raise SettingError(
                    f"{who}: {name} is in something that cannot be made again with another parameter\n"
                    "  hint   attributes of modules, and lists, tuples, named tuples and dicts in them"
                )
        for tracer in current().tracers:
            tracer.on_copied_module(self, copied)
        return copied

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters, other tensors and buffers by their dotted names."""
        return {name: plain(value).copy() for name, value in self._named_values()}

    @answered
    def load_state_dict(self, state: Mapping[str, Operand]) -> None:
        """Copy arrays into the parameters and buffers of the same names; all of them, or none.

        Raises:
            CheckpointError: lists every missing and unexpected name and every wrong shape and dtype at once.
        """
        meant = (
            "model.load_state_dict(other.state_dict())"
            if isinstance(state, Module)
            else "tn.load(path, model=model)"
        )
        expect_mapping(type(self).__name__, state, f"\n  hint   {meant}")
        targets = dict(self._named_values())
        # They may be our own.
        copies = {name: plain(value).copy() for name, value in state.items()}
        arrays = {name: plain(value) for name, value in targets.items()}
        check_state(type(self).__name__, arrays, copies, meant_for_others(arrays, copies))
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

    @answered
    def summary(
        self, input_shape: int | Sequence[int | None] | None = None, *, dtype: DTypeLike = np.float32
    ) -> Summary:
        """Return the table of the modules inside: their names, output shapes and numbers of parameters.

        Args:
            input_shape: shape of one input, without the batch axis, which may stand first as None; one number for one
                axis; without it there are no output shapes.
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
            example = np.zeros(shape_of_rows(input_shape), supported(dtype, "summary: "))
            for _, module, output in outputs_of_calls(self, example):
                outputs.setdefault(id(module), []).append(spell_shape(output.shape))
        parameters = self.parameters()
        return Summary(
            type(self).__name__,
            list(_rows(self, outputs)),
            parameters=sum(parameter.size for parameter in parameters),
            frozen=sum(parameter.size for parameter in parameters if not parameter.requires_grad),
            nbytes=sum(parameter.nbytes for parameter in parameters),
            dtypes=", ".join(dict.fromkeys(str(parameter.dtype) for parameter in parameters)),
            buffers=sum(x.size for _, x in self._named_values()) - sum(p.size for p in parameters),
        )

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of the representation of a layer without children."""
        return ""

    def __repr__(self) -> str:
        lines: list[str] = []
        # What is open to be closed later; a stack, because models may be nested deeper than Python calls.
        opened: dict[int, None] = {}
        stack: list[tuple[str, str, Part | None]] = [("", "", self)]
        while stack:
            indent, head, module = stack.pop()
            if module is None:
                opened.popitem()
                lines.append(f"{indent})")
            elif not isinstance(module, Module):
                lines.append(f"{indent}{head}{name_of_function(module)}")
            elif id(module) in opened:
                lines.append(f"{indent}{head}{type(module).__name__}(...)")
            elif module is not self and type(module).__repr__ is not Module.__repr__:
                lines.append(f"{indent}{head}{module!r}".replace("\n", f"\n{indent}"))
            elif children := list(module._parts()):
                opened[id(module)] = None
                lines.append(f"{indent}{head}{type(module).__name__}(")
                stack.append((indent, "", None))
                stack.extend(
                    reversed([(f"{indent}  ", f"{printable(name)}: ", child) for name, child in children])
                )
            else:
                lines.append(f"{indent}{head}{type(module).__name__}({module.extra_repr()})")
        return "\n".join(lines)


def in_mode(model: object, *, training: bool) -> Temporarily:
    """Switch a module to training or evaluation for a while, and then each part of it back to what it was."""

    def plan() -> Plan:
        modules = [module for _, module in model.named_modules()] if isinstance(model, Module) else []
        return _assigned(modules, "training", [training] * len(modules))

    return Temporarily(plan)


def _assigned(modules: list[Module], name: str, values: Iterable[object]) -> Plan:
    """Return what gives each module its value of an attribute, and what brings back those that there were."""
    before = [vars(module).copy() for module in modules]

    def change() -> None:
        for module, value in zip(modules, values, strict=True):
            vars(module)[name] = value

    def undo() -> None:
        for module, attributes in zip(modules, before, strict=True):
            if name in attributes:
                vars(module)[name] = attributes[name]
            else:
                vars(module).pop(name, None)

    return change, undo


def outputs_of_calls(model: Module, *inputs: Operand) -> list[tuple[str, Module, Array]]:
    """Run a model once, in evaluation mode and without a graph; return path, module and output of every call.

    Modules are listed in the order in which they begin; one that is called twice is listed twice. Of several results
    the first counts; what is no array is left out.
    """
    calls: list[tuple[Module, list[object]]] = []
    paths = {id(module): (path, module) for path, module in model.named_modules()}
    modules = [module for _, module in paths.values()]
    recording = partial(_assigned, modules, "forward", [_recording(module, calls) for module in modules])
    # Recording takes a call more for each module that another one calls, and is not to be what ends a deep model.
    deepest = max(path.count(".") for path, _ in paths.values()) + 1
    limit = sys.getrecursionlimit()
    deeper = Temporarily(
        lambda: (partial(sys.setrecursionlimit, limit + deepest), partial(sys.setrecursionlimit, limit))
    )
    with no_grad(), in_mode(model, training=False), Temporarily(recording), deeper:
        model(*inputs)
    outputs = [
        (module, plain(x) if isinstance(x, Tensor) else x)
        for module, results in calls
        for x in map(_first, results)
    ]
    return [(paths[id(module)][0], module, x) for module, x in outputs if isinstance(x, np.ndarray)]


def _first(results: object) -> object:
    while isinstance(results, tuple) and results:
        results = results[0]
    return results


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
    for path, module in model._named_parts():
        if not isinstance(module, Module):
            yield Row(printable(path), name_of_function(module), "", "")
            continue
        children = [child for _, child in module.named_children()]
        if module is model and any(module._parts()):
            continue
        direct = _own_parameters(module)
        if direct and children:
            inner = {
                id(p) for child in children for _, m in child.named_modules() for p in _own_parameters(m)
            }
            direct = [parameter for parameter in direct if id(parameter) not in inner]
        new = [parameter for parameter in direct if id(parameter) not in counted]
        counted.update(id(parameter) for parameter in direct)
        nested = children and type(module).__repr__ is Module.__repr__
        yield Row(
            printable(path),
            type(module).__name__ if nested else repr(module).partition("(\n")[0],
            " and ".join(dict.fromkeys(outputs.get(id(module), []))),
            counted_parameters(sum(p.size for p in new), shared=len(new) < len(direct)) if direct else "",
        )


def _own_parameters(module: Module) -> list[Tensor]:
    """Return the parameters of a module that are not those of modules inside, each once."""
    values = [value for _, value in flat(module.attributes())]
    own = {id(x): x for x in values if isinstance(x, Tensor) and x.is_parameter}
    return list(own.values())
