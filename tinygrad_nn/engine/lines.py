"""record_lines(): which line of the user's program made each value, for graphs that are drawn from results."""

from __future__ import annotations

from tinygrad_nn import context
from tinygrad_nn.context import Line
from tinygrad_nn.engine.failures import users_frame
from tinygrad_nn.engine.node import Node
from tinygrad_nn.engine.watcher import Watcher


def users_line() -> Line:
    """Return the innermost line of code that is neither ours nor NumPy's."""
    frame, _ = users_frame()
    return Line(frame.f_code.co_filename, frame.f_lineno)


def record_lines() -> context.Temporarily:
    """Remember for every op the line of your program that called it, which graphs of results then show.

    A graph that is drawn of a function, `model.graph(x)` or `viz.draw(f, x)`, has these lines by itself, and so has one
    computed under `debug()`. Elsewhere they are not recorded, because finding a line takes some 400 ns an op.

    Example:
        >>> import tinygrad_nn as tn
        >>> x = tn.tensor(2.0, requires_grad=True, name="x")
        >>> with tn.record_lines():
        ...     y = x * x
        >>> "y = x * x" in y.explain()
        True
    """
    return context.Temporarily(lambda: context.watched(_Lines()))


class _Lines(Watcher):
    def on_record(self, node: Node) -> None:
        node.line = users_line()
