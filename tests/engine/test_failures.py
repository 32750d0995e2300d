"""Errors of ops: they name the op, the shapes, the tensors and the module, and say what to write."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import ArgumentError, DtypeError, IndexingError, ShapeError


def test_an_error_names_op_shapes_names_module_and_hint():
    model = tn.nn.Sequential(tn.nn.Dense(4, 3, rng=0), tn.nn.Tanh(), tn.nn.Dense(128, 10, rng=0))
    with pytest.raises(ShapeError) as caught:
        model(tn.tensor(np.zeros((32, 4), np.float32), name="x"))
    assert str(caught.value).splitlines() == [
        "matmul: inner dimensions differ: (32, 3) @ (128, 10)",
        "  left   (32, 3)     float32",
        "  right  (128, 10)   float32  2.weight",
        "  in     Sequential / 2: Dense(128 -> 10)",
        "  hint   this layer expects 128 features per row, got 3",
    ]


@pytest.mark.case("H073", "H080")
@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda t: t + np.ones((3, 2)), ShapeError, r"add: shapes do not broadcast: \(2, 3\) and \(3, 2\)"),
        (lambda t: t @ t, ShapeError, r"matmul: inner dimensions differ: \(2, 3\) @ \(2, 3\)"),
        (lambda t: t.sum(axis=5), ShapeError, "sum: axis 5 is out of bounds"),
        (lambda t: t.reshape(4, 2), ShapeError, "reshape: cannot reshape"),
        (lambda t: t[7], IndexingError, "getitem: index 7 is out of bounds"),
        (lambda t: t[0.5], IndexingError, "getitem"),
        (lambda t: np.concatenate([t, t[0]]), ShapeError, "concatenate"),
        (lambda t: t.astype(complex), DtypeError, "astype: complex numbers are not supported"),
        (lambda t: t + "a", DtypeError, "not supported"),
        (lambda t: np.transpose(t, (0, 0)), ShapeError, "transpose"),
        (lambda t: np.median(t, axis=5), ShapeError, r"median: axis 5 is out of bounds(.|\n)*\(2, 3\)"),
        (lambda t: t.median(axis=(0, 0)), ShapeError, "median: repeated axis"),
        (lambda t: np.diff(t, axis=[0]), ArgumentError, r"diff(.|\n)*axis=\(0,\)"),
        (
            lambda t: np.diff(t, axis="a"),
            DtypeError,
            "diff: 'str' object cannot be interpreted as an integer",
        ),
        (lambda t: np.split(t, 1, axis=5), IndexingError, "split: tuple index out of range"),
    ],
)
def test_wrong_calls_are_explained(call, error, text):
    with pytest.raises(error, match=text):
        call(tn.tensor(np.zeros((2, 3)), requires_grad=True))


@pytest.mark.parametrize(
    ("left", "right", "text"),
    [
        ((2, 3, 4), (5, 4, 6), "batch dimensions do not broadcast"),
        ((2, 3), (4, 5), "inner dimensions differ"),
        ((), (2,), r"\(\) @ \(2,\): 0-d(.|\n)*hint   a 0-d operand is multiplied with \*"),
        ((3, 2), (4, 2), r"hint   \(3, 2\) @ \(2, 4\) works: x @ w.T"),
        ((2, 3), (4, 5), r"left   \(2, 3\)      float64  measured\n"),
    ],
)
def test_a_wrong_product_says_which_dimensions_are_wrong(left, right, text):
    with pytest.raises(ShapeError, match=text):
        tn.tensor(np.ones(left), name="measured") @ np.ones(right)


@pytest.mark.parametrize("shape", [(2,), (2, 2), (3, 2, 2)])
@pytest.mark.parametrize("product", [lambda t: t @ 2.0, lambda t: 2 @ t], ids=["right", "left"])
def test_a_product_with_a_number_says_how_that_is_written(shape, product):
    with pytest.raises(ShapeError, match=r"matmul(.|\n)*hint   a 0-d operand is multiplied with \*"):
        product(tn.tensor(np.ones(shape)))
