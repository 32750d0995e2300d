"""A small classifier and its loss: what tests of graphs, of their pictures, of compiling and of training share."""

from itertools import pairwise

import numpy as np

from tinygrad_nn import nn

X = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
Y = np.arange(8) % 3


def network(seed=0, activation=nn.Tanh, widths=(5, 4, 3)):
    """Return a network of dense layers with an activation between each two; it fits `X` and `Y` by default."""
    layers = [nn.Dense(a, b, rng=seed + k) for k, (a, b) in enumerate(pairwise(widths))]
    return nn.Sequential(layers[0], *[module for layer in layers[1:] for module in (activation(), layer)])


def loss():
    """Return the loss of a new network."""
    return nn.losses.cross_entropy(network()(X), Y)
