"""What an op is: a NumPy function or a kernel, one derivative rule per operand, and the data its checks need.

Declaring an op is one statement, `op(...)` for a function NumPy has and `@kernel(...)` for one it lacks. A rule is
plain NumPy and asks for what it needs by parameter name:

    g        the cotangent of the result, always first
    y        the result
    x        the operand, where there is one; a, b, c, ... where there are several; a kernel's own names
    xs       all operands of a variadic op
    others   residuals: values named in the declaration, saved at first order and recomputed for higher orders
    *, ...   after the star: parameters of the call, and `shapes` (of the operands) and `i` (which operand)

The signature is therefore the exact list of what an op saves for its backward pass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.errors import ArgumentError, BadRule, NoGradientRule
from tinygrad_nn.primitives.operands import lists_in_dtype_of_arrays
from tinygrad_nn.primitives.rule import Plan, Rule, takes_cotangent
from tinygrad_nn.primitives.signature import Signature

REGISTRY: dict[Any, Primitive | Composite] = {}
"""Everything that has a derivative, by NumPy function (aliases too) and by name."""

LISTENERS: list[Callable[[Any], None]] = []
"""Told of every record that is registered; Tensor listens and makes a method of it."""

_LETTERS = "abcdef"
_PLAIN = frozenset({np.ndarray, float, int, bool})


class Primitive:
    """An op with its derivative rules; call it like the function it stands for, on arrays or on Tensors."""

    # What every call reads comes first: slots are faster than the entries of a large dictionary.
    __slots__ = ("__dict__", "differentiable", "function", "plans", "promotes", "residuals", "rules")

    def __init__(
        self,
        function: Callable[..., Any],
        rules: tuple[Callable[..., Any] | None, ...],
        *,
        name: str,
        key: Any,
        operand_names: tuple[str, ...] | None = None,
        variadic: bool = False,
        adapt: Callable[..., tuple[tuple[Any, ...], dict[str, Any]]] | None = None,
        residuals: Mapping[str, Callable[..., Any]] | None = None,
        method: bool | None = None,
        also: tuple[Any, ...] = (),
        reference: Callable[..., Any] | None = None,
        domain: tuple[float, float] | tuple[tuple[float, float], ...] | None = None,
        kinks: tuple[float, ...] | Mapping[float, Any] | Callable[..., Any] = (),
        samples: Callable[[np.random.Generator], list[tuple[tuple[Any, ...], dict[str, Any]]]] | None = None,
        signature: str | None = None,
        analytic: bool = True,
        linear: bool = False,
        zero_gradient: bool = False,
        differentiable: bool = True,
        writes: tuple[int, ...] = (),
        internal: bool = False,
        promotes: bool | None = None,
        onnx: str | None = None,
    ) -> None:
        self.function = function
        self.name = name
        self.key = key
        self.also = also
        self.variadic = variadic
        self.adapt = adapt
        self.reference = reference
        self.domain = domain
        self.kinks = kinks
        self.samples = samples
        self.signature = signature
        self.analytic = analytic
        self.linear = linear
        self.zero_gradient = zero_gradient
        self.differentiable = differentiable
        self.writes = writes
        self.internal = internal
        self.onnx = onnx
        self.residuals = dict(residuals or {})
        count = len(rules)
        self.operand_names = operand_names or (("x",) if count == 1 else tuple(_LETTERS[:count]))
        self.method = count == 1 and not variadic and not internal if method is None else method
        reserved = {"g", "y", "i", "xs", "shapes"} & {*self.operand_names, *self.residuals}
        if reserved:
            raise BadRule(f"{name}: {', '.join(sorted(reserved))} has a meaning in rules; rename the operand")
        self.residual_operands = {
            residual: tuple(inspect.signature(definition).parameters)
            for residual, definition in self.residuals.items()
        }
        known = ("xs", "y") if variadic else (*self.operand_names, "y", *self.residuals)
        self.rules = tuple(None if rule is None else Rule(rule, known, name) for rule in rules)
        self.promotes = (
            promotes if promotes is not None else variadic or sum(r is not None for r in rules) > 1
        )
        asked = {name for rule in self.rules if rule is not None for name in rule.values}
        idle = [name for name in self.residuals if name not in asked]
        if idle:
            raise BadRule(f"{name}: no rule asks for {', '.join(idle)}; is it a misspelt option?")
        self.plans: dict[int | tuple[int, int], Plan] = {}
        self.takes = Signature(key, function)
        own = key is function and inspect.isfunction(function)
        if (
            own and self.takes.positions is not None
        ):  # NumPy says what of its own goes by position; kernels take all
            self.takes.positions = len(self.takes.names)
        self.__doc__ = function.__doc__ if own else f"np.{name}, with a gradient."

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _by_name, (self.name,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the op; Tensors among the operands record it, anything else is plain NumPy."""
        operands, params = self.bind(args, kwargs)
        for x in operands:
            if type(x) not in _PLAIN and (record := getattr(type(x), "__primitive__", None)) is not None:
                return record(self, operands, params)
        if self.writes:
            for watcher in context.current().watchers:
                if watcher.on_update(self, operands, params):
                    return None
        result = self.function(*operands, **params)
        return result[0] if self.residuals else result

    def rule(self, index: int) -> Rule:
        """Return the rule of operand `index`; raise `NoGradientRule` where there is none."""
        rule = self.rules[0 if self.variadic else index]
        if rule is None:
            raise NoGradientRule(
                f"{self.name}: operand {index} ({self.operand_names[index]}) has no derivative rule\n"
                "  hint   pass it as a plain array, or t.detach() to say that it is a constant"
            )
        return rule

    def plan(self, needs: int, count: int) -> Plan:
        """Return what to save when the operands in the bit mask `needs`, of `count`, want a gradient."""
        key = (needs, count) if self.variadic else needs
        plan = self.plans.get(key)
        if plan is None:
            plan = self.plans[key] = Plan(self, needs, count)
        return plan

    def check_keywords(self, plan: Plan, params: Mapping[str, Any]) -> None:
        """Raise `NoGradientRule` for a keyword of the call that a wanted rule does not name."""
        for _, rule, _ in plan.calls:
            for keyword in params:
                if keyword not in rule.keywords:
                    raise NoGradientRule(
                        f"{self.name}: there is no derivative rule for the keyword {keyword}={params[keyword]!r}\n"
                        f"  hint   keywords with a derivative: {', '.join(rule.keywords) or 'none'}; "
                        "np.where on operand or result says the same with a gradient"
                    )

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Split a call written as NumPy writes it into operands and parameters other than their defaults."""
        count = len(self.rules)
        if len(args) == count and not kwargs and self.adapt is None:
            return args, kwargs
        if self.adapt is not None and self.takes.positions is not None:
            return self.adapt(**self.takes.named(self.name, args, kwargs))
        self.takes.check(self.name, args, kwargs)
        if self.adapt is not None:
            return self.adapt(*args, **kwargs)
        if self.variadic:
            return args, kwargs
        params = dict(kwargs)
        names = self.takes.names
        operands = args[:count]
        for name in names[len(operands) : count]:
            if name in params:
                operands = (*operands, params.pop(name))
        if len(operands) < count:
            wanted = ", ".join((names or self.operand_names)[:count])
            raise ArgumentError(f"{self.name}: needs the operands {wanted}; got {len(operands)} of {count}")
        params.update(zip(names[count:], args[count:], strict=False))
        return operands, {k: v for k, v in params.items() if not self.takes.is_default(k, v)}


class Composite:
    """A NumPy function written with other ops: it needs no rule of its own and is checked as a whole."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        method: bool,
        functions: tuple[Callable[..., Any], ...] = (),
        *,
        reference: Callable[..., Any] | None = None,
        domain: tuple[float, float] | tuple[tuple[float, float], ...] | None = None,
        samples: Callable[[np.random.Generator], list[tuple[tuple[Any, ...], dict[str, Any]]]] | None = None,
        analytic: bool = True,
        differentiable: bool = True,
        settings: tuple[str, ...] = (),
    ) -> None:
        self.key = functions[0] if functions else function
        self.function = _called_as(self.key, function, name, settings)
        self.name = name
        self.method = method
        self.reference = reference if reference is not None or not functions else functions[0]
        self.domain = domain
        self.samples = samples
        self.analytic = analytic
        self.differentiable = differentiable
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<composite {self.name}>"


