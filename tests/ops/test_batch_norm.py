"""Batch and group normalisation: digits of float32, pieces, empty batches, and what is refused."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError
from tinygrad_nn.ops import batch_norm as module
from tinygrad_nn.ops.batch_norm import column_moments, column_products, scaled_columns

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5, 3))
W, B = RNG.normal(size=3), RNG.normal(size=3)


@pytest.mark.parametrize("center", [0, 1e3, 1e6, -1e7])
def test_float32_keeps_the_variance_of_numbers_far_from_zero(center):
    x = np.float32(center + 10 * RNG.normal(size=(5000, 4)))
    mean, var = column_moments(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-7, atol=2e-6)
    np.testing.assert_allclose(var, exact.var(axis=0), rtol=1e-6)


def test_moments_of_a_million_rows_of_float32_accumulate():
    x = np.float32(RNG.uniform(0, 1, (1 << 20, 2)))
    mean, var = column_moments(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=2e-7)
    np.testing.assert_allclose(var, exact.var(axis=0), rtol=2e-6)


def test_float16_is_summed_in_float32():
    x = np.float16(100 + RNG.normal(size=(4000, 2)))
    mean, var = column_moments(x)
    assert mean.dtype == np.float16
    np.testing.assert_allclose(mean, x.astype(float).mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(var, x.astype(float).var(axis=0), rtol=2e-3)


@pytest.mark.parametrize(
    "layer", [tn.nn.BatchNorm(2, dtype=np.float16), tn.nn.GroupNorm(2, 2, dtype=np.float16)]
)
def test_float16_whose_variance_is_none_of_float16_is_normalised(layer):
    x = np.linspace(-9000, 9000, 16, dtype=np.float16).reshape(1, 8, 2)
    y = layer.forward(tn.tensor(x))
    assert y.dtype == np.float16
    wide = x.astype(np.float64)
    expected = (wide - wide.mean((0, 1))) / wide.std((0, 1))
    np.testing.assert_allclose(y.data, expected, rtol=0.01)
    if isinstance(layer, tn.nn.GroupNorm):
        np.testing.assert_array_equal(y.data, tn.group_norm(x, 2, layer.weight.data, layer.bias.data))
    else:
        np.testing.assert_array_equal(y.data, tn.batch_norm(x, layer.weight.data, layer.bias.data))
        assert np.isfinite(layer.running_var).all()
        assert layer.eval()(x).dtype == np.float16


@pytest.mark.parametrize("shape", [(300, 3), (2, 256, 5), (7, 64, 2), (3, 5, 700), (256, 1)])
@pytest.mark.parametrize("piece", [8, 100, 1 << 12])
def test_pieces_and_long_rows_give_what_the_whole_gives(shape, piece, monkeypatch):
    x, g = RNG.normal(size=shape), RNG.normal(size=shape)
    c = RNG.normal(size=(*shape[:-2], 3, shape[-1]))
    row = c[..., :1, :]
    monkeypatch.setattr(module, "_PIECE", piece)
    monkeypatch.setattr(module, "_FEW", 0)
    for y in (x, np.asfortranarray(x), np.flip(x, -1)):
        mean, var = np.moveaxis(column_moments(y), -2, 0)
        np.testing.assert_allclose(mean, y.mean(axis=-2), atol=1e-14)
        np.testing.assert_allclose(var, y.var(axis=-2), rtol=1e-12)
        np.testing.assert_allclose(
            scaled_columns(y, c), (y - row) * c[..., 1:2, :] + c[..., 2:3, :], rtol=1e-13
        )
        sums = np.stack([(g * (y - row)).sum(axis=-2), g.sum(axis=-2)], axis=-2)
        np.testing.assert_allclose(column_products(g, y, row), sums, atol=1e-12)


def test_integers_are_images_and_become_floats():
    images = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    y = tn.batch_norm(images, np.ones(3, np.float32), np.zeros(3, np.float32))
    np.testing.assert_allclose(y.std(axis=(0, 1)), 1, rtol=1e-5)
    assert tn.batch_norm(tn.tensor(images.astype(int)), W, B).shape == images.shape


def test_an_empty_batch_has_an_empty_result_and_no_gradient():
    for shape in ((0, 3), (0, 4, 3), (2, 0, 3)):
        x, w = tn.tensor(np.zeros(shape), requires_grad=True), tn.tensor(W, requires_grad=True)
        for y in (tn.batch_norm(x, w, B), tn.batch_norm(x, w, B, B, W * W), tn.group_norm(x, 3, w, B)):
            assert y.shape == shape
            assert not any(np.any(g.data) for g in tn.gradients(y.sum(), [x, w]))


def test_one_value_for_each_channel_has_no_variance():
    for shape in ((1, 3), (1, 1, 1, 3)):
        with pytest.raises(ShapeError, match=r"has one value for each channel(.|\n)*model.eval\(\)"):
            tn.batch_norm(np.zeros(shape), W, B)
    y = tn.batch_norm(np.zeros((1, 3)), W, B, np.zeros(3), np.ones(3))
    np.testing.assert_array_equal(y, B[None])


def test_channels_that_come_first_are_told_where_they_belong():
    for call in (lambda x: tn.batch_norm(x, W, B), lambda x: tn.group_norm(x, 1, W, B)):
        with pytest.raises(
            ShapeError, match=r"expected \(N, ..., 3\), channels last\n  hint .*np.moveaxis\(x, 1, -1\)"
        ):
            call(np.zeros((2, 3, 8, 8)))
        with pytest.raises(ShapeError, match=r"x has shape \(2, 8\), expected \(N, ..., 3\), channels last$"):
            call(np.zeros((2, 8)))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ArgumentError, match="takes mean and var, or neither"):
        tn.batch_norm(X, W, B, W)
    with pytest.raises(ShapeError, match=r"weight, bias, mean and var have shape \(3,\), got \(2,\)"):
        tn.batch_norm(X, W, B[:2])
    for weight in (None, np.ones((1, 3)), 1.0):
        with pytest.raises(
            ShapeError, match=r"weight has one number for each channel(.|\n)*np.ones\(channels\)"
        ):
            tn.batch_norm(X, weight, B)
    for eps in (-1.0, float("nan"), None):
        for call in (
            lambda eps: tn.batch_norm(X, W, B, eps=eps),
            lambda eps: tn.group_norm(X, 1, W, B, eps=eps),
        ):
            with pytest.raises(SettingError, match="eps is a number in"):
                call(eps)
    for groups in (2, 0, -1, 1.5, True, "3"):
        with pytest.raises(SettingError, match=r"3 channels do not make .* groups(.|\n)*groups may be 1, 3"):
            tn.group_norm(X, groups, W, B)


def test_group_norm_of_one_group_and_of_single_channels_is_layer_and_instance_normalisation():
    one = (X - X.mean((1, 2), keepdims=True)) / np.sqrt(X.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(tn.group_norm(X, 1, np.ones(3), np.zeros(3)), one)
    each = (X - X.mean(1, keepdims=True)) / np.sqrt(X.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(tn.group_norm(X, 3, np.ones(3), np.zeros(3)), each)


def test_the_gradient_of_normalised_values_has_neither_their_mean_nor_themselves():
    x = tn.tensor(X, requires_grad=True)
    y = tn.batch_norm(x, np.ones(3), np.zeros(3), eps=0)
    (g,) = tn.gradients(y, [x], cotangent=RNG.normal(size=X.shape))
    np.testing.assert_allclose(g.data.sum(axis=(0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose((g.data * y.data).sum(axis=(0, 1)), 0, atol=1e-12)
