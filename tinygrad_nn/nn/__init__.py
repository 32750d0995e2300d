"""Layers, models and losses."""

from typing import TYPE_CHECKING, NoReturn

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
from tinygrad_nn.nn.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.nn.module import Module
from tinygrad_nn.nn.pooling import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)

__all__ = [
    "ELU",
    "GELU",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dense",
    "Flatten",
    "GELUTanh",
    "GlobalAvgPool",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
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


# A type checker that knew of it would take every name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        """Say what to write instead of PyTorch's name of something."""
        raise no_attribute("module 'tinygrad_nn.nn'", name, LAYERS)
