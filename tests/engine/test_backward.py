"""Where gradient engines go wrong: reuse, depth, width, threads, interrupts, leaks (H093 to H118)."""

import copy
import gc
import pickle
import threading
import tracemalloc

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import context
from tinygrad_nn.engine.backward import commit
from tinygrad_nn.engine.watcher import Watcher
from tinygrad_nn.errors import BadRule, DtypeError, GraphError, GraphFreed, ShapeError
from tinygrad_nn.primitives.record import REGISTRY


def leaf(values, dtype=np.float64):
    return tn.tensor(np.asarray(values, dtype), requires_grad=True)


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
def test_h093_reused_operands_add_up_at_both_orders(function, expected, second):
    x = leaf(3.0)
    first = tn.gradients(function(x), x, create_graph=True)
    assert first.item() == expected
    if first.requires_grad:
        assert tn.gradients(first, x).item() == second
    else:
        assert second == 0
    function(x).backward()
    assert x.grad == expected


def test_h094_a_diamond_of_sixty_levels_takes_sixty_steps():
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


def test_h095_a_chain_of_100_000_ops_needs_no_recursion():
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


def test_h096_twenty_thousand_children_of_one_leaf():
    x = leaf(2.0)
    y = np.stack([x * float(k) for k in range(20_000)]).sum()
    y.backward()
    assert x.grad == sum(range(20_000))


def test_h097_a_second_backward_names_retain_graph():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(GraphFreed, match="retain_graph=True"):
        y.backward()
    assert x.grad == 4.0


def test_h098_retained_graphs_go_back_again():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad == 8.0


def test_h100_a_cotangent_has_to_fit():
    y = leaf([1.0, 2.0], np.float32) * 2
    with pytest.raises(ShapeError, match=r"\(2,\).*\(3,\)"):
        y.backward(np.ones(3))
    with pytest.raises(DtypeError, match="int64"):
        y.backward(np.array([1, 2]))
    with pytest.raises(GraphError, match="cotangent"):
        y.backward()
    y.backward(np.ones(2))  # float64 for a float32 result is cast


def test_h101_backward_needs_something_that_requires_grad():
    with pytest.raises(GraphError, match="requires_grad=True"):
        (tn.tensor(2.0) * 3).backward()


def test_h102_no_grad_records_nothing_and_backward_works_inside():
    x = leaf(2.0)
    y = x * x
    with tn.no_grad():
        assert not (x * x).requires_grad
        y.backward()
    assert x.grad == 4.0


def test_h104_detach_cuts_and_shares_memory():
    x = leaf(3.0)
    (x.detach() * x).backward()
    assert x.grad == 3.0
    assert np.shares_memory(x.detach().data, x.data)


@pytest.fixture
def broken_exp():
    """Let the rule of exp do something else for one test."""
    rule = REGISTRY["exp"].rules[0]
    kept = rule.function
    yield lambda function: setattr(rule, "function", function)
    rule.function = kept


def test_h105_an_error_midway_changes_no_leaf(broken_exp):
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
def test_h106_what_a_rule_may_not_return(broken_exp, returned, message):
    x = leaf([1.0, 2.0])
    y = np.exp(x)
    broken_exp(lambda g, y: returned)
    with pytest.raises(BadRule, match=f"exp: the rule of operand 0 returned .*{message}"):
        y.backward(np.ones(2))
    assert x.grad is None


def test_h106_the_dtype_of_a_rule_is_cast(broken_exp):
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


def test_h108_an_interrupt_at_any_point_leaves_gradients_whole():
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


def test_h108_an_interrupt_between_two_leaves_takes_neither():
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


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_h109_an_exception_inside_no_grad_restores_recording(error):
    with pytest.raises(error), tn.no_grad():
        raise error
    assert context.current().recording


def test_h110_a_suspended_generator_does_not_hold_no_grad_open():
    @tn.no_grad()
    def values():
        for _ in range(3):
            yield tn.tensor(1.0, requires_grad=True) * 2

    steps = values()
    assert not next(steps).requires_grad
    assert (leaf(1.0) * 2).requires_grad
    assert not next(steps).requires_grad
    steps.close()
    assert context.current().recording


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


def test_h112_four_threads_add_into_one_leaf():
    x = leaf(1.0)
    run_threads(4, lambda k: [(x * 1.0).backward() for _ in range(2000)])
    assert x.grad == 8000.0


def test_h113_threads_with_graphs_of_their_own_agree_with_one_thread():
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


def test_h113_no_grad_in_one_thread_does_not_reach_another():
    inside, done = threading.Event(), threading.Event()

    def quiet(_):
        with tn.no_grad():
            inside.set()
            assert done.wait(10)

    thread = threading.Thread(target=quiet, args=(0,))
    thread.start()
    assert inside.wait(10)
    assert (leaf(1.0) * 2).requires_grad
    done.set()
    thread.join()


def test_h114_ten_thousand_training_steps_leave_nothing_behind():
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
        train(500)
        before = tracemalloc.get_traced_memory()[0]
        train(1000)
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()  # it makes everything ten times slower
        train(8400)
        found = gc.collect()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert found == 0
    assert after - before < 1000  # not a byte per step


def test_h116_summing_losses_as_numbers_keeps_no_graph():
    x = leaf(2.0)
    total = 0.0
    for _ in range(3):
        total += float(x * x)
    assert total == 12.0
    assert isinstance(total, float)
    losses = x * 0
    for _ in range(3):
        losses += x * x
    losses.backward()  # a tensor keeps the graph, as documented
    assert x.grad == 12.0


def test_h117_copies_have_storage_of_their_own_and_keep_ties():
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


def test_h118_results_refuse_to_be_copied_without_recursion():
    y = leaf(1.0)
    for _ in range(3000):
        y = y * 1.0
    for attempt in (copy.deepcopy, copy.copy, pickle.dumps):
        with pytest.raises(GraphError, match="detach"):
            attempt(y)
    assert copy.deepcopy(y.detach()).item() == 1.0
