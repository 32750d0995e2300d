"""Random trainings, eager and compiled side by side, with the same changes of everything between their steps."""

import threading

import numpy as np

from tests.support.fuzz.cases import chance, pick
from tests.support.fuzz.trainings import CHANGES, Training

STEPS = 10
FEW = 8
"""So many different trainings with Numba, whose machine code is kept from one to the next."""
STORIES = 32
"""So many courses that each of them may take; the batches are other ones in every case."""


def case(rng, backend="numpy"):
    """Run one training twice; return how many there were."""
    seed = [int(rng.integers(FEW))] if backend == "numba" else [int(rng.integers(2**31)), 1]
    eager = Training(np.random.default_rng(seed))
    compiled = Training(np.random.default_rng(seed)).compiled(backend)
    course = np.random.default_rng([*seed, int(rng.integers(STORIES))]) if backend == "numba" else rng
    other = _Other(int(rng.integers(2**31))) if chance(rng, 0.05) else None
    story = [
        f"{backend}, seed {seed}, {eager.dtype.__name__}, {eager.kind}, clip {eager.clip}",
        repr(eager.model),
    ]
    tolerance = 1e-9 if eager.dtype is np.float64 else 1e-4
    if backend == "numba":
        tolerance *= 10
    if other:
        other.start()
    for k in range(STEPS):
        for _ in range(course.integers(0, 3)):
            name, change_seed = pick(course, CHANGES), int(course.integers(2**31))
            story.append(name)
            for training in (eager, compiled):
                CHANGES[name](training, np.random.default_rng(change_seed))
        _compare("after changes", eager.state(), compiled.state(), tolerance, story)
        name = pick(course, ("train", "train", "train", "go_on", "accumulate", "update", "evaluate"))
        x, y = eager.batch(rng, pick(course, (4, 6)))
        story.append(f"step {k}: {name}")
        args = {"update": (), "evaluate": (x,)}.get(name, (x, y))
        expected, got = getattr(eager, name)(*args), getattr(compiled, name)(*args)
        if name != "update":
            _compare("result", {"": expected.data}, {"": got.data}, tolerance, story)
        _compare("state", eager.state(), compiled.state(), tolerance, story)
        tolerance *= 1.5
    if other:
        other.check()
    return {f"trainings with {backend}": 1, **({"with another beside": 1} if other else {})}


def _compare(what, expected, got, tolerance, story):
    text = "\n".join(story)
    assert list(expected) == list(got), text
    for name, e in expected.items():
        g = got[name]
        assert (e is None) == (g is None), f"{what}: {name} is {g}, expected {e}\n{text}"
        if e is None:
            continue
        assert e.dtype == g.dtype, f"{what}: {name} has dtype {g.dtype}, expected {e.dtype}\n{text}"
        if not np.isfinite(e).all():
            continue
        size = np.abs(e).max(initial=1)
        assert np.allclose(g, e, rtol=0, atol=tolerance * size), (
            f"{what}: {name} is {g}, expected {e}\n{text}"
        )


class _Other(threading.Thread):
    """Trains another model, eagerly or compiled, which nothing else may disturb."""

    def __init__(self, seed):
        super().__init__(daemon=True)
        self._seed = seed
        self._alone = self._trained()
        self._beside = None

    def _trained(self):
        rng = np.random.default_rng(self._seed)
        training = Training(rng)
        if chance(rng, 0.5):
            training.compiled("numpy")
        with np.errstate(all="ignore"):
            results = [training.train(*training.batch(rng, 4)).item() for _ in range(30)]
        return results, training.state()

    def run(self):
        self._beside = self._trained()

    def check(self):
        self.join(120)
        assert self._beside is not None, "the other thread has not come to its end"
        (results, state), (results_beside, state_beside) = self._alone, self._beside
        assert np.array_equal(results, results_beside, equal_nan=True), (results, results_beside)
        for name, x in state.items():
            y = state_beside[name]
            assert x is y is None or np.array_equal(x, y, equal_nan=True), f"{name}: {y}, alone {x}"
