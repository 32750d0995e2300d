"""Layers, models and losses."""

from typing import TYPE_CHECKING

from tinygrad_nn.hints.lookups import face
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
from tinygrad_nn.nn.attention import MultiheadAttention
from tinygrad_nn.nn.batch_norm import BatchNorm, GroupNorm
from tinygrad_nn.nn.containers import Flatten, Identity, Residual, Sequential
from tinygrad_nn.nn.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.nn.dropout import Dropout
from tinygrad_nn.nn.embedding import Embedding
from tinygrad_nn.nn.module import Module
from tinygrad_nn.nn.normalisation import LayerNorm, RMSNorm
from tinygrad_nn.nn.pooling import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from tinygrad_nn.nn.recurrent import GRU, LSTM, RNN

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GELUTanh",
    "GlobalAvgPool",
    "GroupNorm",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "MultiheadAttention",
    "RMSNorm",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "init",
    "losses",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
