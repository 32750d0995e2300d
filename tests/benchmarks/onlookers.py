"""What a film and a doctor add to a training of MNIST: `python -m tests.benchmarks.onlookers`.

Time is that of the thread of the training, which other programs do not make longer.
"""

import statistics
import time

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.train import Doctor, Film, fit

EVENTS = ("on_start", "on_batch", "on_step", "on_epoch", "on_end")
SIZE = 100


def timed(onlooker):
    """Return an onlooker of this class that adds up how long it takes."""

    class Timed(onlooker):
        seconds = 0.0

    def taking(event):
        def told(self, run):
            start = time.thread_time()
            getattr(onlooker, event)(self, run)
            self.seconds += time.thread_time() - start

        return told

    for event in EVENTS:
        if hasattr(onlooker, event):
            setattr(Timed, event, taking(event))
    return Timed


def watched(onlooker, images, labels):
    """Return the seconds of one epoch of the network 784-128-10, without those of the onlooker."""
    model = nn.Sequential(nn.Dense(784, 128, rng=0), nn.ReLU(), nn.Dense(128, 10, rng=1))
    batches = tn.data.batches(images, labels, size=SIZE, rng=0)
    start = time.thread_time()
    adam = optim.Adam(model.parameters(), lr=0.001)
    fit(model, nn.losses.cross_entropy, adam, batches, callbacks=[onlooker], progress=False)
    return time.thread_time() - start - onlooker.seconds


def page(film):
    """Return how many megabytes the page of a film has, and the seconds that it takes."""
    start = time.thread_time()
    text = film.html()
    return len(text.encode()) / 1e6, time.thread_time() - start


def main():
    images, labels, *_ = tn.data.mnist()
    steps = len(images) // SIZE
    filmed, looked_after, pages = [], [], []
    for _ in range(5):
        film, doctor = timed(Film)(every=6), timed(Doctor)()
        epoch, other = watched(film, images, labels), watched(doctor, images, labels)
        filmed.append((film.seconds / len(film.recording.frames), film.seconds / epoch, epoch / steps))
        looked_after.append((doctor.seconds, doctor.seconds / other))
        pages.append(page(film))
    frame, share, step = map(statistics.median, zip(*filmed, strict=True))
    print(f"a step {1e3 * step:.1f} ms, a frame {1e3 * frame:.1f} ms, 101 frames {share:.0%} of an epoch")
    print(f"the page {pages[0][0]:.1f} MB in {statistics.median(seconds for _, seconds in pages):.1f} s")
    seconds, share = map(statistics.median, zip(*looked_after, strict=True))
    print(f"the doctor {1e3 * seconds:.0f} ms, {share:.0%} of an epoch of {steps} steps")

    x, y = tn.data.moons(200)
    model = nn.Sequential(nn.Dense(2, 16, rng=0), nn.Tanh(), nn.Dense(16, 2, rng=1))
    moons = Film(every=1)
    adam = optim.Adam(model.parameters(), lr=0.03)
    batches = tn.data.batches(x.astype(np.float32), y, size=20, rng=0)
    fit(model, nn.losses.cross_entropy, adam, batches, epochs=10, callbacks=[moons], progress=False)
    print(f"the page of 101 frames of two moons {page(moons)[0]:.1f} MB")


if __name__ == "__main__":
    main()
