"""Module and Sequential as containers: lists of layers, shared and nested attributes, what they refuse."""

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


@pytest.mark.parametrize(
    ("parameters", "text"), [(1, "4 bytes"), (300, "1.2 kB"), (300_000, "1.2 MB"), (300_000_000, "1.2 GB")]
)
def test_a_summary_gives_sizes_in_the_unit_that_fits(parameters, text):
    class Wide(nn.Module):
        def __init__(self):
            one = np.ones(1, np.float32)
            self.weight = tn.as_tensor(np.broadcast_to(one, parameters), requires_grad=True)

    class NotCopied(Wide):
        def state_dict(self):
            return {"weight": self.weight.data}

    assert f"{parameters:,} parameters, float32, {text}" in repr(NotCopied().summary())
