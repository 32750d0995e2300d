"""NumPy functions that are written with other ops, and need no rule of their own."""

from __future__ import annotations

import functools
from typing import Any

from tinygrad_nn.errors import ArgumentError, NoGradientRule
from tinygrad_nn.primitives.operands import Function, lists_in_dtype_of_arrays
from tinygrad_nn.primitives.record import Domain, Record, Samples
from tinygrad_nn.primitives.signature import Signature


class Composite(Record):
    """A function written with other ops: its derivative is theirs, and it is checked as a whole."""

    made_of_others = True

    def __init__(
        self,
        function: Function,
        name: str,
        functions: tuple[Function, ...] = (),
        *,
        method: bool = False,
        reference: Function | None = None,
        domain: Domain | None = None,
        samples: Samples | None = None,
        symmetric: bool = False,
        analytic: bool = True,
        differentiable: bool = True,
        settings: tuple[str, ...] = (),
    ) -> None:
        key = functions[0] if functions else function
        self.key = key
        self.function = _called_as(key, function, name, settings)
        self.name = name
        self.method = method
        self.reference = functions[0] if reference is None and functions else reference
        self.domain = domain
        self.samples = samples
        self.symmetric = symmetric
        self.analytic = analytic
        self.differentiable = differentiable
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<composite {self.name}>"


def _called_as(key: Any, function: Function, name: str, settings: tuple[str, ...]) -> Any:
    """Return a composite that is called as NumPy's function is, and refuses what it has no rule for."""

    # Read when it is first called: importing takes long enough.
    @functools.cache
    def signatures() -> tuple[Signature, Signature]:
        keys, own = Signature(key, function), Signature(function, function)
        return (keys if keys.positions is not None else own), own

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        takes, own = signatures()
        if own.positions is None:
            takes.check(name, (), kwargs)
            return function(
                *lists_in_dtype_of_arrays({str(k): x for k, x in enumerate(args)}).values(), **kwargs
            )
        values = takes.named(name, args, kwargs)
        for keyword, value in values.items():
            if own.keywords is not None and keyword not in own.keywords:
                raise NoGradientRule(
                    f"{name}: there is no derivative rule for the keyword {keyword}={value!r}\n"
                    f"  hint   keywords with a derivative: {', '.join(own.names[1:]) or 'none'}"
                )
        needed = [parameter for parameter in own.names if parameter not in own.defaults]
        if missing := [parameter for parameter in needed if parameter not in values]:
            raise ArgumentError(f"{name}: needs {', '.join(needed)}; there is no {', '.join(missing)}")
        operands = {keyword: value for keyword, value in values.items() if keyword not in settings}
        return function(**values | lists_in_dtype_of_arrays(operands))

    return call
