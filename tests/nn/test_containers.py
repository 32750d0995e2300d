"""Sequential: a list of modules, and what it refuses."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn


def test_sequential_is_a_list_of_modules():
    first, last = nn.Dense(2, 3, rng=0), nn.Dense(3, 1, rng=1)
    model = nn.Sequential(first)
    assert model.append(nn.Tanh()).append(last) is model
    assert [type(module).__name__ for module in model] == ["Dense", "Tanh", "Dense"]
    assert (len(model), model[-1], model[0]) == (3, last, first)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    part = model[:2]
    assert isinstance(part, nn.Sequential)
    assert part[0] is first
    x = np.ones((4, 2), np.float32)
    np.testing.assert_array_equal(model(x).data, last(np.tanh(first(x))).data)


def test_sequential_takes_functions_and_refuses_what_cannot_be_called():
    assert nn.Sequential(np.tanh, lambda x: x * 2)(tn.tensor([0.0])).item() == 0
    with pytest.raises(TypeError, match="Sequential: item 1 is int, expected modules or functions"):
        nn.Sequential(nn.Tanh(), 3)


def test_a_subclass_of_sequential_keeps_its_own_parameters():
    class Scaled(tn.nn.Sequential):
        def __init__(self):
            super().__init__(tn.nn.Dense(2, 2))
            self.scale = tn.tensor(2.0, requires_grad=True)

    assert list(Scaled().state_dict()) == ["0.weight", "0.bias", "scale"]


def test_a_class_instead_of_a_layer_is_refused_at_once():
    with pytest.raises(TypeError, match=r"ReLU\(\)"):
        tn.nn.Sequential(tn.nn.ReLU)
