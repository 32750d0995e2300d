"""Ctrl-C: it waits for the step in hand, and training ends with its history."""

import io
import os
import signal
import threading

import pytest

from tests.support.training import Terminal, X, Y, shown
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import Callback, fit


@pytest.fixture(autouse=True)
def pressed_keys_count():
    # A shell starts its background jobs with SIGINT ignored, and Python keeps it so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_returns_the_history_so_far():
    out = io.StringIO()

    def press(run):
        if run.epoch == 3:
            os.kill(os.getpid(), signal.SIGINT)

    history = shown(out, callbacks=[press])
    assert len(history) == 3
    assert history.stopped == "interrupted after batch 0 of epoch 4"
    assert out.getvalue().endswith("stopped: interrupted after batch 0 of epoch 4\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_on_a_terminal_ends_the_line_that_was_being_rewritten(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out, steps = Terminal(), []

    def press(predictions, labels):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return cross_entropy(predictions, labels)

    model = nn.Dense(2, 2, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    fit(model, press, optimizer, batches(X, Y, size=20, rng=0), progress=out)
    line, stopped, rest = out.getvalue().split("\n")
    assert line.startswith("\repoch 1/1  loss")
    assert (stopped, rest) == ("stopped: interrupted after batch 2 of epoch 1", "")


def test_ctrl_c_waits_for_the_step_in_hand():
    taken = []

    def press(predictions, labels):
        taken.append(int(optimizer.steps))
        if len(taken) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return cross_entropy(predictions, labels)

    model = nn.Dense(2, 2, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, press, optimizer, batches(X, Y, size=20, rng=0), progress=False)
    assert int(optimizer.steps) == 3
    assert history.stopped == "interrupted after batch 3 of epoch 1"


def test_a_second_ctrl_c_does_not_wait():
    def impatient(predictions, labels):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second one should have interrupted here")

    model = nn.Dense(2, 2, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, impatient, optimizer, batches(X, Y, size=20, rng=0), progress=False)
    assert int(optimizer.steps) == 0
    assert len(history) == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_in_another_thread_leaves_signals_alone():
    results = []
    thread = threading.Thread(target=lambda: results.append(shown(False, epochs=2)))
    thread.start()
    thread.join()
    assert len(results[0]) == 2


def test_a_program_with_its_own_handler_keeps_it():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        history = shown(False, epochs=2, callbacks=[lambda run: os.kill(os.getpid(), signal.SIGINT)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [True, True]
    assert len(history) == 2


def test_ctrl_c_before_the_first_step_returns_an_empty_history():
    class Pressed(Callback):
        interrupted = 0

        def on_start(self, run):
            raise KeyboardInterrupt

        def on_interrupt(self, run):
            self.interrupted += 1

    callback = Pressed()
    history = shown(False, callbacks=[callback])
    assert (len(history), history.stopped) == (0, "interrupted after batch 0 of epoch 1")
    assert callback.interrupted == 1
