"""Layers over axes: parameters, first values, printing, and what they say of inputs that do not fit."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import SettingError, ShapeError


def test_a_layer_is_the_function_with_its_parameters():
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 4)).astype(np.float32)
    layer = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=1, groups=2, rng=0)
    layer.bias.data[...] = np.arange(6)
    expected = tn.conv(x, layer.weight.data, layer.bias.data, stride=(2, 1), padding=1, groups=2)
    np.testing.assert_array_equal(layer(x).data, expected)
    up = nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2, rng=0)
    expected = tn.conv_transpose(x, up.weight.data, up.bias.data, stride=2, output_padding=1, groups=2)
    np.testing.assert_array_equal(up(x).data, expected)


def test_weights_have_their_shapes_and_a_transposed_layer_those_of_what_it_undoes():
    assert nn.Conv3d(4, 6, (1, 2, 3), groups=2).weight.shape == (1, 2, 3, 2, 6)
    assert nn.ConvTranspose1d(6, 4, 3, groups=2).weight.shape == (3, 2, 6)
    layer = nn.Conv1d(2, 3, 1, bias=False, dtype=np.float64)
    assert (layer.bias, layer.weight.dtype) == (None, np.float64)


@pytest.mark.parametrize("groups", [1, 4])
def test_first_weights_are_glorots_with_the_fans_of_a_group(groups):
    weight = nn.Conv2d(32, 64, 3, groups=groups, rng=0).weight.data
    limit = math.sqrt(6 / (9 * 32 / groups + 9 * 64 / groups))
    assert 0.98 * limit < np.abs(weight).max() <= limit
    assert nn.Conv2d(1, 2, 3, init=nn.init.orthogonal(), rng=0).weight.shape == (3, 3, 1, 2)


def test_the_seed_decides():
    first, again = (nn.ConvTranspose2d(3, 4, 3, rng=5).weight.data for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_layers_print_what_was_set():
    assert repr(nn.Conv2d(1, 6, 5, padding=2)) == "Conv2d(1 -> 6, 5x5, padding=2)"
    assert repr(nn.Conv1d(2, 4, 3, groups=2, bias=False)) == "Conv1d(2 -> 4, 3, groups=2, bias=False)"
    assert repr(nn.ConvTranspose2d(4, 2, 2, stride=2, output_padding=1)) == (
        "ConvTranspose2d(4 -> 2, 2x2, stride=2, output_padding=1)"
    )
    assert repr(nn.MaxPool2d(3, 2, 1)) == "MaxPool2d(3x3, stride=2, padding=1)"
    assert repr(nn.AvgPool1d(3, count_include_pad=False)) == "AvgPool1d(3, count_include_pad=False)"


def test_a_summary_has_the_sizes_of_images():
    model = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.MaxPool2d(2), nn.GlobalAvgPool())
    assert [row.output for row in model.summary((28, 28, 1)).rows] == [
        "(N, 28, 28, 6)",
        "(N, 14, 14, 6)",
        "(N, 6)",
    ]
    assert model.summary().parameters == 156


def test_a_global_average_is_that_of_each_channel():
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 2))
    np.testing.assert_allclose(nn.GlobalAvgPool()(x).data, x.mean(axis=(1, 2)), rtol=1e-13)


def test_the_first_line_of_each_layer_says_where_channels_are():
    for name in [
        f"{kind}{k}d" for kind in ("Conv", "ConvTranspose", "MaxPool", "AvgPool") for k in (1, 2, 3)
    ]:
        assert "channels come last" in getattr(nn, name).__doc__.splitlines()[0]


X = np.ones((2, 8, 8, 3), np.float32)
WRONG = {
    "a batch of signals": (
        lambda: nn.Conv2d(3, 4, 3)(X[0]),
        r"Conv2d: takes \(N, height, width, channels\), 4 axes; got shape \(8, 8, 3\).*x\[None\]",
    ),
    "a batch of images": (
        lambda: nn.Conv1d(3, 4, 3)(X),
        r"Conv1d: takes \(N, length, channels\), 3 axes; got shape \(2, 8, 8, 3\)",
    ),
    "channels first": (lambda: nn.Conv2d(8, 4, 3)(np.ones((2, 8, 9, 9))), r"np\.moveaxis\(x, 1, -1\)"),
    "images for a pool of volumes": (
        lambda: nn.MaxPool3d(2)(X),
        r"MaxPool3d: takes \(N, depth, height, width, channels\)",
    ),
    "rows for a global pool": (lambda: nn.GlobalAvgPool()(X[0, 0]), r"GlobalAvgPool: takes.*\(8, 3\)"),
    "no channels": (lambda: nn.Conv2d(0, 4, 3), "Conv2d: in_channels is a positive integer, got 0"),
    "half a channel": (lambda: nn.Conv2d(1, 2.5, 3), "Conv2d: out_channels is a positive integer, got 2.5"),
    "groups that do not divide": (
        lambda: nn.Conv2d(4, 6, 3, groups=4),
        "groups=4 does not divide.*in_channels=4 and out_channels=6",
    ),
    "a kernel of another rank": (
        lambda: nn.Conv2d(4, 6, (3, 3, 3)),
        r"kernel_size is an integer.*2 axes, got \(3, 3, 3\)",
    ),
    "a kernel of none": (lambda: nn.AvgPool2d(0), "AvgPool2d: kernel_size"),
    "a stride of none, when the layer is made": (lambda: nn.Conv2d(1, 2, 3, stride=0), "Conv2d: stride"),
    "a dilation of half, when it is made": (lambda: nn.Conv1d(1, 2, 3, dilation=0.5), "Conv1d: dilation"),
    "a padding that is no word, when it is made": (
        lambda: nn.Conv2d(1, 2, 3, padding="full"),
        "Conv2d: padding",
    ),
    "an output padding of a stride, when it is made": (
        lambda: nn.ConvTranspose2d(1, 2, 3, output_padding=1),
        "ConvTranspose2d: output_padding=1 is less than the stride",
    ),
    "a pool of padding, when it is made": (
        lambda: nn.MaxPool2d(2, padding=2),
        "MaxPool2d: padding is at most half",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_with_what_to_write(name):
    call, text = WRONG[name]
    with pytest.raises((ShapeError, SettingError), match=f"(?s){text}"):
        call()


ONE_IMAGE = "x[None, ..., None] for a batch of one with one channel"


@pytest.mark.parametrize(
    ("channels", "shape", "hint"),
    [
        (1, (5, 28, 28), "x[..., None] for one channel"),
        (1, (28, 28, 1), "x[None] for a batch of one"),
        (3, (28, 28, 3), "x[None] for a batch of one"),
        (3, (3, 28, 28), "np.moveaxis(x, 0, -1)[None]: channels come last here"),
        (1, (28, 28), f"x.reshape(len(x), height, width, 1) for rows, {ONE_IMAGE}"),
        (1, (5, 784), f"x.reshape(len(x), 28, 28, 1) for rows, {ONE_IMAGE}"),
        (3, (5, 3072), "x.reshape(len(x), 32, 32, 3) for rows"),
        (3, (5, 3, 28, 28), "np.moveaxis(x, 1, -1): channels come last here"),
    ],
)
def test_images_in_another_form_are_told_what_to_write(channels, shape, hint):
    with pytest.raises(ShapeError) as caught:
        nn.Conv2d(channels, 4, 3, rng=0)(np.zeros(shape, np.float32))
    assert str(caught.value).endswith(f"\n  hint   {hint}")


def test_a_layer_that_pools_tells_images_without_channels_what_to_write():
    with pytest.raises(
        ShapeError, match=r"hint   x\[None\] for a batch of one, x\[\.\.\., None\] for one channel$"
    ):
        nn.MaxPool2d(2)(np.zeros((5, 28, 28)))
    with pytest.raises(ShapeError, match=r"got shape \(5, 784, 1, 1, 1\)$"):
        nn.MaxPool2d(2)(np.zeros((5, 784, 1, 1, 1)))
