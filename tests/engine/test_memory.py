"""Who owns which memory, and what happens to values that change."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import leaf, vector
from tinygrad_nn.errors import StaleValue
from tinygrad_nn.testing.battery.duties import memory_layouts

SHARING = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "reshape": lambda a, b: a.reshape(-1) + b.reshape(-1),
    "transpose": lambda a, b: a.T + b.T,
    "concatenate": lambda a, b: np.concatenate([a, b]),
    "stack": lambda a, b: np.stack([a, b]),
    "sum": lambda a, b: a.sum() + b.sum(),
    "same twice": lambda a, b: a + a + b,
    "getitem": lambda a, b: a[:] + b[::1],
    "broadcast_to": lambda a, b: np.broadcast_to(a, (2, 2, 2)) + b,
    "positive": lambda a, b: +a + +b,
    "where": lambda a, b: np.where(np.eye(2, dtype=bool), a, b),
}


@pytest.mark.case("H120", "H121")
@pytest.mark.parametrize("name", SHARING)
def test_gradients_share_memory_with_nothing(name):
    a, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]])
    y = SHARING[name](a, b)
    seed = np.ones(y.shape)
    y.backward(seed)
    assert not np.shares_memory(a.grad, b.grad)
    for gradient in (a.grad, b.grad):
        assert gradient.flags.owndata
        assert gradient.flags.writeable
        assert not any(np.shares_memory(gradient, other) for other in (seed, a.data, b.data, y.data))
    kept = b.grad.copy(), seed.copy(), a.data.copy()
    a.grad *= 0.5
    for after, before in zip((b.grad, seed, a.data), kept, strict=True):
        np.testing.assert_array_equal(after, before)


@pytest.mark.case("H120")
def test_functional_gradients_share_memory_with_nothing():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = np.ones(2)
    ga, gb = tn.gradients(a + b, [a, b], cotangent=seed)
    ga.data[...] = 7
    np.testing.assert_array_equal(gb.data, [1.0, 1.0])
    np.testing.assert_array_equal(seed, [1.0, 1.0])


@pytest.mark.case("H121")
def test_a_gradient_that_a_rule_has_made_is_not_copied():
    made = {}

    def rule(g, name):
        r = g * 2
        made[name] = r.ctypes.data
        return r

    @tn.kernel(lambda g: rule(g, "a"), lambda g: rule(g, "b"))
    def sum_that_owns_its_gradients(a, b):
        return a + b

    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    sum_that_owns_its_gradients(a, b).backward(np.ones(2))
    assert {"a": a.grad.ctypes.data, "b": b.grad.ctypes.data} == made


def test_the_gradient_of_a_leaf_itself_is_a_copy_of_the_cotangent():
    x, seed = leaf([1.0, 2.0]), np.ones(2)
    x.backward(seed)
    x.grad *= 3
    np.testing.assert_array_equal(seed, [1.0, 1.0])


@pytest.mark.case("H122")
def test_an_in_place_change_under_no_grad_makes_older_results_stale():
    x = leaf([1.0, 2.0])
    y = x * x
    with tn.no_grad():
        x += 1
    with pytest.raises(StaleValue, match="multiply"):
        y.sum().backward()
    assert x.grad is None
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [4.0, 6.0])


@pytest.mark.case("H124")
def test_assigning_data_makes_older_results_stale():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    x.data = np.array([5.0, 6.0])
    with pytest.raises(StaleValue):
        y.backward()
    assert x.grad is None


@pytest.mark.case("H125")
def test_an_optimizer_step_between_forward_and_backward_is_named():
    model = tn.nn.Dense(2, 1, rng=0)
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
    X = np.ones((3, 2), np.float32)
    model(X).sum().backward()
    loss = (model(X) * model(X)).sum()
    optimizer.step()
    with pytest.raises(StaleValue, match="compute the loss again"):
        loss.backward()


@pytest.mark.case("H126")
@pytest.mark.parametrize("name", dict(memory_layouts(np.ones((2, 3)))))
@pytest.mark.parametrize("door", [tn.tensor, tn.as_tensor])
def test_every_memory_layout_gives_the_same(name, door):
    x = np.random.default_rng(0).normal(size=(3, 4))
    W = np.random.default_rng(1).normal(size=(4, 2))

    def both(array):
        t = door(array, requires_grad=True)
        y = np.tanh(t @ W) * t[:, :2]
        y.sum().backward()
        return y.data, t.grad

    value, gradient = both(dict(memory_layouts(x))[name])
    expected, expected_gradient = both(x)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-14)
    assert gradient.dtype == np.float64
    assert gradient.dtype.isnative


@pytest.mark.case("H124", "H125")
def test_a_value_changed_since_is_noticed():
    model = tn.nn.Dense(2, 1, rng=0)
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
    loss = model(np.ones((3, 2))).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(StaleValue, match="before step"):
        loss.backward()
    t = vector(1)
    y = t * t
    t.data = np.array([2.0])
    with pytest.raises(StaleValue):
        y.backward()


@pytest.mark.case("H074", "H126")
def test_a_broadcast_view_has_a_full_gradient():
    base = np.array([[1.0], [2.0], [3.0]])
    x = tn.as_tensor(np.broadcast_to(base, (3, 2)), requires_grad=True)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, 2 * np.broadcast_to(base, (3, 2)))
    assert x.grad.flags.owndata
    np.testing.assert_array_equal(base, [[1], [2], [3]])


@pytest.mark.case("H104")
def test_detach_cuts_and_shares_memory():
    x = leaf(3.0)
    (x.detach() * x).backward()
    assert x.grad == 3.0
    assert np.shares_memory(x.detach().data, x.data)


def test_new_data_of_a_leaf_makes_older_results_stale_and_a_gradient_of_another_dtype_void():
    t = vector(1.0, 2.0)
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
