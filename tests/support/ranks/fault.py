"""A training on two ranks, one of which does something wrong: `fault.py KIND EVENT PLACE CHECKPOINT`."""

import os
import signal
import sys
import time

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim


def fault(kind):
    """Do something wrong."""
    if kind == "exception":
        raise ValueError("the fault of one rank")
    if kind == "exit":
        sys.exit(3)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    if kind == "late":
        time.sleep(0.3)


class At(tn.train.Callback):
    """Has the second rank do it after some step, or some epoch."""

    def __init__(self, kind, event, place):
        self.kind, self.event, self.left = kind, event, int(place)

    def _count(self, run):
        self.left -= 1
        if not self.left and run.rank == 1:
            fault(self.kind)

    def on_step(self, run):
        if self.event == "step":
            self._count(run)

    def on_epoch(self, run):
        if self.event == "epoch":
            self._count(run)


def main(kind, event, place, path):
    comm = tn.parallel.world()
    # A shell starts its background jobs with SIGINT ignored, and Python keeps it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    x, y = tn.data.moons(203)
    # The last batch has one row, so that one rank has none.
    batches = tn.data.batches(x, y, size=101, rng=1)
    if kind == "nan":
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
        callbacks=[At(kind, event, place), tn.train.Checkpoint(path, every=2)],
        progress=False,
        comm=comm,
    )
    if event == "after" and comm.rank == 1:
        fault(kind)
    comm.allgather(None)
    # In one write, or the lines of ranks mix.
    os.write(1, f"{history.stopped}, {len(history)} epochs\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
