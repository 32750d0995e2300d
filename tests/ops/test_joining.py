"""Joining and splitting."""

import sys

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check
from tinygrad_nn.errors import ShapeError


@pytest.mark.case("H089")
def test_unequal_parts_are_joined_and_split_with_their_gradients():
    a, b, none = np.ones((2, 3)), np.ones((1, 3)), np.ones((0, 3))
    cotangent = np.arange(9.0).reshape(3, 3)
    check(
        lambda *xs: np.concatenate(xs, axis=-2),
        [a, none, b],
        np.ones((3, 3)),
        cotangent[:2],
        none,
        cotangent[2:],
        cotangent=cotangent,
    )
    check(lambda x: np.concatenate([x, x]), [[1.0]], [1, 1], [5], cotangent=[2, 3])
    check(lambda x: np.stack([x, x], axis=-1), [[1.0]], [[1, 1]], [5], cotangent=[[2, 3]])
    check(lambda x: np.split(x, [1, 1, 3], axis=-1)[2], [np.arange(4.0)], [1, 2], [0, 1, 1, 0])
    with pytest.raises(ShapeError, match="array_split"):
        np.split(tn.tensor(np.zeros(5), requires_grad=True), 2)
    parts = np.array_split(tn.tensor(np.arange(5.0), requires_grad=True), 2)
    assert [part.shape for part in parts] == [(3,), (2,)]


@pytest.mark.parametrize("split", [np.split, np.array_split])
@pytest.mark.parametrize("parts", [0, -2])
def test_splitting_into_no_parts_is_refused(split, parts):
    with pytest.raises(ValueError, match=f"the number of sections is positive, got {parts}"):
        split(tn.tensor([1.0, 2.0]), parts)


def test_arrays_joined_without_an_axis_are_flat():
    a, b = tn.tensor([[1.0, 2.0]], requires_grad=True), tn.tensor([3.0], requires_grad=True)
    y = np.concatenate([a, b], axis=None)
    assert y.data.tolist() == [1, 2, 3]
    y.backward(np.array([1.0, 10.0, 100.0]))
    assert a.grad.tolist() == [[1, 10]]
    assert b.grad.tolist() == [100]
    with pytest.raises(TypeError):
        np.stack([a, a], axis=None)


JOINS = {
    "concatenate": np.concatenate,
    "concatenate columns": lambda ts: np.concatenate([t[:, None] for t in ts], axis=1),
    "concatenate without an axis": lambda ts: np.concatenate(ts, axis=None),
    "stack": np.stack,
    "stack columns": lambda ts: np.stack(ts, axis=1),
    "hstack": np.hstack,
    "vstack": np.vstack,
    "dstack": np.dstack,
    "column_stack": np.column_stack,
    "einsum of outer products": lambda ts: np.concatenate([np.einsum("i,j->ij", t, t) for t in ts]),
}


def work_of_backward(join, count):
    """Count the lines of the library that run in the backward pass of a join of so many arrays."""
    ts = [tn.tensor(np.ones(2), requires_grad=True) for _ in range(count)]
    y = join(ts).sum()
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        y.backward()
    finally:
        sys.settrace(before)
    assert all((t.grad == ts[0].grad).all() for t in ts)
    return lines


@pytest.mark.usefixtures("without_coverage")
@pytest.mark.parametrize("name", JOINS)
def test_the_work_of_going_back_through_a_join_grows_with_the_number_of_arrays(name):
    work_of_backward(JOINS[name], 4)
    few, many = work_of_backward(JOINS[name], 50), work_of_backward(JOINS[name], 400)
    assert many <= 9 * few


def test_blocks_lie_side_by_side_in_lists_of_one_depth():
    a, b = np.ones((2, 2)), np.full((2, 1), 3.0)
    check(
        lambda a, b: np.block([[a, b], [2.0, 0.0, b[0]]]),
        [a, b],
        [[1, 1, 3]] * 2 + [[2, 0, 3]],
        a,
        [[2], [1]],
    )
    w = tn.tensor(np.float32([1, 2]), requires_grad=True)
    assert np.block([w, 0.1]).dtype == np.float32
    for parts, text in (([w, [w]], "different depths"), ([[w], []], "a list is empty")):
        with pytest.raises(ShapeError, match=f"block: .*{text}"):
            np.block(parts)


def test_parts_along_axes_that_are_not_there_are_refused():
    for function, shape in ((np.hsplit, ()), (np.vsplit, (4,)), (np.dsplit, (4, 4))):
        with pytest.raises(ShapeError, match=f"{function.__name__}: needs"):
            function(tn.tensor(np.zeros(shape)), 2)
