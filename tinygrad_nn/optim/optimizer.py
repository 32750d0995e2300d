"""Optimizer: one update rule, in place on the array of every parameter, with reused scratch memory.

A rule is registered as a kernel that declares what it writes, so that a captured step contains it. Its learning
rate and step count are 0-d arrays, set before each step, so that they are inputs and never constants of a capture.

Parameters may come in groups, each with a rate of its own: `[{"parameters": body, "lr": 0.01}, {"parameters": head}]`.
Then `lr=` is the rate of groups without one, and `optimizer.lr` a factor of the rates of all, 1 at first; a schedule is
that factor, and groups without a rate follow it as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_nn import context
from tinygrad_nn.engine.failures import warn_of_usage
from tinygrad_nn.engine.node import Leaf, tick
from tinygrad_nn.errors import BadRule, GraphError, SettingError
from tinygrad_nn.hints.lookups import Signposts
from tinygrad_nn.optim.groups import Parameters, check_rate, groups_of
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array, Primitive
from tinygrad_nn.settings import check_number
from tinygrad_nn.states import check_state, expect_mapping

_BLOCK, _LARGE = 2**18, 2**21
"""Bytes of a block, and of a parameter from which on blocks pay."""


class Optimizer(Signposts):
    """Base of optimizers: holds the parameters, the learning rate, the step count and the state of each parameter.

    A subclass says what is its own in three places. `rule` is a kernel that updates one parameter in place.
    `slots` names the arrays of a parameter's shape that are kept for each from step to step, zero at first.
    `__init__` checks the options and hands them on, as keywords of the rule.

    The operands of a rule are `parameter` and `gradient`, and then by name what it needs: any of the slots,
    `scratch` (an array of the parameter's shape to compute in, with anything in it), `rate` (of this step) and `count`
    (the number of this step, from 1), the last two as 0-d arrays. A rule that computes every element by itself says
    `elementwise = True`: then large parameters are updated in blocks that fit into a core's cache.

    Attributes:
        parameters: the tensors to update, those of all groups.
        lr: the learning rate, or a function of the number of steps taken so far; may be assigned. Of groups, the factor
            of their rates.
        steps: how many steps have been taken, a 0-d array.
        state: the arrays of each parameter, by slot.

    Raises:
        SettingError: a bad rate, no or repeated parameters, a non-leaf.
        BadRule: `rule` is no kernel that writes the parameter, or does not take the options.

    Example:
        >>> import tinygrad_nn as tn
        >>> @tn.kernel(None, None, None, writes=(0,), differentiable=False, method=False)
        ... def sign_update(parameter, gradient, rate):
        ...     parameter -= rate * np.sign(gradient)
        >>> class SignDescent(Optimizer):
        ...     rule = sign_update
        >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
        >>> (w * [-1.0, 100.0]).sum().backward()
        >>> SignDescent([w], lr=0.25).step()
        >>> w
        Tensor([1.25, 1.75], requires_grad=True)
    """

    rule: Primitive
    slots: tuple[str, ...] = ()
    elementwise = False

    def __init_subclass__(cls) -> None:
        # Of another rule it is not known.
        if "rule" in vars(cls) and "elementwise" not in vars(cls):
            cls.elementwise = False

    def __init__(self, parameters: Parameters, lr: float | Schedule | None, **options: object) -> None:
        who = type(self).__name__
        groups = groups_of(who, parameters)
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        grouped = any(group.named for group in groups)
        if lr is not None or not grouped:
            check_rate(who, lr)
        own = [group.rate(who, lr) for group in groups] if grouped else []
        self._own = np.array(own, np.float64)
        self.lr: float | Schedule = 1.0 if lr is None or (grouped and not callable(lr)) else lr
        self._check_rule(options)
        self.steps = np.zeros((), np.int64)
        self._rate = np.zeros(())
        self._own_rates = [np.zeros(()) for _ in own]
        self._rate_of = [
            self._own_rates[k] if grouped else self._rate
            for k, group in enumerate(groups)
            for _ in group.parameters
        ]
        self._options = options
        self.state: list[dict[str, Array]] = [
            {slot: np.zeros_like(parameter._data) for slot in self.slots} for parameter in self.parameters
        ]
        self._operands: list[list[Array]] = []
        self._lay_out()
        self._looked: object = None
        self._begun = 0

    def __repr__(self) -> str:
        settings = {"lr": self.lr} | ({"rates": self._own.tolist()} if len(self._own) else {}) | self._options
        told = [f"{name}={getattr(x, '__name__', repr(x))}" for name, x in settings.items()]
        count = len(self.parameters)
        of = f"{count} parameter{'s' * (count > 1)}"
        return f"{type(self).__name__}({', '.join([of, *told])}; step {int(self.steps)})"

    @property
    def rates(self) -> Array:
        """The rate of each group, of which `lr` is a factor; an array to be written into, empty without groups."""
        return self._own

    def _check_rule(self, options: Mapping[str, object]) -> None:
        """Refuse a rule that a replay would leave out, or that does not take the options."""
        who, rule = type(self).__name__, getattr(self, "rule", None)
        if not isinstance(rule, Primitive) or 0 not in rule.writes:
            what = (
                f"{rule!r}, which does not say what it writes" if isinstance(rule, Primitive) else repr(rule)
            )
            raise BadRule(
                f"{who}: its rule is {what}; expected a kernel that writes the parameter, its operand 0\n"
                "  hint   @tn.kernel(None, None, ..., writes=(0,), differentiable=False, method=False)"
            )
        if isinstance(self.slots, str):
            raise BadRule(f"{who}: slots is a string\n  hint   slots = ({self.slots!r},)")
        kept = [k for k, name in enumerate(rule.operand_names) if name in self.slots and k not in rule.writes]
        if kept:
            names = ", ".join(rule.operand_names[k] for k in kept)
            places = (*rule.writes, *kept)
            raise BadRule(f"{who}: {rule.name} keeps {names} but does not write it\n  hint   writes={places}")
        if unknown := [option for option in options if option not in rule.takes.names]:
            raise BadRule(
                f"{who}: {rule.name} takes no {', '.join(unknown)}\n  takes  {', '.join(rule.takes.names)}"
            )

    def _lay_out(self) -> None:
        """Give the state and the scratch memory of each parameter its dtype; values are kept."""
        dtypes = [parameter.dtype for parameter in self.parameters]
        state = [
            {slot: array.astype(dtype, copy=False) for slot, array in arrays.items()}
            for dtype, arrays in zip(dtypes, self.state, strict=True)
        ]
        # One for all is near to the core, where one for each would come from memory.
        sizes: dict[np.dtype, int] = {}
        for parameter in self.parameters:
            sizes[parameter.dtype] = max(parameter._data.size, sizes.get(parameter.dtype, 0))
        scratch = {dtype: np.empty(size, dtype) for dtype, size in sizes.items()}
        self._operands = [
            self._rule_operands(_shaped(scratch[parameter.dtype], parameter._data), arrays, rate)
            for parameter, arrays, rate in zip(self.parameters, state, self._rate_of, strict=True)
        ]
        self.state, self._dtypes = state, dtypes

    def _look_at_memory(self) -> None:
        """Refuse parameters that cannot be written, and follow those that have another dtype now."""
        for k, parameter in enumerate(self.parameters):
            if not parameter._data.flags.writeable:
                raise SettingError(
                    f"{type(self).__name__}.step: parameter {k} of shape {parameter.shape} lies in memory that cannot "
                    "be written; nothing was changed\n  hint   p.data = p.data.copy()"
                )
        if self._dtypes != [parameter.dtype for parameter in self.parameters]:
            self._lay_out()
        self._looked = Leaf.memory

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        traced = context.current().tracers
        for parameter in self.parameters:
            if traced:
                parameter._node.grad = None
            else:
                parameter._node.own_grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient; a frozen one has none.

        Raises:
            GraphError: none has one.
            SettingError: the rate, or what a schedule returned, is no number, negative, infinite or NaN; a parameter
                lies in memory that cannot be written.
        """
        if self._looked is not Leaf.memory:
            self._look_at_memory()
        _, watchers, tracers = context.current()
        for parameter in self.parameters:
            if (parameter._node.grad if tracers else parameter._node.own_grad) is not None:
                break
        else:
            raise no_gradient(f"{type(self).__name__}.step", len(self.parameters))
        if self._begun < 2 and not tracers:
            self._look_for_what_was_kept(parameter._node)
        for watcher in watchers:
            watcher.before_step(self.parameters)
        # Every tracer is told, so not any() of a generator.
        if not tracers or True not in [tracer.on_host(self._prepare) for tracer in tracers]:
            self._prepare()
        self._update(traced=bool(tracers))
        for watcher in watchers:
            watcher.after_step(self.rule)

    def _look_for_what_was_kept(self, leaf: Leaf) -> None:
        """Warn if the second step has the gradient of the first one in its own; a sum of several passes is no such."""
        if self._begun and leaf.kept is leaf.own_grad:
            warn_of_usage(
                f"{type(self).__name__}.step: the gradient of the last step was never cleared, this one has it in it\n"
                "  hint   optimizer.zero_grad() before loss.backward()"
            )
        leaf.spent, leaf.kept = (None if self._begun else leaf.own_grad), None
        self._begun += 1

    # Raised in the middle of an update, an error of floating-point numbers would leave it half done.
    @np.errstate(all="ignore")
    def _update(self, *, traced: bool) -> None:
        update, options = self.rule if traced else self.rule.function, self._options
        for parameter, operands in zip(self.parameters, self._operands, strict=True):
            leaf = parameter._node
            gradient = leaf.grad if traced else leaf.own_grad
            if gradient is not None:
                array = parameter._data
                if self.elementwise and array.nbytes > _LARGE and not traced:
                    for part in _blocks(array, gradient, *operands):
                        update(*part, **options)
                else:
                    update(array, gradient, *operands, **options)
                if traced:
                    leaf.touch()
                else:
                    leaf.number = tick()

    def _prepare(self) -> None:
        """Count the step and set the rate; plain Python work that a replay of a captured step repeats."""
        rate = self.lr(int(self.steps)) if callable(self.lr) else self.lr
        if type(rate) is not float or not 0 <= rate < math.inf:
            # Asked only then, because the text for an error costs more than the step of a small parameter.
            check_number(type(self).__name__, f"the learning rate of step {self.steps}", rate)
        self._rate[...] = rate
        if self._own_rates:
            for own, of_group in zip(self.rates, self._own_rates, strict=True):
                of_group[...] = own * rate
        # `+= 1` costs NumPy an iterator.
        self.steps[...] = int(self.steps) + 1

    def _rule_operands(self, scratch: Array, state: Mapping[str, Array], rate: Array) -> list[Array]:
        """Return what the rule takes after a parameter and its gradient."""
        arrays = {**self._memory(scratch, state), "rate": rate}
        names = self.rule.operand_names[2:]
        unknown = [name for name in names if name not in arrays]
        if unknown:
            raise BadRule(
                f"{self.rule.name}: {type(self).__name__} has no {', '.join(unknown)} for the rule\n"
                f"  hint   after parameter and gradient it may take {', '.join(arrays)}; slots = (...) names more"
            )
        return [arrays[name] for name in names]

    def _memory(self, scratch: Array, state: Mapping[str, Array]) -> dict[str, Array]:
        """Return the arrays that go with one parameter, by the names that a rule may give its operands."""
        return {**state, "scratch": scratch, "rate": self._rate, "count": self.steps}

    def _arrays(self) -> dict[str, Array]:
        """Return the arrays that make up the state, by name; not copies, but for the rate."""
        if self._dtypes != [parameter.dtype for parameter in self.parameters]:
            self._lay_out()
        slots = {f"{k}.{slot}": array for k, state in enumerate(self.state) for slot, array in state.items()}
        rate = {} if callable(self.lr) else {"lr": np.array(self.lr, np.float64)}
        rates = {"rates": self.rates} if len(self.rates) else {}
        return {"steps": self.steps, **rate, **rates, **slots}

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the step count, of the rate, of the rates of groups and of every state array, by name.

        A schedule is not data, and no part of it.
        """
        return {name: array.copy() for name, array in self._arrays().items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Restore what `state_dict` returned, exactly; all of it, or nothing.

        Raises:
            CheckpointError: lists missing and unexpected names and wrong shapes and dtypes; a rate is unexpected where
                this one follows a schedule, and missing where that one did.
        """
        expect_mapping(type(self).__name__, state)
        targets = self._arrays()
        arrays = {name: np.asarray(value) for name, value in state.items()}
        steps = arrays.get("steps", self.steps)
        countable = steps.shape == () and steps.dtype == self.steps.dtype
        problems = [f"negative    steps: {steps}"] if countable and steps < 0 else []
        problems += self._rate_problems(arrays.get("lr"))
        rates = arrays.get("rates", self.rates)
        if rates.dtype == np.float64 and not np.all((rates >= 0) & (rates < math.inf)):
            problems.append(f"wrong       rates: {rates}")
        check_state(type(self).__name__, targets, arrays, problems)
        for name, target in targets.items():
            target[...] = arrays[name]
        if "lr" in targets:
            self.lr = float(targets["lr"])

    def _rate_problems(self, saved: Array | None) -> list[str]:
        if callable(self.lr):
            return (
                []
                if saved is None
                else ["hint        load into a constant rate, then optimizer.lr = schedule"]
            )
        if saved is None:
            return ["hint        saved under a schedule: load with one, then optimizer.lr = ..."]
        number = saved.shape == () and saved.dtype == np.float64
        return [f"wrong       lr: {saved}"] if number and not 0 <= saved < math.inf else []


def _shaped(memory: Array, like: Array) -> Array:
    """Return the first part of flat memory with the shape of an array, and its order."""
    return memory[: like.size].reshape(like.shape, order="F" if like.flags.fnc else "C")


def _blocks(*arrays: Array) -> Iterator[Sequence[Array]]:
    """Yield parts of arrays of one shape, and those without a shape with each; all of it at once if not contiguous."""
    if not all(array.flags.c_contiguous for array in arrays):
        yield arrays
        return
    size, step = arrays[0].size, _BLOCK // arrays[0].itemsize
    flat = [array.reshape(-1) if array.ndim else array for array in arrays]
    for k in range(0, size, step):
        yield [array[k : k + step] if array.ndim else array for array in flat]


def no_gradient(who: str, parameters: int) -> GraphError:
    """Return the error for parameters of which none has a gradient."""
    return GraphError(
        f"{who}: none of the {parameters} parameters has a gradient\n"
        "  hint   loss.backward() first, of a loss that was computed with these parameters"
    )
