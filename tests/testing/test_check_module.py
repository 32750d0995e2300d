"""check_module: every layer passes it, and modules with planted bugs do not."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.layers import LAYERS, X
from tinygrad_nn import nn
from tinygrad_nn.errors import ArgumentError, CheckFailed
from tinygrad_nn.testing import check_module


@pytest.mark.parametrize("name", LAYERS)
def test_layers_pass_check_module(name):
    factory, x = LAYERS[name]
    check_module(factory, x)


def test_every_layer_is_checked():
    public = {
        name for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Module)
    }
    assert public - {"Module"} == {name.split()[0] for name in LAYERS}


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


class _WithFunction(nn.Module):
    def __init__(self, seed):
        self.dense = nn.Dense(3, 2, rng=seed)
        self.f = lambda x: x * 2

    def forward(self, x):
        return self.f(self.dense(x))


def test_what_cannot_be_pickled_is_named():
    with pytest.raises(
        CheckFailed, match=r"it cannot be pickled: self.f is <function .*lambda.*\n  hint   def"
    ):
        check_module(_WithFunction, X)
    layers = lambda seed: nn.Sequential(nn.Dense(3, 2, rng=seed), lambda x: x * 2)
    with pytest.raises(CheckFailed, match=r"it cannot be pickled: self.modules\[1\] is <function"):
        check_module(layers, X)
    with pytest.raises(CheckFailed, match=r"it cannot be pickled: self\.0\.f is <function"):
        check_module(lambda seed: nn.Sequential(_WithFunction(seed)), X)

    class Local(nn.Dense):
        pass

    with pytest.raises(
        CheckFailed, match=r"Local cannot be pickled\n  hint   its class stands at the top of a file"
    ):
        check_module(lambda seed: Local(3, 2, rng=seed), X)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            nn.Dense(3, 2, rng=0),
            r"got a Dense\n  hint   check_module\(lambda seed: Dense\(..., rng=seed\), x\)",
        ),
        (
            nn.Dense,
            r"a factory takes a seed, and Dense needs in_features, out_features\n  hint   check_module",
        ),
        (None, "it takes a factory, which makes a module from a seed, got a NoneType"),
        (lambda seed: None, "the factory returned a NoneType, expected a Module"),
    ],
    ids=["a module", "a class", "nothing", "a function without return"],
)
def test_what_is_no_factory_is_told_so(factory, message):
    with pytest.raises(ArgumentError, match=message):
        check_module(factory, X)


def test_a_module_without_bugs_passes_check_module():
    check_module(lambda seed: _Bug(seed, None), X)


def test_a_module_that_looks_at_its_whole_batch_passes_if_it_says_so():
    check_module(lambda seed: _Bug(seed, "batch"), X, batched=False)
