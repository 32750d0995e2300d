"""Resizing: formulas at the borders, adjoints, dtypes, and what is refused."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import SettingError, ShapeError
from tinygrad_nn.ops.resize import resampled_axis, spread_axis

RNG = np.random.default_rng(0)
RAMP = np.array([0.0, 4.0]).reshape(1, 2, 1)


def row(x):
    return np.asarray(x).reshape(-1).tolist()


def test_nearest_takes_the_element_at_the_share_of_the_way_by_whole_numbers():
    x = np.arange(3.0).reshape(1, 3, 1)
    assert row(tn.resize(x, 7)) == [0, 0, 0, 1, 1, 2, 2]
    assert row(tn.resize(x, 2)) == [0, 1]
    # k * (49 / size), rounded, may fall below a whole number.
    many = np.arange(49.0).reshape(1, 49, 1)
    for size in range(1, 150):
        assert row(tn.resize(many, size)) == [float(k * 49 // size) for k in range(size)]


def test_linear_has_the_centres_of_pixels_and_the_border_is_repeated():
    assert row(tn.resize(RAMP, 4, mode="linear")) == [0, 1, 3, 4]
    assert row(tn.resize(RAMP, 1, mode="linear")) == [2]
    assert row(tn.resize(np.full((1, 1, 1), 5.0), 3, mode="linear")) == [5, 5, 5]
    x = RNG.normal(size=(2, 3, 4, 5))
    for mode in ("nearest", "linear"):
        np.testing.assert_array_equal(tn.resize(x, (3, 4), mode=mode), x)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("length", "size"), [(5, 8), (8, 5), (1, 6), (6, 1), (7, 7), (3, 300), (300, 3)])
def test_spreading_is_the_adjoint_of_resampling(mode, length, size):
    x, g = RNG.normal(size=(2, length, 3)), RNG.normal(size=(2, size, 3))
    there = resampled_axis(x, axis=1, size=size, mode=mode)
    back = spread_axis(g, axis=1, length=length, mode=mode)
    assert np.sum(there * g) == pytest.approx(np.sum(x * back), rel=1e-12)


def test_every_element_that_was_made_of_one_gives_its_gradient_back():
    x = tn.tensor(RAMP, requires_grad=True)
    (g,) = tn.gradients(tn.resize(x, 6).sum(), [x])
    assert row(g.data) == [3, 3]
    (g,) = tn.gradients(tn.resize(x, 4, mode="linear")[0, 1].sum(), [x])
    assert row(g.data) == [0.75, 0.25]


def test_a_million_gradients_of_float32_for_one_element_add_up():
    x = tn.tensor(np.zeros((1, 1, 1), np.float32), requires_grad=True)
    (g,) = tn.gradients(tn.resize(x, 1 << 20), [x], cotangent=np.full((1, 1 << 20, 1), np.float32(0.1)))
    np.testing.assert_allclose(g.data, np.float32(0.1) * float(1 << 20), rtol=1e-6)


def test_dtypes_stay_and_integers_are_kept_by_nearest_alone():
    for dtype in (np.float16, np.float32, np.float64):
        for mode in ("nearest", "linear"):
            assert tn.resize(RAMP.astype(dtype), 3, mode=mode).dtype == dtype
    images = np.arange(8, dtype=np.uint8).reshape(1, 2, 2, 2)
    assert tn.resize(images, 4).dtype == np.uint8
    assert tn.resize(images, 4, mode="linear").dtype == np.float64


def test_an_infinity_stays_where_it_is():
    x = np.array([1.0, 2.0, np.inf, 4.0, 5.0, 6.0]).reshape(1, 6, 1)
    assert row(tn.resize(x, 12)) == [1, 1, 2, 2, np.inf, np.inf, 4, 4, 5, 5, 6, 6]
    y = np.ravel(tn.resize(x, 12, mode="linear"))
    assert np.isfinite(y).tolist() == [True] * 3 + [False] * 4 + [True] * 5


def test_an_empty_batch_is_resized_too():
    x = tn.tensor(np.zeros((0, 2, 3, 4)), requires_grad=True)
    y = tn.resize(x, (5, 6), mode="linear")
    assert y.shape == (0, 5, 6, 4)
    assert tn.gradients(y.sum(), [x])[0].shape == x.shape


def test_a_compiled_step_resizes(backend):
    def step(x):
        return tn.value_and_grad(lambda x: (tn.resize(x, (5, 3), mode="linear") ** 2).sum())(x)

    x = RNG.normal(size=(2, 3, 4, 2))
    compiled = tn.compile(step, backend)
    for _ in range(2):
        for a, b in zip(compiled(x), step(x), strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


def test_what_cannot_be_resized_is_refused():
    x = np.zeros((2, 3, 4, 5))
    for size in ((3,), (3, 4, 5), 0, -1, 2.5, (3, 0), "3", None, True):
        with pytest.raises(
            SettingError, match="resize: size is an integer from 1 on, or one for each of the 2 axes"
        ):
            tn.resize(x, size)
    for mode, hint in (
        ("bilinear", 'mode="linear", of any rank'),
        ("cubic", '"nearest" or'),
        (None, '"nearest" or'),
    ):
        with pytest.raises(SettingError, match=f"there is no mode {mode!r}\n  hint   .*{hint}"):
            tn.resize(x, 3, mode=mode)
    for shape in ((2, 3), (2, 0, 3)):
        with pytest.raises(ShapeError, match=r"expected \(N, \*space, C\), channels last, and no empty axis"):
            tn.resize(np.zeros(shape), 3)


def test_a_list_is_an_input_as_an_array_is():
    np.testing.assert_array_equal(tn.resize([[[1.0], [2.0]]], 4)[0, :, 0], [1, 1, 2, 2])
