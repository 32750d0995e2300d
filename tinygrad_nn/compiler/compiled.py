"""Compiling: capture a step once, then replay it without Python's overhead, without a graph, without allocations."""

from __future__ import annotations

import contextlib
import copy
import time
import warnings
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from tinygrad_nn import context
from tinygrad_nn.compiler.draft import Draft
from tinygrad_nn.compiler.guards import Guards
from tinygrad_nn.compiler.memory import place
from tinygrad_nn.compiler.numpy_backend import Marks, list_tasks, write
from tinygrad_nn.compiler.passes import PASSES
from tinygrad_nn.compiler.step import Captured, Output, capture
from tinygrad_nn.compiler.threads import available, blas, number_of_threads
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.node import Leaf, tick
from tinygrad_nn.engine.tensor import Tensor, wrap
from tinygrad_nn.errors import ArgumentError, CaptureError, SettingError, UsageWarning
from tinygrad_nn.graph.ir import Call
from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.operands import as_array

Backend = Literal["auto", "numpy", "numba"]
Stage = Callable[[Draft], Draft]
Result = TypeVar("Result")
KEPT = 64
"""How many programs one step keeps."""
MANY = 9
"""So many captures for the same shapes are worth a word."""
_FREE = contextlib.nullcontext()


def stages(backend: str, threads: int) -> tuple[Stage, ...]:
    """Return what is done with a draft, in order, before its text is written."""
    if backend == "numpy":
        return *PASSES, list_tasks, place
    # Only here is Numba imported, which not everybody has.
    from tinygrad_nn.compiler.loops.backend import fuse, join
    from tinygrad_nn.compiler.loops.sharing import share

    return *PASSES, list_tasks, fuse, partial(share, threads=threads), place, join


class Program:
    """One captured call, ready to be replayed for arguments of the same shapes and dtypes.

    Attributes:
        text: the replay as Python.
        seconds: how long capturing and compiling took.
        nbytes: bytes of the buffers.
        guards: what it takes for granted besides its arguments.
    """

    def __init__(self, captured: Captured, backend: str, threads: int | None) -> None:
        draft = captured.draft()
        for stage in stages(backend, threads or available()):
            draft = stage(draft)
        self._draft = draft
        self._marked: tuple[Marks, Program] | None = None
        self._replay, self.text = write(draft)
        self.nbytes = draft.memory.nbytes
        # Compiled loops give no warnings; NumPy does.
        self._quiet = all(task.call is None for task in draft.tasks)
        self._blas_threads = threads if backend == "numpy" else 1
        self._result = captured.result
        self.guards = Guards(captured.leaves, captured.pattern, captured.constants, captured.modules)
        self._grads_in = _grads_in(captured, draft)
        self._grads_out = _grads_out(captured, draft)
        self._changed = _changed(captured, draft)
        self.seconds = 0.0

    def __call__(self, arrays: list[Array]) -> Any:
        """Replay with these arrays; return what the step returned."""
        if self._grads_in:
            arrays = [*arrays, *(_contiguous(leaf, copy) for leaf, copy in self._grads_in)]
        if self._quiet:
            results = self._replay(*arrays)
        else:
            with np.errstate(all="ignore"), self._held_blas():
                results = self._replay(*arrays)
        for leaf, gradient, shared in self._grads_out:
            leaf.own_grad = gradient.copy() if shared else gradient
        for leaf in self._changed:
            leaf.number = tick()
        template = self._result
        # Of the time of a small step this saves some percent, and most steps return their loss alone.
        if type(template) is Output and template.tensor:
            return wrap(results[0], None)
        return _filled(template, results)

    def _held_blas(self) -> contextlib.AbstractContextManager[None]:
        """Let BLAS have no more threads than were asked for; with compiled loops only the one that calls it."""
        known = blas()
        return _FREE if known is None or self._blas_threads is None else known.held(self._blas_threads)

    def marked(self, marks: Marks) -> Program:
        """Return the same program, whose replay tells `marks` of what it does; made anew only for others than last."""
        if self._marked is None or self._marked[0] != marks:
            program = copy.copy(self)
            program._replay, _ = write(self._draft, marks)
            self._marked = marks, program
        return self._marked[1]


