"""Race NetClassifier against MLPClassifier at equal settings: `python -m tests.benchmarks.estimators`.

One thread, processor time of a whole fit: fits take turns, and what counts is the median over the rounds of the ratio
within a round. Both run all epochs, in float32, with Adam.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

import tinygrad_nn as tn
from tests.benchmarks.race import machine, said
from tinygrad_nn.sklearn import NetClassifier

YARDSTICK = "MLPClassifier"


def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split((X / 16).astype(np.float32), y, random_state=0)


def mnist():
    X, y, X_test, y_test = tn.data.mnist()
    X, X_test = (x.reshape(len(x), -1).astype(np.float32) for x in (X, X_test))
    return X[:20_000], X_test, y[:20_000], y_test


TASKS = {
    "digits, 100 hidden, batch 64, 50 epochs": (
        digits,
        {"hidden_layer_sizes": (100,), "batch_size": 64, "max_iter": 50},
    ),
    "MNIST 20,000, 256 hidden, batch 128, 3 epochs": (
        mnist,
        {"hidden_layer_sizes": (256,), "batch_size": 128, "max_iter": 3},
    ),
}


def contestants(settings):
    epochs = settings["max_iter"]
    stop = tn.train.EarlyStopping("loss", patience=epochs)
    ours = {**settings, "callbacks": [stop]}
    return {
        YARDSTICK: lambda seed: MLPClassifier(
            **settings, alpha=0.0, tol=0.0, n_iter_no_change=epochs, random_state=seed
        ),
        "NetClassifier": lambda seed: NetClassifier(**ours, random_state=seed),
        "NetClassifier, compiled": lambda seed: NetClassifier(**ours, compile=True, random_state=seed),
    }


def main() -> None:
    """Run the race that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore", ConvergenceWarning)
    for task, (data, settings) in TASKS.items():
        X, X_test, y, y_test = data()
        named = contestants(settings)
        seconds = {name: [] for name in named}
        scores = {name: [] for name in named}
        with threadpool_limits(1):
            for make in named.values():
                make(0).fit(X, y)
            for seed in range(rounds):
                for name, make in named.items():
                    start = time.process_time()
                    model = make(seed).fit(X, y)
                    seconds[name].append(time.process_time() - start)
                    scores[name].append(model.score(X_test, y_test))
        print(task)
        for name, times in seconds.items():
            ratio = statistics.median(a / b for a, b in zip(times, seconds[YARDSTICK], strict=True))
            print(
                f"  {name:<24} {statistics.median(times):.3f} s, {min(times):.3f} at least, ratio {ratio:.2f}, "
                f"accuracy {min(scores[name]):.3f} to {max(scores[name]):.3f}"
            )
    print(said(machine() | {"clock": "cpu"}, rounds))


if __name__ == "__main__":
    main()
