"""What an op is: a NumPy function or a kernel, one derivative rule per operand, and the data its checks need.

Declaring an op is one statement, `op(...)` for a function NumPy has and `@kernel(...)` for one it lacks. A rule is
plain NumPy and asks for what it needs by parameter name:

    g        the cotangent of the result, always first
    y        the result
    x        the operand, where there is one; a, b, c, ... where there are several; a kernel's own names
    xs       all operands of a variadic op
    others   residuals: values named in the declaration, saved at first order and recomputed for higher orders; their
             definitions ask for operands, and after the star for parameters of the call
    *, ...   after the star: parameters of the call, and `shapes` (of the operands) and `i` (which operand)

The signature is therefore the exact list of what an op saves for its backward pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.errors import ArgumentError, BadRule, NoGradientRule
from tinygrad_nn.hints.calls import is_refused, wrong_call
from tinygrad_nn.primitives.operands import Function, Operands, Params
from tinygrad_nn.primitives.record import REGISTRY, Domain, Record, Sample, Samples
from tinygrad_nn.primitives.rule import Rule
from tinygrad_nn.primitives.signature import Signature

Kinks = tuple[float, ...] | Mapping[float, Any] | Function
Adapt = Callable[..., Sample]
Formulas = str | tuple[str | None, ...] | None
"""What rules say, to a reader: of the only one, or of each."""

_LETTERS = "abcdef"
_PLAIN = frozenset({np.ndarray, np.float32, np.float64, float, int, bool})


class Primitive(Record):
    """An op with its derivative rules; call it like the function it stands for, on arrays or on Tensors."""

    # What every call reads comes first: slots are faster than the entries of a large dictionary.
    __slots__ = ("differentiable", "direct", "function", "plans", "promotes", "residuals", "rules")

    def __init__(
        self,
        key: Function,
        function: Function,
        rules: Sequence[Function | None],
        name: str,
        *,
        operand_names: tuple[str, ...] | None = None,
        variadic: bool = False,
        adapt: Adapt | None = None,
        otherwise: Function | None = None,
        residuals: Mapping[str, Function] | None = None,
        writes: tuple[int, ...] = (),
        promotes: bool | None = None,
        method: bool | None = None,
        reference: Function | None = None,
        domain: Domain | None = None,
        kinks: Kinks = (),
        samples: Samples | None = None,
        broadcasts: bool = True,
        symmetric: bool = False,
        analytic: bool = True,
        linear: bool = False,
        zero_gradient: bool = False,
        differentiable: bool = True,
        formula: Formulas = None,
    ) -> None:
        count = len(rules)
        _check_options(name, residuals, domain, kinks)
        self.formulas = formula if isinstance(formula, tuple) else (formula,) + (None,) * (count - 1)
        if len(self.formulas) != count:
            raise BadRule(
                f"{name}: {count} rules, {len(self.formulas)} formulas\n  hint   None where a rule needs none"
            )
        self.key = key
        self.function = function
        self.name = name
        self.method = count == 1 and not variadic if method is None else method
        self.reference = reference
        self.domain = domain
        self.samples = samples
        self.analytic = analytic
        self.differentiable = differentiable
        self.operand_names = operand_names or (("x",) if count == 1 else tuple(_LETTERS[:count]))
        self.variadic = variadic
        self.adapt = adapt
        self.otherwise = otherwise
        self.writes = writes
        self.kinks = kinks
        self.broadcasts = broadcasts
        self.symmetric = symmetric
        self.linear = linear
        self.zero_gradient = zero_gradient
        self.residuals = dict(residuals or {})
        self.residual_operands: dict[str, tuple[str, ...]] = {}
        self.residual_keywords: dict[str, tuple[str, ...]] = {}
        for residual, definition in self.residuals.items():
            asks = inspect.signature(definition).parameters
            after_star = tuple(p for p in asks if asks[p].kind is asks[p].KEYWORD_ONLY)
            self.residual_keywords[residual] = after_star
            self.residual_operands[residual] = tuple(p for p in asks if p not in after_star)
        reserved = {"g", "y", "i", "xs", "shapes"} & {*self.operand_names, *self.residuals}
        if reserved:
            raise BadRule(f"{name}: {', '.join(sorted(reserved))} has a meaning in rules; rename the operand")
        known = ("xs", "y") if variadic else (*self.operand_names, "y", *self.residuals)
        self.rules = tuple(None if rule is None else Rule(rule, known, name) for rule in rules)
        asked = {value for rule in self.rules if rule is not None for value in rule.values}
        idle = [residual for residual in self.residuals if residual not in asked]
        if idle:
            raise BadRule(f"{name}: no rule asks for the residual {', '.join(idle)}")
        several = variadic or sum(rule is not None for rule in self.rules) > 1
        self.promotes = several if promotes is None else promotes
        # So many operands are the whole of a call, and what the function returns is the whole of its result.
        self.direct = len(rules) if adapt is None and not (variadic or writes or residuals) else None
        composed = inspect.signature(otherwise).parameters if otherwise is not None else {}
        self.composed = frozenset(composed)
        self.beyond_rules = {name for name, p in composed.items() if p.kind is p.KEYWORD_ONLY}
        self.made_of_others = otherwise is not None and differentiable and not any(self.rules)
        self.plans: dict[int | tuple[int, int], Plan] = {}
        own = key is function and inspect.isfunction(function)
        self.__doc__ = function.__doc__ if own else f"np.{name}, with a gradient."

    # Read when it is first asked for: importing takes long enough.
    @cached_property
    def takes(self) -> Signature:
        """The arguments that calls take; NumPy says what of its own goes by position, kernels take all."""
        takes = Signature(self.key, self.function)
        if self.key is self.function and inspect.isfunction(self.function) and takes.positions is not None:
            takes.positions = len(takes.names)
        return takes

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> str | Operands:
        return primitive_of, (self.name,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the op; Tensors among the operands record it, anything else is plain NumPy."""
        try:
            if len(args) == self.direct and not kwargs:
                # What follows would say the same of operands that are arrays, as they are in most rules.
                for x in args:
                    if type(x) not in _PLAIN:
                        break
                else:
                    return self.function(*args)
            operands, params = self.bind(args, kwargs)
            for x in operands:
                # Tensor.__primitive__ is `apply` of the engine: an op itself never names the tensor.
                if type(x) not in _PLAIN and (record := getattr(type(x), "__primitive__", None)) is not None:
                    return record(self, operands, params)
            if self.writes:
                for tracer in context.current().tracers:
                    if tracer.on_update(self, operands, params):
                        return None
            result = self.function(*operands, **params)
            return self.split(result)[0] if self.residuals else result
        except TypeError as error:
            if not is_refused(self.function, error):
                raise
            failure = wrong_call(self.function, args, kwargs, error, self.name)
        raise failure from None

    def split(self, returned: Any) -> tuple[Any, list[Any]]:
        """Return the result and the residuals of an op that has some."""
        if type(returned) is not tuple or len(returned) != 1 + len(self.residuals):
            names = ", ".join(self.residuals)
            got = f"{len(returned)} values" if isinstance(returned, tuple) else type(returned).__name__
            raise BadRule(f"{self.name}: returns (result, {names}), because of residuals=; got {got}")
        result, *residuals = returned
        return result, residuals

    def residual(self, name: str, operands: Sequence[Any], params: Params) -> Any:
        """Compute a residual of a call from its definition."""
        keywords = {key: params[key] for key in self.residual_keywords[name] if key in params}
        return self.residuals[name](*operands, **keywords)

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

    def is_composed(self, params: Params) -> bool:
        """Tell whether a call has keywords that only the function made of other ops takes."""
        return not self.beyond_rules.isdisjoint(params) and self.composed.issuperset(params)

    def bind(self, args: Operands, kwargs: Params) -> tuple[Operands, Params]:
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