def _grads_in(captured: Captured, draft: Draft) -> list[tuple[Leaf, bool]]:
    """Return the leaves whose gradients a replay finds, and whether it works on a copy of them.

    Such a gradient may lie where the new one goes: it is copied if it is read more than once.
    """
    uses = [draft.root(k) for task in draft.tasks for k in task.reads]
    return [
        (leaf, captured.grads_out.get(leaf) is not None and uses.count(k) > 1)
        for k, leaf in sorted(captured.grads_in.items())
    ]


def _grads_out(captured: Captured, draft: Draft) -> list[tuple[Leaf, Any, bool]]:
    """Return the leaves in which a replay leaves a gradient, its array, and whether another has the same memory."""
    grads: list[tuple[Leaf, Any, bool]] = []
    for leaf, k in captured.grads_out.items():
        gradient = None if k is None else draft.memory.arrays[draft.holders[k]]
        others = [other for _, other, _ in grads if other is not None and gradient is not None]
        grads.append((leaf, gradient, any(np.may_share_memory(gradient, other) for other in others)))
    return grads


def _changed(captured: Captured, draft: Draft) -> list[Leaf]:
    """Return the leaves whose arrays a replay writes."""
    written = [draft.values[k] for k in draft.written()]
    arrays = {id(value.data) for value in written if not isinstance(value, Call)}
    return [leaf for leaf, array in captured.leaves.items() if id(array) in arrays]


def _contiguous(leaf: Leaf, copy: bool) -> Array:
    gradient = leaf.own_grad
    assert gradient is not None
    return gradient.copy() if copy or not gradient.flags.c_contiguous else gradient


def _filled(template: object, results: tuple[Array, ...]) -> object:
    """Return what the step returned, with new results in it."""
    arrays = iter(results)

    def leaf(x: object) -> object:
        if type(x) is not Output:
            return x
        return wrap(next(arrays), None) if x.tensor else next(arrays)

    return trees.mapped(leaf, template)


