"""Reshaping, axes, padding and filling."""

import subprocess
import sys

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import ArgumentError, NoGradientRule, SettingError, ShapeError


@pytest.mark.case("H088")
def test_reshapes_that_cannot_be_are_refused():
    empty = tn.tensor(np.zeros((0, 3)), requires_grad=True)
    check(lambda x: x.reshape(-1), [np.zeros((0, 3))], np.zeros(0), np.zeros((0, 3)))
    for t, shape in ((empty, (-1, 0)), (tn.tensor(np.zeros(6)), (-1, -1)), (tn.tensor(np.zeros(6)), (4,))):
        with pytest.raises(ValueError, match="reshape"):
            t.reshape(*shape)


@pytest.mark.case("H090")
def test_axes_that_do_not_fit_are_refused():
    x = tn.tensor(np.zeros((2, 3)), requires_grad=True)
    with pytest.raises(ValueError, match="squeeze"):
        np.squeeze(x, axis=0)
    with pytest.raises(ValueError, match="expand_dims"):
        np.expand_dims(x, 5)
    for function in (np.sum, np.sort, np.median, np.flip, np.cumsum, np.diff, np.repeat):
        with pytest.raises(ValueError, match="out of bounds"):
            function(x, 2, axis=7) if function is np.repeat else function(x, axis=7)


@pytest.mark.parametrize("mode", ["linear_ramp", "maximum", "mean", "median", "minimum", "empty"])
def test_padding_modes_without_a_rule_are_refused(mode):
    with pytest.raises(
        NoGradientRule, match=r"modes with a derivative: constant, edge, reflect, symmetric, wrap"
    ):
        np.pad(tn.tensor([1.0, 2.0], requires_grad=True), 1, mode=mode)


@pytest.mark.parametrize("width", [1, (1, 2), ((1, 2),), ((0, 1), (2, 0))])
def test_padding_widths_are_read_as_numpy_reads_them(width):
    x = np.arange(6.0).reshape(2, 3)
    padded = np.pad(x, width, constant_values=5)
    check(lambda t: np.pad(t, width, constant_values=5), [x], padded, np.ones((2, 3)))


@pytest.mark.parametrize("width", [{0: 1}, {-1: (1, 2)}, {0: np.int64(2), 1: (0, 1)}])
def test_padding_widths_by_axis_leave_the_other_axes_alone(width):
    x = np.arange(6.0).reshape(2, 3)
    pairs = [(0, 0), (0, 0)]
    for axis, pair in width.items():
        pairs[axis] = pair if isinstance(pair, tuple) else (pair, pair)
    padded = np.pad(x, pairs, constant_values=5)
    y, (g,) = derive(lambda t: np.pad(t, width, constant_values=5), x)
    np.testing.assert_array_equal(y, padded)
    np.testing.assert_array_equal(g, np.ones((2, 3)))


@pytest.mark.parametrize(
    ("mode", "keyword"), [("constant", "foo"), ("edge", "constant_values"), ("wrap", "reflect_type")]
)
def test_padding_refuses_the_keywords_of_other_modes(mode, keyword):
    with pytest.raises(ArgumentError, match=f"pad: mode='{mode}' takes no keyword {keyword}=3"):
        np.pad(tn.tensor([1.0, 2.0]), 1, mode, **{keyword: 3})


def test_full_like_has_the_dtype_and_shape_of_its_model():
    x = tn.tensor(np.zeros((2, 3), np.float32), requires_grad=True)
    for fill in (np.float64(0.5), -0.0, np.inf, tn.tensor([1.0, 2.0, 3.0])):
        y = np.full_like(x, fill)
        expected = np.full_like(x.data, getattr(fill, "data", fill))
        assert (type(y), y.dtype) == (tn.Tensor, np.float32)
        np.testing.assert_array_equal(y.data, expected)
        np.testing.assert_array_equal(np.signbit(y.data), np.signbit(expected))
    assert np.full_like(tn.tensor([1, 2]), 2.7).tolist() == [2, 2]


def test_a_number_is_repeated_as_a_vector_of_one():
    check(lambda x: np.repeat(x, 3, axis=0), [2.0], [2, 2, 2], 3)
    check(lambda x: np.repeat(x, [2], axis=-1), [2.0], [2, 2], 2)
    with pytest.raises(ShapeError, match="repeat: axis 1"):
        np.repeat(tn.tensor(2.0), 3, axis=1)


def test_nothing_is_padded_around_a_number():
    check(lambda x: np.pad(x, 1), [2.0], 2, 1)
    check(lambda x: np.pad(x, 1, mode="edge"), [2.0], 2, 1)


def test_several_arrays_get_their_axes_or_one_shape_each_by_itself():
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    row, number = np.atleast_2d(w, 3.0)
    assert (row.shape, number.shape) == ((1, 2), (1, 1))
    assert [x.shape for x in np.atleast_3d(w, np.ones((2, 3)), 1.0)] == [(1, 2, 1), (2, 3, 1), (1, 1, 1)]
    assert [x.shape for x in np.broadcast_arrays(w, [[1.0], [2.0]])] == [(2, 2), (2, 2)]
    assert np.atleast_1d(w, [1.0, 2.0])[1].dtype == np.float32
    with pytest.raises(SettingError, match="indexing is xy or ij, got 'yx'"):
        np.meshgrid(w, indexing="yx")


def test_a_copy_has_memory_of_its_own_and_a_gradient():
    check(lambda t: np.copy(t, order="F") * 2, [[1.0, 2.0]], [2, 4], [2, 2])
    t = tn.tensor([1.0])
    assert not np.shares_memory(np.copy(t).data, t.data)


def test_a_function_of_a_module_that_is_loaded_later_is_found_by_its_name():
    code = (
        "import sys, numpy as np, tinygrad_nn as tn\n"
        "assert 'numpy.fft' not in sys.modules\n"
        "w = tn.tensor([1.0, 2.0, 3.0], requires_grad=True)\n"
        "y = np.fft.fftshift(w)\n"
        "assert y.tolist() == [3, 1, 2] and y.requires_grad\n"
        "assert np.fft.ifftshift(y).tolist() == [1, 2, 3]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_place_beyond_the_axes_is_refused():
    with pytest.raises(SettingError, match="rollaxis: start is a place from -2 to 2, got 3"):
        np.rollaxis(tn.tensor(np.zeros((2, 3))), 0, 3)
