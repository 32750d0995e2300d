"""The model of what ranks cost, and the command that prints it."""

import numpy as np
import pytest

from tests.support import mpi, needs
from tinygrad_nn.errors import SettingError
from tinygrad_nn.parallel import cost, threads
from tinygrad_nn.parallel.__main__ import main
from tinygrad_nn.parallel.cost import Network, expected, measured


def test_one_rank_sends_nothing_and_many_send_twice_what_there_is():
    network = Network(latency=1e-6, bandwidth=1e9)
    assert network.seconds(1, 1e6) == 0
    assert network.seconds(2, 1e6) == pytest.approx(2e-6 + 1e-3)
    assert network.seconds(1024, 1e6) == pytest.approx(20e-6 + 2e-3, rel=1e-2)


def test_where_nothing_is_sent_ranks_are_as_many_times_as_fast():
    free = expected(Network(0.0, np.inf), 8, 1e6, 1e-3)
    assert (free.more, free.same) == (8, 8)
    slow = expected(Network(1.0, np.inf), 8, 1e6, 1e-3)
    assert slow.same < slow.more < 0.01


def test_a_network_is_measured_by_sums(monkeypatch):
    class Clock:
        """A clock of this rank, moved by what it sends: 2 us and 1 ns a byte."""

        now = 0.0

    def work(comm):
        plain = comm.Allreduce

        def send(mine, total):
            plain(mine, total)
            clocks[comm.rank].now += 2e-6 + mine.nbytes * 1e-9

        comm.Allreduce = send
        current.set(comm.rank)
        return measured(comm)

    from contextvars import ContextVar

    current = ContextVar("rank")
    clocks = [Clock(), Clock()]
    monkeypatch.setattr(cost, "LARGE", 80_000)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: clocks[current.get()].now)
    for network in threads(2, work, timeout=20):
        assert network.latency == pytest.approx(1e-6, rel=0.01)
        assert network.bandwidth == pytest.approx(1e9, rel=0.01)


def test_one_rank_alone_is_told_how_to_start_more():
    with pytest.raises(SettingError, match="mpiexec -n 2 python -m tinygrad_nn.parallel"):
        threads(1, measured)


def test_the_table_of_another_network_has_a_line_for_each_number_of_ranks(capsys):
    main(
        [
            "--latency",
            "30",
            "--bandwidth",
            "1.1",
            "--parameters",
            "204000",
            "--step",
            "3",
            "--ranks",
            "2",
            "64",
        ]
    )
    assert capsys.readouterr().out == (
        "latency 30.0 us, bandwidth 1.10 GB/s\n"
        "204,000 parameters are 0.8 MB, a step of one rank takes 3.00 ms\n"
        "\n"
        "                       times as fast as one rank\n"
        " ranks    sum of all  as many rows each  same batch\n"
        "     2       0.80 ms                1.6         1.3\n"
        "    64       1.82 ms               39.8         1.6\n"
    )


def test_half_a_network_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--latency", "30"])
    assert "--latency and --bandwidth go together" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", ["--ranks 0", "--step 0", "--parameters -3", "--latency 30 --bandwidth 0", "--bytes nan"]
)
def test_no_positive_number_is_refused_by_its_option(wrong, capsys):
    with pytest.raises(SystemExit):
        main(wrong.split())
    assert f"argument {wrong.split()[-2]}:" in capsys.readouterr().err


def test_the_command_of_one_rank_says_how_to_start_more(capsys, monkeypatch):
    monkeypatch.setattr("tinygrad_nn.parallel.__main__.world", lambda: threads(1, lambda comm: comm)[0])
    with pytest.raises(SystemExit):
        main([])
    assert "hint   mpiexec -n 2 python -m tinygrad_nn.parallel" in capsys.readouterr().err


@needs.mpi
def test_the_command_measures_between_ranks():
    done = mpi.run(2, "-m", "tinygrad_nn.parallel", "--ranks", "2", "1024")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("latency ")
    assert [line.split()[0] for line in lines[-2:]] == ["2", "1,024"]
