"""Module: which attributes are parameters and buffers, and what a module without forward says."""

import copy
import pickle

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


def frozen_model():
    model = nn.Sequential(nn.Dense(4, 8, rng=0), nn.Tanh(), nn.Dense(8, 3, rng=1))
    for parameter in model[0].parameters():
        parameter.requires_grad = False
    return model


def test_a_frozen_parameter_stays_a_parameter_and_a_loop_thaws_it():
    model = frozen_model()
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [name for name, _ in model.named_parameters()] == names == list(model.state_dict())
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]
    for parameter in model.parameters():
        parameter.requires_grad = True
        parameter.grad = None
    model(np.ones((2, 4), np.float32)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("make", [tn.optim.SGD, tn.optim.Adam, tn.optim.AdamW])
def test_optimizers_skip_frozen_parameters_whenever_they_were_frozen(make):
    x = np.ones((2, 4), np.float32)
    model = frozen_model()
    optimizer = make(model.parameters(), lr=0.1)
    for parameters in (model[0].parameters(), model[2].parameters()):
        for parameter in model.parameters():
            parameter.requires_grad = True
        model(x).sum().backward()
        # Frozen with a gradient in place.
        for parameter in parameters:
            parameter.requires_grad = False
        before = model.state_dict()
        model.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        moved = {name for name, array in model.state_dict().items() if (array != before[name]).any()}
        assert moved == {name for name, p in model.named_parameters() if p.requires_grad}


def test_a_parameter_frozen_with_a_gradient_in_place_is_not_updated_by_it():
    w, v = vector(1.0), vector(1.0)
    optimizer = tn.optim.SGD([w, v], lr=0.5)
    (w * 2 + v).sum().backward()
    w.requires_grad = False
    optimizer.step()
    assert w.grad is None
    assert (w.data, v.data) == (1, 0.5)


def test_a_frozen_parameter_is_copied_and_pickled_as_one():
    for twin in (copy.deepcopy(frozen_model()), pickle.loads(pickle.dumps(frozen_model()))):
        assert [p.requires_grad for p in twin.parameters()] == [False, False, True, True]


def test_a_tensor_that_never_required_grad_is_no_parameter():
    model = nn.Module()
    model.scale = tn.tensor([1.0], name="scale")
    assert model.parameters() == []
    assert list(model.state_dict()) == ["scale"]
    assert not model.scale.is_parameter
    assert not (vector(1.0) * 2).is_parameter


def test_summary_and_picture_say_what_is_frozen():
    model = frozen_model()
    assert repr(model.summary()).endswith(
        "Sequential: 67 parameters (trainable 27, frozen 40), float32, 268 bytes"
    )
    picture = model.graph(np.ones((2, 4), np.float32), grads=True)
    kinds = {value.name: value.kind for value in picture.graph.values if value.name}
    assert kinds["0.weight"] == kinds["2.weight"] == "parameter"


class HalfFrozen(nn.Module):
    def __init__(self, seed):
        self.first, self.second = nn.Dense(3, 3, rng=seed), nn.Dense(3, 2, rng=seed + 1)
        self.first.weight.requires_grad = False

    def forward(self, x):
        return self.second(self.first(x))


def test_checks_take_frozen_parameters():
    tn.testing.check_module(HalfFrozen, np.ones((4, 3), np.float32))


def test_a_compiled_step_leaves_frozen_parameters_alone(backend):
    model = HalfFrozen(0)
    optimizer = tn.optim.Adam(model.parameters(), lr=0.1)
    before = model.state_dict()

    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    compiled = tn.compile(step, backend)
    losses = [compiled(np.ones((4, 3), np.float32)).item() for _ in range(5)]
    assert losses[-1] < losses[0]
    moved = {name for name, array in model.state_dict().items() if (array != before[name]).any()}
    assert moved == {"first.bias", "second.weight", "second.bias"}


def test_an_array_does_not_take_the_place_of_a_parameter_silently():
    layer = nn.Dense(2, 3, rng=0)
    before = layer.weight
    with pytest.raises(
        tn.errors.ArgumentError, match=r"(?s)weight would not be trained\n  hint   layer.weight.data ="
    ):
        layer.weight = np.ones((2, 3), np.float32)
    assert layer.weight is before
    layer.weight.data = np.ones((2, 3), np.float32)
    layer.weight = tn.tensor(np.zeros((2, 3)), requires_grad=True)
    assert len(list(layer.parameters())) == 2