def _called_as(key: Any, function: Callable[..., Any], name: str, settings: tuple[str, ...]) -> Any:
    """Return a composite that is called as NumPy's function is, and refuses what it has no rule for."""
    told = Signature(key, function)
    takes, own = (
        told if told.positions is not None else Signature(function, function),
        Signature(function, function),
    )
    needed = [parameter for parameter in own.names if parameter not in own.defaults]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        values = takes.named(name, args, kwargs)
        for keyword, value in values.items():
            if keyword not in own.names:
                raise NoGradientRule(
                    f"{name}: there is no derivative rule for the keyword {keyword}={value!r}\n"
                    f"  hint   keywords with a derivative: {', '.join(own.names[1:]) or 'none'}"
                )
        if missing := [parameter for parameter in needed if parameter not in values]:
            raise ArgumentError(f"{name}: needs {', '.join(needed)}; there is no {', '.join(missing)}")
        operands = {keyword: value for keyword, value in values.items() if keyword not in settings}
        return function(**values | lists_in_dtype_of_arrays(operands))

    return call


def _by_name(name: str) -> Primitive:
    return cast(Primitive, REGISTRY[name])


def _register(record: Primitive | Composite, keys: Iterable[Any]) -> None:
    names = dict.fromkeys([record.name, *keys])
    for key in names:
        if key in REGISTRY and not _redefines(record, REGISTRY[key]):
            raise BadRule(
                f"{record.name}: {key!r} is registered already, as {REGISTRY[key]!r}\n"
                "  hint   name=... gives an op another name"
            )
    REGISTRY.update(dict.fromkeys(names, record))
    for listener in LISTENERS:
        listener(record)


