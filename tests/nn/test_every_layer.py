"""Every layer in derivatives of functions: along directions, of modules, and computed again; its state moves once."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.layers import LAYERS
from tinygrad_nn.engine import trees

EVERY = pytest.mark.parametrize("name", LAYERS)
OF_FLOATS = pytest.mark.parametrize("name", [name for name, (_, x) in LAYERS.items() if x.dtype.kind == "f"])


def first_of(results):
    return next(iter(trees.leaves(results)))


def loss_of(layer, x):
    return (np.sin(first_of(layer(x))) ** 2).sum()


def function_and_point(name):
    """Return a layer, in evaluation, as a function of its input, and a point."""
    factory, x = LAYERS[name]
    layer = factory(0).eval()
    return lambda z: np.sin(first_of(layer(z))), x.astype(np.float64)


@OF_FLOATS
def test_a_derivative_along_a_direction_is_the_transpose_of_the_backward_pass(name):
    function, x = function_and_point(name)
    rng = np.random.default_rng(1)
    v = rng.normal(size=x.shape)
    y, tangent = tn.jvp(function, x, v)
    c = rng.normal(size=y.shape)
    np.testing.assert_allclose(
        np.sum(tangent.data * c), np.sum(tn.vjp(function, x)[1](c).data * v), rtol=1e-9
    )


@OF_FLOATS
def test_a_product_with_the_hessian_is_the_slope_of_the_gradient(name):
    function, x = function_and_point(name)
    v = np.random.default_rng(1).normal(size=x.shape)
    loss = lambda z: function(z).sum()
    gradient = tn.grad(loss)
    slope = (gradient(x + 1e-5 * v).data - gradient(x - 1e-5 * v).data) / 2e-5
    np.testing.assert_allclose(tn.hvp(loss, x, v).data, slope, rtol=1e-5, atol=1e-8)


@EVERY
def test_what_is_computed_again_draws_the_same_and_moves_averages_once(name):
    factory, x = LAYERS[name]
    plain, again = factory(0), factory(0)
    inputs = [tn.tensor(x, requires_grad=x.dtype.kind == "f") for _ in range(2)]
    for _ in range(2):
        losses = loss_of(plain, inputs[0]), loss_of(tn.remat(again), inputs[1])
        assert losses[0].item() == losses[1].item()
        for loss in losses:
            loss.backward()
    np.testing.assert_array_equal(inputs[1].grad, inputs[0].grad)
    same_states(plain, again)
    for a, b in zip(plain.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(b.grad, a.grad)


def same_states(a, b):
    for (key, expected), found in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        np.testing.assert_array_equal(found, expected, err_msg=key)


@pytest.mark.parametrize("name", [name for name, (factory, _) in LAYERS.items() if factory(0).parameters()])
def test_the_gradient_of_a_module_is_that_of_its_parameters_and_its_state_moves_once(name):
    factory, x = LAYERS[name]
    first, second = factory(0), factory(0)
    for _ in range(2):
        first.zero_grad()
        loss_of(first, x).backward()
        gradients = tn.grad(loss_of)(second, x)
        for key, parameter in first.named_parameters():
            np.testing.assert_array_equal(gradients[key].data, parameter.grad, err_msg=key)
    same_states(first, second)


@pytest.mark.parametrize("kind", [np.asarray, tn.as_tensor])
@OF_FLOATS
def test_images_of_integers_come_in_the_dtype_of_the_parameters(name, kind):
    factory, x = LAYERS[name]
    images = (10 * np.abs(x)).astype(np.uint8)
    layer = factory(0)
    if layer.parameters():
        expected = first_of(factory(0)(images.astype(np.float32)))
        y = first_of(layer(kind(images)))
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y.data, expected.data)
