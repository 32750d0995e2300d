"""The table of a model: its layers, what they put out, and how many parameters they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

from tinygrad_nn.errors import SettingError, printable
from tinygrad_nn.languages import ljust, rjust, width
from tinygrad_nn.settings import is_integer

TRIED_WITH = 2
"""Rows that a model is tried with; the axis of this length is shown as N."""


class Row(NamedTuple):
    """One module in the table."""

    name: str
    layer: str
    output: str
    parameters: str


@dataclass(slots=True, eq=False, repr=False)
class Summary:
    """What `Module.summary` returns: it prints as a table; `rows` and `parameters` are its contents."""

    model: str
    rows: list[Row]
    parameters: int
    frozen: int
    nbytes: int
    dtypes: str
    buffers: int

    def _footer(self) -> str:
        buffers = f", {self.buffers:,} in buffers" if self.buffers else ""
        kinds = f", {self.dtypes}" if self.dtypes else ""
        trainable = (
            f" (trainable {self.parameters - self.frozen:,}, frozen {self.frozen:,})" if self.frozen else ""
        )
        return (
            f"{self.model}: {self.parameters:,} parameters{trainable}{kinds}, {_bytes(self.nbytes)}{buffers}"
        )

    def __repr__(self) -> str:
        table = [Row._fields, *self.rows]
        used = [k for k in range(len(Row._fields)) if any(row[k] for row in self.rows)]
        widths = {k: max(width(row[k]) for row in table) for k in used}
        lines = [
            "  ".join((rjust if k == 3 else ljust)(row[k], widths[k]) for k in used).rstrip() for row in table
        ]
        rule = "-" * max(map(width, [*lines, self._footer()]))
        return "\n".join([lines[0], rule, *lines[1:], rule, self._footer()])

    def _repr_html_(self) -> str:
        # Notebooks only: not every program needs it.
        import html

        body = "".join(f"<tr>{_cells(row, 'td')}</tr>" for row in self.rows)
        head = f"<thead><tr>{_cells(Row._fields, 'th')}</tr></thead>"
        return f"<table><caption>{html.escape(self._footer())}</caption>{head}<tbody>{body}</tbody></table>"


def is_function(x: object) -> TypeGuard[Callable[..., object]]:
    """Tell whether something among the attributes of a module is a function; classes are none."""
    return callable(x) and not isinstance(x, type)


def name_of_function(function: Callable[..., object]) -> str:
    """Return what a function is called in a table of layers: tanh of np.tanh.

    Example:
        >>> name_of_function(len), name_of_function(lambda x: x)
        ('len', 'lambda')
    """
    inner = getattr(function, "func", function)
    name = getattr(inner, "__name__", getattr(inner, "name", type(inner).__name__))
    return printable(str(name).strip("<>"))


def counted_parameters(new: int, *, shared: bool) -> str:
    """Spell how many parameters a module adds, and that it shares some with one before it."""
    if shared:
        return f"{new:,} (shared)" if new else "shared"
    return f"{new:,}"


def shape_of_rows(one: int | Sequence[int | None]) -> tuple[int, ...]:
    """Return the shape of the rows that a model is tried with, of the shape of one of them.

    Raises:
        SettingError: it is no shape.
    """
    axes = [one] if is_integer(one) else list(one) if isinstance(one, (tuple, list)) else [None]
    if len(axes) > 1 and axes[0] is None:
        # The batch axis, as Keras writes it.
        axes = axes[1:]
    sizes = [axis for axis in axes if is_integer(axis) and axis >= 0]
    if len(sizes) < len(axes):
        raise SettingError(
            f"summary: input_shape is the shape of one input, got {one!r:.60}\n  hint   model.summary((784,))"
        )
    return (TRIED_WITH, *sizes)


def spell_shape(shape: tuple[int, ...]) -> str:
    """Spell the shape of an output, with N for the rows: (N, 10)."""
    sizes = ["N" if k == 0 and size == TRIED_WITH else str(size) for k, size in enumerate(shape)]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _cells(row: tuple[str, ...], tag: str) -> str:
    import html

    return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
