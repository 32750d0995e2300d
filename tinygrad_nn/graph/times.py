"""How long the parts of a computation took: what is drawn into its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tinygrad_nn.graph.ir import Call, Graph, Value

Parts = dict[tuple[int, ...], float]
"""Seconds by the values that were made in one go: by an op, or by one compiled function."""


@dataclass(slots=True)
class Times:
    """How long one run of a computation took.

    Attributes:
        graph: its forward pass.
        seconds: of all of it.
        forward: of its parts, by the indices of the values that each made; with their derivatives, where one compiled
            function does both.
        backward: of the derivative rules of its parts, by the values that these are the rules of.
        phases: seconds of each phase, also of what can be told of no part.
    """

    graph: Graph
    seconds: float
    forward: Parts = field(default_factory=dict)
    backward: Parts = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, seconds: float, parts: Mapping[tuple[int, ...], float]) -> Times:
        """Return the times of a graph with all its phases, by the indices of the values that each part made."""
        values = graph.values
        kept = {value.index for value in values if value.phase == "forward"}
        # What an update writes may be read by the forward pass, as running statistics are.
        for value in reversed(values):
            if isinstance(value, Call) and value.index in kept:
                kept.update(value.operands)
        place = {k: n for n, k in enumerate(sorted(kept))}
        times = cls(_forward(graph, place), seconds)
        for made, took in parts.items():
            phases = [values[k].phase for k in made]
            phase = next(name for name in ("forward", "backward", "update") if name in phases)
            times.phases[phase] = times.phases.get(phase, 0.0) + took
            owners = tuple(sorted({place[owner] for k in made if (owner := _owner(values, k)) in place}))
            if owners and phase != "update":
                sums = times.forward if phase == "forward" else times.backward
                sums[owners] = sums.get(owners, 0.0) + took
        return times


def _owner(values: list[Value], index: int) -> int:
    """Return the value of the forward pass whose derivative another one is part of; of no derivative, itself."""
    while values[index].phase == "backward" and (of := values[index].of) is not None:
        index = of
    return index


def _forward(graph: Graph, place: Mapping[int, int]) -> Graph:
    """Return the forward pass alone, each value at its new place."""
    values: list[Value] = []
    for index, k in place.items():
        value = graph.values[index]
        if isinstance(value, Call):
            values.append(
                replace(value, index=k, operands=tuple([place[i] for i in value.operands]), of=None)
            )
        else:
            values.append(replace(value, index=k))
    read = {k for value in values if isinstance(value, Call) for k in value.operands}
    last = [value.index for value in values if isinstance(value, Call) and value.index not in read]
    outputs = tuple([place[k] for k in graph.outputs if k in place]) or tuple(last)
    return Graph(values, tuple([place[k] for k in graph.inputs if k in place]), outputs, notes=graph.notes)


def duration(seconds: float) -> str:
    """Return a time with three significant digits."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, size = next((pair for pair in units if seconds >= pair[1]), units[-1])
    return f"{seconds / size:.3g} {unit}"
