"""Arrays as small pictures: shades of their entries, and how often which numbers come."""

import numpy as np
import pytest

from tinygrad_nn.viz.looks import look


@pytest.mark.parametrize(
    "array",
    [
        np.full(100, 1.0),
        np.where(np.arange(100) < 99, 1.0, np.nextafter(1.0, 2.0)),
        np.where(np.arange(100) % 2, 1.5e308, -1.5e308),
        np.full(100, 5e-324) * (np.arange(100) % 3),
    ],
    ids=["one number", "two neighbours", "the largest", "the smallest"],
)
def test_numbers_of_any_distance_have_a_histogram(array):
    seen = look(array, images=False)
    assert len(seen.bars) == 24
    assert "/" in seen.bars
    assert (seen.low, seen.high) == (array.min(), array.max())


def test_a_histogram_is_as_high_as_numbers_are_many():
    seen = look(np.arange(96.0), images=False)
    assert len(set(seen.bars)) == 1
