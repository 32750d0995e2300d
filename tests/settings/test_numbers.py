"""Settings that are numbers: what is one, and that all rooms refuse what is none in the same words."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, settings
from tinygrad_nn.errors import SettingError


@pytest.mark.parametrize("count", [1, np.int64(3), np.uint8(7)])
def test_a_positive_integer_of_numpy_is_one_of_python(count):
    found = settings.positive_integer("f", "n", count)
    assert (type(found), found) == (int, count)


@pytest.mark.parametrize("count", [0, -1, True, 2.0, "2", None, np.ones(1, int)])
def test_what_is_no_positive_integer_is_refused(count):
    with pytest.raises(SettingError, match=r"^f: n is a positive integer, got "):
        settings.positive_integer("f", "n", count)


def test_an_integer_stands_for_all_axes_and_several_for_each():
    assert settings.integers("f", "n", 2, 3, 1) == (2, 2, 2)
    assert settings.integers("f", "n", np.array([1, 2]), 2, 1) == (1, 2)
    for value in (0, (1, 2, 3), (1, 0), (1, True), 1.5, "12", None):
        with pytest.raises(
            SettingError, match=r"^f: n is an integer from 1 on, or one for each of the 2 axes, got "
        ):
            settings.integers("f", "n", value, 2, 1)


def test_numbers_end_below_a_bound_and_shares_with_one():
    settings.check_number("f", "n", 0)
    settings.check_number("f", "n", np.float32(0.5), below=1)
    settings.check_share("f", "n is a share", 1)
    for value in (-1e-9, np.inf, np.nan, "1", None, np.ones(2)):
        with pytest.raises(SettingError, match=r"^f: n is a number in \[0, inf\), got "):
            settings.check_number("f", "n", value)
        with pytest.raises(SettingError, match=r"^f: n is a share, from 0 to 1, got "):
            settings.check_share("f", "n is a share", value)
    with pytest.raises(SettingError, match=r"\[0, 1\), got 1"):
        settings.check_number("f", "n", 1, below=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda count: nn.Dense(count, 2),
        lambda count: nn.Embedding(2, count),
        lambda count: nn.MultiheadAttention(count, 1),
        lambda count: nn.LayerNorm(count),
        lambda count: nn.BatchNorm(count),
        lambda count: nn.GroupNorm(1, count),
        lambda count: nn.Conv2d(count, 2, 3),
        lambda count: nn.ConvTranspose1d(2, 2, 3, groups=count),
        lambda count: nn.LSTM(2, count),
        lambda count: tn.data.sequences([1, 2, 3], count),
        lambda count: tn.data.batches([1, 2, 3], size=count),
        lambda count: tn.profile(lambda: None, calls=count),
    ],
)
@pytest.mark.parametrize("count", [0, True, 1.0])
def test_sizes_are_refused_in_the_same_words_everywhere(make, count):
    with pytest.raises(SettingError, match=f"^[A-Za-z0-9]+: [a-z_]+ is a positive integer, got {count}$"):
        make(count)
