"""What one call of a step does, as a graph and its effects: found by running it on tensors, without side effects.

A step is run at least twice. What differs between the runs although the arguments are the same cannot be repeated
by a replay, and is refused. Whether a step depends on the gradients that it finds is seen in the same way: one run
finds none, the other finds some.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.compiler.catalogue import row_of
from tinygrad_nn.compiler.draft import Draft
from tinygrad_nn.compiler.guards import Attributes
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.arguments import HasParameters
from tinygrad_nn.engine.node import Leaf
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import CaptureError, printable
from tinygrad_nn.graph.compare import same
from tinygrad_nn.graph.generators import put_back
from tinygrad_nn.graph.ir import Call, Graph, Value
from tinygrad_nn.graph.recorder import Recorder, record
from tinygrad_nn.primitives import Array

_WORLDS = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)
"""From these one gets to everything there is."""


@dataclass(slots=True, eq=False)
class Captured:
    """One call as data.

    Attributes:
        graph: all that was computed, updates included, in order.
        result: what the call returned, with an `Output` in place of each tensor.
        grads_in: by value, the leaf in whose `.grad` the call finds it.
        grads_out: what the call leaves in `.grad` of leaves: the value, or None.
        leaves: the leaves whose arrays are used, with these arrays.
        pattern: leaves that matter to it, with whether it expects to find a gradient there.
        asked: leaves whose gradients it looked for, there or not.
        constants: the tensors without a leaf whose arrays are used.
        modules: the modules that were called or looked through.
    """

    graph: Graph
    result: object
    grads_in: dict[int, Leaf] = field(default_factory=dict)
    grads_out: dict[Leaf, int | None] = field(default_factory=dict)
    leaves: dict[Leaf, Array] = field(default_factory=dict)
    pattern: dict[Leaf, bool] = field(default_factory=dict)
    asked: list[Leaf] = field(default_factory=list)
    constants: list[Tensor] = field(default_factory=list)
    modules: list[object] = field(default_factory=list)

    def draft(self) -> Draft:
        """Return the graph as a draft, the first stage of compiling."""
        results = [x.index for x in trees.leaves(self.result) if isinstance(x, Output)]
        grads = [k for k in self.grads_out.values() if k is not None]
        return Draft.of(self.graph, results, grads, self.grads_in)


@dataclass(slots=True, frozen=True)
class Output:
    """Stands in a result for a value of the graph."""

    index: int
    tensor: bool


class StepRecorder(Recorder):
    """A recorder that knows which leaves a step makes, which tensors stand for plain arrays, which modules it saw.

    Args:
        find: returns the gradient that the run finds in a leaf.
        beside: what is added to gradients that the run makes, so that what plain NumPy makes of them shows.
    """

    def __init__(self, find: Callable[[Leaf], Array | None], beside: int) -> None:
        super().__init__(find)
        self._beside = beside
        self.new_leaves: set[Leaf] = set()
        self.modules: list[object] = []
        self.restored: str
        self._attributes: list[Attributes] = []
        self._copies: list[tuple[Array, Array]] = []
        self._copied_modules: list[object] = []

    def on_leaf(self, leaf: Leaf) -> None:
        self.new_leaves.add(leaf)

    def on_gradient_left(self, leaf: Leaf, gradient: Array | None) -> None:
        k = self.index_of.get(id(gradient))
        # What was found in a leaf and put back is not what the run makes.
        if (
            gradient is not None
            and k is not None
            and self.graph.values[k].kind in ("op", "input")
            and self._beside
        ):
            gradient = np.asarray(gradient + self._beside)
            self.know(gradient, k)
        super().on_gradient_left(leaf, gradient)

    def on_freeze(self, leaf: Leaf) -> None:
        if leaf not in self.new_leaves:
            raise CaptureError(
                f"requires_grad = ... of {printable(leaf.name or 'a tensor')} {leaf.shape} during capture: "
                "a replay would not repeat it\n"
                "  hint   freeze and thaw outside of the step, which is captured again then"
            )

    def on_module(self, module: object) -> None:
        if not any(module is known for known in (*self.modules, *self._copied_modules)):
            self.modules.append(module)
            # Of one inside of another it is known how it was before that was called.
            if not any(attributes.cover(module) for attributes in self._attributes):
                attributes = Attributes([module])
                self._attributes.append(attributes)
                self._copies += [(x, x.copy()) for x in attributes.values() if isinstance(x, np.ndarray)]

    def on_copied_module(self, module: Any, copied: Any) -> None:
        # A run makes its own copies; what they are like is seen from what they are copies of.
        self.on_module(module)
        self._copied_modules += [inner for _, inner in copied.named_modules()]

    def restore(self) -> None:
        """Bring the attributes of modules back to what they were before the run, and note what had changed."""
        changes = [change for attributes in self._attributes if (change := attributes.restore())]
        for array, copy in self._copies:
            if not same(array, copy):
                array[...] = copy
                changes.append(f"an array of shape {array.shape} was written")
        self.restored = "; ".join(changes)

    def is_plain(self, tensor: Tensor) -> bool:
        # A copy, such as a variable of a derivative, is a tensor that the step has made.
        return any(array is tensor._data for array in self.plain)


def capture(step: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Captured:
    """Return what `step(*args, **kwargs)` does; nothing outside of the result is changed.

    Args:
        step: the function.
        args: its arguments; arrays and tensors in them become inputs of the graph.
        kwargs: those with names.

    Raises:
        CaptureError: the step reads the value of a tensor, or something differs between two runs.
    """
    there: dict[Leaf, Array | None] = {}

    def find(leaf: Leaf) -> Array | None:
        """Return the gradient that is in a leaf, the same however often and in whichever thread it changes."""
        return there.setdefault(leaf, leaf.own_grad)

    with put_back(step, args, kwargs) as moved:
        run = functools.partial(_run, step, args, kwargs, moved)
        try:
            without = run(lambda leaf: None)
        except Exception:
            # Perhaps the step needs gradients to be there; if not, it fails again below.
            pass
        else:
            zeros = {leaf: np.zeros_like(leaf.data) for leaf in without.asked}
            with_all = run(lambda leaf: zeros.get(leaf) if find(leaf) is None else find(leaf), beside=1)
            if _difference(without, with_all) is None:
                return without
        first, second = run(find), run(find, beside=1)
    problem = _difference(first, second)
    if problem is not None:
        raise CaptureError(
            f"{problem}\n"
            "  hint   what changes from call to call is an argument of the step, or a random op of this library; "
            "what is computed from a gradient begins with tn.as_tensor(w.grad)"
        )
    first.pattern = {leaf: find(leaf) is not None for leaf in first.asked}
    return first


def _run(
    step: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    moved: Callable[[], list[object]],
    find: Callable[[Leaf], Array | None],
    beside: int = 0,
) -> Captured:
    """Run the step, which finds in leaves the gradients that `find` gives it, and its own with something added."""
    recorder = StepRecorder(find, beside)

    @functools.wraps(step)
    def call(*given: Any) -> Any:
        return step(*given[:-1], **given[-1])

    with context.restoring(recorder.restore):
        for x in trees.leaves((args, dict(kwargs))):
            if isinstance(x, HasParameters):
                recorder.on_module(x)
        result = record(recorder, call, *args, dict(kwargs))
    if recorder.restored:
        raise CaptureError(
            f"the step changes a module that it calls: {recorder.restored}; a replay would not repeat it\n"
            "  hint   with tn.no_grad(): w += ... changes a tensor that requires grad; all else is changed outside"
        )
    graph = recorder.graph
    _refuse_masks(graph)
    # An update alone knows the arrays of its leaves, and not their nodes.
    nodes = {**dict.fromkeys(recorder.changed, -1), **recorder.nodes}
    leaves = {leaf: leaf.data for leaf, k in nodes.items() if type(leaf) is Leaf and k not in graph.inputs}
    if generators := moved():
        raise CaptureError(
            f"the step draws from {generators[0]!r} with plain NumPy or Python, which a replay would not repeat\n"
            "  hint   draw outside of it, and make what was drawn an argument"
        )
    grads_out: dict[Leaf, int | None] = {}
    for leaf, gradient in recorder.left.items():
        if gradient is not recorder.gradient_found(leaf):
            grads_out[leaf] = None if gradient is None else _index_of(recorder, gradient, "a gradient")
            if leaf in recorder.new_leaves:
                raise CaptureError(
                    f"the step makes a tensor that requires grad, of shape {leaf.shape}, on each call and leaves a "
                    "gradient in it\n"
                    "  hint   make it once, outside of the step; or (g,) = tn.gradients(loss, [w]) instead of "
                    "loss.backward()"
                )
    owners = {id(array): leaf for leaf, array in recorder.found.items() if array is not None}
    return Captured(
        graph,
        _template(result, recorder),
        {v.index: owners[id(v.data)] for v in graph.values if id(v.data) in owners},
        grads_out,
        leaves,
        asked=list(recorder.found),
        constants=recorder.constants,
        modules=recorder.modules,
    )


def _refuse_masks(graph: Graph) -> None:
    """Refuse a call whose result has as many elements as a mask has True, where the mask differs from call to call."""
    for call in graph.ops:
        masks = [graph.values[k] for k in call.operands[1:]] if row_of(call.op).selects else []
        for mask in masks:
            if mask.dtype == bool and mask.kind != "constant":
                labels = graph.labels()
                raise CaptureError(
                    f"{call.op.name}: {labels[call.operands[0]]}[{labels[mask.index]}] has as many elements as the "
                    f"mask of shape {mask.shape} has True, and a replay has the shapes of its capture\n"
                    "  hint   np.where(mask, x, 0) for a sum; or indices as an argument: x[np.flatnonzero(mask)]"
                )


def _index_of(recorder: StepRecorder, array: Array, what: str) -> int:
    index = recorder.index_of.get(id(array))
    if index is None:
        raise CaptureError(
            f"{what} of shape {array.shape} was computed with plain NumPy, which a replay would not repeat\n"
            "  hint   compute it with tensors"
        )
    return index


def _template(result: object, recorder: StepRecorder) -> object:
    """Return what a step returned with an `Output` in place of each tensor and array."""

    def leaf(x: object) -> object:
        if isinstance(x, Tensor):
            return Output(recorder.index_of[id(x._data)], True)
        if isinstance(x, np.ndarray):
            return Output(_index_of(recorder, x, "a returned array"), False)
        return _closed(x, recorder)

    # The keys of dicts are looked at with the whole.
    return _closed(trees.mapped(leaf, result), recorder)


def _closed(thing: object, recorder: StepRecorder) -> object:
    """Return a returned object as it is; refuse one that holds, however deep, what the step has computed."""
    seen: dict[int, object] = {}
    stack = [thing]
    while stack:
        x = stack.pop()
        if id(x) in seen or isinstance(x, _WORLDS):
            continue
        seen[id(x)] = x
        if isinstance(x, (Tensor, np.ndarray)):
            array = x._data if isinstance(x, Tensor) else x
            k = recorder.index_of.get(id(array))
            if k is not None and recorder.graph.values[k].kind in ("op", "input"):
                raise CaptureError(
                    f"the step returned a {type(thing).__name__} that holds a tensor of shape {array.shape}; "
                    "a replay could not put the new one there\n"
                    "  hint   return tensors in tuples, named tuples, lists and dicts, and make the object outside"
                )
        else:
            stack += gc.get_referents(x)
    return thing


def _difference(a: Captured, b: Captured) -> str | None:
    """Say how two runs differ; None if a replay of one does what the other did."""
    if len(a.graph.values) != len(b.graph.values):
        return f"the step did {len(a.graph.ops)} ops in one run and {len(b.graph.ops)} in another"
    labels = a.graph.labels()
    filled = {call.operands[0] for call in a.graph.ops if row_of(call.op).fills}
    for x, y in zip(a.graph.values, b.graph.values, strict=True):
        if (_maker(x), x.shape, x.dtype) != (_maker(y), y.shape, y.dtype):
            (was, *_), (became, *_) = _maker(x), _maker(y)
            return f"{labels[x.index]} was {was} {x.shape} in one run, {became} {y.shape} in another"
        if isinstance(x, Call) and isinstance(y, Call):
            if not same(x.params, y.params):
                both_params = f"{x.op.name} {x.params}, {y.params}"
                return f"the parameters of {labels[x.index]} differed between two runs: {both_params}"
        elif x.kind != "input":
            problem = None if x.index in filled else _constant_difference(x, y, labels[x.index])
            if problem:
                return problem
    if a.grads_out != b.grads_out or not same(a.result, b.result) or _owners(a.graph) != _owners(b.graph):
        return "what the step left behind or returned differed between two runs"
    return None


def _owners(graph: Graph) -> list[tuple[int, int]]:
    """Return when plain Python work is due, and whose it is."""
    return [(k, id(getattr(prepare, "__self__", prepare))) for k, prepare in graph.hosts]


def _maker(value: Value) -> tuple[object, tuple[int, ...]]:
    return (value.op, value.operands) if isinstance(value, Call) else (value.kind, ())


def _constant_difference(x: Value, y: Value, label: str) -> str | None:
    if x.data is y.data:
        return None
    if x.kind == "state":
        return f"an update used {label} {x.shape}, an array that was computed with plain NumPy"
    if not same(x.data, y.data):
        return f"the constant {label} {x.shape} differed between two runs"
    return None
