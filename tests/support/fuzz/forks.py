"""Forks while another thread is inside of a step, a backward pass or a capture: the child computes, and ends."""

import os
import signal
import threading
import time

import numpy as np

import tinygrad_nn as tn
from tests.support.fuzz.cases import pick
from tests.support.fuzz.trainings import Training

FORKS = 4
SECONDS = 60


def case(rng):
    """Fork a few times beside a working thread; return how many forks there were."""
    seed = int(rng.integers(2**31))
    x = rng.normal(size=(30, 30))
    w = tn.tensor(rng.normal(size=(30, 30)), requires_grad=True)
    step = tn.compile(lambda x: (np.tanh(x @ w) ** 2).sum(), "numpy")
    expected, expected_loss = step(x).item(), _loss(seed)
    done, rounds = threading.Event(), []

    def train():
        training = Training(np.random.default_rng(seed))
        batch = training.batch(rng, 4)
        while not done.is_set():
            training.train(*batch)

    def replay():
        while not done.is_set():
            step(x)

    def go_back():
        while not done.is_set():
            (w * x).sum().backward()

    def capture():
        while not done.is_set():
            tn.compile(lambda x: np.exp(np.tanh(x) @ w).sum(), "numpy")(x)

    kind = pick(rng, (train, replay, go_back, capture))

    def work():
        rounds.append(kind.__name__)
        kind()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for k in range(FORKS):
            time.sleep(rng.random() * 0.02)
            child = os.fork()
            if not child:
                _compute_and_exit(step, x, expected, seed, expected_loss)
            status = os.waitpid(child, 0)[1]
            how = (
                f"signal {os.WTERMSIG(status)}"
                if os.WIFSIGNALED(status)
                else f"code {os.WEXITSTATUS(status)}"
            )
            assert status == 0, f"child {k}, forked beside {kind.__name__}, ended with {how}"
    finally:
        done.set()
        thread.join(60)
    assert not thread.is_alive()
    return {"forks": FORKS}


def _loss(seed):
    """Return a loss of a new training, of steps captured anew."""
    rng = np.random.default_rng(seed)
    training = Training(rng).compiled("numpy")
    batch = training.batch(rng, 4)
    return [training.train(*batch).item() for _ in range(3)]


def _compute_and_exit(step, x, expected, seed, expected_loss):
    """Do some of everything; end this process with what was wrong, and by SIGALRM if it hangs."""
    code = 10
    try:
        # The handler of a caller would not end the process.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        v = tn.tensor([1.0, 2.0], requires_grad=True)
        (v * v).sum().backward()
        code = 0
        for bit, right in enumerate(
            (np.array_equal(v.grad, [2, 4]), step(x).item() == expected, _loss(seed) == expected_loss)
        ):
            code |= (not right) << bit
    finally:
        os._exit(code)
