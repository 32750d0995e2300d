"""Layers, models and losses."""

from tinygrad_nn.nn import init, losses
from tinygrad_nn.nn.layers import Dense, Flatten, LogSoftmax, ReLU, Sequential, Sigmoid, Softmax, Tanh
from tinygrad_nn.nn.module import Module

__all__ = [
    "Dense",
    "Flatten",
    "LogSoftmax",
    "Module",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "init",
    "losses",
]
