"""What some tests need from the machine: marks that skip them, with the reason, where it is not there."""

import os
from importlib.util import find_spec

import pytest

from tests.support.mpi import mpiexec

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which this system lacks")
fifos = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs, which this system lacks")
owners = pytest.mark.skipif(
    not hasattr(os, "getuid"), reason="needs files with owners, which this system lacks"
)
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
