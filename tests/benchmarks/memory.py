"""What `tn.remat` saves, and what it costs: `python -m tests.benchmarks.memory`.

A deep network, forward and backward: peak memory as tracemalloc counts it (NumPy tells it of its arrays), beyond data
and parameters, and time as a ratio, alternating in one process.
"""

import argparse
import statistics
import time
import tracemalloc

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn

DEPTH, WIDTH, BATCH = 64, 64, 4096


def deep(parts):
    """Return the network as so many parts of equally many layers."""
    layers = [nn.Sequential(nn.Dense(WIDTH, WIDTH, rng=k), nn.Tanh()) for k in range(DEPTH)]
    size = DEPTH // parts
    return [nn.Sequential(*layers[k : k + size]) for k in range(0, DEPTH, size)]


def step(parts, x, wrapped):
    """Compute all gradients, and forget them."""
    for part in parts:
        x = wrapped(part)(x)
    (x * x).mean().backward()
    for part in parts:
        part.zero_grad()


def peak(parts, x, wrapped):
    """Return the most megabytes that a step has at one time."""
    tracemalloc.start()
    step(parts, x, wrapped)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1e6


def seconds(parts, x, wrapped):
    start = time.process_time()
    step(parts, x, wrapped)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    x = np.random.default_rng(0).normal(size=(BATCH, WIDTH)).astype(np.float32)
    print(f"{DEPTH} layers of {WIDTH}, batch {BATCH}, float32\n")
    print("| parts | MB, saving | MB, remat | memory | time |\n|---|---|---|---|---|")
    for count in (2, 4, 8, 16, 32):
        parts = deep(count)
        ways = (lambda part: part, tn.remat)
        saving, again = (peak(parts, x, way) for way in ways)
        times = [[seconds(parts, x, way) for way in ways] for _ in range(rounds)]
        ratio = statistics.median(b / a for a, b in times)
        print(f"| {count} | {saving:.1f} | {again:.1f} | {again / saving:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
