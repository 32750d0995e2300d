"""Module: which attributes are parameters and buffers, and what a module without forward says."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import vector
from tinygrad_nn import nn


def test_a_module_without_forward_says_what_to_define():
    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match=r"Empty does not define forward\(self, x\)"):
        Empty()(np.ones(2))


def test_a_list_that_contains_itself_ends():
    class Loop(nn.Module):
        def __init__(self):
            self.layers = [nn.Dense(2, 2, rng=0)]
            self.layers.append(self.layers)
            self.again = self.layers

    names = [name for name, _ in Loop().named_parameters()]
    assert names == ["layers.0.weight", "layers.0.bias"]


def test_buffers_are_restored_with_the_parameters():
    class Counter(nn.Module):
        def __init__(self):
            self.seen = np.zeros(2)
            self.scale = tn.tensor([1.0], requires_grad=True)

    one, other = Counter(), Counter()
    one.seen += 5
    one.scale.data = np.array([3.0], np.float32)
    kept, result = other.seen, other.scale * 2
    other.load_state_dict(one.state_dict())
    assert other.seen is kept
    np.testing.assert_array_equal(other.seen, [5, 5])
    assert other.scale.item() == 3
    other.scale.grad = None
    (other.scale * 1).backward()
    with pytest.raises(tn.errors.StaleValue):
        (result * other.scale).backward()


def test_an_activation_kept_in_an_attribute_is_no_parameter():
    class Keeps(tn.nn.Module):
        def __init__(self):
            self.a = tn.nn.Dense(2, 2, rng=0)

        def forward(self, x):
            self.h = self.a(x)
            return self.h

    model = Keeps()
    model(np.ones((1, 2)))
    assert len(model.parameters()) == 2
    model.load_state_dict(model.state_dict())


def test_two_arrays_of_one_name_are_refused():
    model = tn.nn.Module()
    model.parts = {1: vector(1.0), "1": vector(2.0)}
    with pytest.raises(ValueError, match=r"go by the name parts\.1"):
        model.state_dict()


class Odd(nn.Module):
    def __repr__(self):
        return "Odd\n(in two lines)"


class Named(nn.Module):
    def __init__(self, *parts):
        self.parts = list(parts)

    def __repr__(self):
        return f"named {super().__repr__()}"


def test_the_representation_of_a_model_takes_in_what_parts_say_of_themselves():
    model = nn.Sequential(Odd(), nn.Sequential(Named(nn.Tanh()), nn.Sequential()))
    assert repr(model) == (
        "Sequential(\n  0: Odd\n  (in two lines)\n  1: Sequential(\n    0: named Named(\n      parts.0: Tanh()\n"
        "    )\n    1: Sequential()\n  )\n)"
    )


def test_a_model_that_contains_itself_has_a_representation():
    model = nn.Module()
    model.itself = model
    model.part = nn.Tanh()
    assert repr(model) == "Module(\n  itself: Module(...)\n  part: Tanh()\n)"
