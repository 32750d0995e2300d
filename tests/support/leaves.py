"""Leaves that require grad, in double precision unless it is said otherwise."""

import numpy as np

import tinygrad_nn as tn


def leaf(values, dtype=np.float64):
    """Return a leaf with the shape of `values`."""
    return tn.tensor(np.asarray(values, dtype), requires_grad=True)


def vector(*values, dtype=np.float64):
    """Return a leaf with one axis."""
    return leaf(values, dtype)


def weights():
    """Return the parameters of the smallest model: one vector, in single precision."""
    return [tn.tensor([1.0, 2.0], requires_grad=True)]
