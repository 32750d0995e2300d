"""Programs on ranks of MPI, each in processes of its own, with a watchdog."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 120
"""After so long a program hangs."""


def mpiexec():
    """Return what starts ranks: that of this environment before others."""
    beside = os.path.dirname(sys.executable)
    return shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")


@dataclass(frozen=True)
class Done:
    """How a program ended: its exit code, what it printed, what it complained of."""

    code: int
    out: str
    err: str


def start(size, *program, **environment):
    """Start a program of Python on so many ranks, in a process group of its own."""
    return subprocess.Popen(
        [mpiexec(), "-n", str(size), sys.executable, *map(str, program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"} | environment,
    )


def finish(started):
    """Wait for a program; one that hangs is ended, and the test with it."""
    try:
        out, err = started.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        out, err = started.communicate()
        raise AssertionError(f"ranks hang after {SECONDS} s\n{out}\n{err}") from None
    return Done(started.returncode, out, err)


def run(size, *program, **environment):
    """Run a program of Python on so many ranks."""
    return finish(start(size, *program, **environment))
