"""Declaring an op: one statement, from which everything else follows.

`op` is for a function that NumPy has, `kernel` for one that it lacks, `composite` for one made of other ops.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Never, TypeVar

from tinygrad_nn.errors import BadRule
from tinygrad_nn.primitives.composite import Composite
from tinygrad_nn.primitives.operands import Function
from tinygrad_nn.primitives.primitive import Adapt, Formulas, Kinks, Primitive
from tinygrad_nn.primitives.record import Domain, Home, Samples, register
from tinygrad_nn.primitives.rule import takes_cotangent
from tinygrad_nn.primitives.signature import parameters_of

F = TypeVar("F", bound=Function)
Rules = Function | None


def op(
    function: Function,
    *rules: Rules,
    name: str | None = None,
    call: Function | None = None,
    adapt: Adapt | None = None,
    otherwise: Function | None = None,
    also: tuple[Function | str, ...] = (),
    operand_names: tuple[str, ...] | None = None,
    variadic: bool = False,
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
    **unknown: Never,
) -> Primitive:
    """Declare the derivative of a function NumPy has: one rule per operand, None for an operand without one.

    Args:
        function: NumPy's function; calls of it with tensors come here.
        rules: `lambda g, ...: ...`, see `tinygrad_nn.primitives.primitive` for what a rule may ask for.
        name: how graphs and errors call it, by default as NumPy does.
        call: computes it instead of `function`.
        adapt: turns a call as NumPy writes it into `(operands, parameters)`.
        otherwise: a composite for calls with keywords that no rule names, which are its keyword-only parameters; of an
            op without rules, for all calls of which a gradient is wanted.
        also: other functions for the same, those of modules that may not be loaded by their full names.
        operand_names: what rules call the operands, by default x, or a, b, c, ... where there are several.
        variadic: one rule serves any number of operands.
        residuals: values to save besides, by name: `{"s": lambda x: sigmoid(x)}`; then `call` returns
            `(result, s)`.
        writes: the places of the operands that an update writes into; it has no result then.
        promotes: whether operands of several dtypes are cast to one; by default if several have a rule.
        method: whether Tensor gets a method of this name; by default if there is one operand.
        reference: what the checks compare values with, by default `function`.
        domain: the interval that the checks draw operands from, or one for each.
        kinks: values of the operand where the derivative jumps, best with the slope that the rule gives there
            (`{0.0: 0.0}`; a function of the parameters where it depends on them); or a function of the operands
            and parameters that is zero at kinks.
        samples: the calls to check, where random operands alone do not do: a function of a generator.
        broadcasts: whether operands broadcast against each other.
        symmetric: whether operands are symmetric matrices; gradients are too, and are checked along such matrices.
        analytic: whether it computes with complex numbers too.
        linear: whether it is linear in its operands.
        zero_gradient: whether its gradient is zero everywhere.
        differentiable: whether results require grad; comparisons do not.
        formula: what the rule says, to a reader, where its source is no formula: `"g * (x == y) / n"`, or one for each
            rule, None where the source will do. Its letters are those of rules and `n`, how many elements a reduction
            brings together; `tn.testing.check_op` compares it with the rule.

    Raises:
        BadRule: a rule asks for a name that does not exist, an option is unknown, or the op is registered already, and
            not by the same place in a program, as when a cell of a notebook runs again.

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> ediff1d = op(np.ediff1d, lambda g, x: -np.diff(g, prepend=0, append=0))
        >>> tn.grad(lambda x: (np.ediff1d(x) ** 2).sum())(np.array([0.0, 1.0, 3.0]))
        Tensor([-2., -2.,  4.], dtype=float64)
    """
    name = name or function.__name__
    _refuse(op, name, unknown)
    record = Primitive(
        function,
        call or function,
        rules,
        name,
        operand_names=operand_names,
        adapt=adapt,
        otherwise=otherwise,
        variadic=variadic,
        residuals=residuals,
        writes=writes,
        promotes=promotes,
        method=method,
        reference=reference,
        domain=domain,
        kinks=kinks,
        samples=samples,
        broadcasts=broadcasts,
        symmetric=symmetric,
        analytic=analytic,
        linear=linear,
        zero_gradient=zero_gradient,
        differentiable=differentiable,
        formula=formula,
    )
    declared_by = sys._getframe(1)
    place = declared_by.f_globals.get("__name__"), declared_by.f_code.co_qualname
    # NumPy's function has the same home wherever its rule is declared, so the place of the declaration counts.
    register(record, (function, *also), (*place, *_home(function)))
    return record


def kernel(
    *rules: Rules,
    name: str | None = None,
    adapt: Adapt | None = None,
    also: tuple[Function | str, ...] = (),
    operand_names: tuple[str, ...] | None = None,
    variadic: bool = False,
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
    **unknown: Never,
) -> Callable[[Function], Primitive]:
    """Decorate a plain NumPy function to declare it as an op; operands go by its own parameter names.

    Args:
        rules: one for each operand, None for one without.
        name: how graphs and errors call it, by default as the function.
        operand_names: what rules call the operands, where the function's own names do not do.
        also: functions that it stands for, those of modules that may not be loaded by their full names.
        reference: plain NumPy, obviously right, which the checks compare it with.
        residuals: values to save besides, by name; the function returns `(result, *residuals)` then.
        adapt: this, and what is not listed, as for `op`.

    Raises:
        BadRule: no rules, a rule that is none, a lambda without `name=`, an unknown option.

    Example:
        >>> import numpy as np, tinygrad_nn as tn
        >>> @tn.kernel(lambda g, x: g * 2 * x)
        ... def squared(x):
        ...     return np.multiply(x, x)
        >>> tn.grad(squared)(3.0)
        Tensor(6.)
    """
    _refuse(kernel, "kernel", unknown)
    for rule in rules:
        if rule is not None and not takes_cotangent(rule):
            who = getattr(rule, "__name__", type(rule).__name__)
            raise BadRule(
                f"kernel: {who} is no rule; a rule's first parameter is g, the result's cotangent\n{_KERNEL}"
            )
    if not rules:
        raise BadRule(f"kernel: needs a rule for each operand, or None for one without\n{_KERNEL}")

    def declare(function: Function) -> Primitive:
        own_name = name or function.__name__.rstrip("_")
        if own_name == "<lambda>":
            raise BadRule(
                'a kernel made of a lambda needs a name: tn.kernel(rule, name="square")(lambda x: x * x)'
            )
        parameters = parameters_of(function)
        own_names = tuple(p.name for p in parameters[: len(rules)]) if parameters and not variadic else None
        record = Primitive(
            function,
            function,
            rules,
            own_name,
            operand_names=operand_names or own_names,
            adapt=adapt,
            variadic=variadic,
            residuals=residuals,
            writes=writes,
            promotes=promotes,
            method=method,
            reference=reference,
            domain=domain,
            kinks=kinks,
            samples=samples,
            broadcasts=broadcasts,
            symmetric=symmetric,
            analytic=analytic,
            linear=linear,
            zero_gradient=zero_gradient,
            differentiable=differentiable,
            formula=formula,
        )
        register(record, also, _home(function))
        return record

    return declare


def _home(function: Function) -> Home:
    return getattr(function, "__module__", None), getattr(function, "__qualname__", function)


_KERNEL = "  hint   @tn.kernel(lambda g, x: g * (2 * x)) above the function"
_GONE = {
    "onnx": "nothing; each format has a table of its own",
    "internal": "method=False",
    "signature": "broadcasts=False",
}
"""Options there once were, and what to write now."""


def _refuse(declares: Function, who: str, unknown: Mapping[str, object]) -> None:
    if not unknown:
        return
    # Loaded for an error only: it takes as long as ten files of ours.
    from difflib import get_close_matches

    known = [p.name for p in inspect.signature(declares).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option, value in unknown.items():
        hint = _GONE.get(option) or next(iter(f"{word}=..." for word in get_close_matches(option, known)), "")
        if not hint and callable(value):
            hint = f"a value to save besides: residuals={{{option!r}: ...}}"
        raise BadRule(f"{who}: there is no option {option}=\n  hint   {hint or 'help(tn.op) has the list'}")


def composite(
    *functions: Function,
    name: str | None = None,
    method: bool = False,
    reference: Function | None = None,
    domain: Domain | None = None,
    samples: Samples | None = None,
    symmetric: bool = False,
    analytic: bool = True,
    differentiable: bool = True,
    settings: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Declare how a NumPy function (or, without one, a function of ours) is made of other ops.

    Args:
        functions: NumPy's functions for it.
        settings: parameters that are no operands. Lists of Python floats among operands get the dtype of the
            arrays beside them, those among settings do not.
        also: names of functions for it in modules that NumPy loads when they are first used.
        reference: what the checks compare it with, by default the first of `functions`.
        name, method, domain, samples, symmetric, analytic, differentiable: as for `op`.
    """

    def declare(function: F) -> F:
        record = Composite(
            function,
            name or function.__name__.rstrip("_"),
            functions,
            method=method,
            reference=reference,
            domain=domain,
            samples=samples,
            symmetric=symmetric,
            analytic=analytic,
            differentiable=differentiable,
            settings=settings,
        )
        register(record, (*functions, *also), _home(function))
        return function

    return declare
