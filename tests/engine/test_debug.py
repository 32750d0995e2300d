"""tn.debug(): the first NaN or infinity, and arrays changed behind the graph's back, with op and source line."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import vector
from tinygrad_nn.errors import NonFinite, StaleValue


def test_the_first_infinity_is_named_with_op_index_and_line():
    x = vector(1.0, 0.0, 2.0)
    with tn.debug(), np.errstate(all="ignore"):
        y = x * 2
        with pytest.raises(NonFinite) as error:
            np.log(y)  # the line that is to be named
    text = str(error.value)
    assert text.startswith("log: the result has -inf at [1], op 2")
    assert "test_debug.py" in text
    assert "# the line that is to be named" in text


def test_a_nan_of_infinite_operands_is_named():
    x = vector(np.inf, 1.0)
    with (
        pytest.raises(NonFinite, match=r"subtract: the result has nan at \[0\]"),
        tn.debug(),
        np.errstate(all="ignore"),
    ):
        x - x.detach()


def test_infinities_that_the_user_put_in_are_let_through():
    mask = np.array([0.0, -np.inf])
    with tn.debug():
        y = tn.softmax(vector(1.0, 2.0) + mask)
    np.testing.assert_array_equal(y.data, [1.0, 0.0])


def test_a_rule_that_makes_an_infinity_is_named_with_the_line_of_the_forward_pass():
    x = vector(4.0, 0.0)
    with tn.debug():
        y = np.sqrt(x)  # forward
        with pytest.raises(
            NonFinite, match=r"backward of sqrt: the gradient of operand 0 has inf at \[1\]"
        ) as error:
            y.sum().backward()
    assert "# forward" in str(error.value)
    assert x.grad is None


@pytest.mark.case("H100")
def test_a_non_finite_cotangent_is_named():
    x = vector(1.0, 2.0)
    with tn.debug():
        y = x * 3
        with pytest.raises(NonFinite, match=r"backward of multiply: its cotangent has nan at \[1\]"):
            y.backward(np.array([1.0, np.nan]))


@pytest.mark.case("H124")
@pytest.mark.parametrize(
    ("make", "change", "name"),
    [
        (lambda x: x * x, lambda x, y: x.data.__setitem__(0, 9.0), "operand"),
        (np.exp, lambda x, y: y.data.__imul__(2), "its result"),
        (lambda x: x @ x, lambda x, y: x.data.fill(0), "operand"),
        (lambda x: x.reshape(2, 1) * x.reshape(1, 2), lambda x, y: x.data.__iadd__(1), "operand"),
    ],
    ids=["operand", "result", "shared", "view"],
)
def test_a_raw_write_between_forward_and_backward_is_named(make, change, name):
    x = vector(1.0, 2.0)
    with tn.debug():
        y = make(x)
        loss = y.sum()
        change(x, y)
        with pytest.raises(StaleValue, match=name) as error:
            loss.backward()
    assert "test_debug.py:" in str(error.value)
    assert x.grad is None


@pytest.mark.parametrize(
    ("make", "plain"),
    [
        (lambda x, i: x[i], np.array([0, 1])),
        (lambda x, i: x[i, i], np.array([0, 1])),
        (lambda x, b: np.einsum("ij,jk->ik", x, b), np.ones((2, 2))),
    ],
    ids=["index", "indices", "factor"],
)
def test_a_write_into_one_of_several_arrays_that_an_op_has_saved_is_named(make, plain):
    x = tn.tensor(np.ones((2, 2)), requires_grad=True)
    with tn.debug():
        loss = make(x, plain).sum()
        plain[0] = 1 - plain[0]
        with pytest.raises(StaleValue, match=r"an operand \(2"):
            loss.backward()


def test_a_write_that_no_derivative_needs_is_no_error():
    x = vector(1.0, 2.0)
    with tn.debug():
        y = x + 1
        x.data[0] = 9.0
        y.sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])


def test_a_plain_training_step_runs_unchanged_under_debug():
    data = np.random.default_rng(0).normal(size=(8, 3))
    losses = []
    for watched in (False, True):
        model = tn.nn.Sequential(tn.nn.Dense(3, 4, rng=0), tn.nn.Tanh(), tn.nn.Dense(4, 2, rng=1))
        optimizer = tn.optim.Adam(model.parameters())
        for _ in range(5):
            if watched:
                with tn.debug():
                    loss = _step(model, optimizer, data)
            else:
                loss = _step(model, optimizer, data)
        losses.append(loss)
    assert losses[0] == losses[1]


def _step(model, optimizer, data):
    loss = tn.nn.losses.cross_entropy(model(data), np.arange(8) % 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def test_long_runs_do_not_keep_old_graphs():
    x = vector(1.0, 2.0)
    with tn.debug():
        from tinygrad_nn import context

        for _ in range(2000):
            (x * x).sum().backward()
        (debugger,) = context.current().watchers
    assert 0 < len(debugger.made) < 1500


def test_a_nan_that_was_there_before_is_nobodys_fault():
    x = vector(np.nan, 4.0)
    with tn.debug():
        y = np.sqrt(x) * 2
    np.testing.assert_array_equal(y.data, [np.nan, 4.0])


def test_an_infinite_sum_names_its_operand_without_an_element():
    x = vector(1e308, 1e308)
    with (
        tn.debug(),
        np.errstate(all="ignore"),
        pytest.raises(NonFinite, match="sum: the result has inf") as error,
    ):
        x.sum()
    assert "  operand 0  (2,) float64, finite\n" in str(error.value)


@pytest.mark.parametrize("leave", [math.exp, float, int, math.floor, lambda t: max(math.sqrt(t), 0)])
def test_a_number_that_loses_a_gradient_is_reported_on_the_users_line(leave):
    w = tn.tensor(2.0, requires_grad=True, name="w")
    with (
        tn.debug(),
        pytest.warns(tn.UsageWarning, match=r"t\) makes a plain number of w \(\).*\n  hint   np.exp") as told,
    ):
        leave(w)
    assert [warning.filename for warning in told] == [__file__]


def test_numbers_that_lose_no_gradient_or_are_asked_for_are_not_reported():
    w = tn.tensor(2.0, requires_grad=True)
    with tn.debug():
        assert w.item() == 2
        assert float(w.detach()) == 2
        assert f"{w:.1f}" == "2.0"
        assert bool(w > 1)
        with tn.no_grad():
            assert float(w * 2) == 4
    assert float(w) == 2
    assert math.exp(w) == math.exp(2.0)
