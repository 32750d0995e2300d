"""Which call of which module every value of a graph belongs to, and which calls look alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from tinygrad_nn.context import Scope
from tinygrad_nn.graph.ir import Call, Graph, Value, title

Frame = Scope | str
"""What is drawn around ops: a call of a module, or the phase they belong to."""

_LONGEST_PERIOD = 4
_PHASES = {"backward": "backward pass", "update": "optimizer update"}


class ModuleCalls:
    """The calls of modules in a graph, and its phases, which frame values as calls do.

    Attributes:
        paths: for each value the frames around it, from the outermost inwards.
        parents, children: how frames stand in each other; a child None is an op between them.
        fingerprints: for each frame its class and its ops; calls that look alike have the same one.
        deepest: how many frames stand in each other at most.
    """

    def __init__(self, graph: Graph) -> None:
        self.paths = [_frames(value) for value in graph.values]
        users: dict[int, list[int]] = {}
        for call in graph.ops:
            for k in call.operands:
                users.setdefault(k, []).append(call.index)
        for value in reversed(graph.values):
            if not isinstance(value, Call) and value.kind != "input" and value.index in users:
                forward = [k for k in users[value.index] if graph.values[k].phase == "forward"]
                self.paths[value.index] = _common([self.paths[k] for k in forward or users[value.index]])
        self.deepest = max(map(len, self.paths), default=0)
        self.children: dict[Frame | None, list[Frame | None]] = {}
        self.fingerprints: dict[Frame, list[object]] = {}
        self.parents: dict[Frame, Frame | None] = {}
        for call in graph.ops:
            path = self.paths[call.index]
            self.children.setdefault(path[-1] if path else None, []).append(None)
            classes = tuple(map(_class_name, path))
            for depth, frame in enumerate(path):
                if frame not in self.fingerprints:
                    self.fingerprints[frame] = [classes[depth]]
                    self.parents[frame] = path[depth - 1] if depth else None
                    self.children.setdefault(self.parents[frame], []).append(frame)
                op = (call.op.name, repr(call.params), call.shape, classes[depth:])
                self.fingerprints[frame].append(op)

    def titles(self) -> dict[Frame, str]:
        """Return how each frame is called; from the second call of a module on it says so."""
        counts: dict[tuple[Frame | None, int], int] = {}
        titles: dict[Frame, str] = {}
        for frame, parent in self.parents.items():
            if isinstance(frame, Scope):
                key = (parent, id(frame.module))
                counts[key] = counts.get(key, 0) + 1
                titles[frame] = title(frame) + (f" (call {counts[key]})" if counts[key] > 1 else "")
            else:
                titles[frame] = _PHASES[frame]
        return titles

    def repeats(self) -> list[list[Frame]]:
        """Return the calls to fold because the ones before them look the same, run by run."""
        runs = []
        for frames in self.children.values():
            # An op between modules looks like nothing else.
            looks = [k if frame is None else self.fingerprints[frame] for k, frame in enumerate(frames)]
            start = 0
            while start < len(frames):
                candidates = [(_times(looks, start, p), p) for p in range(1, _LONGEST_PERIOD + 1)]
                times, period = max(candidates, key=lambda run: (run[0] * run[1] * (run[0] >= 3), -run[1]))
                if times < 3:
                    start += 1
                    continue
                repeated = frames[start + period : start + period * times]
                runs.append([frame for frame in repeated if frame is not None])
                start += period * times
        return runs


def _frames(value: Value) -> list[Frame]:
    if not isinstance(value, Call):
        return []
    phase: list[Frame] = [] if value.phase == "forward" else [value.phase]
    return phase + (value.scope.chain() if value.scope is not None else [])


def _class_name(frame: Frame) -> str:
    """Return the class of a called module; a phase stands for itself."""
    return type(frame.module).__name__ if isinstance(frame, Scope) else frame


def _common(paths: Sequence[list[Frame]]) -> list[Frame]:
    """Return the frames that all paths begin with."""
    shared = takewhile(lambda frames: len(set(frames)) == 1, zip(*paths, strict=False))
    return [frames[0] for frames in shared]


def _times(looks: Sequence[object], start: int, period: int) -> int:
    """Return how often the `period` entries from `start` on stand there in a row."""
    unit = looks[start : start + period]
    times = 1
    while len(unit) == period and looks[start + times * period : start + (times + 1) * period] == unit:
        times += 1
    return times
