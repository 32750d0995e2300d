"""Where the machine code of loops is kept: on disk, for this version, and elsewhere where that cannot be."""

import sys

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import network
from tests.support.steps import problem, training_step

pytest.importorskip("numba")
from tinygrad_nn.compiler import numba_backend, numba_math
from tinygrad_nn.files import cache_folder

TEXT = f"{numba_backend.HEADER}def segment(v0):\n    for i in range(v0.size):\n        v0[i] = v0[i] * 7\n"


@pytest.fixture
def cold(monkeypatch, tmp_path):
    """Start without functions in memory, with a cache folder of the test's own."""
    monkeypatch.setattr(numba_backend, "_FUNCTIONS", {})
    numba_backend._temporary_folder.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = set(sys.modules)
    yield tmp_path / "cache" / "tinygrad_nn" / "loops"
    for name in set(sys.modules) - before:
        if name.startswith("loops_"):
            del sys.modules[name]
    numba_backend._temporary_folder.cache_clear()


def times_seven():
    x = np.arange(3.0)
    numba_backend.function_of(TEXT)(x)
    return x.tolist()


def test_loops_are_written_once_and_found_again(cold, monkeypatch):
    assert times_seven() == [0, 7, 14]
    (text,) = cold.glob("loops_*.py")
    assert text.read_text() == TEXT
    assert list(cold.glob("**/*.nbi")), "Numba keeps its machine code beside the text"
    assert not list(cold.glob("*.partial"))
    kept = text.stat().st_mtime_ns
    assert times_seven() == [0, 7, 14]
    monkeypatch.setattr(numba_backend, "_FUNCTIONS", {})  # as in a new process
    assert times_seven() == [0, 7, 14]
    assert text.stat().st_mtime_ns == kept


def test_loops_of_another_version_are_not_taken_for_these(cold, monkeypatch, tmp_path):
    times_seven()
    other = tmp_path / "numba_math.py"
    other.write_text("# another version")
    monkeypatch.setattr(numba_backend, "_FUNCTIONS", {})
    monkeypatch.setattr(numba_math, "__file__", str(other))
    times_seven()
    assert len(list(cold.glob("loops_*.py"))) == 2


@pytest.mark.parametrize("obstacle", ["a file in the way", "no right to write", "no home directory"])
def test_where_nothing_can_be_kept_loops_live_in_a_temporary_folder(cold, monkeypatch, tmp_path, obstacle):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if obstacle == "a file in the way":
        cold.parents[1].write_text("not a folder")
    elif obstacle == "no home directory":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr("os.path.expanduser", lambda path: path)
        with pytest.raises(RuntimeError, match="home directory"):
            cache_folder()
    else:
        monkeypatch.setattr(numba_backend.os, "access", lambda *_: False)
    assert times_seven() == [0, 7, 14]
    assert len(list(tmp_path.glob("tinygrad_nn_*/loops_*.py"))) == 1
    assert not cold.is_dir() or not list(cold.iterdir())
    assert numba_backend._folder() == numba_backend._folder()


def test_without_a_cache_variable_the_folder_is_in_the_home(cold, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert numba_backend._folder() == tmp_path / ".cache" / "tinygrad_nn" / "loops"


@pytest.mark.parametrize(
    "make",
    [
        lambda ps: tn.optim.SGD(ps, lr=0.1),
        lambda ps: tn.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
        lambda ps: tn.optim.Adam(ps),
        lambda ps: tn.optim.AdamW(ps),
    ],
    ids=["SGD", "momentum", "Adam", "AdamW"],
)
def test_a_step_of_a_small_network_is_one_call_of_loops(make):
    model = network()
    step = tn.compile(training_step(model, make(model.parameters())), "numba")
    step(*problem())
    (program,) = step.programs
    assert [line.split("(")[0].strip() for line in program.text.splitlines()[1:]] == [
        *("check_labels", "prepare", "loops", "return"),
    ]


def test_what_loops_compute_on_the_way_needs_no_memory():
    x = np.ones((50, 40))
    chain = tn.compile(lambda x: np.tanh(x * 2 + 1) * (x - 3) + np.exp(-x), "numba")
    np.testing.assert_allclose(chain(x).data, np.tanh(3) * -2 + np.exp(-1))
    assert x.nbytes <= chain.programs[0].nbytes < 1.5 * x.nbytes


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: np.where(x > y, x * 2, y),
        lambda x, y: np.where(x >= y, 1.0, x),
        lambda x, y: np.where(np.logical_or(x < y, x != 1.0), x, y + 1),
        lambda x, y: np.where(np.logical_and(x == y, x <= 1.0), x, y + 1),
        lambda x, y: np.maximum(x, 0) / np.sqrt(np.abs(y)) - np.minimum(x, y),
    ],
)
def test_what_is_computed_element_by_element_is_in_loops(f):
    x, y = np.random.default_rng(0).normal(size=(2, 40, 30))
    compiled = tn.compile(f, "numba")
    np.testing.assert_allclose(compiled(x, y).data, f(tn.tensor(x), tn.tensor(y)).data, rtol=1e-12)
    calls = [line.split("(")[0].strip() for line in compiled.programs[0].text.splitlines()[1:-1]]
    assert [call for call in calls if not call.startswith("loops")] == []
    assert calls
