"""Loads the package before pytest does a file of it, whose ops would be declared twice where the file runs alone."""

import os

# With a BLAS thread for every core each, processes get in each other's way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import tinygrad_nn  # noqa: F401
