"""Operators and methods of tensors, in place ones among them."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import leaf, vector
from tinygrad_nn.errors import GraphError, TinygradError


def test_in_place_operators_make_new_tensors_of_results_and_refuse_leaves():
    t = vector(1, 2)
    total = tn.tensor(0.0)
    for _ in range(3):
        total += (t * t).sum()
    total.backward()
    assert np.array_equal(t.grad, [6, 12])
    with pytest.raises(GraphError, match="no_grad"):
        t += 1
    with tn.no_grad():
        t += 1
        t **= 2
    assert np.array_equal(t.data, [4, 9])
    assert t.requires_grad


@pytest.mark.case("H122")
def test_an_in_place_operator_on_a_result_makes_a_new_tensor():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    z = y * y
    before = y
    y += 1
    assert y is not before
    z.sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda w: w.__isub__(0.1), r"w -= \.\.\."),
        (lambda w: w.__iadd__(0.1), r"w \+= \.\.\."),
        (lambda w: w.__imul__(0.1), r"w \*= \.\.\."),
        (lambda w: w.__itruediv__(2.0), r"w /= \.\.\."),
    ],
)
def test_the_line_that_changes_a_leaf_in_place_comes_first_and_works(change, line):
    w = vector(1.0)
    w.name = "w"
    with pytest.raises(
        GraphError, match=rf"hint   with tn\.no_grad\(\): {line}\n .*a result, whose \.grad stays None"
    ):
        change(w)
    with tn.no_grad():
        assert change(w) is w


@pytest.mark.case("H122")
def test_an_in_place_operator_on_a_leaf_is_refused():
    x = leaf([1.0, 2.0])
    with pytest.raises(GraphError, match="no_grad"):
        x += 1
    with pytest.raises(TypeError, match=r"t = t\.at\[index\]"):
        x[0] = 5.0
    np.testing.assert_array_equal(x.data, [1.0, 2.0])


def test_in_place_operators_of_a_tensor_that_nobody_differentiates_make_a_new_one():
    t = tn.tensor([1.0, 2.0])
    array = t.data
    with tn.no_grad():
        t *= 3
    np.testing.assert_array_equal(t.data, [3, 6])
    assert t.is_leaf
    np.testing.assert_array_equal(array, [1, 2])


@pytest.mark.parametrize(
    ("other", "kind"), [(np.ones(3), tn.errors.ShapeError), (np.array(["a"]), tn.errors.DtypeError)]
)
def test_an_in_place_change_that_cannot_be_says_so_and_changes_nothing(other, kind):
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    with tn.no_grad(), pytest.raises(kind, match="add"):
        w += other
    assert w.data.tolist() == [1, 2]


METHODS = {
    "all": (), "any": (), "argmax": (), "argmin": (), "argsort": (), "astype": (np.float32,), "clip": (0.2, 0.8),
    "copy": (), "cumprod": (), "cumsum": (), "diagonal": (), "dot": (np.ones(3),), "flatten": (), "max": (),
    "mean": (), "min": (), "prod": (), "ravel": (), "repeat": (2,), "reshape": (3, 2), "round": (1,), "squeeze": (),
    "std": (), "sum": (), "swapaxes": (0, 1), "take": (np.array([0, 3]),), "trace": (), "transpose": (), "var": (),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_arrays_are_methods_of_tensors(name):
    x = np.random.default_rng(0).uniform(size=(2, 3))
    expected = getattr(x, name)(*METHODS[name])
    np.testing.assert_allclose(getattr(tn.tensor(x), name)(*METHODS[name]).data, expected, rtol=1e-14)


def test_integers_shift_and_are_shifted():
    t = tn.tensor([1, 2, 4])
    assert (t << 1).tolist() == [2, 4, 8]
    assert (t >> 1).tolist() == [0, 1, 2]
    assert (1 << t).tolist() == [2, 4, 16]
    t <<= np.array([2, 0, 1])
    assert t.tolist() == [4, 2, 8]
    with pytest.raises(TypeError, match="left_shift"):
        vector(1.0) << 1


def test_parts_of_complex_numbers_are_those_of_real_ones():
    t = vector(1.5, -2.0)
    (t.real * t.conj() + t.imag + np.angle(t, deg=True)).sum().backward()
    assert t.grad.tolist() == [3, -4]
    assert t.imag.tolist() == [0, 0]
    assert np.angle(t, deg=True).tolist() == [0, 180]
    assert np.real(tn.tensor([True])).tolist() == [True]


@pytest.mark.parametrize(
    "lengths", [(6,), (2, 3), ((3, 2),), ([3, 2],), (np.int64(6),), (np.int64(3), -1), (-1, 1, 6)]
)
def test_shapes_are_given_one_by_one_or_in_one_sequence(lengths):
    t = tn.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    np.testing.assert_array_equal(t.reshape(*lengths).data, t.data.reshape(*lengths))


@pytest.mark.parametrize(
    "axes", [(), (None,), (1, 0, 2), ((2, 0, 1),), ([0, 2, 1],), (np.int64(2), 1, 0), (-1, 0, 1)]
)
def test_axes_are_given_one_by_one_in_one_sequence_or_not_at_all(axes):
    t = tn.tensor(np.arange(24.0).reshape(2, 3, 4), requires_grad=True)
    np.testing.assert_array_equal(t.transpose(*axes).data, t.data.transpose(*axes))


def test_an_order_of_elements_is_taken():
    t = tn.tensor(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(t.reshape(3, 2, order="F").data, t.data.reshape(3, 2, order="F"))


def test_an_op_that_is_declared_anew_has_the_new_method_and_takes_no_name_that_a_tensor_has():
    for factor in (2, 3):
        tn.op(lambda x, factor=factor: x * factor, lambda g: g, name="scaled_up")
        assert tn.tensor([1.0]).scaled_up().tolist() == [factor]
    tn.op(lambda x: x * 4, lambda g: g * 4, name="hidden", method=False)
    assert not hasattr(tn.tensor([1.0]), "hidden")
    tn.op(lambda x: x * 4, lambda g: g * 4, name="detach")
    tn.op(lambda x: x * 4, lambda g: g * 4, name="flatten")
    t = tn.tensor([[1.0]], requires_grad=True)
    assert t.detach().tolist() == [[1]]
    assert t.flatten().tolist() == [1]


def test_names_in_errors_are_in_one_line():
    name = "w\x1b[2J\nhint"
    w = tn.tensor([1.0], requires_grad=True, name=name)

    def change(t):
        w.data = t.data

    def freeze(t):
        w.requires_grad = False

    def write(t):
        nonlocal w
        w += 1

    y = w * w
    with tn.no_grad():
        w += 1
    failures = []
    for call in (
        write,
        y.backward,
        *(lambda f=f: tn.compile(f, "numpy")(np.ones(1)) for f in (freeze, change)),
    ):
        with pytest.raises(TinygradError) as failure:
            call(w) if call is write else call()
        failures.append(str(failure.value))
    assert len([text for text in failures if r"w\x1b[2J\nhint" in text]) >= 3
    assert not any("\x1b" in text for text in failures)
