"""Where the machine code of loops is kept: whole and the user's own, or not at all, and never in the way."""

import errno
import hashlib
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

import tinygrad_nn as tn

pytest.importorskip("numba")
from numba.core.codegen import JITCPUCodegen

from tests.support import needs
from tinygrad_nn.compiler.loops import backend, machine_code

TEXT = f"{backend.HEADER}def segment(v0):\n    for i in range(v0.size):\n        v0[i] = v0[i] * 7\n"


@pytest.fixture
def cold(monkeypatch, tmp_path):
    """Start without functions in memory, with a cache folder of the test's own."""
    machine_code._clear.cache_clear()
    monkeypatch.setattr(backend, "_FUNCTIONS", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = set(sys.modules)
    yield tmp_path / "cache" / "tinygrad_nn" / "machine_code"
    for name in set(sys.modules) - before:
        if name.startswith("loops_"):
            del sys.modules[name]


def found(text=TEXT):
    """Run loops as a new process does; return whether their machine code was found on disk."""
    backend._FUNCTIONS.clear()
    function, x = backend.function_of(text), np.arange(3.0)
    function(x)
    assert x.tolist() == [0, 7, 14]
    return bool(function.stats.cache_hits)


def test_machine_code_is_kept_once_and_found_again(cold):
    assert not found()
    (entry,) = cold.iterdir()
    kept = entry.stat().st_mtime_ns
    assert found()
    assert found()
    assert [path.stat().st_mtime_ns for path in cold.iterdir()] == [kept]


def test_machine_code_is_found_whatever_the_order_of_sets_is_in_a_process(cold):
    program = (
        "import numpy as np; from tinygrad_nn.compiler.loops import backend; "
        f"f = backend.function_of({TEXT!r}); f(np.ones(3)); print(len(f.stats.cache_hits))"
    )
    hits = []
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        child = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True
        )
        hits.append(child.stdout.strip())
    assert hits == ["0", "1"]


def test_machine_code_of_other_mathematics_is_not_taken_for_this(cold, monkeypatch):
    found()
    monkeypatch.setattr(machine_code, "_digest_of_code", lambda: "another version")
    assert not found()
    assert len(list(cold.iterdir())) == 2


