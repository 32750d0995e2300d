"""What can be assigned to a tensor, and how it stands in for a number, an index or an array."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import DtypeError, GraphError, NoGradientRule, StaleValue


def leaf(*values):
    return tn.tensor(values, dtype=float, requires_grad=True)


def test_any_tensor_can_be_named_later_and_keeps_what_it_is():
    plain, w = tn.tensor([1.0]), leaf(1.0)
    y = w * 2
    for t in (plain, w, y):
        assert t.name is None
        t.name = "it"
        assert t.name == "it"
        assert "name='it'" in repr(t)
    assert not plain.requires_grad
    assert plain.is_leaf
    y.backward(np.ones(1))
    np.testing.assert_array_equal(w.grad, [2])
    w.name = None
    assert "name" not in repr(w)


def test_requires_grad_can_be_switched_on_and_off_on_leaves():
    t = tn.tensor([1.0, 2.0], name="t")
    t.requires_grad = True
    y = (t * t).sum()
    y.backward(retain_graph=True)
    np.testing.assert_array_equal(t.grad, [2, 4])
    t.requires_grad = False
    assert not (t * t).requires_grad
    assert t.name == "t"
    with pytest.raises(DtypeError, match="only floating tensors"):
        tn.tensor([1, 2]).requires_grad = True


def test_a_leaf_that_no_longer_requires_grad_gets_none_from_an_older_graph():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = (a * b).sum()
    a.requires_grad = False
    y.backward()
    assert a.grad is None
    np.testing.assert_array_equal(b.grad, [1, 2])


def test_results_refuse_new_data_and_a_say_in_requires_grad():
    y = leaf(1.0) * 2
    with pytest.raises(GraphError, match="data of a result cannot be replaced\n  hint   make a new tensor"):
        y.data = np.zeros(1)
    with pytest.raises(GraphError, match=r"follows from its operands\n  hint   t.detach\(\)"):
        y.requires_grad = False
    assert y.data == 2
    assert y.requires_grad


@pytest.mark.parametrize("make", [lambda: tn.tensor([1.0]), lambda: leaf(1.0) * 2])
def test_only_a_leaf_that_requires_grad_has_a_gradient_to_assign(make):
    t = make()
    with pytest.raises(
        GraphError, match="only a leaf that requires grad has a gradient\n  hint   t.requires"
    ):
        t.grad = np.zeros(1)
    assert t.grad is None


def test_a_gradient_of_the_right_form_is_assigned_and_added_to():
    t = leaf(1.0, 2.0)
    t.grad = np.array([10.0, 20.0])
    (t * 3).sum().backward()
    np.testing.assert_array_equal(t.grad, [13, 23])


def test_data_of_a_plain_tensor_is_replaced_by_anything():
    t = tn.tensor([1.0, 2.0])
    t.data = np.arange(3)
    assert (t.shape, t.dtype) == ((3,), np.int64)
    t.data = tn.tensor(5.0)
    assert t.item() == 5


def test_new_data_of_a_leaf_makes_older_results_stale_and_a_gradient_of_another_dtype_void():
    t = leaf(1.0, 2.0)
    y = (t * t).sum()
    y.backward(retain_graph=True)
    t.data = np.array([3.0, 4.0])
    np.testing.assert_array_equal(t.grad, [2, 4])
    with pytest.raises(StaleValue):
        y.backward()
    t.data = np.array([3.0, 4.0], np.float32)
    assert t.grad is None
    (t * t).sum().backward()
    np.testing.assert_array_equal(t.grad, [6, 8])


def test_in_place_operators_of_a_tensor_that_nobody_differentiates_make_a_new_one():
    t = tn.tensor([1.0, 2.0])
    array = t.data
    with tn.no_grad():
        t *= 3
    np.testing.assert_array_equal(t.data, [3, 6])
    assert t.is_leaf
    np.testing.assert_array_equal(array, [1, 2])


@pytest.mark.parametrize("options", [{"requires_grad": True}, {"name": "x"}])
def test_as_tensor_does_not_change_a_tensor_that_it_is_given(options):
    t = tn.tensor([1.0])
    with pytest.raises(GraphError, match="as_tensor gives a tensor back as it is\n  hint   tn.tensor"):
        tn.as_tensor(t, **options)
    assert not t.requires_grad
    assert t.name is None
    assert tn.as_tensor(t, dtype=np.float64).dtype == np.float64


def test_iterating_and_measuring_a_0_d_tensor_is_refused_at_once():
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(tn.tensor(1.0))
    with pytest.raises(TypeError, match="unsized"):
        len(tn.tensor(1.0))


def test_sizes_are_those_of_the_array():
    t = tn.tensor(np.zeros((2, 3), np.float32))
    assert (t.size, t.itemsize, t.nbytes, t.ndim) == (6, 4, 24, 2)


def test_an_integer_tensor_is_an_index_and_a_float_is_none():
    assert [10, 20, 30][tn.tensor(1)] == 20
    assert list(range(tn.tensor(3))) == [0, 1, 2]
    with pytest.raises(TypeError, match="only integer"):
        [10, 20][tn.tensor(1.0)]


def test_a_format_is_for_the_number_and_otherwise_for_the_text():
    assert f"{tn.tensor([0.125]):.2f}" == "0.12"
    assert f"{tn.tensor([1.0, 2.0])}" == "Tensor([1., 2.])"
    assert f"{tn.tensor([1.0, 2.0]):>20}" == "    Tensor([1., 2.])"


def test_functions_we_know_nothing_of_run_on_the_arrays_in_lists_and_keywords_too():
    a, w = tn.tensor([3.0, 1.0]), leaf(1.0, 2.0)
    assert np.block([a, a]).tolist() == [3, 1, 3, 1]
    assert np.piecewise(np.array([-1.0, 1.0]), [a > 5, a < 5], [0, 1]).tolist() == [1, 1]
    with pytest.raises(NoGradientRule, match="np.block has no derivative rule"):
        np.block([w, w])
    assert np.shape(w) == (2,)
    assert np.result_type(w, np.float32) == np.float64


@pytest.mark.parametrize(
    ("other", "kind"), [(np.ones(3), tn.errors.ShapeError), (np.array(["a"]), tn.errors.DtypeError)]
)
def test_an_in_place_change_that_cannot_be_says_so_and_changes_nothing(other, kind):
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    with tn.no_grad(), pytest.raises(kind, match="add"):
        w += other
    assert w.data.tolist() == [1, 2]
