"""What type checkers see of Tensor's operators and methods, made from the registry.

`python -m tests.support.tensor_stub` writes tinygrad_nn/engine/methods.pyi; a test compares.
"""

import inspect
from pathlib import Path

import numpy as np

from tinygrad_nn.engine import operators
from tinygrad_nn.primitives.record import REGISTRY

STUB = Path(operators.__file__).with_name("methods.pyi")

HEAD = '''\
"""Made by `python -m tests.support.tensor_stub`; a test compares."""

from typing import Unpack

from numpy.typing import DTypeLike

from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.engine.writing import At
from tinygrad_nn.primitives.operands import Axis, Shape
from tinygrad_nn.viz import DrawOptions, Picture

class Methods:
    def graph(self, **options: Unpack[DrawOptions]) -> Picture: ...
    def explain(self, lang: str = "en") -> str: ...
    @property
    def at(self) -> At: ...
'''

TYPES = {
    "axis": "Axis",
    "axis1": "int",
    "axis2": "int",
    "copy": "bool",
    "correction": "float",
    "ddof": "float",
    "decimals": "int",
    "dtype": "DTypeLike | None",
    "k": "int",
    "keepdims": "bool",
    "kind": "str | None",
    "mode": "str",
    "nan": "float",
    "neginf": "float | None",
    "offset": "int",
    "ord": "float | str | None",
    "order": "str",
    "pad_width": "int | tuple[int, ...] | tuple[tuple[int, int], ...]",
    "posinf": "float | None",
    "reflect_type": "str",
    "shape": "int | tuple[int, ...]",
    "shift": "int | tuple[int, ...]",
    "stable": "bool | None",
    "negative_slope": "float",
    "alpha": "float",
}
"""Types of parameters by name; all others take operands."""

UNSUPPORTED = {"casting", "descending", "order", "out", "overwrite_input", "subok", "upper"}
"""Parameters of NumPy's functions that have no derivative rule, or that not every NumPy has."""

BESIDES = {"pad": ["constant_values: Operand = 0", "reflect_type: str = 'even'"]}
"""What NumPy's signature keeps to itself."""


def stub():
    """Return the text of methods.pyi."""
    lines = [HEAD.rstrip()]
    for symbol in operators.BINARY:
        names = [f"__{prefix}{symbol}__" for prefix in ("", "r", "i")]
        lines += [f"    def {name}(self, other: Operand) -> Tensor: ..." for name in names]
    for symbol in operators.COMPARE:
        if symbol in ("eq", "ne"):
            # Elementwise, as NumPy's; object, whose result is a bool, is what every class promises to be.
            line = f"    def __{symbol}__(self, other: object) -> Tensor: ...  # type: ignore[override]"
            lines.append(f"{line} # pyright: ignore[reportIncompatibleMethodOverride]")
        else:
            lines.append(f"    def __{symbol}__(self, other: Operand) -> Tensor: ...")
    lines += [f"    def __{symbol}__(self) -> Tensor: ..." for symbol in operators.UNARY]
    lines += [f"    @property\n    def {name}(self) -> Tensor: ..." for name in operators.PROPERTIES]
    lines += [
        f"    def {name}{_own(function)} -> Tensor: ..." for name, function in operators.SPECIAL.items()
    ]
    records = sorted(dict.fromkeys(REGISTRY.values()), key=lambda record: record.name)
    for record in records:
        if record.name in operators.FROM_REGISTRY:
            arguments = ", ".join(["self", *_parameters(record), *BESIDES.get(record.name, [])])
            lines.append(f"    def {record.name}({arguments}) -> Tensor: ...")
    return "\n".join(lines) + "\n"


def _own(function):
    """Return the parameters of a method that operators.py defines, as they are annotated there."""
    parts = []
    for name, parameter in inspect.signature(function).parameters.items():
        star = {parameter.VAR_POSITIONAL: "*"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        parts.append(name if name == "self" else f"{star}{name}: {parameter.annotation}{default}")
    return f"({', '.join(parts)})"


def _parameters(record):
    """Yield the parameters of a method besides self."""
    if isinstance(record.key, np.ufunc):
        return
    # NumPy says what of its own goes by position; kernels and composites take all.
    star = "*" if record.key is not record.function else ""
    left_out = False
    for name, parameter in list(inspect.signature(record.key).parameters.items())[1:]:
        if name in UNSUPPORTED or parameter.kind is parameter.VAR_KEYWORD:
            left_out = True
            continue
        # What comes after a parameter that is left out has another position in NumPy.
        if star and (left_out or parameter.kind is parameter.KEYWORD_ONLY):
            yield star
            star = ""
        optional = "" if parameter.default is parameter.empty else " = ..."
        yield f"{name}: {TYPES.get(name, 'Operand')}{optional}"


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
