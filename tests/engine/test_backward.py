"""Going back: reuse, depth, width, cotangents, rules that misbehave, interrupts, threads, leaks."""

import gc
import threading
import tracemalloc

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import leaf, vector
from tinygrad_nn import context
from tinygrad_nn.engine.backward import commit
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import BadRule, DtypeError, GraphError, GraphFreed, ShapeError
from tinygrad_nn.primitives.record import REGISTRY


@pytest.mark.case("H093")
@pytest.mark.parametrize(
    ("function", "expected", "second"),
    [
        (lambda x: x + x, 2.0, 0.0),
        (lambda x: x * x, 6.0, 2.0),
        (lambda x: (x + x) * (x + x), 24.0, 8.0),
        (lambda x: x * x * x, 27.0, 18.0),
        (lambda x: x * x * x * x + x * x + x, 115.0, 110.0),
    ],
)
def test_reused_operands_add_up_at_both_orders(function, expected, second):
    x = leaf(3.0)
    first = tn.gradients(function(x), x, create_graph=True)
    assert first.item() == expected
    if first.requires_grad:
        assert tn.gradients(first, x).item() == second
    else:
        assert second == 0
    function(x).backward()
    assert x.grad == expected


@pytest.mark.case("H094")
def test_a_diamond_of_sixty_levels_takes_sixty_steps():
    x = leaf(1.0)
    y, rules = x, []

    class Count(Watcher):
        def on_gradient(self, node, index, gradient):
            rules.append(index)

    for _ in range(60):
        y = y * 0.5 + y * 0.5
    with context.watching(Count()):
        y.backward()
    assert x.grad == 1.0
    assert len(rules) == 60 * 4


@pytest.mark.case("H095")
def test_a_chain_of_100_000_ops_needs_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1e-5
    assert "add" in repr(y)
    y.backward()
    assert x.grad == 1.0
    y = x
    for _ in range(100_000):
        y = y * 1.0
    del y  # deleting a chain of nodes is no recursion either


@pytest.mark.case("H096")
def test_twenty_thousand_children_of_one_leaf_add_up():
    x = leaf(2.0)
    y = np.stack([x * float(k) for k in range(20_000)]).sum()
    y.backward()
    assert x.grad == sum(range(20_000))


@pytest.mark.case("H097")
def test_a_second_backward_names_retain_graph_and_changes_nothing():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(GraphFreed, match="retain_graph=True"):
        y.backward()
    assert x.grad == 4.0


@pytest.mark.case("H098")
def test_retained_graphs_go_back_again():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad == 8.0


@pytest.mark.case("H100")
def test_a_cotangent_has_to_fit():
    y = leaf([1.0, 2.0], np.float32) * 2
    with pytest.raises(ShapeError, match=r"\(2,\).*\(3,\)"):
        y.backward(np.ones(3))
    with pytest.raises(DtypeError, match="int64"):
        y.backward(np.array([1, 2]))
    with pytest.raises(GraphError, match="cotangent"):
        y.backward()
    y.backward(np.ones(2))  # float64 for a float32 result is cast


@pytest.mark.case("H101")
def test_backward_needs_something_that_requires_grad():
    with pytest.raises(GraphError, match="requires_grad=True"):
        (tn.tensor(2.0) * 3).backward()


@pytest.mark.case("H102")
def test_no_grad_records_nothing_and_backward_works_inside():
    x = leaf(2.0)
    y = x * x
    with tn.no_grad():
        assert not (x * x).requires_grad
        y.backward()
    assert x.grad == 4.0


@pytest.fixture
def broken_exp():
    """Let the rule of exp do something else for one test."""
    rule = REGISTRY["exp"].rules[0]
    kept = rule.function
    yield lambda function: setattr(rule, "function", function)
    rule.function = kept


@pytest.mark.case("H105")
def test_an_error_midway_changes_no_leaf(broken_exp):
    def fails(g, y):
        raise ZeroDivisionError

    a, b = leaf(1.0), leaf(2.0)
    a.grad = np.array(7.0)
    y = np.exp(a) * b + b * 2
    broken_exp(fails)
    with pytest.raises(ZeroDivisionError):
        y.backward()
    assert a.grad == 7.0
    assert b.grad is None


