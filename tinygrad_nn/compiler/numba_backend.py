"""The Numba backend: runs of tasks that loops can do become compiled functions; the rest is left to NumPy."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from tinygrad_nn.compiler import numba_math
from tinygrad_nn.compiler.memory import Shapes, Task
from tinygrad_nn.compiler.numba_loops import KINDS, Eligible, Group, small_product
from tinygrad_nn.compiler.numpy_backend import Writer
from tinygrad_nn.compiler.passes import Draft
from tinygrad_nn.engine.failures import label_error
from tinygrad_nn.graph.ir import Call

HEADER = "import math\nfrom tinygrad_nn.compiler.numba_math import *\n\n@loop\n"


def fused(draft: Draft, shapes: Shapes, tasks: list[Task], kept: set[int]) -> list[Task]:
    """Return the tasks with elementwise ops grouped, and with loops for what loops can do."""
    known = Eligible(draft, shapes)
    groups = _groups(draft, shapes, tasks, kept, known)
    heads: dict[int, Group] = {group.root.index: group for group in groups}
    inside = {k for group in groups for k in (*group.members, *group.sums)}
    result: list[Task] = []
    for task in tasks:
        made = task.makes[0] if task.makes else None
        if made in heads:
            result.append(heads[made].task(task.at, known))
        elif made is None or made not in inside:
            value = draft.call(made if made is not None else task.at)
            result.append(_single(value, task, known) or task)
    return result


def _groups(draft: Draft, shapes: Shapes, tasks: list[Task], kept: set[int], known: Eligible) -> list[Group]:
    values = draft.graph.values
    position = {k: i for i, task in enumerate(tasks) for k in task.makes}
    users: dict[int, list[tuple[int, bool]]] = {}
    writes: dict[int, list[int]] = {}
    for i, task in enumerate(tasks):
        for k in task.reads:
            users.setdefault(shapes.root(k), []).append((i, k in shapes.parent))
        if not task.makes:
            update = draft.call(task.at)
            for place in update.op.writes:
                writes.setdefault(shapes.root(draft.operands(update)[place]), []).append(i)
    home: dict[int, Group] = {}
    groups: list[Group] = []
    outside = kept | {shapes.root(draft.now(k)) for k in draft.roots}
    for i in range(len(tasks) - 1, -1, -1):
        task = tasks[i]
        value = values[task.makes[0]] if len(task.makes) == 1 else None
        if value is None or not known.elementwise(value):
            continue
        homes = {
            home.get(values_made(tasks[user])) if not view else None
            for user, view in users.get(value.index, [])
        }
        group = homes.pop() if len(homes) == 1 else None
        if group is not None and group.space == value.shape and value.index not in outside:
            end = position[group.root.index]
            held = [shapes.root(k) for k in task.reads]
            if not any(i < w < end for k in held for w in writes.get(k, ())):
                group.members.insert(0, value.index)
                home[value.index] = group
                continue
        group = Group(value)
        groups.append(group)
        home[value.index] = group
    for task in tasks:
        total = values[task.makes[0]] if len(task.makes) == 1 else None
        if total is not None and known.column_sum(total):
            source = home.get(task.reads[0])
            if source is not None and source.root.index == task.reads[0]:
                source.sums.append(total.index)
    return [group for group in groups if group.members]


def values_made(task: Task) -> int:
    """Return the first value that a task makes; -1 if it only writes."""
    return task.makes[0] if task.makes else -1


def _single(value: Call, task: Task, known: Eligible) -> Task | None:
    """Return the loops of a task that is not part of a group."""
    name = value.op.name
    loops: Callable[[Any], list[str]] | None = None
    if name == "matmul":
        return small_product(value, task, known)
    if name == "cross_entropy" and len(task.makes) == 2:
        loops = _cross_entropy(value, task, known)
    elif name in ("sgd_update", "adam_update"):
        loops = _update(value, task, known)
    if loops is None:
        return None
    return Task(task.at, task.reads, task.makes, task.emit, task.over, loops)


def _cross_entropy(value: Call, task: Task, known: Eligible) -> Callable[[Any], list[str]] | None:
    logits, labels = (known.values[k] for k in task.reads)
    if (
        logits.dtype.name not in KINDS
        or not known.flat(logits.index)
        or not logits.shape[0]
        or isinstance(labels, Call)
    ):
        return None
    mean = {"mean": 1, "sum": 0, "none": -1}[value.params.get("reduction", "mean")]
    width = KINDS[logits.dtype.name][1:]
    rows, classes = logits.shape

    def loops(n: Any) -> list[str]:
        arrays = ", ".join(n.array(k) for k in (*task.reads, *task.makes))
        return [f"cross_entropy{width}({arrays}, {rows}, {classes}, {mean})"]

    return loops


def _update(value: Call, task: Task, known: Eligible) -> Callable[[Any], list[str]] | None:
    p = known.values[task.reads[0]]
    if p.dtype.name not in KINDS or not all(known.flat(k) for k in task.reads):
        return None
    if any(known.values[k].dtype != p.dtype or known.values[k].shape != p.shape for k in task.reads[1:3]):
        return None
    settings = {"weight_decay": 0.0, **value.params}
    adam = value.op.name == "adam_update"

    def loops(n: Any) -> list[str]:
        arrays = [n.array(k) for k in task.reads]
        if adam:
            b1, b2 = settings["betas"]
            numbers: tuple[Any, ...] = (b1, b2, settings["eps"], float(settings["weight_decay"]))
            numbers = (*numbers, bool(settings.get("decoupled", False)))
            w, g, first, second, _, rate, count = arrays
            return [f"adam({', '.join([w, g, first, second, rate, count, *map(n.number, numbers)])})"]
        w, g, velocity, _, rate = arrays
        momentum, nesterov = float(settings.get("momentum", 0)), bool(settings.get("nesterov", False))
        if not momentum and not settings["weight_decay"]:
            return [f"sgd_plain({w}, {g}, {rate})"]
        numbers = (momentum, nesterov, float(settings["weight_decay"]))
        return [f"sgd({', '.join([w, g, velocity, rate, *map(n.number, numbers)])})"]

    return loops


class Segment:
    """A run of tasks that becomes one compiled function."""

    check_labels: Any = staticmethod(lambda who, labels, classes: check_labels(who, labels, classes))

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._names: dict[Any, str] = {}
        self._locals: dict[int, int] = {}
        self.arguments: list[str] = []
        self.lines: list[str] = []

    def array(self, k: int) -> str:
        """Return the parameter that is the flat array of a value; one for values that share their memory."""
        name = self._writer.name(k)
        array = self._writer.objects.get(name)
        key = name if array is None else (array.ctypes.data, array.dtype, array.size)
        if key not in self._names:
            self._names[key] = f"v{len(self._names)}"
            if array is None:
                flat = f"{name}.reshape(-1)"
                self._writer.stand_ins[flat] = np.empty(0, self._writer.draft.graph.values[k].dtype)
            else:
                flat = self._writer.bind(f"{name}_flat", array.reshape(-1))
            self.arguments.append(flat)
        return self._names[key]

    def scratch(self, array: Any) -> str:
        """Return the parameter that is an array of the loops' own."""
        name = f"v{len(self._names)}"
        self._names[name] = name
        self.arguments.append(self._writer.bind(f"scratch{len(self.arguments)}", array))
        return name

    def number(self, value: float | bool) -> str:
        """Return the parameter that is a number, so that the same machine code serves for others."""
        text = repr(value)
        if text not in self._names:
            self._names[text] = f"v{len(self._names)}"
            self._writer.stand_ins[text] = value
            self.arguments.append(text)
        return self._names[text]

    def local(self, k: int) -> int:
        """Return a small number for a value, the same in every segment of the same text."""
        return self._locals.setdefault(k, len(self._locals))

    def finish(self) -> list[str]:
        """Compile the function and return the line that calls it."""
        parameters = ", ".join(self._names.values())
        text = f"{HEADER}def segment({parameters}):\n    " + "\n    ".join(self.lines) + "\n"
        function = function_of(text)
        stand_ins = self._writer.stand_ins
        function.compile(
            tuple(_typeof(self._writer.objects.get(a, stand_ins.get(a))) for a in self.arguments)
        )
        name = self._writer.bind("loops", function)
        return [f"{name}({', '.join(self.arguments)})"]


def check_labels(who: str, labels: Any, classes: int) -> None:
    """Raise `LabelError` for a label outside of the classes."""
    if not numba_math.labels_fit(labels, classes):
        raise label_error(who, labels, classes)


_FUNCTIONS: dict[str, Any] = {}
_typeof: Any = numba.typeof


def function_of(text: str) -> Any:
    """Return the compiled function of a module text; Numba keeps its machine code on disk beside the text."""
    if text not in _FUNCTIONS:
        own = Path(numba_math.__file__).read_bytes()
        key = hashlib.sha256(own + text.encode()).hexdigest()[:24]
        path = _folder() / f"loops_{key}.py"
        if not path.exists():
            with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
                file.write(text)
            os.replace(file.name, path)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        _FUNCTIONS[text] = module.segment
    return _FUNCTIONS[text]


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "tinygrad_nn" / "loops"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(_temporary())


def _temporary() -> str:
    if "" not in _FUNCTIONS:
        _FUNCTIONS[""] = tempfile.mkdtemp(prefix="tinygrad_nn_")
    return str(_FUNCTIONS[""])
