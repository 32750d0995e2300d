"""Sequential, Identity and Residual: what they do with modules, and what they refuse."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import DtypeError, ShapeError


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
    with pytest.raises(TypeError, match=r"item 0 is dict.*\n  hint   Sequential\(\*modules\.values\(\)\)"):
        nn.Sequential({"first": nn.Tanh()})


def test_a_subclass_of_sequential_keeps_its_own_parameters():
    class Scaled(tn.nn.Sequential):
        def __init__(self):
            super().__init__(tn.nn.Dense(2, 2))
            self.scale = tn.tensor(2.0, requires_grad=True)

    assert list(Scaled().state_dict()) == ["0.weight", "0.bias", "scale"]


def test_a_class_instead_of_a_layer_is_refused_at_once():
    with pytest.raises(TypeError, match=r"ReLU\(\)"):
        tn.nn.Sequential(tn.nn.ReLU)


def test_identity_gives_its_input_back():
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    assert nn.Identity()(x) is x
    assert nn.Identity()(np.ones(2)).tolist() == [1, 1]


def test_residual_adds_its_input_to_what_the_module_makes_of_it():
    layer = nn.Dense(3, 3, rng=0)
    x = tn.tensor(np.float32([[1, 2, 3]]), requires_grad=True)
    y = nn.Residual(layer)(x)
    np.testing.assert_array_equal(y.data, (x + layer(x)).data)
    (g,) = tn.gradients(y.sum(), [x])
    np.testing.assert_allclose(g.data, 1 + layer.weight.data.sum(axis=1)[None], rtol=1e-6)
    assert [name for name, _ in nn.Residual(layer).named_parameters()] == ["module.weight", "module.bias"]
    np.testing.assert_array_equal(nn.Residual(np.tanh)(x).data, (x + np.tanh(x)).data)


def test_a_residual_whose_sum_would_broadcast_says_both_shapes():
    with pytest.raises(
        ShapeError, match=r"x has shape \(4, 3\), module\(x\) has shape \(4, 1\)(.|\n)*hint   a module"
    ):
        nn.Residual(nn.Dense(3, 1))(np.ones((4, 3)))
    with pytest.raises(ShapeError, match=r"x has shape \(4, 3\), module\(x\) has shape \(4, 2\)"):
        nn.Residual(nn.Dense(3, 2))(np.ones((4, 3)))


def test_a_residual_of_a_class_or_of_several_modules_is_refused():
    with pytest.raises(TypeError, match=r"got the class Tanh\n  hint   Tanh\(...\)"):
        nn.Residual(nn.Tanh)
    with pytest.raises(TypeError, match=r"got list\n  hint   Residual\(Sequential\(...\)\)"):
        nn.Residual([nn.Tanh(), nn.Tanh()])


def test_a_residual_takes_arrays_from_its_function_and_refuses_nothing():
    assert nn.Residual(lambda x: np.ones(2))(np.ones(2)).tolist() == [2, 2]
    with pytest.raises(DtypeError, match="NoneType"):
        nn.Residual(lambda x: None)(np.ones(2))
