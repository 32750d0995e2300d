"""Ranks that are processes of MPI: the same results as in one process, and no rank that waits for ever."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.support import mpi, needs
from tests.support.fuzz import ranks
from tests.support.mpi import ROOT

pytestmark = needs.mpi
SAME = ROOT / "tests/support/ranks/same.py"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What trainings in one process end with."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run(
        [sys.executable, SAME, folder, "alone"], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    return dict(np.load(folder / "alone.npz"))


def test_ranks_end_where_one_process_does_and_in_the_same_bits(tmp_path, alone):
    done = mpi.run(2, SAME, tmp_path)
    assert done.code == 0, done.err
    first, second = [dict(np.load(tmp_path / f"{rank}.npz")) for rank in range(2)]
    assert all(first[name].tobytes() == second[name].tobytes() for name in alone)
    for name, expected in alone.items():
        tolerance = 1e-6 if "float32" in name else 1e-9 if "cnn" in name else 1e-11
        np.testing.assert_allclose(first[name], expected, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("kind", ranks.KINDS)
@pytest.mark.parametrize(("event", "place"), [("step", 5), ("epoch", 2)])
def test_a_fault_of_one_rank_ends_all_as_it_should(kind, event, place):
    ranks.check(kind, event, place)


def test_an_error_after_training_ends_the_ranks_that_wait(tmp_path):
    done = mpi.run(2, ranks.PROGRAM, "exception", "after", 1, tmp_path / "run.safetensors")
    assert done.code != 0
    assert "ValueError: the fault of one rank\nrank 1 of 2 ends all ranks" in done.err


def test_an_error_before_training_ends_the_ranks_that_wait(tmp_path):
    program = tmp_path / "early.py"
    program.write_text(
        "import tinygrad_nn as tn\ncomm = tn.parallel.world()\nif comm.rank: raise OSError('no data')\ncomm.Barrier()\n"
    )
    done = mpi.run(2, program)
    assert done.code != 0
    assert "OSError: no data\nrank 1 of 2 ends all ranks" in done.err


def test_ctrl_c_in_the_terminal_ends_all_with_their_history(tmp_path):
    program = tmp_path / "long.py"
    program.write_text(
        "import os, signal\n"
        "import tinygrad_nn as tn\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "model = tn.nn.Dense(2, 2, rng=0)\n"
        "begun = lambda run: run.epoch == 5 and os.write(1, b'begun\\n')\n"
        "batches = tn.data.batches(*tn.data.moons(100), size=10, rng=0)\n"
        "optimizer = tn.optim.SGD(model.parameters(), lr=0.1)\n"
        "fit, loss = tn.train.fit, tn.nn.losses.cross_entropy\n"
        "history = fit(model, loss, optimizer, batches, epochs=10**6, callbacks=[begun], progress=False,\n"
        "              comm=tn.parallel.world())\n"
        "os.write(1, f'{history.stopped}\\n'.encode())\n"
    )
    started = mpi.start(2, program)
    assert started.stdout.readline() == "begun\n"
    started.send_signal(signal.SIGINT)
    done = mpi.finish(started)
    lines = [line for line in done.out.splitlines() if line.startswith("interrupted")]
    assert done.code == 0, done
    assert len(lines) == 2
    assert len(set(lines)) == 1


def test_without_mpiexec_there_is_one_rank():
    code = "import tinygrad_nn as tn; comm = tn.parallel.world(); print(comm.rank, comm.size)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "0 1\n", done.stderr
