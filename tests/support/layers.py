"""Every layer, made from a seed, with a batch for it: what tests of all layers go through."""

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
IDS = np.array([[0, 6], [3, 0], [2, 2], [1, 5]])


class Steps(nn.Module):
    """Each column of a matrix is one step; with `padded`, as many of them count as are positive."""

    def __init__(self, layer, padded=False):
        self.layer = layer
        self.padded = padded

    def forward(self, x):
        x = tn.as_tensor(x)
        return self.layer(x[:, :, None], lengths=(x > 0).sum(axis=1) if self.padded else None)


class Masked(nn.Module):
    """Attention to those whose first feature is positive."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, x):
        x = tn.as_tensor(x)
        return self.layer(x, mask=(x[..., 0] > 0)[:, None, None, :])


def over_axes(rank):
    """Return a batch with so many axes between samples and channels."""
    return np.random.default_rng(0).normal(size=(3, *(4, 3, 2)[:rank], 4)).astype(np.float32)


ACTIVATIONS = ["ELU", "GELU", "GELUTanh", "LeakyReLU", "LogSigmoid", "LogSoftmax", "ReLU", "Sigmoid", "SiLU"]
ACTIVATIONS += ["Softmax", "Softplus", "Tanh"]
LAYERS = {
    "Dense": (lambda seed: nn.Dense(3, 2, rng=seed), X),
    "Dense without bias": (lambda seed: nn.Dense(3, 2, bias=False, rng=seed), X),
    "Sequential": (
        lambda seed: nn.Sequential(nn.Dense(3, 4, rng=seed), nn.Tanh(), nn.Dense(4, 2, rng=seed + 1)),
        X,
    ),
    "Flatten": (lambda seed: nn.Flatten(), X),
    "BatchNorm": (lambda seed: nn.BatchNorm(3), X),
    "GroupNorm": (lambda seed: nn.GroupNorm(3, 3, eps=1.0), X),
    "Identity": (lambda seed: nn.Identity(), X),
    "Residual": (lambda seed: nn.Residual(nn.Dense(3, 3, rng=seed)), X),
    "Dropout": (lambda seed: nn.Dropout(0.3, rng=seed), X),
    "LayerNorm": (lambda seed: nn.LayerNorm(3), X),
    "LayerNorm without bias": (lambda seed: nn.LayerNorm(3, bias=False, eps=0.1), X),
    "RMSNorm": (lambda seed: nn.RMSNorm(3), X),
    "Embedding": (lambda seed: nn.Embedding(7, 3, rng=seed), IDS),
    "MultiheadAttention": (lambda seed: nn.MultiheadAttention(2, 2, rng=seed), X.reshape(2, 3, 2)),
    "MultiheadAttention without bias": (
        lambda seed: nn.MultiheadAttention(4, 2, bias=False, rng=seed),
        X.reshape(1, 3, 4),
    ),
    "MultiheadAttention with a mask": (
        lambda seed: Masked(nn.MultiheadAttention(2, 2, rng=seed)),
        X.reshape(2, 3, 2),
    ),
    **{
        f"{kind.__name__} {options}": (
            lambda seed, kind=kind, options=options: Steps(kind(1, 2, rng=seed, **options)),
            X,
        )
        for kind in (nn.RNN, nn.LSTM, nn.GRU)
        for options in ({}, {"num_layers": 2, "bidirectional": True}, {"bias": False})
    },
    **{
        f"{kind.__name__} with lengths": (
            lambda seed, kind=kind: Steps(kind(1, 2, bidirectional=True, rng=seed), padded=True),
            X,
        )
        for kind in (nn.RNN, nn.LSTM, nn.GRU)
    },
    **{
        f"{name}{rank}d": (
            lambda seed, name=name, rank=rank: getattr(nn, f"{name}{rank}d")(
                4, 6, (3, 2, 1)[:rank], stride=2, padding=1, groups=2, rng=seed
            ),
            over_axes(rank),
        )
        for name in ("Conv", "ConvTranspose")
        for rank in (1, 2, 3)
    },
    **{
        f"{name}{rank}d": (
            lambda seed, name=name, rank=rank: getattr(nn, f"{name}{rank}d")(2, 1, 1),
            over_axes(rank),
        )
        for name in ("MaxPool", "AvgPool")
        for rank in (1, 2, 3)
    },
    "GlobalAvgPool": (lambda seed: nn.GlobalAvgPool(), over_axes(2)),
    **{name: (lambda seed, name=name: getattr(nn, name)(), X) for name in ACTIVATIONS},
}
"""By name, of which the first word is that of the class: a function of a seed, and a batch."""
