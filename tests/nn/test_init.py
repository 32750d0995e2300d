"""Initialisers: the published distributions, from the generator they are given, in the dtype asked for."""

import math
import pickle

import numpy as np
import pytest

from tinygrad_nn import nn
from tinygrad_nn.errors import DtypeError, SettingError, ShapeError
from tinygrad_nn.nn import init

SHAPE = (80, 120)


FAN_IN, FAN_OUT = SHAPE


UNIFORM = {
    "glorot_uniform": (init.glorot_uniform(), math.sqrt(6 / (FAN_IN + FAN_OUT))),
    "he_uniform": (init.he_uniform(), math.sqrt(6 / FAN_IN)),
}


NORMAL = {
    "glorot_normal": (init.glorot_normal(), math.sqrt(2 / (FAN_IN + FAN_OUT))),
    "he_normal": (init.he_normal(), math.sqrt(2 / FAN_IN)),
    "lecun_normal": (init.lecun_normal(), math.sqrt(1 / FAN_IN)),
}


SCALED = {name: made for name, (made, _) in {**UNIFORM, **NORMAL}.items()} | {"orthogonal": init.orthogonal()}


RANDOM = {**SCALED, "normal": init.normal(), "uniform": init.uniform()}


EVERY = {**RANDOM, "zeros": init.zeros(), "ones": init.ones(), "constant": init.constant(0.3)}


def draw(initializer, shape=SHAPE, seed=0, dtype=np.float64):
    return initializer(shape, np.random.default_rng(seed), dtype)


@pytest.mark.parametrize("name", UNIFORM)
def test_a_uniform_initialiser_fills_its_interval_evenly(name):
    initializer, limit = UNIFORM[name]
    values = draw(initializer)
    assert limit * 0.999 < values.max() <= limit
    assert -limit <= values.min() < -limit * 0.999
    counts, _ = np.histogram(values, bins=10, range=(-limit, limit))
    np.testing.assert_allclose(counts / values.size, 0.1, atol=0.02)
    assert values.var() == pytest.approx(limit**2 / 3, rel=0.05)


@pytest.mark.parametrize("name", NORMAL)
def test_a_normal_initialiser_has_its_variance_and_the_tails_of_a_normal(name):
    initializer, std = NORMAL[name]
    values = draw(initializer)
    assert values.std() == pytest.approx(std, rel=0.03)
    assert abs(values.mean()) < 0.05 * std
    for k, share in ((1, 0.6827), (2, 0.9545)):
        assert np.mean(np.abs(values) < k * std) == pytest.approx(share, abs=0.02)


def test_activations_keep_their_size_through_relu_layers_made_by_he_normal():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 200))
    power = (x**2).mean()
    for _ in range(5):
        x = np.maximum(x @ init.he_normal()((200, 200), rng, np.float64), 0)
    assert (x**2).mean() == pytest.approx(power, rel=0.3)


def test_fans_of_kernels_count_the_receptive_field():
    plain, kernel = draw(init.he_uniform(), (9 * 4, 5)), draw(init.he_uniform(), (3, 3, 4, 5))
    limit = math.sqrt(6 / 36)
    assert np.abs(plain).max() <= limit
    assert 0.95 * limit < np.abs(kernel).max() <= limit
    glorot = draw(init.glorot_uniform(), (3, 3, 4, 5))
    limit = math.sqrt(6 / ((4 + 5) * 9))
    assert 0.95 * limit < np.abs(glorot).max() <= limit


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (3, 2, 4, 7), (2, 2, 1, 9)])
def test_an_orthogonal_initialiser_gives_orthogonal_columns_or_rows(shape):
    matrix = draw(init.orthogonal(gain=2.0), shape).reshape(-1, shape[-1])
    small = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_orthogonal_matrices_favour_no_direction():
    rng = np.random.default_rng(0)
    corners = [init.orthogonal()((2, 2), rng, np.float64) for _ in range(4000)]
    np.testing.assert_allclose(np.mean(corners, axis=0), 0, atol=0.05)
    assert np.mean([np.linalg.det(q) > 0 for q in corners]) == pytest.approx(0.5, abs=0.03)


def test_normal_and_uniform_initialisers_take_their_parameters():
    values = draw(init.normal(std=0.1, mean=3.0))
    assert values.mean() == pytest.approx(3, abs=0.01)
    assert values.std() == pytest.approx(0.1, rel=0.03)
    values = draw(init.uniform(2.0, 5.0))
    assert 2 <= values.min() < 2.01
    assert 4.99 < values.max() <= 5
    assert np.abs(draw(init.uniform())).max() <= 0.05


