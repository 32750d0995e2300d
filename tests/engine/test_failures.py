"""Errors of ops: they name the op, the shapes, the tensors and the module, and say what to write."""

import subprocess
import sys
import traceback

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


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((5, 1, 28, 28), "nn.Flatten() before it, or x.reshape(len(x), -1)"),
        ((5, 28, 28), "nn.Flatten() before it, or x.reshape(len(x), -1)"),
        ((5, 28, 28, 1), "nn.Flatten() before it, or x.reshape(len(x), -1)"),
        ((28, 28), "x.reshape(1, -1) for a batch of one"),
        ((5, 7, 28, 28), "x.reshape(*x.shape[:2], -1)"),
        ((5, 13, 13, 8), "nn.Flatten() before it, and then a layer of 1352 features"),
        ((784, 5), "x.T: rows are samples, and columns features"),
        ((5, 28), "this layer expects 784 features per row, got 28"),
        ((5, 7, 28), "this layer expects 784 features per row, got 28"),
    ],
)
def test_inputs_that_are_no_rows_are_told_how_to_become_rows(shape, hint):
    with pytest.raises(ShapeError) as caught:
        tn.nn.Dense(784, 2, rng=0)(np.zeros(shape, np.float32))
    assert f"\n  hint   {hint}" in str(caught.value)


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
        (
            lambda t: t.reshape(1, 2, 3).transpose(1, 2),
            ShapeError,
            r"transpose(.|\n)*hint   np\.swapaxes\(t, 1, 2\)",
        ),
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


def test_an_error_that_says_more_than_numpy_stands_alone():
    with pytest.raises(ShapeError) as caught:
        tn.tensor(np.ones((2, 3))) @ np.ones((2, 3))
    shown = "".join(traceback.format_exception(caught.value))
    assert "gufunc" not in shown
    assert "direct cause" not in shown
    with pytest.raises(ShapeError) as caught:
        np.median(tn.tensor(np.ones((2, 3))), axis=5)
    assert "direct cause" not in "".join(traceback.format_exception(caught.value))


def test_an_error_in_an_op_of_the_users_shows_the_users_line():
    @tn.kernel(lambda g, x: g, name="fails_inside")
    def fails_inside(x):
        return x.reshape(7)

    with pytest.raises(ShapeError) as caught:
        fails_inside(tn.tensor(np.ones(3)))
    shown = "".join(traceback.format_exception(caught.value))
    assert "return x.reshape(7)" in shown


WARNS = """\
import numpy as np
import tinygrad_nn as tn
x = tn.tensor([0.0, 1.0], name="x")
class Logarithm(tn.nn.Module):
    def forward(self, x):
        return np.log(x)
a = x.log()
b = 1 / x
c = tn.nn.Sequential(tn.nn.ReLU(), Logarithm())(x)
for k in range(3): d = np.log(x)
with np.errstate(all="ignore"): e = np.log(x)
print(a.data[0], b.data[0], c.data[0], d.data[0], e.data[0])
"""


def test_a_warning_of_numpy_points_to_the_users_line_and_names_the_tensor(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(WARNS)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.stdout == "-inf inf -inf -inf -inf\n"
    log = "RuntimeWarning: divide by zero encountered in log, of"
    assert done.stderr.splitlines() == [
        f"{script}:7: {log} x (2,)",
        "  a = x.log()",
        f"{script}:8: RuntimeWarning: divide by zero encountered in divide, of x (2,)",
        "  b = 1 / x",
        f"{script}:6: {log} (2,)",
        "  in     Sequential / 1: Logarithm()",
        "  return np.log(x)",
        f"{script}:10: {log} x (2,)",
        "  for k in range(3): d = np.log(x)",
    ]


def test_a_warning_of_numpy_that_is_an_error_stays_one():
    with pytest.raises(RuntimeWarning, match=r"divide by zero encountered in log, of x \(1,\)$"):
        tn.tensor([0.0], name="x").log()
