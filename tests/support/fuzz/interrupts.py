"""KeyboardInterrupt where one can come: afterwards the state is whole, and everything works as before."""

import contextlib
import copy
import dis
import inspect
import itertools
import signal
import sys
from pathlib import Path

import numpy as np

import tinygrad_nn as tn
from tests.support.fuzz.cases import pick
from tests.support.fuzz.trainings import Training
from tinygrad_nn import context
from tinygrad_nn.nn.module import in_mode

_WHERE = (str(Path(tn.__file__).parent), contextlib.__file__)
_CALLS = {dis.opmap[name] for name in ("CALL", "CALL_FUNCTION_EX", "CALL_KW") if name in dis.opmap}
_BACK = {code for name, code in dis.opmap.items() if name.startswith("JUMP_BACKWARD")}


class Moments:
    """Counts the moments at which Python looks for signals, and raises KeyboardInterrupt at one of them.

    These are the beginning of functions, the end of calls of functions in C, and jumps back.
    """

    def __init__(self, at=None):
        self.count = 0
        self._at = at
        self._returned = False
        self._codes = {}

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _tick(self, frame):
        if self.count == self._at:
            self.count += 1
            self.where = (
                f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno} {frame.f_code.co_name}"
            )
            raise KeyboardInterrupt
        self.count += 1

    def _on_call(self, frame, event, arg):
        # What runs besides, callbacks of the collector among it, is no part of what is tried.
        if not frame.f_code.co_filename.startswith(_WHERE):
            return None
        frame.f_trace_opcodes = True
        code = self._codes.setdefault(frame.f_code, frame.f_code.co_code)
        last = None

        def local(frame, event, arg):
            nonlocal last
            if event == "return":
                self._returned = True
            elif event == "opcode":
                op = code[frame.f_lasti]
                # After a call of a Python function nobody looks.
                if (last in _CALLS and not self._returned) or op in _BACK:
                    last = op
                    self._tick(frame)
                last, self._returned = op, False
            return local

        # Where __exit__ begins in Python nothing can be done about it; a generator that goes on may be closing.
        if frame.f_code.co_name != "__exit__" and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            self._tick(frame)
        return local


def at_each_moment(act):
    """Do something again and again, interrupted at one moment after the other; yield where, each time."""
    for at in itertools.count():
        with Moments(at) as moments:
            try:
                act()
            except KeyboardInterrupt:
                pass
            else:
                return
        yield moments.where


class Situation:
    """Something to interrupt: `act` does it, `check(interrupted)` says whether the state is whole after that."""

    def __init__(self, rng):
        self.rng = rng
        self.training = Training(rng)
        self.x, self.y = self.training.batch(rng, 4)
        self.prepare()
        self.before = self.training.state()

    def prepare(self):
        """Bring about what is there before."""

    def twin(self):
        """Return a copy of the training as it is now, never compiled."""
        return copy.deepcopy(self.training)

    def check(self, interrupted):
        """Raise unless the state is whole."""

    def unchanged(self, names=lambda name: True):
        """Tell whether the state is the one before."""
        return all(_same(x, self.before[name]) for name, x in self.training.state().items() if names(name))


def _same(a, b):
    return a is b is None or (a is not None and b is not None and np.array_equal(a, b, equal_nan=True))


class Backward(Situation):
    """A backward pass, with gradients there before."""

    def prepare(self):
        self.training.train(self.x, self.y)

    def act(self):
        self.training.accumulate(self.x, self.y)

    def check(self, interrupted):
        after = self.training.state()
        old = {name: x for name, x in self.before.items() if name.startswith("gradient")}
        changed = [name for name in old if not _same(old[name], after[name])]
        twin = self.twin()
        for parameter, g in zip(twin.optimizer.parameters, old.values(), strict=True):
            parameter.grad = None if g is None else g.copy()
        twin.accumulate(self.x, self.y)
        new = twin.state()
        assert not changed or all(_same(new[name], after[name]) for name in old), f"only {changed} are new"
        assert self.unchanged(lambda name: not name.startswith("gradient"))


class Update(Situation):
    """A step of an optimizer: each parameter is either updated or not."""

    def prepare(self):
        self.training.clip = None
        self.training.accumulate(self.x, self.y)
        self.updated = self.twin()
        self.updated.optimizer.step()

    def act(self):
        self.training.optimizer.step()

    def check(self, interrupted):
        new = self.updated.state()
        # AdamW decays a parameter first, and then moves it.
        at_once = type(self.training.optimizer) is not tn.optim.AdamW
        for name, x in self.training.state().items() if at_once else ():
            if name.startswith("model"):
                assert _same(x, self.before[name]) or _same(x, new[name]), f"{name} is half updated"
        steps = self.before["optimizer steps"]
        assert int(self.training.optimizer.steps) - int(steps) in (0, 1)
        assert self.unchanged(lambda name: name.startswith("gradient"))


