"""Ranks that are threads do what ranks of MPI do."""

import signal
import threading

import numpy as np
import pytest

from tests.support import needs
from tinygrad_nn.errors import RankError, SettingError
from tinygrad_nn.parallel import threads


def test_arrays_are_summed_into_another_array():
    def work(comm):
        mine, total = np.full(3, comm.rank + 1.0), np.zeros(3)
        comm.Allreduce(mine, total)
        return mine.tolist(), total.tolist()

    assert threads(3, work) == [([k + 1.0] * 3, [6.0] * 3) for k in range(3)]


def test_an_array_is_filled_with_that_of_one_rank():
    def work(comm):
        array = np.full(2, comm.rank)
        comm.Bcast(array, 1)
        return array.tolist()

    assert threads(2, work) == [[1, 1], [1, 1]]


def test_ranks_get_copies_of_what_the_others_gave():
    def work(comm):
        mine = [comm.rank]
        everyone = comm.allgather(mine)
        mine.append("later")
        return everyone

    assert threads(2, work) == [[[0], [1]]] * 2


def test_who_waits_for_a_rank_that_has_ended_is_told():
    def work(comm):
        if comm.rank == 1:
            raise ValueError("the fault of rank 1")
        with pytest.raises(RankError, match="has ended"):
            comm.allgather(None)

    with pytest.raises(ValueError, match="the fault of rank 1"):
        threads(2, work)


def test_nobody_waits_longer_than_told():
    def work(comm):
        if comm.rank == 0:
            comm.allgather(None)

    with pytest.raises(RankError, match="did not come in time"):
        threads(2, work, timeout=0.05)


@needs.pthread_kill
def test_ctrl_c_ends_the_ranks_where_they_next_meet():
    ended, begun = threading.Semaphore(0), threading.Event()

    def work(comm):
        try:
            while True:
                comm.allgather(None)
                begun.set()
        except RankError:
            ended.release()
            raise

    def interrupt():
        begun.wait(20)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            threads(2, work)
    finally:
        signal.signal(signal.SIGINT, before)
    # Not by join(): interrupted, it may take a thread that runs for one that has ended.
    assert all(ended.acquire(timeout=20) for _ in range(2))


def test_there_is_at_least_one_rank():
    with pytest.raises(SettingError, match="threads: size is a positive integer"):
        threads(0, print)
