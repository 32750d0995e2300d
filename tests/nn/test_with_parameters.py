"""Copies of modules with other parameters."""

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import DtypeError, SettingError, ShapeError


class Pair(NamedTuple):
    a: Any
    b: Any


class Holder(nn.Module):
    """Parameters in every container that is looked into."""

    def __init__(self):
        make = lambda: nn.Dense(2, 2, rng=0, dtype=float)
        self.layers = [make(), {"x": make()}]
        self.ordered = OrderedDict(y=make())
        self.pair = Pair(tn.tensor(np.ones(2), requires_grad=True), (make(),))
        self.statistics = np.zeros(2)
        self.act = self.scaled
        self.layers.append(self.layers)

    def scaled(self, x):
        return x * self.pair.a

    def forward(self, x):
        for layer in (self.layers[0], self.layers[1]["x"], self.ordered["y"], self.pair.b[0]):
            x = layer(x)
        return self.act(x)


def test_a_copy_has_its_parameters_in_every_container_and_the_module_keeps_its_own():
    model = Holder()
    own = dict(model.named_parameters())
    assert len(own) == 9
    copied = model.with_parameters({name: 2 * p for name, p in own.items()})
    assert type(copied) is Holder
    assert [name for name, _ in copied.named_parameters()] == list(own)
    assert all(not p.is_leaf for p in copied.parameters())
    assert all(a is b for a, b in zip(model.parameters(), own.values(), strict=True))
    assert copied.statistics is model.statistics
    assert type(copied.ordered) is OrderedDict
    assert copied.layers[2] is copied.layers
    copied(np.ones((1, 2))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    for name, value in copied.state_dict().items():
        np.testing.assert_array_equal(value, 2 * own[name].data if name in own else model.statistics)


def test_some_parameters_are_replaced_and_again_those_of_a_copy():
    model = nn.Dense(2, 1, rng=0)
    first = model.with_parameters({"weight": 2 * model.weight})
    second = first.with_parameters({"bias": model.bias + 1})
    assert second.weight is first.weight
    assert [name for name, _ in second.named_parameters()] == ["weight", "bias"]
    assert first.bias is model.bias
    tn.grad(lambda m: m(np.ones(2)).sum())(second)


def test_one_step_of_learning_to_learn():
    model = nn.Dense(2, 1, rng=0, dtype=float)
    x, y = np.ones((3, 2)), np.zeros((3, 1))
    loss = lambda m: ((m(x) - y) ** 2).mean()

    def after(m, rate):
        g = tn.grad(loss)(m)
        return loss(m.with_parameters({name: p - rate * g[name] for name, p in m.named_parameters()}))

    slope = tn.grad(after, 1)(model, 0.1)
    numerical = (after(model, 0.1 + 1e-6).item() - after(model, 0.1 - 1e-6).item()) / 2e-6
    assert slope.item() == pytest.approx(numerical, rel=1e-7)


class Hidden(nn.Module):
    """A module whose parameter is where no copy can have another."""

    def __init__(self):
        object.__setattr__(self, "box", {0: tn.tensor([1.0], requires_grad=True)})

    def attributes(self):
        return {"w": HIDDEN}


HIDDEN = tn.tensor([1.0], requires_grad=True)


def test_what_does_not_fit_is_refused():
    model = nn.Dense(2, 1, rng=0)
    with pytest.raises(SettingError, match=r"Dense.with_parameters: .* 'w'\n  hint   names are weight, bias"):
        model.with_parameters({"w": np.ones((2, 1), np.float32)})
    with pytest.raises(ShapeError, match=r"weight has shape \(2, 1\), the new one \(2,\)"):
        model.with_parameters({"weight": np.ones(2, np.float32)})
    with pytest.raises(DtypeError, match=r"weight has dtype float32, the new one float64"):
        model.with_parameters({"weight": np.ones((2, 1))})
    with pytest.raises(SettingError, match="w is in something that cannot be made again"):
        tn.grad(lambda m: 0)(Hidden())
