"""What holds for the code that runs right now: is a graph recorded, who watches, in which module are we.

An immutable `State` and the running module's `Scope` live in context variables, so threads and asyncio tasks have
their own. They are always restored by setting the previous value back: resetting with a token fails when a
generator or a task closes in another context than it was opened in.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast, overload

from tinygrad_nn.errors import printable

F = TypeVar("F", bound=Callable[..., Any])

_LOCKS: weakref.WeakSet[Any] = weakref.WeakSet()


def lock() -> Any:
    """Return a lock that a fork waits for, so that no child finds it held by a thread that it does not have."""
    made = threading.RLock()
    _LOCKS.add(made)
    return made


def _before_fork() -> None:
    # One fork at a time, in whichever thread.
    _FORKING.acquire()
    _HELD.extend(sorted(_LOCKS, key=id))
    for held in _HELD:
        held.acquire()


def _after_fork() -> None:
    while _HELD:
        _HELD.pop().release()
    _FORKING.release()


_FORKING = threading.RLock()
_HELD: list[Any] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class Line(NamedTuple):
    """A line of the user's program."""

    file: str
    number: int


class Scope(tuple[Any, Any]):
    """One call of a module: `module`, and `parent`, the call it happened in. Two calls are never equal."""

    __slots__ = ()
    module = property(itemgetter(0))
    parent = property(itemgetter(1))
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def chain(self) -> list[Scope]:
        """Return the calls from the outermost to this one."""
        calls = [self]
        while (parent := calls[-1][1]) is not None:
            calls.append(parent)
        return calls[::-1]

    def key(self) -> str:
        """Return the name of the module in the one that called it; ? where it is no child of that."""
        children: Any = getattr(self.parent and self.parent.module, "named_children", tuple)()
        return next((printable(str(name)) for name, child in children if child is self.module), "?")


class State(NamedTuple):
    """What holds for the running code.

    Attributes:
        recording: whether results remember how they were made.
        watchers: those that are told of every op, `engine.watcher.Watcher` objects.
        tracers: the ones among them that write down what runs, `engine.watcher.Tracer` objects.
    """

    recording: bool
    watchers: tuple[Any, ...]
    tracers: tuple[Any, ...]


STATE: ContextVar[State] = ContextVar("tinygrad_nn.state")
DEFAULT = State(True, (), ())
"""The state of a thread that has set none."""

SCOPE: ContextVar[Scope | None] = ContextVar("tinygrad_nn.scope", default=None)
"""The call of a module that is running; a variable of its own, because it changes far more often than the rest."""


def current() -> State:
    """Return the state of the running context; a new thread starts with recording on and nobody watching."""
    return STATE.get(DEFAULT)


Plan = tuple[Callable[[], object], Callable[[], object]]
"""What makes a change, and what undoes it: that may run when not all of the change was made, and twice."""


class Temporarily(ContextDecorator):
    """Context manager and decorator of a change for a while; a Ctrl-C while it is made or undone leaves it undone.

    Python calls `__exit__` only when `__enter__` has returned, and neither again. Only a Ctrl-C that arrives on the
    call of `__exit__` itself, before its first line, is beyond what Python code can answer.

    Args:
        plan: returns what makes the change and what undoes it, and changes nothing by itself.
    """

    def __init__(self, plan: Callable[[], Plan]) -> None:
        self._plan = plan

    def _recreate_cm(self) -> Temporarily:
        return Temporarily(self._plan)

    def __enter__(self) -> None:
        change, self._undo = self._plan()
        try:
            change()
        except BaseException:
            self._undo()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._undo()
        except BaseException:
            self._undo()
            raise


def changed(**fields: Any) -> Temporarily:
    """Run the body with some fields of the state replaced."""

    def plan() -> Plan:
        previous = current()
        return partial(STATE.set, previous._replace(**fields)), partial(STATE.set, previous)

    return Temporarily(plan)


def restoring(restore: Callable[[], object]) -> Temporarily:
    """Run the body and then `restore`, again if that is interrupted; done twice, it does the same."""
    return Temporarily(lambda: (lambda: None, restore))


def watching(watcher: Any) -> Temporarily:
    """Run the body with `watcher` told of every op."""
    return Temporarily(partial(watched, watcher))