OTHERS = {
    "Numba": lambda patch: patch.setattr(machine_code.numba, "__version__", "0.0"),
    "LLVM": lambda patch: patch.setattr(machine_code.llvmlite, "__version__", "0.0"),
    "Python": lambda patch: patch.setattr(sys.implementation, "cache_tag", "cpython-00"),
    "a processor without AVX-512": lambda patch: patch.setattr(
        JITCPUCodegen, "magic_tuple", lambda self: ("x86_64-unknown-linux-gnu", "haswell", "-avx512f,+avx2")
    ),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_machine_code_of_another_version_or_processor_is_not_run_and_stays_for_its_own(cold, other):
    with pytest.MonkeyPatch.context() as patch:
        other(patch)
        assert not found()
        (entry,) = cold.iterdir()
        # Whoever took this for his own would end here.
        code = pickle.dumps(Hostile())
        entry.write_bytes(hashlib.sha256(code).digest() + code)
    assert not found()
    assert found()
    assert len(list(cold.iterdir())) == 2


def test_the_features_of_this_processor_are_part_of_what_names_it():
    _, name, features = machine_code.cpu_target.target_context.codegen().magic_tuple()
    assert name
    assert features.count(",") > 10 or not features


def test_processes_that_compile_at_once_leave_whole_entries(cold):
    program = (
        "import sys, numpy as np; from tinygrad_nn.compiler.loops import backend; print(flush=True); input()\n"
        f"x = np.arange(3.0); backend.function_of({TEXT!r})(x); print(x.tolist())"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([sys.executable, "-c", program], **pipes) for _ in range(2)]
    for child in children:
        child.stdout.readline()
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert [child.communicate()[0].strip() for child in children] == ["[0.0, 7.0, 14.0]"] * 2
    (entry,) = cold.iterdir()
    assert entry.suffix == ".code"
    assert found()


def age(path, days):
    then = time.time() - days * 24 * 3600
    os.utime(path, (then, then))


def test_what_nobody_has_used_for_a_month_is_removed_when_something_is_written(cold):
    found()
    (used,) = cold.iterdir()
    former = [used.with_name("former.code"), used.with_name(".former.code.0a.partial")]
    for path in former:
        path.write_bytes(b"former")
        age(path, 31)
    age(used, 29)
    assert found()
    assert time.time() - used.stat().st_mtime < 60
    machine_code._clear.cache_clear()
    found(TEXT.replace("* 7", "* 7.0"))
    assert [path.exists() for path in (used, *former)] == [True, False, False]
    assert len(list(cold.iterdir())) == 2


def test_of_too_much_the_oldest_goes(cold, monkeypatch):
    found()
    (old,) = cold.iterdir()
    age(old, 1)
    monkeypatch.setattr(machine_code, "_KEPT_BYTES", old.stat().st_size * 1.5)
    machine_code._clear.cache_clear()
    found(TEXT.replace("* 7", "* 7.0"))
    (new,) = cold.iterdir()
    assert new != old


class Hostile:
    def __reduce__(self):
        return os.abort, ()


DAMAGE = {
    "emptied": lambda kept: b"",
    "cut": lambda kept: kept[:-1],
    "cut within the digest": lambda kept: kept[:20],
    "one bit": lambda kept: kept[:500] + bytes([kept[500] ^ 1]) + kept[501:],
    "grown": lambda kept: kept + b"\0",
    "another file": lambda kept: b"\xff" * len(kept),
    "hostile": lambda kept: kept[:32] + pickle.dumps(Hostile()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_entry_is_compiled_anew_and_replaced(cold, damage):
    found()
    (entry,) = cold.iterdir()
    kept = entry.read_bytes()
    entry.write_bytes(damage(kept))
    assert not found()
    assert list(cold.iterdir()) == [entry]
    assert found()


def test_a_folder_in_place_of_an_entry_is_left_alone(cold):
    found()
    (entry,) = cold.iterdir()
    entry.unlink()
    entry.mkdir()
    assert not found()
    assert entry.is_dir()


@pytest.mark.parametrize(
    "fault", [PermissionError(errno.EACCES, "no"), OSError(errno.ENOSPC, "full")], ids=["no right", "full"]
)
def test_what_cannot_be_written_is_compiled_all_the_same(cold, monkeypatch, fault):
    def fail(*_):
        raise fault

    monkeypatch.setattr(machine_code, "write_atomically", fail)
    assert not found()
    assert not list(cold.iterdir())


def test_without_a_folder_nothing_is_kept(cold, monkeypatch):
    monkeypatch.setattr(machine_code, "private_cache_folder", lambda name: None)
    assert not found()
    assert not found()
    assert not cold.exists()
    step = tn.compile(lambda x: (np.tanh(x) * 2 + 1).sum(), "numba")
    assert step(np.zeros(5)).item() == 5


@needs.owners
def test_code_in_a_folder_that_others_can_write_to_is_neither_run_nor_kept(cold):
    found()
    (entry,) = cold.iterdir()
    code = pickle.dumps(Hostile())
    entry.write_bytes(hashlib.sha256(code).digest() + code)
    cold.chmod(0o777)
    before = entry.read_bytes()
    with pytest.warns(tn.UsageWarning, match=r"other users can write to .*machine_code"):
        assert not found()
    assert not found()
    assert entry.read_bytes() == before


def test_a_function_with_addresses_of_this_process_is_not_kept(cold):
    large = np.arange(2e6)
    text = TEXT.replace("* 7", "* 7 + table[0]").replace("@outer", "table = np.arange(2e6)\n\n@outer")
    assert large.nbytes > 10**6
    assert not found(text.replace("import math", "import math\nimport numpy as np"))
    assert not list(cold.iterdir())


REFUSES = """
import numpy as np, tinygrad_nn as tn
step = tn.compile(lambda x: np.tanh(x).sum())
print(step(np.zeros(3)).item())
try:
    tn.compile(lambda x: x, "numba")
except ImportError as error:
    print(error.__cause__)
"""


def test_where_numba_cannot_be_loaded_numpy_replays(tmp_path):
    (tmp_path / "cffi.py").write_text(
        "class FFI:\n    def __init__(self):\n        raise Exception('another version')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", REFUSES], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines() == ["0.0", "Numba is installed, but cannot be loaded: another version"], (
        done.stderr
    )
