"""Layers, models and losses."""

from typing import TYPE_CHECKING, NoReturn

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

_ELSEWHERE = {
    "Linear": "nn.Dense(in_features, out_features)",
    "CrossEntropyLoss": "nn.losses.cross_entropy(logits, labels)",
    "NLLLoss": "nn.losses.nll(log_probabilities, labels)",
    "MSELoss": "nn.losses.mse(predictions, targets)",
    "L1Loss": "nn.losses.mae(predictions, targets)",
    "BCEWithLogitsLoss": "nn.losses.binary_cross_entropy(logits, targets)",
    "BCELoss": "nn.losses.binary_cross_entropy_probabilities(probabilities, targets)",
    "functional": "tn.relu, tn.softmax and others are functions; losses are in nn.losses",
    "Parameter": "tn.tensor(data, requires_grad=True)",
}
"""What PyTorch has under other names."""


# A type checker that knew of it would take every name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        """Say what to write instead of PyTorch's name of something."""
        hint = f"\n  hint   {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
        raise AttributeError(f"module 'tinygrad_nn.nn' has no attribute {name!r}{hint}")
