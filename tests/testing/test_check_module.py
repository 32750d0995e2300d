"""check_module: every layer passes it, and modules with planted bugs do not."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import CheckFailed
from tinygrad_nn.testing import check_module

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)

INPUTS = {
    "Embedding": np.array([[0, 6], [3, 0], [2, 2], [1, 5]]),
    "MultiheadAttention": X.reshape(2, 3, 2),
    "MultiheadAttention without bias": X.reshape(1, 3, 4),
}


class Steps(nn.Module):
    """Each column of a matrix is one step."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, x):
        return self.layer(tn.as_tensor(x)[:, :, None])


ACTIVATIONS = ["ELU", "GELU", "GELUTanh", "LeakyReLU", "LogSigmoid", "LogSoftmax", "ReLU", "Sigmoid", "SiLU"]
ACTIVATIONS += ["Softmax", "Softplus", "Tanh"]
LAYERS = {
    "Dense": lambda seed: nn.Dense(3, 2, rng=seed),
    "Dense without bias": lambda seed: nn.Dense(3, 2, bias=False, rng=seed),
    "Sequential": lambda seed: nn.Sequential(
        nn.Dense(3, 4, rng=seed), nn.Tanh(), nn.Dense(4, 2, rng=seed + 1)
    ),
    "Flatten": lambda seed: nn.Flatten(),
    "BatchNorm": lambda seed: nn.BatchNorm(3),
    "GroupNorm": lambda seed: nn.GroupNorm(3, 3, eps=1.0),
    "Identity": lambda seed: nn.Identity(),
    "Residual": lambda seed: nn.Residual(nn.Dense(3, 3, rng=seed)),
    "Dropout": lambda seed: nn.Dropout(0.3, rng=seed),
    "LayerNorm": lambda seed: nn.LayerNorm(3),
    "LayerNorm without bias": lambda seed: nn.LayerNorm(3, bias=False, eps=0.1),
    "RMSNorm": lambda seed: nn.RMSNorm(3),
    "Embedding": lambda seed: nn.Embedding(7, 3, rng=seed),
    "MultiheadAttention": lambda seed: nn.MultiheadAttention(2, 2, rng=seed),
    "MultiheadAttention without bias": lambda seed: nn.MultiheadAttention(4, 2, bias=False, rng=seed),
    **{
        f"{kind.__name__} {options}": lambda seed, kind=kind, options=options: Steps(
            kind(1, 2, rng=seed, **options)
        )
        for kind in (nn.RNN, nn.LSTM, nn.GRU)
        for options in ({}, {"num_layers": 2, "bidirectional": True}, {"bias": False})
    },
    **{name: lambda seed, name=name: getattr(nn, name)() for name in ACTIVATIONS},
}
OVER_AXES = {
    f"{name}{rank}d": lambda seed, name=name, rank=rank: getattr(nn, f"{name}{rank}d")(
        4, 6, (3, 2, 1)[:rank], stride=2, padding=1, groups=2, rng=seed
    )
    for name in ("Conv", "ConvTranspose")
    for rank in (1, 2, 3)
}
OVER_AXES |= {
    f"{name}{rank}d": lambda seed, name=name, rank=rank: getattr(nn, f"{name}{rank}d")(2, 1, 1)
    for name in ("MaxPool", "AvgPool")
    for rank in (1, 2, 3)
}
OVER_AXES["GlobalAvgPool"] = lambda seed: nn.GlobalAvgPool()


@pytest.mark.parametrize("name", LAYERS)
def test_layers_pass_check_module(name):
    check_module(LAYERS[name], INPUTS.get(name, X))


@pytest.mark.parametrize("name", OVER_AXES)
def test_layers_over_axes_pass_check_module(name):
    rank = int(name[-2]) if name.endswith("d") else 2
    check_module(
        OVER_AXES[name], np.random.default_rng(0).normal(size=(3, *(4, 3, 2)[:rank], 4)).astype(np.float32)
    )


def test_every_layer_is_checked():
    public = {
        name for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Module)
    }
    assert public - {"Module"} == {name.split()[0] for name in LAYERS | OVER_AXES}


class _Bug(nn.Module):
    def __init__(self, seed, bug):
        self.bug = bug
        rng = np.random.default_rng(seed)
        self.weight = tn.tensor(rng.normal(size=(3, 2)).astype(np.float32), requires_grad=True)
        if bug == "global generator":
            self.weight.data[...] += np.random.normal()  # noqa: NPY002
        if bug == "unseeded":
            self.weight.data[...] += np.random.default_rng().normal()
        if bug == "half loaded":
            self.bias = tn.tensor(np.ones(2, np.float32), requires_grad=True)
        if bug == "unused":
            self.unused = tn.tensor(np.ones(2, np.float32), requires_grad=True)

    def forward(self, x):
        y = tn.as_tensor(x) @ self.weight
        if self.bug == "half loaded":
            y = y + self.bias
        if self.bug == "batch":
            y = y - y.mean(axis=0)
        if self.bug == "detached":
            y = y * 0.5 + tn.as_tensor(x) @ self.weight.detach() * 0.5
        if self.bug == "empty" and not len(x):
            return tn.tensor(np.zeros(0, np.float32))
        return y

    def load_state_dict(self, state):
        if self.bug == "half loaded" and np.shape(state.get("weight")) == (3, 2):
            self.weight.data = state["weight"]
        if self.bug == "lenient" and "weight" not in state:
            return
        super().load_state_dict(state)


BUGS = {
    "global generator": "check_module: the same seed gives another module",
    "unseeded": "check_module: the same seed gives another module",
    "unused": "check_module: parameter unused receives no gradient",
    "batch": "check_module: a row alone gives another result than in its batch",
    "detached": "_Bug: the gradient is wrong",
    "empty": r"check_module: an empty batch gives shape \(0,\)",
    "half loaded": "check_module: a failed load has changed the state",
    "lenient": "check_module: a state with a bad weight is loaded",
}


@pytest.mark.parametrize("bug", BUGS)
def test_check_module_finds_planted_bugs(bug):
    with pytest.raises(CheckFailed, match=BUGS[bug]):
        check_module(lambda seed: _Bug(seed, bug), X)


class _Shifted(nn.Module):
    def __init__(self, seed, bug=False):
        self.table = nn.Embedding(3, 3, rng=seed)
        self.bug = bug

    def forward(self, ids, x):
        rows = self.table(ids)
        return rows * x + (rows.detach() if self.bug else rows)


def test_a_module_that_takes_integers_beside_floats_is_checked():
    ids = np.array([0, 2, 2, 1])
    check_module(_Shifted, ids, X)
    with pytest.raises(CheckFailed, match="the gradient is wrong"):
        check_module(lambda seed: _Shifted(seed, bug=True), ids, X)


def test_a_module_without_bugs_passes_check_module():
    check_module(lambda seed: _Bug(seed, None), X)


def test_a_module_that_looks_at_its_whole_batch_passes_if_it_says_so():
    check_module(lambda seed: _Bug(seed, "batch"), X, batched=False)
