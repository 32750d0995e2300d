"""Tensor: how it is made, what it says of itself, and what can be assigned to it."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import leaf, vector
from tinygrad_nn.errors import DtypeError, GraphError, ShapeError


def test_a_dtype_that_is_none_is_refused():
    for data in ([1.0], np.ones(2), 1.0):
        with pytest.raises(DtypeError, match=r"'float99' is no dtype\n  hint   np\.float32"):
            tn.tensor(data, dtype="float99")


@pytest.mark.case("H137")
@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.0, 2.0], np.float32),
        ([[1, 2]], np.int64),
        (True, np.bool_),
        (np.float64(1), np.float64),
        (np.zeros(2, np.float16), np.float16),
        (np.array([1.0, 2.0], ">f8"), np.float64),
        ([np.float64(1), np.float64(2)], np.float64),
        (np.uint8(3), np.uint8),
        ([1, 2], np.int64),
        ([True], np.bool_),
        (np.float16(1), np.float16),
        (np.array([1.0, 2.0]), np.float64),
    ],
)
def test_arrays_keep_their_dtype_and_python_numbers_get_the_default(data, dtype):
    assert tn.tensor(data).dtype == dtype
    assert tn.tensor(data).data.dtype.isnative


def test_tensor_copies_and_as_tensor_shares():
    a = np.zeros(3)
    assert not np.shares_memory(tn.tensor(a).data, a)
    assert np.shares_memory(tn.as_tensor(a).data, a)
    t = tn.tensor(a)
    assert tn.as_tensor(t) is t


@pytest.mark.case("H133")
@pytest.mark.parametrize(
    "data", [[1, 2], [True], *(np.ones(2, dtype) for dtype in (np.int64, bool, np.uint8))]
)
def test_integers_and_bools_cannot_require_grad(data):
    with pytest.raises(DtypeError, match="only floating tensors can require grad"):
        tn.tensor(data, requires_grad=True)


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (tn.tensor([1.0, 2.0]), "Tensor([1., 2.])"),
        (tn.tensor(np.zeros(1)), "Tensor([0.], dtype=float64)"),
        (tn.tensor([1.0], requires_grad=True, name="w"), "Tensor([1.], name='w', requires_grad=True)"),
        (tn.tensor([1.0], requires_grad=True) + 1, "Tensor([2.], op=add)"),
        (tn.tensor(np.zeros((20, 10), np.float32)), "shape=(20, 10)"),
    ],
)
def test_repr_says_what_it_is(tensor, text):
    assert text in repr(tensor)


def test_repr_has_all_values_of_up_to_a_hundred_elements_and_says_the_shape_of_more():
    assert "..." not in repr(tn.tensor(np.zeros((10, 10))))
    assert "shape" not in repr(tn.tensor(np.zeros((10, 10))))
    assert "shape=(101,)" in repr(tn.tensor(np.zeros(101)))
    assert "dtype" not in repr(tn.tensor(np.zeros(2, np.float32)))
    assert repr(tn.tensor(np.zeros(2, np.int32))).endswith("dtype=int32)")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (np.zeros(3), ShapeError),
        (np.zeros(2, np.float32), DtypeError),
        ([0.0, 0.0], DtypeError),
    ],
)
def test_an_assigned_gradient_has_the_shape_and_dtype_of_its_tensor(wrong, error):
    t = vector(1, 2)
    with pytest.raises(error):
        t.grad = wrong
    assert t.grad is None


@pytest.mark.case("H128")
def test_a_matrix_becomes_an_array():
    with pytest.warns(PendingDeprecationWarning):
        m = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    t = tn.tensor(m)
    assert type(t.data) is np.ndarray
    np.testing.assert_array_equal((t * t).data, [[1.0, 4.0], [9.0, 16.0]])


class Subclass(np.ndarray):
    pass


@pytest.mark.case("H128")
def test_a_subclass_becomes_an_array():
    t = tn.as_tensor(np.ones(2).view(Subclass), requires_grad=True)
    (t * 2).sum().backward()
    assert type(t.data) is type(t.grad) is np.ndarray


@pytest.mark.case("H128")
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.array([object()]), DtypeError, "object"),
        (np.array([None]), DtypeError, "object"),
        (["a", "b"], DtypeError, "not supported"),
        (np.array(["a"]), DtypeError, "not supported"),
        ("text", DtypeError, "not supported"),
        (np.array(["2020-01-01"], "datetime64"), DtypeError, "datetime64"),
        ([[1.0], [1.0, 2.0]], ShapeError, "rectangular"),
        (np.ma.masked_array([1.0], [True]), DtypeError, "filled"),
        (np.ma.array([1.0]), DtypeError, "filled"),
        (np.array([1j]), DtypeError, "complex"),
        (1j, DtypeError, "complex"),
        (None, DtypeError, "object"),
    ],
    ids=["object", "array of None", "text", "array of text", "one text", "date", "ragged", "masked", "mask of nothing",
         "complex", "1j", "None"],
)  # fmt: skip
def test_what_is_no_number_is_refused_with_a_way_out(data, error, message):
    with pytest.raises(error, match=message) as refusal:
        tn.tensor(data)
    assert error is ShapeError or "  hint   " in str(refusal.value)


@pytest.mark.case("H129")
@pytest.mark.parametrize(
    "expression",
    [
        lambda t: np.arange(3.0) + t,
        lambda t: np.float64(2.0) * t,
        lambda t: 2.0 - t,
        lambda t: np.exp(t),
        lambda t: np.ones((2, 3)) @ t,
        lambda t: np.dot(np.ones(3), t),
        lambda t: np.stack([t, np.zeros(3)]),
        lambda t: [1.0, 2.0, 3.0] * t,
        lambda t: np.add(1, t),
    ],
)
def test_numpy_on_the_left_makes_tensors(expression):
    t = leaf([1.0, 2.0, 3.0])
    y = expression(t)
    assert isinstance(y, tn.Tensor)
    assert y.requires_grad
    assert y.dtype == np.float64


def test_any_tensor_can_be_named_later_and_keeps_what_it_is():
    plain, w = tn.tensor([1.0]), vector(1.0)
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
    a, b = vector(1.0, 2.0), vector(3.0, 4.0)
    y = (a * b).sum()
    a.requires_grad = False
    y.backward()
    assert a.grad is None
    np.testing.assert_array_equal(b.grad, [1, 2])


def test_results_refuse_new_data_and_a_say_in_requires_grad():
    y = vector(1.0) * 2
    with pytest.raises(GraphError, match="data of a result cannot be replaced\n  hint   make a new tensor"):
        y.data = np.zeros(1)
    with pytest.raises(GraphError, match=r"follows from its operands\n  hint   t.detach\(\)"):
        y.requires_grad = False
    assert y.data == 2
    assert y.requires_grad


@pytest.mark.parametrize("make", [lambda: tn.tensor([1.0]), lambda: vector(1.0) * 2])
def test_only_a_leaf_that_requires_grad_has_a_gradient_to_assign(make):
    t = make()
    with pytest.raises(
        GraphError, match="only a leaf that requires grad has a gradient\n  hint   t.requires"
    ):
        t.grad = np.zeros(1)
    if t.is_leaf:
        assert t.grad is None


def test_a_gradient_of_the_right_form_is_assigned_and_added_to():
    t = vector(1.0, 2.0)
    t.grad = np.array([10.0, 20.0])
    (t * 3).sum().backward()
    np.testing.assert_array_equal(t.grad, [13, 23])


def test_data_of_a_plain_tensor_is_replaced_by_anything():
    t = tn.tensor([1.0, 2.0])
    t.data = np.arange(3)
    assert (t.shape, t.dtype) == ((3,), np.int64)
    t.data = tn.tensor(5.0)
    assert t.item() == 5


@pytest.mark.parametrize("options", [{"requires_grad": True}, {"name": "x"}])
def test_as_tensor_does_not_change_a_tensor_that_it_is_given(options):
    t = tn.tensor([1.0])
    with pytest.raises(GraphError, match="as_tensor gives a tensor back as it is\n  hint   tn.tensor"):
        tn.as_tensor(t, **options)
    assert not t.requires_grad
    assert t.name is None
    assert tn.as_tensor(t, dtype=np.float64).dtype == np.float64


def test_sizes_are_those_of_the_array():
    t = tn.tensor(np.zeros((2, 3), np.float32))
    assert (t.size, t.itemsize, t.nbytes, t.ndim) == (6, 4, 24, 2)


def test_data_of_a_parameter_keeps_its_shape_and_stays_floating():
    w = vector(1.0, 2.0)
    for other in (np.ones(3), np.ones(2, int)):
        with pytest.raises(ShapeError, match="requires grad"):
            w.data = other
    assert np.array_equal(w.data, [1, 2])


def test_tensor_has_no_subclasses():
    with pytest.raises(TypeError, match="no subclasses"):
        type("P", (tn.Tensor,), {})


@pytest.mark.case("H117")
def test_copies_have_storage_of_their_own_and_keep_ties():
    x = tn.tensor([1.0, 2.0], requires_grad=True, name="x")
    (x * x).sum().backward()
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (twin.requires_grad, twin.name, twin.dtype) == (True, "x", np.float32)
        np.testing.assert_array_equal(twin.grad, x.grad)
        assert not np.shares_memory(twin.data, x.data)
        assert not np.shares_memory(twin.grad, x.grad)
    model = tn.nn.Sequential(tn.nn.Dense(2, 2, rng=0), tn.nn.Dense(2, 2, rng=1))
    model[1].weight = model[0].weight
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin[1].weight is twin[0].weight
        assert twin[0].weight is not model[0].weight
        assert len(twin.parameters()) == len(model.parameters()) == 3
        twin(np.ones((1, 2), np.float32)).sum().backward()
        assert model[0].weight.grad is None


@pytest.mark.case("H118")
def test_results_refuse_to_be_copied_without_recursion():
    y = leaf(1.0)
    for _ in range(3000):
        y = y * 1.0
    for attempt in (copy.deepcopy, copy.copy, pickle.dumps):
        with pytest.raises(GraphError, match="detach"):
            attempt(y)
    assert copy.deepcopy(y.detach()).item() == 1.0
