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


class Counting(nn.Module):
    """Buffers without axes, which NumPy makes scalars of."""

    def __init__(self):
        self.count, self.mean = np.zeros((), np.int64), np.array(0.0, np.float32)
        self.seen, self.limit = np.array(False), np.float32(2)

    def forward(self, x):
        self.count = self.count + 1
        self.mean = np.float32(0.5) * self.mean + np.float32(0.5) * x.mean()
        self.seen = self.seen | True
        return x


def test_a_buffer_without_axes_that_forward_updates_stays_one(tmp_path):
    module = Counting()
    before = {name: array.dtype for name, array in module.state_dict().items()}
    for _ in range(3):
        module(np.array([1.0, 3.0], np.float32))
    state = module.state_dict()
    assert {name: array.dtype for name, array in state.items()} == before
    assert set(state) == {"count", "mean", "seen"}
    assert (state["count"], state["mean"], state["seen"]) == (3, 1.75, True)
    tn.save(tmp_path / "counting", module=module)
    again = Counting()
    tn.load(tmp_path / "counting", module=again)
    assert (again.count, again.mean, again.seen) == (3, 1.75, True)
    again(np.ones(2, np.float32))
    assert again.count == 4
    assert module.count == 3


def test_a_scalar_that_was_never_a_buffer_stays_a_scalar():
    module = Counting()
    module.limit = np.float32(3)
    assert type(module.limit) is np.float32
    module.count = 5
    assert type(module.count) is int
