"""Ranks meet, and learn of each other's failures at the next meeting."""

import sys

import numpy as np
import pytest

from tinygrad_nn.errors import ArgumentError, NonFinite, RankError
from tinygrad_nn.parallel import communicator, threads, world
from tinygrad_nn.parallel.team import Team


def outcomes(size, work):
    """Return, of each rank, what a function of its team returned or raised."""

    def rank(comm):
        try:
            with Team("test", comm) as team:
                return work(team)
        except BaseException as error:
            return error

    return threads(size, rank, timeout=10)


def test_each_gets_what_all_gave_and_what_the_first_has_made():
    work = lambda team: (team.allgather(team.rank * 10), team.first(lambda: f"by {team.rank}"))
    assert outcomes(3, work) == [([0, 10, 20], "by 0")] * 3


def test_a_failure_reaches_all_at_the_next_meeting_with_its_traceback():
    def work(team):
        if team.rank == 1:
            {}["missing"]
        team.allgather(None)

    first, second, third = outcomes(3, work)
    assert isinstance(second, KeyError)
    assert type(first) is type(third) is RankError
    assert str(first).startswith("rank 1 of 3: Traceback")
    assert '{}["missing"]' in str(first)
    assert communicator.is_told(first)
    assert communicator.is_told(second)


def test_a_failure_after_the_last_meeting_reaches_those_that_are_about_to_leave():
    def work(team):
        team.allgather(None)
        if team.rank == 0:
            sys.exit(3)

    first, second = outcomes(2, work)
    assert isinstance(first, SystemExit)
    assert "SystemExit: 3" in str(second)


@pytest.mark.parametrize(
    ("error", "kind"), [(NonFinite("the loss is nan"), NonFinite), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_what_is_not_finite_and_ctrl_c_are_the_same_for_all(error, kind):
    def work(team):
        if team.rank == 1:
            raise error
        team.allgather(None)

    first, second = outcomes(2, work)
    assert second is error
    assert type(first) is kind


def test_several_failures_are_told_together():
    def work(team):
        if team.rank:
            raise NonFinite("nan") if team.rank == 1 else ValueError("other")
        team.allgather(None)

    first, *_ = outcomes(3, work)
    assert type(first) is RankError
    assert "rank 1 of 3: nan\nrank 2 of 3: Traceback" in str(first)


def test_facts_that_differ_are_refused_by_all():
    errors = outcomes(2, lambda team: team.agree(epochs=3, metrics=["acc"] * team.rank))
    for error in errors:
        assert str(error).startswith("ranks differ in metrics: nothing on rank 0, acc on rank 1\n  hint")


def test_arrays_of_any_dtype_and_layout_become_those_of_the_first():
    def work(team):
        arrays = [
            np.full((2, 3), team.rank, dtype).T
            for dtype in (np.float16, np.float32, np.float64, np.int64, bool)
        ]
        arrays += [np.array(team.rank), np.zeros((0, 2))]
        team.broadcast(arrays)
        return [array.tolist() for array in arrays]

    first, second = outcomes(2, work)
    assert first == second
    assert first[0] == [[0.0] * 2] * 3


@pytest.mark.parametrize("comm", [True, 3, "world", threads])
def test_what_is_no_communicator_is_refused(comm):
    with pytest.raises(
        ArgumentError, match=r"(?s)fit: comm is a communicator.*hint   from mpi4py import MPI"
    ):
        Team("fit", comm)


class Aborting:
    """A communicator that writes down that it was told to end all."""

    rank, size = 0, 2
    Allreduce = Bcast = allgather = None

    def __init__(self):
        self.aborted = []

    def Abort(self, code):
        self.aborted.append(code)


@pytest.fixture
def hooked(monkeypatch):
    """A communicator that can end all, and the errors that the excepthook of before has seen."""
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: seen.append(error))
    comm = Aborting()
    Team("test", comm)
    return comm, seen


def test_an_error_that_ends_the_program_ends_all_ranks(hooked, capsys):
    comm, seen = hooked
    error = ValueError("outside of any meeting")
    sys.excepthook(ValueError, error, None)
    assert (comm.aborted, seen) == ([1], [error])
    assert capsys.readouterr().err == "rank 0 of 2 ends all ranks\n"


def test_an_error_that_all_know_of_ends_each_by_itself(hooked):
    comm, _ = hooked
    error = Team("test", comm).known(ValueError())
    sys.excepthook(ValueError, error, None)
    assert comm.aborted == []


def test_without_mpi_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"(?s)no MPI to run on: .*hint   pip install 'tinygrad_nn\[mpi\]'"):
        world()
