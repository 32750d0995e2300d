"""The text of a rule, as it stands in its file."""

from __future__ import annotations

import inspect
import linecache
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType


@cache
def source(function: Callable[..., object]) -> tuple[str, str]:
    """Return the text of a rule, of a lambda its body in one line, and the file and line it stands in."""
    code = function.__code__
    is_lambda = code.co_name == "<lambda>"
    try:
        text = _body(code) if is_lambda else textwrap.dedent(inspect.getsource(function)).strip()
    except OSError:
        text = "source not available"
    return text, f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_firstlineno}"


def _body(code: CodeType) -> str:
    """Return the body of a lambda in one line; raise OSError where its file is gone."""
    positions = [place for place in code.co_positions() if place[2] != place[3]]
    starts = [(line, column) for line, _, column, _ in positions if line is not None and column is not None]
    ends = [(line, column) for _, line, _, column in positions if line is not None and column is not None]
    lines = linecache.getlines(code.co_filename)
    if not starts or not lines:
        raise OSError(f"there is no source of {code}")
    (first, start), (last, end) = min(starts), max(ends)
    text = [line.encode() for line in lines[first - 1 : last]]
    text[-1] = text[-1][:end]
    text[0] = text[0][start:]
    return " ".join(b"".join(text).decode().split())
