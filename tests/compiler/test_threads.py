"""How many threads a replay may use, and how many NumPy's BLAS has meanwhile."""

import os
import pickle

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.interrupts import interrupted_everywhere
from tinygrad_nn import errors
from tinygrad_nn.compiler import threads


def double(x):
    return x @ x


@pytest.fixture
def libraries(monkeypatch):
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8), raising=False)
    return monkeypatch


class Library:
    """Stands for a BLAS that has four threads."""

    def __init__(self):
        self.count = 4
        self.blas = threads.Blas(lambda: self.count, lambda n: setattr(self, "count", n))


def test_there_are_as_many_threads_as_cores_that_the_process_may_use(libraries):
    assert threads.available() == 8


@pytest.mark.parametrize(
    ("said", "expected"), [("3", 3), ("5,2", 5), ("20", 8), ("0", 8), ("many", 8), ("", 8)]
)
def test_the_environment_says_that_there_are_fewer(libraries, said, expected):
    libraries.setenv("OMP_NUM_THREADS", said)
    assert threads.available() == expected


@pytest.mark.parametrize("wrong", [0, -1, 1.0, True, "2"])
def test_a_wrong_number_of_threads_is_refused(wrong):
    with pytest.raises(errors.SettingError, match="positive integer.*\n  hint   "):
        tn.compile(double, threads=wrong)


def test_the_number_of_threads_travels_along_and_is_shown():
    step = pickle.loads(pickle.dumps(tn.compile(double, threads=np.int64(3))))
    assert repr(step) == "<compiled double, backend auto, threads 3, 0 captured>"
    assert "threads" not in repr(tn.compile(double))


def test_blas_is_held_and_let_go():
    library = Library()
    with library.blas.held(1):
        assert library.count == 1
        with library.blas.held(2):
            assert library.count == 1
        assert library.count == 1
    assert library.count == 4


def test_blas_is_held_until_the_last_one_lets_go():
    library = Library()
    first, second = library.blas.held(1), library.blas.held(1)
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert library.count == 1
    second.__exit__()
    assert library.count == 4


def test_blas_does_not_get_more_threads_than_it_had():
    library = Library()
    with library.blas.held(9):
        assert library.count == 4


def test_an_interrupt_leaves_blas_as_it_was():
    library = Library()

    def run():
        with library.blas.held(1):
            pass

    for where in interrupted_everywhere(run, {threads.__file__}):
        assert library.count == 4, where
        assert library.blas._holders == [], where


def test_blas_is_held_during_a_replay_only(monkeypatch, backend):
    library, seen = Library(), []
    for module in ("compiled", "works.products"):
        monkeypatch.setattr(f"tinygrad_nn.compiler.{module}.blas", lambda: library.blas)

    @tn.kernel(lambda g: g)
    def looked(x):
        seen.append(library.count)
        return x.copy()

    step = tn.compile(looked, backend, threads=2)
    for _ in range(3):
        step(np.ones(3))
    assert seen[-2:] == [2 if backend == "numpy" else 1] * 2
    assert library.count == 4


def test_blas_keeps_its_threads_in_a_replay_with_numpy_if_nothing_is_said(monkeypatch):
    library = Library()
    monkeypatch.setattr("tinygrad_nn.compiler.compiled.blas", lambda: library.blas)
    monkeypatch.setattr(library.blas, "held", None)
    np.testing.assert_array_equal(tn.compile(double, "numpy")(np.eye(2)).data, np.eye(2))
