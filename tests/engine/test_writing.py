"""Writing into a part of a tensor: a new tensor, gradients for what stays and for what is written, and refusals."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tests.support.leaves import vector
from tinygrad_nn.errors import DtypeError, IndexingError, NoGradientRule, ShapeError
from tinygrad_nn.testing import gradcheck

X = np.arange(1.0, 13).reshape(3, 4)
INDICES = {
    "a row": 1,
    "slices": (slice(None, None, -2), slice(1, 3)),
    "an ellipsis and a new axis": (..., None, 2),
    "indices": ([0, 2], [1, 1]),
    "indices that repeat": ([0, 2, 0], slice(None)),
    "a mask": X > 4,
    "nothing": [],
}


@pytest.mark.parametrize("name", INDICES)
def test_writing_is_what_numpy_does_in_a_copy(name):
    index = INDICES[name]
    v = np.random.default_rng(0).normal(size=X[index].shape)
    written, added = X.copy(), X.copy()
    written[index] = v
    np.add.at(added, index if isinstance(index, tuple) else (index,), v)
    t = tn.tensor(X)
    np.testing.assert_array_equal(t.at[index].set(v).data, written)
    np.testing.assert_allclose(t.at[index].add(v).data, added, rtol=1e-14)
    np.testing.assert_array_equal(t.data, X)
    for write in (lambda x, v: x.at[index].set(v) ** 2, lambda x, v: x.at[index].add(v) ** 2):
        assert gradcheck(write, X, v, order=2).nonzero


def test_of_values_for_one_place_the_last_stays_and_has_the_gradient():
    check(lambda x, v: x.at[[0, 0]].set(v), [[1.0, 2.0], [3.0, 4.0]], [4, 2], [0, 1], [0, 1])
    check(lambda x, v: x.at[[0, 0]].add(v), [[1.0, 2.0], [3.0, 4.0]], [8, 2], [1, 1], [1, 1])


def test_values_are_broadcast_and_their_gradients_summed():
    check(
        lambda x, v: x.at[:, 1:].set(v),
        [X, 5.0],
        [[1, 5, 5, 5], [5] * 4, [9, 5, 5, 5]],
        [[1, 0, 0, 0]] * 3,
        9,
    )
    _, (g, h) = derive(lambda x, v: x.at[1:].add(v), X, np.ones((2, 1)))
    np.testing.assert_array_equal(g, np.ones((3, 4)))
    np.testing.assert_array_equal(h, [[4], [4]])


def test_values_take_the_dtype_of_what_they_are_written_into():
    t = tn.tensor(np.float32([1, 2]), requires_grad=True)
    v = tn.tensor(np.float64([0.1]), requires_grad=True)
    for y in (t.at[0].set(0.1), t.at[[0]].set(v), t.at[0].add(np.float64(0.1)), t.at[[0]].add(v)):
        assert y.dtype == np.float32
    t.at[[0]].set(v).sum().backward()
    assert v.grad.dtype == np.float64
    assert tn.tensor(np.zeros(1)).at[0].set(0.1).item() == 0.1
    assert tn.tensor([1, 2]).at[0].add(True).tolist() == [2, 2]
    for write in (lambda: tn.tensor([1]).at[0].set(0.5), lambda: tn.tensor([1]).at[0].add(v[0])):
        with pytest.raises(DtypeError, match=r"cut to int64\n  hint   t.astype\(float\).at\[index\].set"):
            write()


def test_places_and_values_that_do_not_fit_are_refused():
    t = tn.tensor(X)
    for write, error in (
        (lambda: t.at[5].set(1.0), IndexingError),
        (lambda: t.at[0].set([1.0, 2.0, 3.0]), ShapeError),
        (lambda: t.at[[0, 1]].add([[1.0, 2.0, 3.0]]), ShapeError),
    ):
        with pytest.raises(error, match="set_at|broadcast_to"):
            write()


def test_places_and_values_are_new_in_every_replay(backend):
    def step(x, k):
        return (x * 2).at[k, 1].set(x[:, 0] * 3).at[1].add(x[0]).at[x > 9].set(0.0)

    f = tn.value_and_grad(lambda x, k: (step(x, k) ** 2).sum())
    compiled = tn.compile(f, backend)
    for x, k in ((X, [0, 2, 0]), (X - 1, [0, 1, 2]), (X[::-1], [1, 1, 1])):
        for found, expected in zip(compiled(x.copy(), np.array(k)), f(x, np.array(k)), strict=True):
            np.testing.assert_allclose(found.data, expected.data, rtol=1e-14)


WRITERS = {
    "put": (lambda t: np.put(t, 0, 1), r"np.put writes .*\n  hint   t = t.at\[index\].set\(values\)"),
    "put by name": (lambda t: np.put(a=t, ind=0, v=1), "np.put writes"),
    "put_along_axis": (
        lambda t: np.put_along_axis(t, np.array([0]), 1, 0),
        r"t = t.at\[index\].set\(values\)",
    ),
    "place": (lambda t: np.place(t, [True, False], [1]), "with the mask for an index"),
    "copyto": (lambda t: np.copyto(t, 1), r"np.where\(mask, values, t\)"),
    "add.at": (lambda t: np.add.at(t, 0, 1), r"t = t.at\[index\].add\(values\)"),
    "maximum.at": (lambda t: np.maximum.at(t, 0, 1), r"set\(np.maximum\(t\[index\], values\)\)"),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("requires_grad", [True, False])
def test_functions_that_write_into_a_tensor_say_what_makes_a_new_one(name, requires_grad):
    call, text = WRITERS[name]
    t = tn.tensor([3.0, 4.0], requires_grad=requires_grad)
    with pytest.raises(NoGradientRule, match=text):
        call(t)
    assert t.tolist() == [3, 4]


def test_functions_that_write_tensors_into_arrays_run():
    out = np.zeros(2)
    np.copyto(out, tn.tensor([1.0, 2.0]))
    np.put(out, [0], tn.tensor([5.0]))
    assert out.tolist() == [5, 2]


def test_item_assignment_shows_the_line_to_write():
    t = vector(1, 2)
    with pytest.raises(TypeError, match=r"t = t.at\[index\].set\(value\).*\.add\(value\) instead of \+="):
        t[0] = 5.0
