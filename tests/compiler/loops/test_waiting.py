"""What a program says while it compiles: something to a person at a terminal who waits, nothing to anyone else."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("numba")
import numba
from numba.core import event

from tinygrad_nn.compiler.loops import machine_code, waiting


class Terminal(io.StringIO):
    def isatty(self):
        return True


OURS, THEIRS = machine_code.compiled()(lambda x: x), numba.njit(lambda x: x)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.delenv("TINYGRAD_NN_QUIET", raising=False)
    # pytest puts streams of its own in place of those of a fixture.
    monkeypatch.setattr(waiting, "sys", SimpleNamespace(stderr=Terminal()))
    return waiting.sys.stderr


@pytest.fixture
def compile_for(monkeypatch):
    """Return a function that compiles for some seconds, with a listener of its own that hears it."""
    now = [0.0]
    monkeypatch.setattr(waiting.time, "perf_counter", lambda: now[0])
    listener = waiting.Waiting(machine_code._is_kept, lambda: Path("folder"))

    def compile_for(*seconds, what=OURS):
        listener.on_start(event.Event("numba:compile", "START", {"dispatcher": what}))
        for inner in seconds[1:]:
            compile_for(inner, what=what)
        now[0] += seconds[0]
        listener.on_end(event.Event("numba:compile", "END", {"dispatcher": what}))

    return compile_for


def test_who_has_waited_for_a_second_is_told_once_what_for(terminal, compile_for):
    compile_for(0.5)
    compile_for(0.6)
    assert not terminal.getvalue()
    for _ in range(3):
        compile_for(0.1)
    (line,) = terminal.getvalue().splitlines()
    assert "compiling" in line
    assert "from folder" in line


def test_a_function_is_long_by_those_that_it_calls(terminal, compile_for):
    compile_for(0.1, 1.1, 0.1)
    assert terminal.getvalue().count("compiling") == 1


def test_what_others_compile_and_what_is_quick_is_not_spoken_of(terminal, compile_for):
    compile_for(5, 5, what=THEIRS)
    compile_for(0.4)
    compile_for(0.4)
    compile_for(0.1)
    assert not terminal.getvalue()


def test_it_can_be_turned_off(terminal, compile_for, monkeypatch):
    monkeypatch.setenv("TINYGRAD_NN_QUIET", "1")
    compile_for(2)
    compile_for(2)
    assert not terminal.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), None], ids=["a file", "no stream"])
def test_nothing_is_written_to_what_is_no_terminal(compile_for, monkeypatch, stream):
    monkeypatch.setattr(waiting, "sys", SimpleNamespace(stderr=stream))
    compile_for(2)
    compile_for(2)
    assert stream is None or not stream.getvalue()


def test_where_nothing_can_be_kept_it_says_so(terminal):
    waiting.Waiting(machine_code._is_kept, lambda: None)._say()
    assert "no folder can keep them" in terminal.getvalue()


def test_compiling_is_listened_to(terminal, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(machine_code.WAITING, "_said", False)
    monkeypatch.setattr(waiting, "_LONG", -1.0)
    machine_code.compiled()(lambda x: x)(1)
    assert terminal.getvalue().count("compiling loops") == 1
