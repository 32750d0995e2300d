"""History: what training measured, one row per epoch."""

from __future__ import annotations

import csv
import html
import io
import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from tinygrad_nn import plot
from tinygrad_nn.errors import ArgumentError, SettingError
from tinygrad_nn.hints.lookups import Signposts
from tinygrad_nn.languages import rjust, width
from tinygrad_nn.states import State, StateDict, check_entries, is_number
from tinygrad_nn.train.unpacking import Columns, refuse_unpacking

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Mode = Literal["min", "max"]


class Best(NamedTuple):
    """The epoch (the first is 1) in which a column was best, and its value there.

    Example:
        >>> epoch, value = History({"val_loss": [0.5, 0.2, 0.3]}).best("val_loss")
        >>> epoch, value
        (2, 0.2)
    """

    epoch: int
    value: float


def better(name: str, mode: Mode | None = None) -> Mode:
    """Return whether less or more of a column is better: losses, errors, mae and mse want "min", all else "max".

    Example:
        >>> better("val_loss"), better("val_acc"), better("distance", "min")
        ('min', 'max', 'min')
    """
    if mode not in ("min", "max", None):
        raise SettingError(f'mode is "min", "max" or None, got {mode!r}')
    return mode or ("min" if name.endswith(("loss", "error", "mae", "mse")) else "max")


class History(Signposts):
    """The columns that training recorded: `h["val_loss"]` is a list with one number per epoch.

    Columns are those of the progress lines (`loss`, metrics, `val_` ones) and `seconds`. `stopped` says in
    words why training ended early, or is None.

    Example:
        >>> h = History()
        >>> h.append({"loss": 0.5, "val_acc": 0.8})
        >>> h.append({"loss": 0.4, "val_acc": 0.7})
        >>> h["loss"], h.best("val_acc")
        ([0.5, 0.4], Best(epoch=1, value=0.8))
    """

    def __init__(self, history: Mapping[str, list[float]] | None = None) -> None:
        if history is not None and not isinstance(history, Mapping):
            raise ArgumentError(
                f'History: columns go by name, got {type(history).__name__}\n  hint   History({{"loss": [0.5, 0.4]}})'
            )
        self.history = Columns({name: list(column) for name, column in (history or {}).items()})
        self.stopped: str | None = None

    def append(self, row: Mapping[str, float]) -> None:
        """Add the numbers of one epoch; every epoch has the same columns.

        Raises:
            ValueError: the columns differ from those of the epochs before.
        """
        if len(self) and row.keys() != self.history.keys():
            raise ValueError(
                f"an epoch with columns {', '.join(row)} does not fit a history of {', '.join(self)}"
            )
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.history:
            what = "validation=(X, y)" if str(name).startswith("val_") else "metrics=[...]"
            there = ", ".join(self.history)
            raise KeyError(f"no column {name!r}; there are {there or 'none'}, and more with {what} of fit")
        return self.history[name]

    def __iter__(self) -> Iterator[str]:
        refuse_unpacking("History", self.history, 'history = fit(...); history["loss"]')
        return iter(self.history)

    def __contains__(self, name: object) -> bool:
        return name in self.history

    def __len__(self) -> int:
        """The number of epochs."""
        return len(next(iter(self.history.values()), ()))

    def best(self, name: str, mode: Mode | None = None) -> Best:
        """Return the first epoch in which a column was best, and its value; NaN is never best.

        Args:
            name: a column.
            mode: "min" or "max"; by default "min" for names that end in loss, error, mae or mse, "max" for others.

        Raises:
            KeyError: no such column.
            ValueError: the column holds no number.
        """
        rows = [Best(epoch, value) for epoch, value in enumerate(self[name], 1) if not math.isnan(value)]
        if not rows:
            raise ValueError(f"{name} holds no number yet, so none is best")
        choose = min if better(name, mode) == "min" else max
        return choose(rows, key=lambda row: row.value)

    def mode(self, name: str) -> Mode:
        """Return whether less or more of a column is better; see `better`."""
        return better(name)

    def plot(self, *columns: str, ax: Axes | None = None) -> Axes:
        """Draw columns over the epochs, training solid and validation dashed; see `tn.plot.history`."""
        return plot.history(self, *columns, ax=ax)

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the table as comma-separated values, a line per epoch; write it to `path` if given."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["epoch", *self])
        writer.writerows(self._rows())
        if path is not None:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(out.getvalue())
        return out.getvalue()

    def state_dict(self) -> StateDict:
        """Return the columns as plain data."""
        return {"history": {name: list(column) for name, column in self.history.items()}}

    def load_state_dict(self, state: State) -> None:
        """Replace the columns by those that `state_dict` returned.

        Raises:
            CheckpointError: these are no columns of numbers, all of one length; nothing is changed then.
        """
        check_entries("History", state, history=_are_columns)
        self.history = Columns({name: list(column) for name, column in state["history"].items()})

    def _rows(self) -> list[list[float]]:
        return [[epoch, *row] for epoch, row in enumerate(zip(*self.history.values(), strict=True), 1)]

    def __repr__(self) -> str:
        if not len(self):
            return "History(no epochs)"
        table = [["epoch", *self], *([f"{row[0]}", *map(number, row[1:])] for row in self._rows())]
        widths = [max(map(width, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(rjust(cell, columns) for cell, columns in zip(row, widths, strict=True))
            for row in table
        ]
        return "\n".join([*lines, *([f"stopped: {self.stopped}"] if self.stopped else [])])

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in ("epoch", *self))
        rows = (
            f"<tr><th>{row[0]}</th>" + "".join(f"<td>{number(value)}</td>" for value in row[1:]) + "</tr>"
            for row in self._rows()
        )
        note = f"<caption>stopped: {html.escape(self.stopped)}</caption>" if self.stopped else ""
        return f"<table>{note}<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _are_columns(columns: object) -> bool:
    if not isinstance(columns, Mapping) or not all(isinstance(column, list) for column in columns.values()):
        return False
    lengths = {len(column) for column in columns.values()}
    return len(lengths) <= 1 and all(is_number(value) for column in columns.values() for value in column)


def number(value: float) -> str:
    """Write a measurement with four decimals, or with an exponent where these would not show it.

    Example:
        >>> number(0.231), number(0.00001234), number(0.0), number(float("nan"))
        ('0.2310', '1.234e-05', '0.0000', 'nan')
    """
    readable = value == 0 or 1e-3 <= abs(value) < 1e6 or not math.isfinite(value)
    return f"{value:.4f}" if readable else f"{value:.3e}"