def primitive_of(key: object) -> Primitive:
    """Return the op that is registered under a NumPy function or a name; an op itself as it is."""
    record = key if isinstance(key, Primitive) else REGISTRY[key]
    if not isinstance(record, Primitive):
        raise TypeError(f"{record!r} is made of other ops and has no rule of its own")
    return record


def _check_options(name: str, residuals: object, domain: object, kinks: object) -> None:
    wrong = {
        'residuals={"s": lambda x: sigmoid(x)}': residuals is None or isinstance(residuals, Mapping),
        "domain=(low, high), or one such pair for each operand": domain is None or isinstance(domain, tuple),
        "kinks={0.0: slope}": callable(kinks) or isinstance(kinks, (Mapping, tuple)),
    }
    for hint, good in wrong.items():
        if not good:
            raise BadRule(f"{name}: {hint.partition('=')[0]}= has another form\n  hint   {hint}")


Picker = Callable[[Sequence[Any]], Sequence[Any]]
RuleCall = tuple[int, Rule, Picker]
"""Which operand a rule is for, the rule, and what picks the values that it asks for out of the saved ones."""


class Plan:
    """For one choice of operands whose gradient is wanted: what to save, and how to call each rule with it.

    `sources` index into (*operands, result, *residuals) and `names` says what stands there; `calls` has one entry for
    each rule; `wants_shapes` says whether one of these asks for the shapes of all operands.
    """

    __slots__ = ("calls", "names", "save", "sources", "wants_shapes")

    def __init__(self, op: Primitive, needs: int, count: int) -> None:
        wanted = [(i, op.rule(i)) for i in range(count) if needs >> i & 1]
        places: dict[str, int | slice] = {name: k for k, name in enumerate(op.operand_names)}
        places |= {"xs": slice(0, count), "y": count}
        places |= {name: count + 1 + k for k, name in enumerate(op.residuals)}
        names: dict[str, None] = {}
        for _, rule in wanted:
            for name in rule.values:
                names[name] = None
                # So that higher orders can recompute it.
                names |= dict.fromkeys(op.residual_operands.get(name, ()))
        order = {name: k for k, name in enumerate(names)}
        self.names = tuple(names)
        self.sources = tuple(places[name] for name in names)
        self.save = _picker(self.sources)
        self.calls: tuple[RuleCall, ...] = tuple(
            (i, rule, _picker([order[name] for name in rule.values])) for i, rule in wanted
        )
        self.wants_shapes = any(rule.wants_shapes for _, rule in wanted)


def _picker(places: Sequence[int | slice]) -> Picker:
    """Return the function that picks `places` out of a sequence, without a call of Python code."""
    if not places:
        return itemgetter(slice(0, 0))
    if len(places) > 1:
        return itemgetter(*places)
    (place,) = places
    if isinstance(place, slice):
        return lambda values: (values[place],)
    return itemgetter(slice(place, place + 1))
