"""Threads that help: everything is done once, nobody hangs, whatever is raised and wherever a Ctrl-C comes."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("numba")

from tests.support import needs
from tests.support.interrupts import interrupted_everywhere
from tinygrad_nn.compiler.loops import pool as module
from tinygrad_nn.compiler.loops.pool import Pool

RANGES = [(k, k + 1) for k in range(8)]


@pytest.fixture
def pool():
    made = Pool()
    yield made
    made.close()


def add_one(first, last, out):
    out[first:last] += 1


def waiting_for(count):
    """Return a function that returns when so many threads run it at once, and the threads that did."""
    barrier, threads = threading.Barrier(count, timeout=20), set()

    def run(first, last):
        if threading.get_ident() not in threads:
            threads.add(threading.get_ident())
            barrier.wait()

    return run, threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_piece_is_done_once(pool, threads):
    out = np.zeros(8)
    for _ in range(50):
        pool.share(add_one, RANGES, (out,), threads)
    np.testing.assert_array_equal(out, 50)


def test_as_many_threads_work_as_were_asked_for(pool):
    run, threads = waiting_for(3)
    pool.share(run, RANGES, (), 3)
    assert len(threads) == 3


def test_helpers_that_sleep_are_woken(pool):
    for _ in range(3):
        run, threads = waiting_for(2)
        pool.share(run, RANGES, (), 2)
        assert len(threads) == 2
        # Long enough to stop looking out.
        time.sleep(0.02)


def test_what_a_helper_raises_arrives_and_the_pool_goes_on(pool):
    caller = threading.get_ident()
    began = threading.Event()

    def run(first, last):
        if threading.get_ident() != caller:
            began.set()
            raise ZeroDivisionError
        assert began.wait(20)

    with pytest.raises(ZeroDivisionError):
        pool.share(run, RANGES, (), 2)
    test_every_piece_is_done_once(pool, 2)


def test_what_the_caller_raises_arrives_when_the_helpers_have_finished(pool):
    caller = threading.get_ident()
    began, finished = threading.Event(), []

    def run(first, last):
        if threading.get_ident() == caller:
            assert began.wait(20)
            raise KeyboardInterrupt
        began.set()
        time.sleep(0.01)
        finished.append(first)

    with pytest.raises(KeyboardInterrupt):
        pool.share(run, RANGES, (), 2)
    assert len(finished) == 1
    test_every_piece_is_done_once(pool, 2)


def test_an_interrupt_anywhere_leaves_nobody_at_work(pool):
    inside = []

    def run(first, last):
        inside.append(first)
        inside.pop()

    pool.share(run, RANGES, (), 2)
    for where in interrupted_everywhere(lambda: pool.share(run, RANGES, (), 2), {module.__file__}):
        assert not pool._lock.locked(), where
        assert inside == [], where
        assert not any(helper._busy.locked() for helper in pool._helpers), where
    test_every_piece_is_done_once(pool, 2)


def test_several_threads_share_at_the_same_time(pool):
    outs = np.zeros((4, 8))

    def work(out):
        for _ in range(200):
            pool.share(add_one, RANGES, (out,), 3)

    threads = [threading.Thread(target=work, args=(out,)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(outs, 200)


def test_a_pool_that_is_used_works_alone(pool):
    seen = set()

    def run(first, last):
        seen.add(threading.get_ident())

    with pool._lock:
        pool.share(run, RANGES, (), 2)
    assert seen == {threading.get_ident()}


def test_a_closed_pool_works_alone(pool):
    pool.close()
    test_every_piece_is_done_once(pool, 3)
    assert pool._helpers == []


def test_without_more_threads_there_is_less_help(pool, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    test_every_piece_is_done_once(pool, 3)


def test_helpers_give_no_warnings(pool):
    run, _ = waiting_for(2)

    def overflow(first, last):
        run(first, last)
        np.multiply(np.float32(1e38), np.float32(1e38))

    with np.errstate(all="ignore"):
        pool.share(overflow, RANGES, (), 2)


@needs.fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_has_helpers_of_its_own():
    module.POOL.share(add_one, RANGES, (np.zeros(8),), 2)
    child = os.fork()
    if child == 0:
        try:
            run, threads = waiting_for(2)
            module.POOL.share(run, RANGES, (), 2)
            os._exit(len(threads))
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


def test_a_program_ends_while_helpers_sleep_or_look_out():
    text = (
        "import numpy as np\n"
        "from tinygrad_nn.compiler.loops.pool import POOL\n"
        "POOL.share(lambda first, last: None, [(k, k + 1) for k in range(8)], (), 4)\n"
    )
    for wait in ("", "import time; time.sleep(0.05)\n"):
        done = subprocess.run(
            [sys.executable, "-c", text + wait], capture_output=True, timeout=120, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