class Replay(Situation):
    """A compiled step that is replayed."""

    def prepare(self):
        self.compiled = copy.deepcopy(self.training).compiled("numpy")
        self.compiled.train(self.x, self.y)
        self.training = self.compiled

    def act(self):
        self.compiled.train(self.x, self.y)

    def twin(self):
        twin = copy.deepcopy(self.compiled)
        for name in ("train", "go_on", "accumulate", "update", "evaluate"):
            delattr(twin, name)
        return twin

    def check(self, interrupted):
        twin = self.twin()
        for _ in range(2):
            expected, got = twin.train(self.x, self.y), self.compiled.train(self.x, self.y)
            assert np.allclose(got.data, expected.data, rtol=1e-4), f"loss {got}, eagerly {expected}"
        after = twin.state()
        for name, x in self.compiled.state().items():
            assert x is after[name] is None or np.allclose(x, after[name], rtol=1e-3, atol=1e-4), name


class Capture(Replay):
    """A compiled step that is captured: nothing has happened, until the program runs."""

    def prepare(self):
        self.training = self.compiled = self.training.compiled("numpy")

    def act(self):
        self.compiled.train(self.x, self.y)

    def check(self, interrupted):
        if interrupted and not self.compiled.train.programs:
            assert self.unchanged(), "a capture has changed something"
        super().check(interrupted)


class Modes(Situation):
    """Blocks that switch recording, and a model to evaluation, and back."""

    def prepare(self):
        layers = [m for _, m in self.training.model.named_modules()]
        for layer in layers[:: int(self.rng.integers(1, 3))]:
            layer.training = bool(self.rng.random() < 0.5)
        self.modes = [vars(layer).get("training") for layer in layers]
        self.layers = layers

    def act(self):
        with in_mode(self.training.model, training=False), tn.no_grad():
            self.training.evaluate(self.x)
            with tn.enable_grad():
                self.training.evaluate(self.x)
            for _ in _numbers():
                self.training.evaluate(self.x)

    def check(self, interrupted):
        assert [vars(layer).get("training") for layer in self.layers] == self.modes, "modes are not restored"


@tn.no_grad()
def _numbers():
    yield from range(2)


class Derivatives(Situation):
    """Derivatives of functions, and a debugger around them."""

    def act(self):
        with tn.debug():
            f = lambda x: (np.tanh(x) ** 2).sum()
            tn.jvp(tn.grad(f), self.x, self.x)
            tn.hessian(f)(self.x[:1, :2])
            tn.trace(f, self.x)

    def check(self, interrupted):
        assert self.unchanged()


class Fit(Situation):
    """A training loop, interrupted a second time."""

    def prepare(self):
        self.handler = signal.getsignal(signal.SIGINT)

    def act(self):
        t = self.training
        tn.train.fit(t.model, t.loss, t.optimizer, [(self.x, self.y)] * 2, epochs=2, progress=False)

    def check(self, interrupted):
        assert signal.getsignal(signal.SIGINT) is self.handler, "the handler of Ctrl-C is another"
        self.training.train(self.x, self.y)


SITUATIONS = (Backward, Update, Replay, Capture, Modes, Derivatives, Fit)


def case(rng):
    """Interrupt one situation once, at a random moment; return how many interrupts there were."""
    kind, seed = pick(rng, SITUATIONS), int(rng.integers(2**31))

    def situation():
        return kind(np.random.default_rng(seed))

    with np.errstate(all="ignore"):
        with Moments() as moments:
            situation().act()
        first = situation()
        with Moments() as moments:
            first.act()
        for _ in range(4):
            at = int(rng.integers(moments.count))
            again, interrupted = situation(), False
            with Moments(at) as interrupting:
                try:
                    again.act()
                except KeyboardInterrupt:
                    interrupted = True
            where = getattr(interrupting, "where", "nowhere")
            try:
                assert context.current() == context.DEFAULT, f"left {context.current()}"
                assert context.SCOPE.get() is None, "a call of a module is still running"
                again.check(interrupted)
            except AssertionError as error:
                context.STATE.set(context.DEFAULT)
                context.SCOPE.set(None)
                raise AssertionError(f"{kind.__name__}, interrupted at {where}: {error}") from error
    return {f"interrupts of {kind.__name__}": 4}
