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
from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.nn.module import Module
from tinygrad_nn.nn.recurrent import GRU, LSTM, RNN

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
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


# A type checker that knew of it would take every name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        """Say what to write instead of PyTorch's name of something."""
        raise no_attribute("module 'tinygrad_nn.nn'", name, LAYERS)
