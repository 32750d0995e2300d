"""Threads that compile beside threads that train eagerly: each comes to what it comes to alone."""

import threading

import numpy as np

import tinygrad_nn as tn
from tests.support.fuzz.trainings import Training

EACH = 4
STEPS = 12


def case(rng):
    """Run eight threads at once, and the same work before, one after the other; return how many runs there were."""
    seeds = rng.integers(2**31, size=2 * EACH)
    factor = tn.tensor(rng.normal(size=3), requires_grad=True)

    def shared_step(x):
        # gradients() leaves nothing in `.grad`, where threads would meet.
        loss = (np.tanh(x * factor) ** 2).sum()
        return loss, tn.gradients(loss, [factor])[0]

    def work(k, shared):
        rng = np.random.default_rng(seeds[k])
        training = Training(rng)
        if k < EACH:
            training.compiled("numpy")
        results = []
        for step in range(STEPS):
            rows = 4 + step % 2
            results.append(training.train(*training.batch(rng, rows)).data)
            if k < EACH:
                results += [part.data for part in shared(rng.normal(size=(rows, 3)))]
            else:
                with tn.no_grad():
                    results.append(training.evaluate(training.batch(rng, rows)[0]).data)
        return results, training.state()

    alone = [work(k, tn.compile(shared_step, "numpy")) for k in range(2 * EACH)]
    beside = {}
    shared, gate = tn.compile(shared_step, "numpy"), threading.Barrier(2 * EACH)

    def run(k):
        gate.wait(60)
        try:
            beside[k] = work(k, shared)
        except Exception as error:
            beside[k] = error

    workers = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(2 * EACH)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    for k, (results, state) in enumerate(alone):
        assert k in beside, f"thread {k} has not come to its end"
        if isinstance(beside[k], Exception):
            raise beside[k]
        results_beside, state_beside = beside[k]
        who = f"thread {k}, {'compiled' if k < EACH else 'eager'}"
        for j, (x, y) in enumerate(zip(results, results_beside, strict=True)):
            assert np.array_equal(x, y, equal_nan=True), f"{who}: result {j} is {y}, alone {x}"
        for name, x in state.items():
            y = state_beside[name]
            assert x is y is None or np.array_equal(x, y, equal_nan=True), f"{who}: {name} is {y}, alone {x}"
    assert factor.grad is None
    return {"runs": 1}
