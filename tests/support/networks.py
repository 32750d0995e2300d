"""A small classifier and its loss, for tests of graphs and of their pictures."""

import numpy as np

from tinygrad_nn import nn

X = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
Y = np.arange(8) % 3


def network():
    """Return a network of three layers."""
    return nn.Sequential(nn.Dense(5, 4, rng=0), nn.Tanh(), nn.Dense(4, 3, rng=1))


def loss():
    """Return the loss of a new network."""
    return nn.losses.cross_entropy(network()(X), Y)