def watched(watcher: Any) -> Plan:
    """Return what installs a watcher, and what takes it away again."""
    previous = current()
    tracers = (*previous.tracers, watcher) if watcher.traces else previous.tracers
    state = State(previous.recording, (*previous.watchers, watcher), tracers)
    return partial(STATE.set, state), partial(STATE.set, previous)


_ENTERED: ContextVar[tuple[tuple[_Recording, State], ...]] = ContextVar("tinygrad_nn.entered", default=())
"""What the running context has entered and not left, with the state to go back to. No object can know that alone:
one kept in a variable is entered by several threads and tasks at once."""


class _Recording:
    """Context manager and decorator that turns recording on or off."""

    def __init__(self, recording: bool) -> None:
        self._recording = recording

    def __enter__(self) -> None:
        entered, previous = _ENTERED.get(), STATE.get(DEFAULT)
        # As in `Temporarily`: a Ctrl-C in here leaves everything as it was.
        try:
            _ENTERED.set((*entered, (self, previous)))
            STATE.set(State(self._recording, previous[1], previous[2]))
        except BaseException:
            STATE.set(previous)
            _ENTERED.set(entered)
            raise

    def __exit__(self, *_: object) -> None:
        entered = None
        try:
            entered = _ENTERED.get()
            self._leave(entered)
        except BaseException:
            self._leave(_ENTERED.get() if entered is None else entered)
            raise

    def _leave(self, entered: tuple[tuple[_Recording, State], ...]) -> None:
        """Go back to the state before this was entered; the same again when it is done once more."""
        last = len(entered) - 1
        while last >= 0 and entered[last][0] is not self:
            last -= 1
        # Closed in a context where it was not entered, it has nothing to restore.
        if last < 0:
            return
        state, above = entered[last][1], entered[last + 1 :]
        # Left out of order, as generators are, it hands the state to who came next and will go back to it.
        if above:
            above = ((above[0][0], state), *above[1:])
        else:
            STATE.set(state)
        _ENTERED.set(entered[:last] + above)

    def __call__(self, function: F) -> F:
        """Decorate a function; of a generator function each step is covered, never the code of its consumer."""
        recording = self._recording
        if not callable(function) or isinstance(function, type):
            got, hint = (
                (f"the class {function.__name__}", "decorate its methods")
                if isinstance(function, type)
                else (type(function).__name__, "with tn.no_grad(): ...")
            )
            raise TypeError(f"no_grad and enable_grad decorate a function, got {got}\n  hint   {hint}")

        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Any:
                steps = function(*args, **kwargs)
                value, advance = None, steps.send
                while True:
                    try:
                        with _Recording(recording):
                            item = advance(value)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        value, advance = (yield item), steps.send
                    except GeneratorExit:
                        steps.close()
                        raise
                    except BaseException as error:  # handed on to the generator it was meant for
                        value, advance = error, steps.throw

            return cast(F, generator)

        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def async_generator(*args: Any, **kwargs: Any) -> Any:
                steps = function(*args, **kwargs)
                value, advance = None, steps.asend
                while True:
                    try:
                        with _Recording(recording):
                            item = await advance(value)
                    except StopAsyncIteration:
                        return
                    try:
                        value, advance = (yield item), steps.asend
                    except GeneratorExit:
                        await steps.aclose()
                        raise
                    except BaseException as error:
                        value, advance = error, steps.athrow

            return cast(F, async_generator)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with _Recording(recording):
                    return await function(*args, **kwargs)

            return cast(F, coroutine)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with _Recording(recording):
                return function(*args, **kwargs)

        return cast(F, wrapped)


@overload
def no_grad() -> _Recording: ...
@overload
def no_grad(function: F) -> F: ...
def no_grad(function: Callable[..., Any] | None = None) -> Any:
    """Record no graph: inside `with no_grad():`, or in a function decorated with `@no_grad` or `@no_grad()`.

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
        >>> with tn.no_grad():
        ...     print((w * 2).requires_grad)
        False
    """
    return _Recording(False) if function is None else _Recording(False)(function)


@overload
def enable_grad() -> _Recording: ...
@overload
def enable_grad(function: F) -> F: ...
def enable_grad(function: Callable[..., Any] | None = None) -> Any:
    """Record a graph again inside `no_grad`; a context manager and a decorator, like that.

    Example:
        >>> import tinygrad_nn as tn
        >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
        >>> with tn.no_grad(), tn.enable_grad():
        ...     print((w * 2).requires_grad)
        True
    """
    return _Recording(True) if function is None else _Recording(True)(function)
