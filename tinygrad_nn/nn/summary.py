"""The table of a model: its layers, what they put out, and how many parameters they have."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from tinygrad_nn.nn.calls import calls
from tinygrad_nn.nn.module import Module

_HEADS = ("name", "layer", "output", "parameters")
_BATCH = 2
"""Rows that the model is tried with; the axis of this length is shown as N."""


class Summary:
    """What `Module.summary` returns: it prints as a table; `rows` and `parameters` are its contents."""

    def __init__(self, model: Module, input_shape: tuple[int, ...] | None, dtype: Any) -> None:
        outputs: dict[int, list[str]] = {}
        if input_shape is not None:
            x = np.zeros((_BATCH, *input_shape), dtype)
            for _, module, output in calls(model, x):
                outputs.setdefault(id(module), []).append(_shape(output.shape))
        counted: set[int] = set()
        self.rows: list[tuple[str, str, str, str]] = []
        for path, module in model.named_modules():
            if module is model and list(module.named_children()):
                continue
            shapes = " and ".join(dict.fromkeys(outputs.get(id(module), [])))
            self.rows.append((path, repr(module).partition("(\n")[0], shapes, _count(module, counted)))
        parameters = model.parameters()
        self.model = f"{type(model).__name__}"
        self.parameters = sum(parameter.size for parameter in parameters)
        self.nbytes = sum(parameter.nbytes for parameter in parameters)
        self.dtypes = ", ".join(dict.fromkeys(str(parameter.dtype) for parameter in parameters))
        self.buffers = sum(array.size for array in model.state_dict().values()) - self.parameters

    def _footer(self) -> str:
        buffers = f", {self.buffers:,} in buffers" if self.buffers else ""
        kinds = f", {self.dtypes}" if self.dtypes else ""
        return f"{self.model}: {self.parameters:,} parameters{kinds}, {_bytes(self.nbytes)}{buffers}"

    def __repr__(self) -> str:
        table = [_HEADS, *self.rows]
        used = [k for k in range(len(_HEADS)) if any(row[k] for row in self.rows)]
        widths = {k: max(len(row[k]) for row in table) for k in used}
        lines = [
            "  ".join(row[k].rjust(widths[k]) if k == 3 else row[k].ljust(widths[k]) for k in used).rstrip()
            for row in table
        ]
        rule = "-" * max(map(len, [*lines, self._footer()]))
        return "\n".join([lines[0], rule, *lines[1:], rule, self._footer()])

    def _repr_html_(self) -> str:
        body = "".join(f"<tr>{_cells(row, 'td')}</tr>" for row in self.rows)
        head = f"<thead><tr>{_cells(_HEADS, 'th')}</tr></thead>"
        return f"<table><caption>{html.escape(self._footer())}</caption>{head}<tbody>{body}</tbody></table>"


def _count(module: Module, counted: set[int]) -> str:
    """Count the parameters that belong to this module itself and have not been counted in another."""
    inner = {id(parameter) for _, child in module.named_children() for parameter in child.parameters()}
    own = [parameter for parameter in module.parameters() if id(parameter) not in inner]
    new = [parameter for parameter in own if id(parameter) not in counted]
    counted.update(id(parameter) for parameter in own)
    text = f"{sum(parameter.size for parameter in new):,}"
    if len(new) < len(own):
        return f"{text} (shared)" if new else "shared"
    return text if own else ""


def _shape(shape: tuple[int, ...]) -> str:
    sizes = ["N" if k == 0 and size == _BATCH else str(size) for k, size in enumerate(shape)]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _cells(row: tuple[str, ...], tag: str) -> str:
    return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
