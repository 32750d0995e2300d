"""Which call of which module every value of a graph belongs to, and which calls look alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_nn.context import Scope
from tinygrad_nn.graph.ir import Call, Graph, Value, title

_LONGEST_PERIOD = 4
_PHASES = {"backward": "backward pass", "update": "optimizer update"}


class Modules:
    """Which call of which module every value belongs to, and which calls look alike."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.paths: list[list[Any]] = [self._own(value) for value in graph.values]
        users: dict[int, list[int]] = {}
        for call in graph.ops:
            for k in call.operands:
                users.setdefault(k, []).append(call.index)
        for value in reversed(graph.values):
            if not isinstance(value, Call) and value.kind != "input" and value.index in users:
                forward = [k for k in users[value.index] if graph.values[k].phase == "forward"]
                self.paths[value.index] = _common([self.paths[k] for k in forward or users[value.index]])
        self.deepest = max(map(len, self.paths), default=0)
        self.children: dict[Any, list[Any]] = {}
        self.looks: dict[Any, list[Any]] = {}
        self.parents: dict[Any, Any] = {}
        for made in graph.ops:
            path = self.paths[made.index]
            self.children.setdefault(path[-1] if path else None, []).append(None)  # an op between modules
            for depth, call in enumerate(path):
                if call not in self.looks:
                    self.looks[call] = [type(getattr(call, "module", call)).__name__]
                    self.parents[call] = path[depth - 1] if depth else None
                    self.children.setdefault(self.parents[call], []).append(call)
                inner = tuple(type(getattr(c, "module", c)).__name__ for c in path[depth:])
                self.looks[call].append((made.op.name, repr(made.params), made.shape, inner))

    @staticmethod
    def _own(value: Value) -> list[Any]:
        if not isinstance(value, Call):
            return []
        own: list[Any] = [] if value.phase == "forward" else [value.phase]
        return own + (value.scope.chain() if value.scope is not None else [])

    def titles(self) -> dict[Any, str]:
        """Return how each call is called; from the second call of a module on it says so."""
        seen: dict[tuple[Any, int], int] = {}
        titles = {}
        for call in self.looks:
            if isinstance(call, Scope):
                key = (self.parents[call], id(call.module))
                seen[key] = seen.get(key, 0) + 1
                titles[call] = title(call) + (f" (call {seen[key]})" if seen[key] > 1 else "")
            else:
                titles[call] = _PHASES[call]
        return titles

    def repeats(self) -> list[list[Any]]:
        """Return the calls to fold because the ones before them look the same, run by run."""
        runs = []
        for calls in self.children.values():
            looks = [k if call is None else tuple(self.looks[call]) for k, call in enumerate(calls)]
            start = 0
            while start < len(calls):
                counted = [(_run(looks, start, p), p) for p in range(1, _LONGEST_PERIOD + 1)]
                times, period = max(counted, key=lambda run: (run[0] * run[1] * (run[0] >= 3), -run[1]))
                if times < 3:
                    start += 1
                    continue
                runs.append(calls[start + period : start + period * times])
                start += period * times
        return runs


def _common(paths: Sequence[list[Any]]) -> list[Any]:
    shared = paths[0]
    for path in paths[1:]:
        count = 0
        while count < min(len(shared), len(path)) and shared[count] is path[count]:
            count += 1
        shared = shared[:count]
    return shared


def _run(looks: list[Any], start: int, period: int) -> int:
    """Return how often the `period` entries from `start` on stand there in a row."""
    unit = looks[start : start + period]
    times = 1
    while len(unit) == period and looks[start + times * period : start + (times + 1) * period] == unit:
        times += 1
    return times
