"""Faults of one of two ranks of MPI at a random place: nobody hangs, all is said, and the checkpoint can be loaded."""

import tempfile
from pathlib import Path

import tinygrad_nn as tn
from tests.support import mpi
from tests.support.fuzz.cases import pick
from tinygrad_nn import nn

PROGRAM = Path(__file__).parents[1] / "ranks" / "fault.py"
STEPS, EPOCHS = 12, 4
ENDS = {"exception": 1, "exit": 3, "kill": 9, "nan": 1}
"""How a program with a fault of these kinds ends; with others it ends well."""
KINDS = (*ENDS, "interrupt", "late")


def case(rng):
    """Run a training with some fault."""
    kind, event = pick(rng, KINDS), pick(rng, ("step", "epoch"))
    place = int(rng.integers(1, 1 + (STEPS if event == "step" else EPOCHS)))
    check(kind, event, place)
    return {kind: 1}


def check(kind, event, place):
    """Run a training with a fault of one rank; raise where it ends otherwise than it should."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        done = mpi.run(2, PROGRAM, kind, event, place, path)
        what = f"{kind} at {event} {place}: {done}"
        assert done.code == ENDS.get(kind, 0), what
        if kind in ("exception", "exit"):
            said = "ValueError: the fault of one rank" if kind == "exception" else "SystemExit: 3"
            # By the other rank too.
            assert "RankError: rank 1 of 2: Traceback" in done.err, what
            assert said in done.err, what
        if kind == "nan":
            assert done.err.count("NonFinite: ") == 2, what
            assert "the loss is nan in epoch 1" in done.err, what
        if kind in ("interrupt", "late"):
            first, second = done.out.splitlines()
            assert first == second, what
            assert first.startswith("None, 4" if kind == "late" else "interrupted after batch"), what
        if path.exists():
            model = nn.Sequential(nn.Dense(2, 16), nn.Tanh(), nn.Dense(16, 2))
            tn.load(path, model=model)
