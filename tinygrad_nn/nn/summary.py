"""The table of a model: its layers, what they put out, and how many parameters they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
        widths = {k: max(len(row[k]) for row in table) for k in used}
        lines = [
            "  ".join(row[k].rjust(widths[k]) if k == 3 else row[k].ljust(widths[k]) for k in used).rstrip()
            for row in table
        ]
        rule = "-" * max(map(len, [*lines, self._footer()]))
        return "\n".join([lines[0], rule, *lines[1:], rule, self._footer()])

    def _repr_html_(self) -> str:
        # Notebooks only: not every program needs it.
        import html

        body = "".join(f"<tr>{_cells(row, 'td')}</tr>" for row in self.rows)
        head = f"<thead><tr>{_cells(Row._fields, 'th')}</tr></thead>"
        return f"<table><caption>{html.escape(self._footer())}</caption>{head}<tbody>{body}</tbody></table>"


def counted_parameters(new: int, *, shared: bool) -> str:
    """Spell how many parameters a module adds, and that it shares some with one before it."""
    if shared:
        return f"{new:,} (shared)" if new else "shared"
    return f"{new:,}"


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