class Compiled(Generic[Result]):
    """A step that is captured on its first call with arguments of some shapes and dtypes, and replayed after that."""

    def __init__(self, step: Callable[..., Result], backend: Backend, threads: int | None) -> None:
        self._step = step
        self._backend = backend
        self._threads = threads
        self._programs: dict[Hashable, list[Program]] = {}
        self._captures: dict[Hashable, int] = {}
        self._lock = context.lock()
        self.__doc__ = getattr(step, "__doc__", None)
        self.__name__ = getattr(step, "__name__", type(step).__name__)
        # Of what `inspect` tells the arguments.
        self.__wrapped__ = step

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel and be copied as the step alone, which is captured again there."""
        return Compiled, (self._step, self._backend, self._threads)

    def __repr__(self) -> str:
        limit = f", threads {self._threads}" if self._threads is not None else ""
        return f"<compiled {self.__name__}, backend {self._backend}{limit}, {len(self.programs)} captured>"

    @property
    def programs(self) -> list[Program]:
        """What has been captured and is kept; `print(step.programs[0].text)` shows what a replay does."""
        return [program for programs in self._programs.values() for program in programs]

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        state = context.current()
        marks = [watcher.on_task for watcher in state.watchers if watcher.on_task is not None]
        # A capture or a debugger wants to see the ops.
        if len(marks) < len(state.watchers):
            return self._step(*args, **kwargs)
        arrays: list[Array] = []
        # Each lookup in `_KEYS` is written out: a call more for each argument would cost as much.
        key = (state.recording, *[_KEYS.get(type(arg), _key_of_other)(arg, arrays) for arg in args])
        if kwargs:
            key = (*key, _key_of_dict(kwargs, arrays))
        with self._lock:
            for program in self._programs.get(key, ()):
                if not program.guards.change():
                    break
            else:
                with context.changed(watchers=()):
                    program = self._capture(args, kwargs)
                self._keep(key, program, tuple([(x.shape, x.dtype.char) for x in arrays]))
            result: Result = (program.marked(marks) if marks else program)(arrays)
        return result

    def _keep(self, key: Hashable, program: Program, shapes: Hashable) -> None:
        """Keep a program for calls like this one, and forget the oldest; say it when many have the same shapes."""
        others = self._programs.pop(key, [])
        self._programs[key] = [program, *others][:KEPT]
        while len(self.programs) > KEPT:
            oldest = next(iter(self._programs))
            self._programs[oldest].pop()
            if not self._programs[oldest]:
                del self._programs[oldest]
        # The latest is the last, and of what has not come for long the count is forgotten.
        self._captures[shapes] = count = self._captures.pop(shapes, 0) + 1
        if len(self._captures) > KEPT:
            del self._captures[next(iter(self._captures))]
        if count == MANY:
            why = others[0].guards.change() if others else "a plain Python value among them is another"
            warnings.warn(
                f"{self.__name__}: captured {MANY} times for arguments of the same shapes, the last time because "
                f"{why}\n"
                "  hint   what changes from call to call is an array or a tensor among the arguments: np.asarray(lr)",
                UsageWarning,
                stacklevel=3,
            )

    def _capture(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Program:
        start = time.perf_counter()
        for leaf in trees.leaves((*args, kwargs)):
            self._refuse_graph(leaf)
        program = Program(capture(self._step, args, kwargs), _chosen(self._backend), self._threads)
        program.seconds = time.perf_counter() - start
        return program

    def _refuse_graph(self, x: object) -> None:
        if isinstance(x, Tensor) and x.requires_grad:
            raise CaptureError(
                f"{self.__name__}: an argument of shape {x.shape} requires grad, but a replay records no graph\n"
                "  hint   differentiate inside of the compiled function: tn.compile(tn.value_and_grad(f))"
            )


def compile(
    step: Callable[..., Result], backend: Backend = "auto", threads: int | None = None
) -> Compiled[Result]:
    """Return a function that does what `step` does, faster: captured once, then replayed.

    `step` is a training step (forward, `backward()`, optimizer) or a pure function of tensors. Arrays and tensors
    among its arguments, also in lists, tuples and dicts, are given anew on each call. All other arrays and tensors,
    parameters, the state of optimizers and their learning rates among them, are used where they are: a replay sees
    their values and updates them. Each call compares what the step read from parameters (frozen or not) and from the
    attributes of modules that it called or asked for parameters with what is there now, and captures it again where
    that has changed. What else it read from Python, a number in a closure for example, is read when it is captured, on
    the first call with arguments of some shapes and dtypes.

    After a replay `.grad` holds what the step left there, in arrays that the next replay fills again. Results are
    fresh and have no graph. Floating-point warnings are not given. Labels are checked on every call; the range
    and the sums of target probabilities only when the step is captured.

    Args:
        step: the function; it runs a few times while it is captured, without side effects on tensors, gradients,
            optimizers and random generators.
        backend: "numpy", or "numba" (extra `jit`) for compiled loops; "auto" takes Numba where it is installed.
        threads: how many threads a replay uses at most; by default one for each core that the process may use, fewer
            where OPENBLAS_NUM_THREADS, OMP_NUM_THREADS or NUMBA_NUM_THREADS says so. With Numba, parts of a replay
            are divided among threads where that turns out to be faster, and results do not depend on what is found;
            NumPy's BLAS is held to one thread meanwhile, in the whole process. With NumPy alone it is held to this
            number, or left as it is.

    Raises:
        CaptureError: `step` reads the value of a tensor (`bool(t)`, `float(t)`, `.data`), draws random numbers with
            plain NumPy, changes attributes of a module, indexes with a mask that is an argument or computed, or
            uses something that changes from call to call and is neither an argument nor a parameter; or an
            argument is neither an array nor hashable.
        LabelError: on any call, for a label outside of the classes of `cross_entropy`.
        ValueError: there is no such backend, or `threads` is not a positive integer.
        TypeError: `step` is not a function.
        ImportError: the backend is "numba", which is not installed.

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
        raise SettingError(f'compile: backend is "auto", "numpy" or "numba", got {backend!r}')
    if not callable(step):
        raise ArgumentError(f"compile: expected a function, got {type(step).__name__}")
    count = number_of_threads(threads)
    _chosen(backend)
    return Compiled(step, backend, count)


