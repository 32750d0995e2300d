"""Tensor as its users meet it: construction, dtypes, NumPy's protocols, and what it refuses and how."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import (
    DtypeError,
    GraphError,
    GraphFreed,
    IndexingError,
    LabelError,
    NoGradientRule,
    ShapeError,
    StaleValue,
)


def leaf(*values, dtype=np.float64):
    return tn.tensor(values, dtype=dtype, requires_grad=True)


# Construction and dtypes


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


@pytest.mark.parametrize(
    "data",
    [
        np.array([1j]),
        np.array(["a"]),
        np.array([None]),
        np.ma.array([1.0]),
        np.array(["2020"], "M8[D]"),
        1j,
        "text",
    ],
)
def test_what_is_no_real_number_is_refused_with_a_way_out(data):
    with pytest.raises(DtypeError, match="hint"):
        tn.tensor(data)


def test_ragged_lists_are_refused():
    with pytest.raises(ShapeError, match="rectangular"):
        tn.tensor([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("data", [[1, 2], [True]])
def test_H133_integers_and_bools_cannot_require_grad(data):
    with pytest.raises(DtypeError, match="only floating tensors can require grad"):
        tn.tensor(data, requires_grad=True)


@pytest.mark.parametrize("other", [0.5, 2, np.float64(0.5), np.array(0.5), np.arange(2), True, [0.1, 0.2]])
@pytest.mark.parametrize("swap", [False, True])
def test_H130_scalars_and_integers_never_widen_a_float_tensor(other, swap):
    t = leaf(1, 2, dtype=np.float32)
    y = other * t if swap else t * other
    assert isinstance(y, tn.Tensor)
    assert y.dtype == np.float32
    y.sum().backward()
    assert t.grad.dtype == np.float32


def test_arrays_with_dimensions_promote_as_in_numpy():
    assert (leaf(1, 2, dtype=np.float32) * np.ones(2)).dtype == np.float64
    assert (tn.tensor([1, 2]) * 0.5).dtype == np.float64


# NumPy's protocols


def test_H129_arrays_on_the_left_give_tensors_with_gradients():
    t = leaf(1, 2)
    for y in (np.ones(2) + t, np.float64(2) * t, np.exp(t), np.ones((2, 2)) @ t, np.add(1, t)):
        assert isinstance(y, tn.Tensor)
        assert y.requires_grad


def test_plain_array_of_a_tensor_with_gradient_is_refused_and_of_others_given():
    with pytest.raises(NoGradientRule, match="np.stack"):
        np.asarray(leaf(1))
    assert np.array_equal(np.asarray(tn.tensor([1.0])), [1.0])
    assert np.array_equal(leaf(1, 2).detach().numpy(), [1, 2])


def test_an_unknown_numpy_function_names_itself_and_two_ways_out():
    with pytest.raises(NoGradientRule, match=r"np.i0 has no derivative rule\n.*detach.*tn.op\(np.i0"):
        np.i0(leaf(1))
    assert np.isclose(np.i0(tn.tensor([0.0])), 1)


def test_ufunc_methods_out_and_unknown_keywords_are_refused():
    t = leaf(1, 2)
    with pytest.raises(NoGradientRule, match="add.reduce"):
        np.add.reduce(t)
    with pytest.raises(NoGradientRule, match="y = y [+] t"):
        np.add(t, 1, out=np.zeros(2))
    with pytest.raises(NoGradientRule, match="where"):
        np.sum(t, where=np.array([True, False]))
    total = np.zeros(2)
    with pytest.raises(NoGradientRule):
        total += t
    assert np.array_equal(total, [0, 0])


def test_python_protocols():
    t = leaf(1, 2, 3)
    assert len(t) == 3
    assert [float(x) for x in t] == [1, 2, 3]
    assert bool(t[0])
    assert int(t[1]) == 2
    assert 3 in t
    assert f"{t[2]:.1f}" == "3.0"
    assert t.tolist() == [1, 2, 3]
    assert t.T.shape == (3,)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(t)
    with pytest.raises(ShapeError, match="one element"):
        t.item()
    with pytest.raises(TypeError, match="np.where"):
        t[0] = 1.0


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


# Going back


def test_gradients_add_up_until_they_are_forgotten():
    t = leaf(3)
    for k in (1, 2):
        (t * t).sum().backward()
        assert t.grad == 6 * k
    t.grad = None
    assert t.grad is None


def test_backward_of_several_elements_needs_a_cotangent_of_their_shape():
    t = leaf(1, 2)
    with pytest.raises(GraphError, match=r"shape \(2,\) needs a cotangent.*\n.*sum\(\).backward\(\)"):
        (t * 2).backward()
    with pytest.raises(ShapeError, match=r"shape \(2,\), its cotangent has shape \(3,\)"):
        (t * 2).backward(np.ones(3))
    with pytest.raises(DtypeError, match="cotangent"):
        (t * 2).backward(np.ones(2, int))
    (t * 2).backward(np.array([1, 10], np.float32))
    assert np.array_equal(t.grad, [2, 20])
    assert t.grad.dtype == np.float64


def test_H097_a_second_backward_names_retain_graph_and_changes_nothing():
    t = leaf(3)
    y = (t * t).sum()
    y.backward()
    with pytest.raises(GraphFreed, match="retain_graph=True"):
        y.backward()
    assert t.grad == 6


def test_backward_without_anything_to_differentiate_is_refused():
    with pytest.raises(GraphError, match="requires grad"):
        tn.tensor(1.0).backward()


def test_H124_H125_a_value_changed_since_is_noticed():
    model = tn.nn.Dense(2, 1, rng=0)
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
    loss = model(np.ones((3, 2))).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(StaleValue, match="before step"):
        loss.backward()
    t = leaf(1)
    y = t * t
    t.data = np.array([2.0])
    with pytest.raises(StaleValue):
        y.backward()


def test_in_place_operators_make_new_tensors_of_results_and_refuse_leaves():
    t = leaf(1, 2)
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


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (np.zeros(3), ShapeError),
        (np.zeros(2, np.float32), DtypeError),
        ([0.0, 0.0], DtypeError),
    ],
)
def test_an_assigned_gradient_has_the_shape_and_dtype_of_its_tensor(wrong, error):
    t = leaf(1, 2)
    with pytest.raises(error):
        t.grad = wrong
    assert t.grad is None


# Errors of ops


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
    ("call", "error", "text"),
    [
        (lambda t: t + np.ones((3, 2)), ShapeError, r"add: shapes do not broadcast: \(2, 3\) and \(3, 2\)"),
        (lambda t: t @ t, ShapeError, r"matmul: inner dimensions differ"),
        (lambda t: t.sum(axis=5), ShapeError, "sum: axis 5 is out of bounds"),
        (lambda t: t.reshape(4, 2), ShapeError, "reshape: cannot reshape"),
        (lambda t: t[7], IndexingError, "getitem: index 7 is out of bounds"),
        (lambda t: t[0.5], IndexingError, "getitem"),
        (lambda t: np.concatenate([t, t[0]]), ShapeError, "concatenate"),
        (lambda t: t.astype(complex), DtypeError, "astype: dtype complex128"),
        (lambda t: t + "a", DtypeError, "not supported"),
        (lambda t: np.transpose(t, (0, 0)), ShapeError, "transpose"),
    ],
)
def test_wrong_calls_are_explained(call, error, text):
    with pytest.raises(error, match=text):
        call(tn.tensor(np.zeros((2, 3)), requires_grad=True))


@pytest.mark.parametrize("label", [3, -1])
def test_H138_a_label_out_of_range_is_named_with_its_position(label):
    with pytest.raises(LabelError, match=f"label {label} at position 1 is outside of the 3 classes"):
        tn.nn.losses.cross_entropy(np.zeros((2, 3)), np.array([0, label]))


# Copies


def test_H117_H118_leaves_travel_with_name_and_gradient_and_results_refuse():
    t = tn.tensor([1.0, 2.0], requires_grad=True, name="w")
    (t * t).sum().backward()
    for other in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert other.requires_grad
        assert other.name == "w"
        assert np.array_equal(other.grad, t.grad)
        assert not np.shares_memory(other.data, t.data)
    with pytest.raises(GraphError, match="detach"):
        copy.deepcopy(t * 2)


def test_no_grad_holds_for_each_step_of_a_generator_and_never_for_its_consumer():
    t = leaf(1)

    @tn.no_grad()
    def steps():
        yield (t * 2).requires_grad
        yield (t * 2).requires_grad

    for inside in steps():
        assert not inside
        assert (t * 2).requires_grad