@pytest.mark.parametrize(("name", "value"), [("zeros", 0), ("ones", 1), ("constant", 0.3)])
def test_constant_initialisers_fill(name, value):
    np.testing.assert_array_equal(draw(EVERY[name], (2, 3)), np.full((2, 3), value))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_shape_and_dtype_are_those_asked_for(name, dtype):
    values = draw(EVERY[name], (3, 4), dtype=dtype)
    assert (values.shape, values.dtype) == ((3, 4), dtype)
    assert values.flags.writeable


@pytest.mark.parametrize("name", RANDOM)
def test_the_seed_decides_and_numpys_global_generator_has_no_say(name):
    state = pickle.dumps(np.random.get_state())  # noqa: NPY002
    first, again, other = draw(RANDOM[name]), draw(RANDOM[name]), draw(RANDOM[name], seed=1)
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.99
    rng = np.random.default_rng(0)
    one, two = (RANDOM[name]((3, 4), rng, np.float64) for _ in range(2))
    assert (one != two).all()
    assert pickle.dumps(np.random.get_state()) == state  # noqa: NPY002


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("shape", [(), (5,)])
def test_an_initialiser_that_needs_fans_refuses_shapes_without_them(name, shape):
    with pytest.raises(ValueError, match=r"at least two axes \(in, out\), got \("):
        draw(SCALED[name], shape)


@pytest.mark.parametrize("name", EVERY)
def test_an_empty_shape_gives_an_empty_array(name):
    assert draw(EVERY[name], (0, 0)).shape == (0, 0)


LAYERS = {
    "Dense": lambda **how: nn.Dense(2, 3, **how),
    "Conv2d": lambda **how: nn.Conv2d(2, 4, 3, **how),
    "LSTM": lambda **how: nn.LSTM(2, 3, **how),
    "Embedding": lambda **how: nn.Embedding(5, 3, **how),
    "MultiheadAttention": lambda **how: nn.MultiheadAttention(4, 2, **how),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("how", "hint"),
    [
        (init.zeros, r"nn\.init\.zeros\(\)"),
        (init.normal, r"nn\.init\.normal\(\)"),
        ("he_normal", r"nn\.init\.he_normal\(\)"),
        ("glorot", r"nn\.init\.glorot_uniform\(\), or lambda \*_: array"),
        (np.ones((2, 3)), r"nn\.init\.glorot_uniform\(\), or lambda \*_: array"),
        (np.zeros, "lambda shape, rng, dtype: "),
        (lambda shape: np.zeros(shape), "lambda shape, rng, dtype: "),
    ],
)
def test_what_is_no_initialiser_is_answered_with_one(layer, how, hint):
    with pytest.raises(SettingError, match=rf"^{layer}: init is [^\n]*\n  hint   {hint}"):
        LAYERS[layer](init=how)


def test_an_error_inside_of_an_initialiser_stays_itself():
    def broken(shape, rng, dtype):
        return shape + None

    with pytest.raises(TypeError, match="can only concatenate") as error:
        nn.Dense(2, 3, init=broken)
    assert type(error.value) is TypeError


@pytest.mark.parametrize("layer", LAYERS)
def test_first_values_have_the_shape_and_the_dtype_of_their_parameter(layer):
    with pytest.raises(ShapeError, match=rf"^{layer}: init returns shape \(7,\), expected \("):
        LAYERS[layer](init=lambda *_: np.ones(7))
    made = LAYERS[layer](init=lambda shape, *_: np.ones(shape))
    assert {p.dtype.name for p in made.parameters()} == {"float32"}


OF_FLOATS = LAYERS | {
    "BatchNorm": lambda **how: nn.BatchNorm(4, **how),
    "GroupNorm": lambda **how: nn.GroupNorm(2, 4, **how),
    "LayerNorm": lambda **how: nn.LayerNorm(4, **how),
    "RMSNorm": lambda **how: nn.RMSNorm(4, **how),
}


@pytest.mark.parametrize("layer", OF_FLOATS)
@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        ("float99", r"'float99' is no dtype\n  hint   np\.float32"),
        (int, r"parameters are floats, got dtype int64\n  hint   dtype=np\.float32"),
        (complex, "complex numbers are not supported"),
    ],
)
def test_a_dtype_that_parameters_cannot_have_is_refused(layer, dtype, text):
    with pytest.raises(DtypeError, match=rf"^{layer}: {text}"):
        OF_FLOATS[layer](dtype=dtype)


def test_a_normal_distribution_that_is_given_its_mean_first_is_refused():
    with pytest.raises(SettingError, match=r"std is positive, got 0\n  hint   nn\.init\.normal\(std="):
        init.normal(0, 0.05)
