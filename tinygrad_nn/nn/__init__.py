"""Layers, models and losses."""

from typing import Never

from tinygrad_nn.hints import LAYERS, no_attribute
from tinygrad_nn.nn import init, losses
from tinygrad_nn.nn.activations import (
    ELU,
    GELU,
    GELUTanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from tinygrad_nn.nn.containers import Flatten, Sequential
from tinygrad_nn.nn.dense import Dense
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


def __getattr__(name: str) -> Never:
    """Say what to write instead of PyTorch's name of something."""
    raise no_attribute("module 'tinygrad_nn.nn'", name, LAYERS)
