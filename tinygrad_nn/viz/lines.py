"""The lines of the user's program that made the values of a graph, with what stands between them."""

from __future__ import annotations

import linecache
import textwrap
from itertools import pairwise
from pathlib import PurePath

from tinygrad_nn.context import Line
from tinygrad_nn.errors import printable
from tinygrad_nn.graph.ir import Graph, Value

_BETWEEN, _MOST, _LONGEST = 2, 60, 110
"""Lines between two that are shown too; lines of a listing, and characters of a line, at most."""

Listing = list[tuple[int, str]]
"""Numbers of lines with their texts; where some are left out there is one with the number 0."""


def text_of(line: Line) -> str:
    """Return what stands in a line."""
    return printable(linecache.getline(*line).strip())


def file_names(graph: Graph) -> dict[str, str]:
    """Return what the files are called that the lines of a graph are in; each has a name of its own."""
    names: dict[str, str] = {}
    for value in graph.values:
        if value.line is not None and value.line.file not in names:
            path = PurePath(value.line.file)
            # Cells of a notebook are files that nobody has named.
            name = "cell" if "ipykernel" in value.line.file else printable(path.name.strip("<>")) or "program"
            count = sum(other.partition(" (")[0] == name for other in names.values())
            names[value.line.file] = f"{name} ({count + 1})" if count else name
    return names


def place(value: Value, names: dict[str, str]) -> str:
    """Return where a value was made: lesson.py:12; nothing where that is not known."""
    return "" if value.line is None else f"{names[value.line.file]}:{value.line.number}"


def listings(graph: Graph) -> list[dict[str, object]]:
    """Return for each file its name and the lines that are to be seen beside the graph."""
    used: dict[str, set[int]] = {}
    for value in graph.values:
        if value.line is not None:
            used.setdefault(value.line.file, set()).add(value.line.number)
    names = file_names(graph)
    found = [(names[file], _listing(file, sorted(numbers))) for file, numbers in used.items()]
    return [{"file": name, "lines": lines} for name, lines in found if lines]


def _listing(file: str, numbers: list[int]) -> Listing:
    """Return lines of a file, without the indentation that all of them share; none where the file is gone."""
    shown: list[int] = numbers[:1]
    for one, other in pairwise(numbers[:_MOST]):
        near = other - one - 1 <= _BETWEEN
        shown += range(one + 1, other + 1) if near else [0, other]
    texts = [linecache.getline(file, number).rstrip() if number else "" for number in shown]
    if not any(texts):
        return []
    lines = textwrap.dedent("\n".join(texts)).split("\n")
    return [
        (number, printable(line[:_LONGEST]) if number else "⋮")
        for number, line in zip(shown, lines, strict=True)
    ]
