"""What some tests need from the machine: marks that skip them, with the reason, where it is not there."""

import os
import shutil
import signal
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from tests.support.mpi import mpiexec
from tinygrad_nn.compiler import threads

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which this system lacks")
fifos = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs, which this system lacks")
owners = pytest.mark.skipif(
    not hasattr(os, "getuid"), reason="needs files with owners, which this system lacks"
)
signals = pytest.mark.skipif(
    sys.platform == "win32", reason="needs signals to one child, which this system lacks"
)
pthread_kill = pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="needs signals to one thread, which this system lacks"
)
blas = pytest.mark.skipif(
    threads.blas() is None,
    reason="needs a BLAS that can be told how many threads it may use, unlike NumPy's here",
)
dot = pytest.mark.skipif(shutil.which("dot") is None, reason="needs dot: apt install graphviz")
numpy_2_1 = pytest.mark.skipif(
    not hasattr(np, "cumulative_sum"), reason="needs functions that NumPy has since 2.1"
)
NOT_IN_NUMPY_YET = {"cumulative_prod", "cumulative_sum", "unstack"} - set(vars(np))
"""Names on pages and in hints that NumPy has since 2.1."""
mnist = pytest.mark.skipif(
    not os.environ.get("TINYGRAD_NN_DATA"), reason="needs TINYGRAD_NN_DATA, the folder with MNIST"
)
mpi = pytest.mark.skipif(
    find_spec("mpi4py") is None or mpiexec() is None,
    reason="needs mpi4py and mpiexec: pip install mpi4py mpich",
)
shakespeare = pytest.mark.skipif(
    not os.path.isfile(os.path.join(os.environ.get("TINYGRAD_NN_DATA", ""), "tinyshakespeare.txt")),
    reason="needs tinyshakespeare.txt in the folder that TINYGRAD_NN_DATA names",
)