@pytest.mark.case("H106")
@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "NoneType"),
        ([1.0, 2.0], "list"),
        (1.0, "float"),
        (np.ones(3), r"\(3,\)"),
        (np.ones(2, complex), "complex128"),
        (np.array(["a", "b"]), "<U1"),
    ],
    ids=["None", "list", "scalar", "shape", "complex", "text"],
)
def test_what_a_rule_may_not_return_is_refused_by_name(broken_exp, returned, message):
    x = leaf([1.0, 2.0])
    y = np.exp(x)
    broken_exp(lambda g, y: returned)
    with pytest.raises(BadRule, match=f"exp: the rule of operand 0 returned .*{message}"):
        y.backward(np.ones(2))
    assert x.grad is None


@pytest.mark.case("H106")
def test_the_dtype_of_a_rule_is_cast(broken_exp):
    x = leaf([1.0, 2.0], np.float32)
    y = np.exp(x)
    broken_exp(lambda g, y: g.astype(np.float64))
    y.backward(np.ones(2))
    assert x.grad.dtype == np.float32


class Interrupt(Watcher):
    """Raises KeyboardInterrupt at the n-th thing that happens."""

    def __init__(self, at):
        self.left = at

    def _tick(self, *_):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    on_op = on_record = before_rules = after_rules = on_gradient = _tick


@pytest.mark.case("H108")
def test_an_interrupt_at_any_point_leaves_gradients_whole():
    W, b = leaf(np.ones((3, 2))), leaf(np.zeros(2))
    X = np.arange(12.0).reshape(4, 3)

    def step():
        np.sum(np.tanh(X @ W + b) ** 2).backward()

    step()
    expected = W.grad.copy(), b.grad.copy()
    for at in range(200):
        W.grad = b.grad = None
        try:
            with context.watching(Interrupt(at)):
                step()
        except KeyboardInterrupt:
            assert W.grad is None
            assert b.grad is None
            assert context.current() == context.DEFAULT
            step()
        else:
            break
        np.testing.assert_array_equal(W.grad, expected[0])
        np.testing.assert_array_equal(b.grad, expected[1])
    else:
        pytest.fail("the step never came to its end")
    assert at > 20


@pytest.mark.case("H108")
def test_an_interrupt_between_two_leaves_takes_neither():
    a, b, c = leaf(1.0), leaf(2.0), leaf(3.0)
    a.grad = np.array(7.0)
    before = a.grad

    class Interrupted:
        def __array__(self, *_, **__):
            assert a.grad == 8.0, "the interrupt is meant to come after the first leaf has its gradient"
            raise KeyboardInterrupt

    one = np.array(1.0)
    with pytest.raises(KeyboardInterrupt):
        commit({a._node: one, b._node: Interrupted(), c._node: one})
    assert a.grad is before
    assert before == 7.0
    assert (b.grad, c.grad) == (None, None)
    commit({a._node: one, b._node: one})
    assert (a.grad, b.grad) == (8.0, 1.0)


def run_threads(count, work):
    errors = []

    def guarded(k):
        try:
            work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.case("H112")
def test_four_threads_add_into_one_leaf():
    x = leaf(1.0)
    run_threads(4, lambda k: [(x * 1.0).backward() for _ in range(2000)])
    assert x.grad == 8000.0


@pytest.mark.case("H113")
def test_threads_with_graphs_of_their_own_agree_with_one_thread():
    def work(k):
        rng = np.random.default_rng(k)
        W = leaf(rng.normal(size=(5, 4)))
        for _ in range(50):
            np.sum(np.tanh(rng.normal(size=(3, 5)) @ W)).backward()
        return W.grad

    serial = [work(k) for k in range(8)]
    found = {}
    run_threads(8, lambda k: found.__setitem__(k, work(k)))
    assert all(np.array_equal(serial[k], found[k]) for k in range(8))


