"""A training on two ranks, one of which does something wrong: `fault.py KIND EVENT PLACE CHECKPOINT`."""

import os
import signal
import sys
import time

import numpy as np
from mpi4py import MPI

import tinygrad_nn as tn
from tinygrad_nn import nn, optim

KIND, EVENT, PLACE, PATH = sys.argv[1:]


def fault():
    """Do it, once, on the second rank."""
    if KIND == "exception":
        raise ValueError("the fault of one rank")
    if KIND == "exit":
        sys.exit(3)
    if KIND == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if KIND == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    if KIND == "late":
        time.sleep(0.3)


class At(tn.train.Callback):
    """Does it in some epoch, or after some step."""

    def __init__(self):
        self.left = int(PLACE)

    def _count(self, run):
        self.left -= 1
        if not self.left and run.rank == 1:
            fault()

    def on_step(self, run):
        if EVENT == "step":
            self._count(run)

    def on_epoch(self, run):
        if EVENT == "epoch":
            self._count(run)


def main():
    # A shell starts its background jobs with SIGINT ignored, and Python keeps it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    x, y = tn.data.moons(203)
    # The last batch has one row, so that one rank has none.
    batches = tn.data.batches(x, y, size=101, rng=1)
    if KIND == "nan":
        x[5] = np.nan
    model = nn.Sequential(nn.Dense(2, 16, rng=0), nn.Tanh(), nn.Dense(16, 2, rng=1))
    history = tn.train.fit(
        model,
        nn.losses.cross_entropy,
        optim.Adam(model.parameters(), lr=0.01),
        batches,
        epochs=4,
        validation=(x[100:], y[100:]),
        metrics=["accuracy"],
        callbacks=[At(), tn.train.Checkpoint(PATH, every=2)],
        progress=False,
        comm=MPI.COMM_WORLD,
    )
    if EVENT == "after" and MPI.COMM_WORLD.rank == 1:
        fault()
    MPI.COMM_WORLD.Barrier()
    # In one write, or the lines of ranks mix.
    os.write(1, f"{history.stopped}, {len(history)} epochs\n".encode())


main()
