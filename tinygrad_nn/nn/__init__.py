"""Layers, models and losses."""

from tinygrad_nn.nn import init, losses
from tinygrad_nn.nn.layers import (
    ELU,
    GELU,
    Dense,
    Flatten,
    GELUTanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from tinygrad_nn.nn.module import Module

__all__ = [
    "ELU",
    "GELU",
    "Dense",
    "Flatten",
    "GELUTanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Module",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "init",
    "losses",
]