def traced():
    """Return the bytes that are held, without those of the thread in which pytest-xdist gets its orders."""
    others = "execnet", "xdist", "queue.py", "threading.py", "tracemalloc.py"
    filters = [tracemalloc.Filter(False, f"*{name}*") for name in others]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(filters).traces)


@pytest.mark.case("H114")
def test_ten_thousand_training_steps_leave_nothing_behind():
    model = tn.nn.Sequential(tn.nn.Dense(2, 3, rng=0), tn.nn.Tanh(), tn.nn.Dense(3, 2, rng=1))
    optimizer = tn.optim.Adam(model.parameters())
    X, labels = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32), np.arange(8) % 2

    def train(steps):
        for _ in range(steps):
            loss = tn.nn.losses.cross_entropy(model(X), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    train(100)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        traced()  # what it keeps for the next time is not counted
        train(500)
        before = traced()
        train(1000)
        after = traced()
        tracemalloc.stop()  # it makes everything ten times slower
        train(8400)
        found = gc.collect()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert found == 0
    assert after - before < 1000  # not a byte per step


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("times", [1, 2, 3, 4, 7])
def test_a_value_used_several_times_collects_every_contribution(shape, create_graph, times):
    x = tn.tensor(np.full(shape, 2.0), requires_grad=True)
    y = 3 * x
    total = x * 0.0
    for k in range(times):
        total = total + y * float(k + 1)
    gradient = tn.gradients(total.sum(), x, create_graph=create_graph)
    np.testing.assert_array_equal(gradient.data, np.full(shape, 3.0 * sum(range(1, times + 1))))


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_leaf_added_to_itself_counts_every_time(create_graph):
    x = tn.tensor(2.0, requires_grad=True)
    assert tn.gradients(x + x + x + x, x, create_graph=create_graph).item() == 4.0


def test_gradients_add_up_until_they_are_forgotten():
    t = vector(3)
    for k in (1, 2):
        (t * t).sum().backward()
        assert t.grad == 6 * k
    t.grad = None
    assert t.grad is None


def test_backward_of_several_elements_needs_a_cotangent_of_their_shape():
    t = vector(1, 2)
    with pytest.raises(GraphError, match=r"shape \(2,\) needs a cotangent.*\n.*sum\(\).backward\(\)"):
        (t * 2).backward()
    with pytest.raises(ShapeError, match=r"shape \(2,\), its cotangent has shape \(3,\)"):
        (t * 2).backward(np.ones(3))
    with pytest.raises(DtypeError, match="cotangent"):
        (t * 2).backward(np.ones(2, int))
    (t * 2).backward(np.array([1, 10], np.float32))
    assert np.array_equal(t.grad, [2, 20])
    assert t.grad.dtype == np.float64


def test_backward_without_anything_to_differentiate_is_refused():
    with pytest.raises(GraphError, match="requires grad"):
        tn.tensor(1.0).backward()


def test_a_rule_that_writes_into_a_shared_cotangent_is_stopped():

    def greedy(g, x):
        g *= x
        return g

    half_square = tn.kernel(greedy, name="half_square")(lambda x: x * x / 2)
    x, z = vector(3.0, 2.0), vector(1.0, 1.0)
    with pytest.raises(ValueError, match="read-only"):
        (half_square(x) + z).sum().backward()
    assert x.grad is None
    assert z.grad is None


def test_a_cotangent_passed_on_to_two_operands_is_not_added_to_in_place():
    a, b = vector(1.0), vector(1.0)
    s, t = a * 1.0, b * 1.0
    u = s * 5.0
    ((s + t) * 3.0 + u).sum().backward()
    assert a.grad == 8
    assert b.grad == 3


def test_an_array_that_a_rule_takes_from_elsewhere_is_not_written_to():
    slope = np.array([2.0, 2.0])
    constant_slope = tn.kernel(lambda g: slope, name="constant_slope")(lambda x: 2 * x)
    x = vector(1.0, 1.0)
    (constant_slope(x) + x).sum().backward()
    assert np.array_equal(x.grad, [3, 3])
    assert np.array_equal(slope, [2, 2])