def _redefines(new: Primitive | Composite, old: Primitive | Composite) -> bool:
    """Tell whether an op is declared again by the same user code, as when a cell of a notebook runs twice."""
    homes = [(f.__module__, f.__qualname__) for f in (new.function, old.function) if inspect.isfunction(f)]
    return len(homes) == 2 and homes[0] == homes[1] and not homes[0][0].startswith("tinygrad_nn.")


def op(function: Callable[..., Any], *rules: Callable[..., Any] | None, **options: Any) -> Primitive:
    """Declare the derivative of a function NumPy has: one rule per operand, None for an operand without one.

    Options: `call` computes it instead of `function`; `adapt` turns a call as NumPy writes it into
    `(operands, parameters)`; `variadic` gives one rule to any number of operands; `also` lists NumPy's other names
    for it; `domain`, `kinks`, `samples`, `analytic`, `linear`, `zero_gradient` and `differentiable` describe it
    for the automatic checks. Kinks are the values of the operand where the derivative jumps, best with the slope
    that the rule gives there (`{0.0: 0.0}`; a function of the parameters where it depends on them), or a function
    of the operands and parameters that is zero at kinks. `residual=definition` saves a named value besides.

    Raises:
        BadRule: a rule asks for a name that does not exist, or the op is registered already.
    """
    call = options.pop("call", function)
    name = options.pop("name", None) or function.__name__
    also = options.get("also", ())
    record = Primitive(call, rules, name=name, key=function, **_with_residuals(options))
    _register(record, (function, *also))
    return record


_KERNEL = "  hint   @tn.kernel(lambda g, x: g * (2 * x)) above the function"


def kernel(*rules: Callable[..., Any] | None, **options: Any) -> Callable[[Callable[..., Any]], Primitive]:
    """Decorate a plain NumPy function to declare it as an op; operands go by its own parameter names.

    `reference` is an obviously right version of it that the checks compare it with. With residuals
    (`p=lambda x: softmax(x)`) the function returns `(result, p)`. Other options as for `op`.
    """
    for rule in rules:
        if rule is not None and not takes_cotangent(rule):
            raise BadRule(
                f"kernel: {rule.__name__} is no rule; a rule's first parameter is g, the result's cotangent\n{_KERNEL}"
            )
    if not rules:
        raise BadRule(f"kernel: needs a rule for each operand, or None for one without\n{_KERNEL}")

    def declare(function: Callable[..., Any]) -> Primitive:
        name = options.pop("name", None) or function.__name__.rstrip("_")
        if name == "<lambda>":
            raise BadRule(
                'a kernel made of a lambda needs a name: tn.kernel(rule, name="square")(lambda x: x * x)'
            )
        if not options.get("variadic"):
            names = tuple(inspect.signature(function).parameters)[: len(rules)]
            options.setdefault("operand_names", names)
        record = Primitive(function, rules, name=name, key=function, **_with_residuals(options))
        _register(record, options.get("also", ()))
        return record

    return declare


def composite(
    *functions: Any, name: str | None = None, method: bool = False, **options: Any
) -> Callable[[Any], Any]:
    """Declare how a NumPy function (or, without one, a function of ours) is made of other ops.

    Lists of Python floats get the dtype of the arrays beside them, but those of the parameters in `settings`, which
    are no operands. Other options describe it for the automatic checks, as for `op`: `samples`, `domain`,
    `analytic`, `differentiable`, and `reference`, which is the first NumPy function unless it is given.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        record = Composite(function, name or function.__name__.rstrip("_"), method, functions, **options)
        _register(record, functions)
        return function

    return declare


_OPTIONS = frozenset(inspect.signature(Primitive.__init__).parameters)


def _with_residuals(options: dict[str, Any]) -> dict[str, Any]:
    residuals = {name: options[name] for name in options if name not in _OPTIONS}
    return {k: v for k, v in options.items() if k in _OPTIONS} | (
        {"residuals": residuals} if residuals else {}
    )
