"""Published against measured: a table, figures, and whether everything lies within its band."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    label: str
    published: str
    measured: str
    band: str
    verdict: str


@dataclass
class Report:
    """What one system has to show."""

    name: str
    title: str
    folder: Path
    quick: bool = False
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def value(
        self,
        label: str,
        measured: float,
        published: float | str = "",
        *,
        band: tuple[float, float] | None = None,
        digits: int = 4,
    ) -> None:
        """Add a number; it is held to its band, if it has one and the training had its full length."""
        verdict = ""
        if band is not None and not self.quick:
            verdict = "ok" if band[0] <= measured <= band[1] else "OUTSIDE"
        shown = published if isinstance(published, str) else f"{published:.{digits}f}"
        limits = "" if band is None else f"{band[0]:.{digits}f} to {band[1]:.{digits}f}"
        self.rows.append(Row(label, shown, f"{measured:.{digits}f}", limits, verdict))

    def exact(self, label: str, measured: float, published: float, *, digits: int) -> None:
        """Add a number that has to agree with the published one in every printed digit."""
        same = f"{measured:.{digits}f}" == f"{published:.{digits}f}"
        verdict = "ok" if same else "OUTSIDE"
        self.rows.append(
            Row(label, f"{published:.{digits}f}", f"{measured:.{digits}f}", "all digits", verdict)
        )

    def check(self, label: str, holds: bool, measured: str, wanted: str) -> None:
        """Add something that has to be true."""
        self.rows.append(Row(label, "", measured, wanted, "ok" if holds else "OUTSIDE"))

    def time(self, label: str, seconds: float, published: str) -> None:
        """Add a wall time, which depends on the machine and so has no band."""
        self.rows.append(Row(label, published, clock(seconds), "", ""))

    def note(self, text: str) -> None:
        """Add a remark below the table."""
        self.notes.append(text)

    def figure(self, name: str, figure: Any) -> None:
        """Write a figure to the folder."""
        import matplotlib.pyplot as plt

        figure.savefig(self.folder / f"{self.name}-{name}.png", dpi=120)
        plt.close(figure)

    def outside(self) -> list[str]:
        """Return the labels of the rows outside of their bands."""
        return [row.label for row in self.rows if row.verdict == "OUTSIDE"]

    def __str__(self) -> str:
        heads = ("", "published", "measured", "band", "")
        table = [heads, *((r.label, r.published, r.measured, r.band, r.verdict) for r in self.rows)]
        widths = [max(len(row[k]) for row in table) for k in range(5)]
        lines = []
        for row in table:
            cells = [row[0].ljust(widths[0]), *(row[k].rjust(widths[k]) for k in (1, 2, 3)), row[4]]
            lines.append("  ".join(cells).rstrip())
        rule = "-" * max(map(len, lines))
        notes = [f"times on {hardware()}", *self.notes]
        return "\n".join([f"{self.name}: {self.title}", rule, lines[0], *lines[1:], rule, *notes])


def clock(seconds: float) -> str:
    """Write a duration as seconds, or as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes else f"{seconds:.2f} s"


def hardware() -> str:
    """Name the processor, its cores, and the software that computes."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, Python {platform.python_version()}, NumPy {np.__version__}"
