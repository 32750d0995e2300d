"""Indices of every kind: where their gradients go, and which are refused."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check
from tinygrad_nn.errors import DtypeError, IndexingError, ShapeError


@pytest.mark.case("H082")
def test_a_repeated_index_collects_its_gradients():
    check(lambda x: x[[0, 0, 1]], [np.zeros(3)], np.zeros(3), [2, 1, 0])
    check(lambda x: np.take(x, [0, 0, 1]), [np.zeros(3)], np.zeros(3), [2, 1, 0])
    indices = np.array([0, 0, 1])
    check(lambda x: np.take_along_axis(x, indices, axis=0), [np.zeros(3)], np.zeros(3), [2, 1, 0])


INDICES = {
    "negative step": np.s_[::-2],
    "new axis": np.s_[..., None],
    "nothing": np.s_[1:1],
    "true": True,
    "false": False,
    "mask": np.array([[True, False, True], [False, True, True], [False] * 3, [True] * 3]),
    "row mask": np.array([True, False, False, True]),
    "slice and list": np.s_[1:3, [0, 0, 2]],
    "list and slice": np.s_[[3, 0, 3], ::-1],
    "two lists": ([0, 0, 3], [1, 1, 2]),
    "matrix of indices": np.array([[0, 1], [3, 3]]),
    "integer": 2,
    "negative integers": (-1, -2),
    "empty list": [],
    "lists apart": np.s_[[0, 1], None, [2, 2]],
}


@pytest.mark.case("H085")
@pytest.mark.parametrize("name", INDICES)
def test_indexing_of_every_kind_scatters_to_the_same_place(name):
    index = INDICES[name]
    x = np.arange(12.0).reshape(4, 3)
    cotangent = np.random.default_rng(3).normal(size=x[index].shape)
    expected = np.zeros_like(x)
    np.add.at(expected, index, cotangent)
    check(lambda t: t[index], [x], x[index], expected, cotangent=cotangent)


@pytest.mark.case("H086")
def test_wrong_indices_raise_as_in_numpy():
    x = tn.tensor(np.zeros((4, 3)), requires_grad=True)
    for index in (4, 1.5, [7], np.ones(3, bool), (0, 0, 0)):
        with pytest.raises(IndexError):
            x[index]
    with pytest.raises(IndexingError, match="take"):
        np.take(x, [9], axis=0)


@pytest.mark.case("H084", "H092")
def test_item_assignment_is_refused_with_what_to_write_instead():
    x = tn.tensor(np.zeros(3), requires_grad=True)
    with pytest.raises(TypeError, match=r"t = t\.at\[index\]"):
        x[[0, 0]] = 7.0
    with pytest.raises(TypeError, match=r"t = t\.at\[index\]"):
        (x * 2)[0] = 1.0


MANY = 1_000_000
TO_ONE_PLACE = {
    "index": lambda x: x[np.zeros(MANY, int)],
    "rows": lambda x: x.reshape(1, 2)[np.zeros(MANY // 2, int)],
    "pairs": lambda x: x.reshape(1, 2)[np.zeros(MANY, int), np.full(MANY, -1)],
    "take": lambda x: np.take(x, np.zeros(MANY, int)),
    "take_along_axis": lambda x: np.take_along_axis(x, np.zeros(MANY, int), axis=0),
    "repeat": lambda x: np.repeat(x, MANY // 2),
    "pad": lambda x: np.pad(x, (MANY, 0), mode="edge"),
}


@pytest.mark.parametrize("name", TO_ONE_PLACE)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_million_contributions_to_one_place_add_up(name, dtype):
    x = tn.tensor(np.zeros(2, dtype), requires_grad=True)
    y = TO_ONE_PLACE[name](x)
    tenth = dtype(0.1 if dtype is np.float32 else 0.01)
    y.backward(np.full(y.shape, tenth))
    np.testing.assert_allclose(
        x.grad.sum(dtype=float), y.size * float(tenth), rtol=1e-6 if dtype is np.float32 else 1e-3
    )


PLACES = {
    "dense": ((5,), (np.arange(-200, 200) % 5,)),
    "negative": ((5,), (np.arange(-300, 0) % 5 - 5,)),
    "rows": ((7, 3), (np.arange(100) % 7,)),
    "columns": ((3, 7), (slice(None), np.arange(100) % 7)),
    "parts of rows": ((9, 8), (np.arange(100) % 4, slice(1, None, 3))),
    "sparse": ((100_000,), (np.arange(200) ** 2 % 97,)),
    "sparse rows": ((5_000, 4), (np.arange(-100, 100) % 30 - 15,)),
    "sparse pairs": ((1_000, 100), (np.arange(150) % 40, np.arange(150) % 20 - 10)),
    "sparse with a new axis": ((10_000, 2), (np.arange(99) % 10, None, slice(None))),
    "few": ((6, 5), (np.array([[0, 0, 3], [-1, 5, 3]]), slice(None, None, 2))),
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_contributions_add_up_wherever_an_index_points(name, dtype):
    shape, place = PLACES[name]
    x = tn.tensor(np.zeros(shape, dtype), requires_grad=True)
    y = x[place]
    cotangent = np.random.default_rng(0).integers(-4, 5, y.shape).astype(dtype)
    y.backward(cotangent)
    expected = np.zeros(shape)
    np.add.at(expected, place, cotangent.astype(float))
    np.testing.assert_array_equal(x.grad, expected)
    assert x.grad.dtype == dtype


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_of_a_number_elements_are_taken_as_of_a_vector(axis):
    check(lambda x: np.take(x, [0, 0], axis=axis), [2.0], [2, 2], 2)


def test_the_first_condition_that_holds_selects():
    x = np.array([-1.0, 0.5, 2.0])
    check(lambda t: np.select([t > 1, t > 0], [t * 10, t * t], -1), [x], [-1, 0.25, 20], [0, 1, 10])
    t = tn.tensor(np.float32(x), requires_grad=True)
    assert np.select([t > 1], [t], 0.1).dtype == np.float32
    with pytest.raises(DtypeError, match="conditions are boolean"):
        np.select([t], [t])
    with pytest.raises(ShapeError, match="as many choices as conditions"):
        np.select([t > 1], [t, t])


def test_pieces_are_computed_where_their_conditions_hold_and_the_rest_by_the_last():
    x = np.array([-1.0, 0.0, 4.0])
    check(lambda t: np.piecewise(t, [t > 0, t < 0], [np.sqrt, 3.0, 7.0]), [x], [3, 7, 2], [0, 0, 0.25])
    check(
        lambda t: np.piecewise(t, t < 0, [lambda v, k: v**k, lambda v, k: np.cos(v)], 2),
        [x],
        [1, 1, np.cos(4)],
        [-2, 0, -np.sin(4)],
    )
    check(lambda t: np.piecewise(t, [True], [np.exp]), [0.0], 1, 1)
    with pytest.raises(ShapeError, match="1 conditions take as many functions, got 3"):
        np.piecewise(tn.tensor(x), [x > 0], [1, 2, 3])
