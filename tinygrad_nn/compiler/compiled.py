"""Compiling: capture a step once, then replay it without Python's overhead, without a graph, without allocations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.compiler.memory import Shapes, own_results, plan
from tinygrad_nn.compiler.numpy_backend import tasks_of, write
from tinygrad_nn.compiler.passes import draft
from tinygrad_nn.compiler.step import Captured, Output, capture
from tinygrad_nn.engine.node import tick
from tinygrad_nn.engine.tensor import Tensor, wrap
from tinygrad_nn.engine.trees import is_sequence, rebuilt
from tinygrad_nn.errors import CaptureError
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.primitives.operands import as_array

Array = np.ndarray[Any, Any]
Backend = Literal["auto", "numpy", "numba"]


class Program:
    """One captured call, ready to be replayed for arguments of the same shapes and dtypes.

    Attributes:
        text: the replay as Python.
        seconds: how long capturing and compiling took.
        nbytes: bytes of the buffers.
    """

    def __init__(self, captured: Captured, backend: str) -> None:
        start = time.perf_counter()
        graph = captured.graph
        wanted = [k for k in captured.left.values() if k is not None]
        outputs = [output.index for output in _outputs(captured.result)]
        made = draft(graph, [*wanted, *outputs], captured.found)
        holders = own_results(made, wanted)
        kept = set(holders.values())
        written = {k for k in made.written() if isinstance(graph.values[k], Call)}
        results = [made.now(k) for k in outputs]
        shapes = Shapes(made, kept | written)
        tasks = tasks_of(made, shapes)
        segment_of: Any = None
        if backend == "numba":
            from tinygrad_nn.compiler.numba_backend import Segment, fused

            tasks = fused(made, shapes, tasks, kept)
            segment_of = Segment
        places = plan(made, shapes, tasks, kept, results)
        self._replay, self.text = write(made, tasks, places, captured.hosts, results, segment_of)
        self._quiet = segment_of is not None and all(task.loops for task in tasks)  # loops give no warnings
        self.backend = backend
        self.nbytes = places.held + places.kept
        self.seconds = time.perf_counter() - start
        self._result = captured.result
        self._left: list[tuple[Any, Any, bool]] = []
        for leaf, k in captured.left.items():
            gradient = None if k is None else places.arrays[holders[k]]
            taken = [other for _, other, _ in self._left if other is not None]
            shared = gradient is not None and any(np.may_share_memory(gradient, other) for other in taken)
            self._left.append((leaf, gradient, shared))
        uses = [shapes.root(k) for task in tasks for k in task.reads]
        # A gradient that is found may lie where the new one goes: it is copied if it is read more than once.
        self._found = [
            (leaf, captured.left.get(leaf) is not None and uses.count(k) > 1)
            for k, leaf in sorted(captured.found.items())
        ]
        self._leaves = list(captured.leaves.items())
        self._pattern = list(captured.pattern.items())
        self._modes = list(captured.modes.items())
        changed = {k for k in made.written() if not isinstance(graph.values[k], Call)}
        arrays = {id(graph.values[k].data) for k in changed}
        self._changed = [leaf for leaf, array in self._leaves if id(array) in arrays]

    def fits(self) -> bool:
        """Tell whether everything but the arguments is still as it was captured."""
        for leaf, array in self._leaves:
            if leaf.data is not array:
                return False
        for module, training in self._modes:
            if module.training is not training:
                return False
        return all((leaf.grad is not None) is expected for leaf, expected in self._pattern)

    def __call__(self, arrays: list[Array]) -> Any:
        """Replay with these arrays; return what the step returned."""
        if self._found:
            arrays = [*arrays, *(_contiguous(leaf.grad, copy) for leaf, copy in self._found)]
        if self._quiet:
            results = self._replay(*arrays)
        else:
            with np.errstate(all="ignore"):
                results = self._replay(*arrays)
        for leaf, gradient, shared in self._left:
            leaf.grad = gradient.copy() if shared else gradient
        for leaf in self._changed:
            leaf.number = tick()
        template = self._result
        if type(template) is Output and template.tensor:
            return wrap(results[0], None)
        return _filled(template, iter(results))


class Compiled:
    """A step that is captured on its first call with arguments of some shapes and dtypes, and replayed after that."""

    def __init__(self, step: Callable[..., Any], backend: Backend) -> None:
        self._step = step
        self._backend = backend
        self._programs: dict[Any, Program] = {}
        self._lock = threading.RLock()
        self.__doc__ = getattr(step, "__doc__", None)
        self.__name__ = getattr(step, "__name__", type(step).__name__)

    def __repr__(self) -> str:
        return f"<compiled {self.__name__}, backend {self._backend}, {len(self._programs)} captured>"

    @property
    def programs(self) -> list[Program]:
        """What has been captured so far; `print(step.programs[0].text)` shows what a replay does."""
        return list(self._programs.values())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        state = context.current()
        if state.watchers:  # a capture, a profiler or a debugger wants to see the ops
            return self._step(*args, **kwargs)
        arrays: list[Array] = []
        key = (state.recording, *[_key(arg, arrays) for arg in args])
        if kwargs:
            key = (*key, _key(kwargs, arrays))
        with self._lock:
            program = self._programs.get(key)
            if program is None or not program.fits():
                program = self._programs[key] = self._capture(args, kwargs)
            return program(arrays)

    def _capture(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Program:
        given = list(_arrays((*args, kwargs)))
        for x in given:
            if isinstance(x, Tensor) and x.requires_grad:
                raise CaptureError(
                    f"{self.__name__}: an argument of shape {x.shape} requires grad, but a replay records no graph\n"
                    "  hint   differentiate inside of the compiled function: tn.compile(tn.value_and_grad(f))"
                )
        plain = [not isinstance(x, Tensor) for x in given]
        return Program(capture(self._step, args, kwargs, plain), _chosen(self._backend))


def compile(step: Callable[..., Any], backend: Backend = "auto") -> Compiled:
    """Return a function that does what `step` does, faster: captured once, then replayed.

    `step` is a training step (forward, `backward()`, optimizer) or a pure function of tensors. Arrays and tensors
    among its arguments, also in lists, tuples and dicts, are given anew on each call; everything else it uses is
    read when it is captured, on the first call with arguments of some shapes and dtypes. Parameters, the state of
    optimizers and their learning rates are used where they are: a replay sees their values and updates them.

    After a replay `.grad` holds what the step left there, in arrays that the next replay fills again. Results are
    fresh and have no graph. Floating-point warnings are not given. Labels are checked on every call; the range
    and the sums of target probabilities only when the step is captured.

    Args:
        step: the function; it runs a few times while it is captured, without side effects on tensors, gradients,
            optimizers and random generators.
        backend: "numpy", or "numba" (extra `jit`) for compiled loops; "auto" takes Numba where it is installed.

    Raises:
        CaptureError: `step` reads the value of a tensor (`bool(t)`, `float(t)`, `.data`), or uses something that
            changes from call to call and is neither an argument nor a parameter; or an argument is neither an
            array nor hashable.
        LabelError: on any call, for a label outside of the classes of `cross_entropy`.

    Example:
        >>> import tinygrad_nn as tn
        >>> model = tn.nn.Dense(2, 3, rng=0)
        >>> optimizer = tn.optim.SGD(model.parameters(), lr=0.5)
        >>> @tn.compile
        ... def step(x, labels):
        ...     optimizer.zero_grad()
        ...     loss = tn.nn.losses.cross_entropy(model(x), labels)
        ...     loss.backward()
        ...     optimizer.step()
        ...     return loss
        >>> x, labels = np.eye(2, dtype=np.float32), np.array([0, 2])
        >>> losses = [step(x, labels).item() for _ in range(5)]
        >>> losses[-1] < losses[0]
        True
    """
    if backend not in ("auto", "numpy", "numba"):
        raise ValueError(f'compile: backend is "auto", "numpy" or "numba", got {backend!r}')
    if not callable(step):
        raise TypeError(f"compile: expected a function, got {type(step).__name__}")
    _chosen(backend)
    return Compiled(step, backend)


def _chosen(backend: str) -> str:
    if backend == "numpy":
        return backend
    try:
        import numba  # noqa: F401
    except ImportError:
        if backend == "auto":
            return "numpy"
        raise ImportError(
            'backend="numba" needs the package numba\n  hint   pip install "tinygrad_nn[jit]", or backend="numpy"'
        ) from None
    return "numba"


def _contiguous(gradient: Any, copy: bool) -> Array:
    return gradient.copy() if copy or not gradient.flags.c_contiguous else gradient  # type: ignore[no-any-return]


def _key(arg: Any, arrays: list[Array]) -> Any:
    """Return what a replay depends on in an argument, and append its arrays."""
    kind = type(arg)
    if kind is np.ndarray or kind is Tensor:
        array = arg if kind is np.ndarray else arg._data
        if not (array.flags.c_contiguous and array.dtype.isnative):
            array = np.ascontiguousarray(as_array(array)).reshape(array.shape)
        arrays.append(array)
        return kind, array.shape, array.dtype.char
    if kind is list or kind is tuple:
        return kind, *[_key(item, arrays) for item in arg]
    if kind is dict:
        return kind, *[(name, _key(item, arrays)) for name, item in arg.items()]
    if isinstance(arg, (np.ndarray, np.generic)):
        return _key(as_array(arg), arrays)
    if is_sequence(arg):
        return kind, *[_key(item, arrays) for item in arg]
    if kind is float:
        return kind, arg.hex()  # 0.0 equals -0.0, and NaN does not equal itself
    try:
        hash(arg)
    except TypeError:
        raise CaptureError(
            f"an argument of type {kind.__name__} may have changed by the next call, which a replay would not see\n"
            "  hint   arrays and tensors, in tuples, lists and dicts; or what can be hashed, such as a frozenset"
        ) from None
    return kind, arg


def _arrays(arg: Any) -> Iterator[Any]:
    """Yield the arrays and tensors among arguments in the order in which a capture makes inputs of them."""
    if is_sequence(arg):
        for item in arg:
            yield from _arrays(item)
    elif type(arg) is dict:
        for item in arg.values():
            yield from _arrays(item)
    elif isinstance(arg, (Tensor, np.ndarray, np.generic)):
        yield arg


def _outputs(result: Any) -> Iterator[Output]:
    if isinstance(result, Output):
        yield result
    elif isinstance(result, (list, tuple, dict)):
        for item in result.values() if isinstance(result, dict) else result:
            yield from _outputs(item)


def _filled(template: Any, results: Iterator[Array]) -> Any:
    if isinstance(template, Output):
        array = next(results)
        return wrap(array, None) if template.tensor else array
    if is_sequence(template):
        return rebuilt(template, (_filled(item, results) for item in template))
    if type(template) is dict:
        return {key: _filled(item, results) for key, item in template.items()}
    return template


__all__ = ["Compiled", "Program", "compile"]
