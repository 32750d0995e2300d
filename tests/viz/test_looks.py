"""Small pictures of arrays: heat maps, histograms, images."""

import numpy as np
import pytest

from tests.support.networks import loss
from tinygrad_nn import nn
from tinygrad_nn.viz.looks import look

LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def levels(text):
    return [LEVELS.index(sign) for sign in text]


def test_a_heat_map_goes_from_minus_to_plus_the_largest_magnitude():
    seen = look(np.array([[-2.0, 0.0, 1.0], [2.0, 0.5, -1.0]]), images=False)
    assert (seen.most, seen.columns) == (2.0, 3)
    assert levels(seen.cells) == [0, 31, 47, 63, 39, 15]


def test_a_large_matrix_is_shown_by_rows_and_columns_evenly_spread():
    seen = look(np.arange(1000.0)[:, None] * np.ones(50), images=False)
    assert seen.columns == 20
    assert len(seen.cells) == 20 * 20
    rows = levels(seen.cells[::20])
    assert rows == sorted(rows)
    assert (rows[0], rows[-1]) == (31, 63)


def test_a_histogram_counts_from_the_smallest_to_the_largest():
    seen = look(np.array([1.0] * 8 + [2.0] * 4 + [5.0]), images=False)
    assert (seen.low, seen.high) == (1.0, 5.0)
    bars = levels(seen.bars)
    assert len(bars) == 24
    assert (bars[0], bars[6], bars[-1]) == (63, 31, 7)
    assert sum(map(bool, bars)) == 3


def test_what_is_not_finite_is_blank_and_does_not_count():
    seen = look(np.array([np.nan, 1.0, -np.inf, -1.0, 0.0]), images=False)
    assert seen.cells[0] == seen.cells[2] == " "
    assert (seen.most, seen.low, seen.high) == (1.0, -1.0, 1.0)
    assert look(np.full(9, np.nan), images=False) is None


@pytest.mark.parametrize(
    "array",
    [np.array([1e308, -1e308, 0, 1, 2]), np.zeros(5), np.arange(9) > 3],
    ids=["huge", "zero", "logical"],
)
def test_numbers_of_any_size_have_a_look(array):
    seen = look(array, images=False)
    assert len(seen.cells) == len(array)
    assert max(levels(seen.bars)) == 63


@pytest.mark.parametrize(
    "array",
    [
        np.where(np.arange(100) < 99, 1.0, np.nextafter(1.0, 2.0)),
        np.where(np.arange(100) % 2, 1.5e308, -1.5e308),
        np.full(100, 5e-324) * (np.arange(100) % 3),
    ],
    ids=["two neighbours", "the largest", "the smallest"],
)
def test_numbers_of_any_distance_have_a_histogram(array):
    seen = look(array, images=False)
    assert len(seen.bars) == 24
    assert "/" in seen.bars
    assert (seen.low, seen.high) == (array.min(), array.max())


@pytest.mark.parametrize(
    "array", [np.float64(3), np.ones(4), np.array(["a"] * 9)], ids=["number", "few", "texts"]
)
def test_what_is_told_whole_or_is_no_number_has_no_picture(array):
    assert look(array, images=True) is None


@pytest.mark.parametrize(
    ("shape", "wide"),
    [((5, 784), 28), ((2, 64), 8), ((3, 12, 9), 9), ((4, 28, 20, 1), 20), ((4, 60, 60, 3), 28)],
)
def test_a_batch_of_images_shows_the_first(shape, wide):
    batch = np.random.default_rng(0).uniform(size=shape)
    seen = look(batch, images=True)
    assert len(seen.images) == min(3, shape[0])
    assert seen.wide == wide
    assert levels(seen.images[0]).count(63) >= 1
    assert not look(batch, images=False).images


def test_an_image_is_dark_where_it_is_low():
    digit = np.zeros((1, 64))
    digit[0, 10] = 0.5
    digit[0, 20] = 1.0
    (image,) = look(digit, images=True).images
    assert [k for k, level in enumerate(levels(image)) if level] == [10, 20]
    assert (levels(image)[10], levels(image)[20]) == (31, 63)


@pytest.mark.parametrize(
    "array",
    [
        np.full((5, 63), 1.0),
        -np.ones((5, 64)),
        np.ones((5, 49)),
        np.full((2, 9, 9), np.nan),
        np.ones((2, 9, 9, 4)),
    ],
    ids=["no square", "negative", "tiny", "not finite", "channels"],
)
def test_what_is_no_image_is_not_shown_as_one(array):
    seen = look(array, images=True)
    assert seen is None or not seen.images


def test_facts_have_looks_of_values_and_gradients_but_not_of_few_numbers():
    facts = loss().graph().facts
    shapes = {k: value.shape for k, value in enumerate(loss().graph().graph.values)}
    assert set(facts.looks) == {k for k, shape in shapes.items() if np.prod(shape) > 4}
    assert set(facts.gradient_looks) == set(facts.looks) & set(facts.gradients)


def test_cells_that_repeat_are_in_a_page_once_and_are_drawn_each(opened):
    images = np.zeros((2, 784), np.float32)
    images[:, 300:400] = np.linspace(0.1, 1, 100)
    model = nn.Dense(784, 3, rng=0)
    page = opened(model(images).sum().graph(names={"x": images}))
    text = page.run("return data.looks[0].images[0]")
    assert len(text) < 200
    pixels = page.run(
        "choose(0); const c = document.querySelector('#node canvas');"
        "return [...c.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, k) => k % 4 === 0)"
    )
    assert np.allclose(np.array(pixels) / 255, images[0], atol=0.02)