def _chosen(backend: str) -> str:
    if backend == "numpy":
        return backend
    try:
        # Of a module of ours that another thread has begun to import, it would not be known yet that it cannot be.
        import numba  # noqa: F401

        import tinygrad_nn.compiler.loops.backend  # noqa: F401
    except ImportError as error:
        if backend == "auto":
            return "numpy"
        raise ImportError(
            'backend="numba" needs the package numba\n  hint   pip install "tinygrad_nn[jit]", or backend="numpy"'
        ) from error
    return "numba"


# What a replay depends on in an argument; the arrays, which are given anew, are appended to a list.


def _key(arg: Any, arrays: list[Array]) -> Hashable:
    return _KEYS.get(type(arg), _key_of_other)(arg, arrays)


def _key_of_array(arg: Array, arrays: list[Array]) -> Hashable:
    array = arg if arg.flags.c_contiguous and arg.dtype.isnative else _ordered(arg)
    arrays.append(array)
    return np.ndarray, array.shape, array.dtype.char


def _key_of_tensor(arg: Tensor, arrays: list[Array]) -> Hashable:
    array, node = arg._data, arg._node
    if not array.flags.c_contiguous:
        array = _ordered(array)
    arrays.append(array)
    # A tensor that requires grad has to miss, because only a capture refuses it.
    kind = Tensor if node is None or not node.requires_grad else Leaf
    return kind, array.shape, array.dtype.char


def _ordered(array: Array) -> Array:
    return np.ascontiguousarray(as_array(array)).reshape(array.shape)


def _key_of_sequence(arg: Any, arrays: list[Array]) -> Hashable:
    return type(arg), *[_KEYS.get(type(item), _key_of_other)(item, arrays) for item in arg]


def _key_of_dict(arg: Mapping[Any, Any], arrays: list[Array]) -> Hashable:
    return dict, *[(name, _key(item, arrays)) for name, item in arg.items()]


def _key_of_float(arg: float, arrays: list[Array]) -> Hashable:
    # As text, because 0.0 equals -0.0, and NaN does not equal itself.
    return float, arg.hex()


def _key_of_other(arg: Any, arrays: list[Array]) -> Hashable:
    if isinstance(arg, (np.ndarray, np.generic)):
        return _key_of_array(as_array(arg), arrays)
    if trees.is_sequence(arg):
        return _key_of_sequence(arg, arrays)
    try:
        hash(arg)
    except TypeError:
        raise CaptureError(
            f"an argument of type {type(arg).__name__} may have changed by the next call, which a replay would not "
            "see\n  hint   arrays and tensors, in tuples, lists and dicts; or what can be hashed, such as a frozenset"
        ) from None
    return type(arg), arg


_KEYS: dict[type, Callable[[Any, list[Array]], Hashable]] = {
    np.ndarray: _key_of_array,
    Tensor: _key_of_tensor,
    list: _key_of_sequence,
    tuple: _key_of_sequence,
    dict: _key_of_dict,
    float: _key_of_float,
}

__all__ = ["Compiled", "Program", "compile"]
