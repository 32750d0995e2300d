"""How values are written in Python: expressions with the brackets that they need, settings, and what a spelling has."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence

import numpy as np

from tinygrad_nn.errors import ExportError
from tinygrad_nn.export.expressions import ATOM, COMPARED, SIGN, Share, Size, Text
from tinygrad_nn.export.lines import Line, Source, is_literal
from tinygrad_nn.export.tracing import refused
from tinygrad_nn.ops.indexing import HOLE
from tinygrad_nn.primitives import Params, Shape


def number(value: object) -> Text:
    """Return a number as Python writes it."""
    if isinstance(value, Size | Share):
        return value.text
    if isinstance(value, float) and not math.isfinite(value):
        text = "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf"
        return Text(text, SIGN if text[0] == "-" else ATOM)
    plain = value.item() if isinstance(value, np.generic | np.ndarray) else value
    text = repr(plain)
    return Text(text, SIGN if text[0] == "-" else ATOM)


def setting(value: object) -> str:
    """Return a setting of a call as Python writes it.

    Raises:
        ExportError: it is nothing that Python has a literal for.
    """
    if isinstance(value, Text):
        return value.text
    if isinstance(value, slice):
        return f"slice({', '.join(setting(k) for k in (value.start, value.stop, value.step))})"
    if isinstance(value, tuple | list):
        inside = ", ".join(map(setting, value))
        return (
            f"[{inside}]" if isinstance(value, list) else f"({inside},)" if len(value) == 1 else f"({inside})"
        )
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return f"np.{np.dtype(value).name}"
    if value is Ellipsis:
        return "..."
    if value is None or isinstance(value, str):
        return repr(value)
    if isinstance(value, bool | int | float | np.generic):
        return number(value).text
    raise ExportError(f"export.numpy: a setting that is a {type(value).__name__} cannot be written out")


def _part(value: object) -> str:
    """Return one part of an index."""
    if not isinstance(value, slice):
        return "None" if value is None else setting(value)
    first, last = ("" if k is None else setting(k) for k in (value.start, value.stop))
    return f"{first}:{last}" + ("" if value.step is None else f":{setting(value.step)}")


def _same(default: object, value: object) -> bool:
    return type(default) is type(value) and default == value


class Wording:
    """One line of the graph, and what a spelling needs to write it.

    Attributes:
        line: the line.
        params: its settings, with sizes that follow the batch.
        used: the helpers that the file needs so far.
        generator: the name of the generator that it draws from.
    """

    def __init__(
        self,
        line: Line,
        texts: Callable[[Source], Text],
        used: dict[Callable[..., object], None],
        labels: Sequence[str],
        generator: str = "",
    ) -> None:
        self.line = line
        self.params: Params = line.params
        self.used = used
        self.generator = generator
        self._texts = texts
        self._labels = labels

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of the operands."""
        return [x.shape for x in self.line.operands]

    def x(self, place: int = 0) -> Text:
        """Return an operand; a number that would change the dtype of the result has its own."""
        source = self.line.operands[place]
        text = self._texts(source)
        value = getattr(source, "data", None)
        if is_literal(source) and isinstance(value, np.ndarray):
            others = [other.dtype for other in self.line.operands if not is_literal(other)]
            kept = others and np.result_type(*others, 1.0 if value.dtype.kind == "f" else 1)
            if not others or kept != np.result_type(*others, value.dtype):
                return Text(f"np.{value.dtype.name}({text.text})")
        return text

    def all(self, first: int = 0) -> list[Text]:
        """Return all operands, from the first one that is asked for."""
        return [self.x(k) for k in range(first, len(self.line.operands))]

    def infix(self, sign: str, strength: int) -> Text:
        """Return two operands with a sign between."""
        a, b = self.x(0), self.x(1)
        # Python reads chains of comparisons in a way of its own.
        left = strength + 1 if strength == COMPARED or sign == "**" else strength
        return Text(f"{a.within(left)} {sign} {b.within(strength + 1)}", strength)

    def call(self, name: str, *args: object, **settings: object) -> Text:
        """Return a call; settings are written by keyword."""
        parts = [setting(arg) for arg in args]
        parts += [f"{key}={setting(value)}" for key, value in settings.items()]
        return Text(f"{name}({', '.join(parts)})")

    def help(self, helper: Callable[..., object], *args: object, **settings: object) -> Text:
        """Return a call of a helper, which the file gets."""
        self.used[helper] = None
        takes = inspect.signature(helper).parameters
        said = {name: value for name, value in settings.items() if not _same(takes[name].default, value)}
        return self.call(helper.__name__, *args, **said)

    def method(self, name: str, *args: object, **settings: object) -> Text:
        """Return a call of a method of the first operand."""
        return self.call(f"{self.x().within(ATOM)}.{name}", *args, **settings)

    def index(self, parts: Sequence[object], arrays: Sequence[Text]) -> str:
        """Return an index as it stands in square brackets."""
        rest = iter(arrays)
        texts = [next(rest).text if part is HOLE else _part(part) for part in parts]
        return ", ".join(texts) or "()"

    def refused(self, why: str) -> ExportError:
        """Return an error that names the line of the graph, and the module."""
        return refused("export.numpy", self.line.call, self._labels, why)
