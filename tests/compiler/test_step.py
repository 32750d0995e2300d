"""What a step may do: what is refused when it is captured, and that capture leaves no trace."""

import random
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import network
from tests.support.steps import assert_twins, problem, training_step
from tinygrad_nn import errors
from tinygrad_nn.graph import generators
from tinygrad_nn.graph.recorder import trace


@pytest.mark.parametrize("bad", [{1, 2}, [{3}], {"a": bytearray(1)}])
def test_an_argument_that_may_change_unseen_is_refused(bad):
    with pytest.raises(
        errors.CaptureError, match=r"argument of type (set|bytearray) may .*\n  hint .*frozenset"
    ):
        tn.compile(lambda x, other: x)(np.ones(3), bad)
    both = tn.compile(lambda x, factors: x * sum(factors), "numpy")
    assert both(np.ones(1), frozenset({1, 2})).item() == 3
    assert both(np.ones(1), frozenset({4})).item() == 4


def test_gradients_are_returned_as_arrays_and_what_numpy_made_of_them_is_refused():
    w = tn.tensor([2.0, 3.0], requires_grad=True)

    def step(x):
        w.grad = None
        (w * x).sum().backward()
        return w.grad

    compiled = tn.compile(step, "numpy")
    for k in (1.0, 2.0):
        g = compiled(np.full(2, k, np.float32))
        assert type(g) is np.ndarray
        np.testing.assert_array_equal(g, [k, k])
    with pytest.raises(
        errors.CaptureError, match=r"a returned array of shape \(2,\) was computed with plain NumPy"
    ):
        tn.compile(lambda x: np.clip(step(x), 0, 1), "numpy")(np.ones(2, np.float32))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            lambda x, k: np.sin(x) if k % 2 else np.cos(x),
            r"was <op \w+> \(2, 2\) in one run, <op \w+> \(2, 2\) in ano",
        ),
        (
            lambda x, k: x.sum(axis=k % 2),
            r"parameters of %1 differed between two runs: sum {'axis': \d}, {'axis': \d}",
        ),
        (lambda x, k: x.sum(axis=(0, None)[k % 2], keepdims=True).sum(), r"differed|in one run"),
        (lambda x, k: (x * 2, k), "what the step left behind or returned differed between two runs"),
        (lambda x, k: (x * 2, "text" if k % 2 else None), "left behind or returned differed"),
        (lambda x, k: x * 2 if k % 2 else x * 2 * 2, r"did \d ops in one run and \d in another"),
    ],
)
def test_a_step_that_does_something_else_each_time_is_refused(step, message):
    calls = iter(range(100))
    with pytest.raises(errors.CaptureError, match=message):
        tn.compile(lambda x: step(x, next(calls)), "numpy")(np.ones((2, 2)))


@dataclass(slots=True)
class Outcome:
    value: Any


class Bag(dict):
    pass


@pytest.mark.parametrize(
    "kind", [Outcome, lambda t: {t}, lambda t: {t: 1}, lambda t: Bag(a=[t]), lambda t: iter([t])]
)
@pytest.mark.parametrize("result", [lambda x: x * 2, lambda x: (x * 2).sum(), lambda x: x])
def test_a_tensor_in_a_returned_object_of_another_kind_is_refused(kind, result):
    with pytest.raises(
        errors.CaptureError, match=r"returned a \w+ that holds .*\n  hint   return tensors in tuples"
    ):
        tn.compile(lambda x: (1, kind(result(x))), "numpy")(np.ones(2))


def test_an_object_that_the_step_did_not_compute_may_be_returned():
    model = tn.nn.Dense(2, 2, rng=0)
    y, returned, same = tn.compile(lambda x: (model(x), model, {"a", 1}), "numpy")(np.ones((1, 2)))
    assert returned is model
    assert same == {"a", 1}
    np.testing.assert_array_equal(y.data, model(np.ones((1, 2))).data)


@pytest.mark.parametrize("leave", [lambda w, x: w.backward(), lambda w, x: (w * x).backward()])
def test_a_step_that_makes_a_leaf_on_each_call_and_leaves_a_gradient_in_it_is_refused(leave):
    def step(x):
        w = tn.tensor(2.0, requires_grad=True)
        leave(w, x)
        return x * 2

    text = r"makes a tensor that requires grad, of shape \(\), on each call|computed with plain NumPy"
    with pytest.raises(errors.CaptureError, match=text + r"(.|\n)*hint"):
        tn.compile(step, "numpy")(np.array(3.0))
    made = tn.compile(lambda x: tn.gradients((w := tn.tensor(2.0, requires_grad=True)) * x, [w]), "numpy")
    assert [made(np.array(k))[0].item() for k in (3.0, 4.0)] == [3, 4]


def test_a_leaf_that_the_first_call_makes_is_seen_although_no_op_uses_it():
    made = []

    def step(x, leave):
        if not made:
            made.append(tn.tensor(2.0, requires_grad=True, dtype=np.float64))
        made[0].grad = None
        leave(made[0], x)
        return x * 2

    def named(w, x):
        made[0] = w = tn.tensor(2.0)
        w.name = "w"
        w.requires_grad = True
        w.backward()

    refused = {
        "plain NumPy": lambda w, x: setattr(w, "grad", np.ones(())),
        "makes a tensor that requires grad": named,
    }
    for message, leave in refused.items():
        made.clear()
        with pytest.raises(errors.CaptureError, match=message):
            tn.compile(lambda x, leave=leave: step(x, leave), "numpy")(np.array(3.0))
    made.clear()
    compiled = tn.compile(lambda x: step(x, lambda w, x: w.backward()), "numpy")
    for _ in range(2):
        compiled(np.array(3.0))
        assert made[0].grad == 1
    made.clear()
    compiled = tn.compile(lambda x: step(x, lambda w, x: (w * x).backward()), "numpy")
    for k in (3.0, 4.0):
        compiled(np.array(k))
        assert made[0].grad == k


def test_an_error_of_the_step_comes_through_and_nothing_is_captured():
    def step(x):
        raise ZeroDivisionError("mine")

    compiled = tn.compile(step, "numpy")
    with pytest.raises(ZeroDivisionError, match="mine"):
        compiled(np.ones(2))
    assert compiled.programs == []


def test_capturing_an_in_place_change_changes_nothing_and_a_wrong_one_is_explained():
    w = tn.tensor([1.0, 2.0], requires_grad=True)

    def step(x):
        with tn.no_grad():
            w.__isub__(x)
        return w * 1

    graph = trace(step, np.ones(2, np.float32))[0]
    assert [value.op.name for value in graph.ops] == ["subtract", "in_place_update", "multiply"]
    with pytest.raises(errors.ShapeError, match="subtract"):
        tn.compile(step, "numpy")(np.ones(3, np.float32))
    with pytest.raises(errors.StaleValue):
        tn.compile(lambda x: [(w * w).sum(), step(x)][0].backward(), "numpy")(np.ones(2, np.float32))
    np.testing.assert_array_equal(w.data, [1, 2])


@pytest.mark.parametrize("requires_grad", [True, False])
def test_replacing_the_array_of_a_tensor_in_a_step_is_refused(requires_grad):
    w = tn.tensor([1.0, 2.0], requires_grad=requires_grad, name="w")

    def step(x):
        with tn.no_grad():
            w.data = w + x
        return w * 1

    with pytest.raises(errors.CaptureError, match=r"\.data = \.\.\. of w \(2,\)(.|\n)*hint"):
        tn.compile(step, "numpy")(np.ones(2, np.float32))
    np.testing.assert_array_equal(w.data, [1, 2])


def test_capture_has_no_side_effects(backend):
    model = network()
    optimizer = tn.optim.Adam(model.parameters(), lr=0.01)
    calls = []

    def step(x, labels):
        calls.append(1)
        return training_step(model, optimizer)(x, labels)

    twin = network()
    twin_step = training_step(twin, tn.optim.Adam(twin.parameters(), lr=0.01))
    generator = np.random.default_rng(3)
    state = generator.bit_generator.state
    x, labels = problem()
    compiled = tn.compile(step, backend)
    compiled(x, labels)
    twin_step(x, labels)
    assert_twins(twin, model)
    assert int(optimizer.steps) == 1
    assert generator.bit_generator.state == state
    captures = len(calls)
    compiled(x, labels)
    assert len(calls) == captures


def test_a_failed_capture_changes_nothing():
    model = network()
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
    model.parameters()[0].grad = np.ones((5, 4), np.float32)
    before = model.state_dict()

    def step(x, labels):
        training_step(model, optimizer)(x, labels)
        return float(model(x).sum())

    with pytest.raises(errors.CaptureError, match=r"float\(t\)"):
        tn.compile(step)(*problem())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    np.testing.assert_array_equal(model.parameters()[0].grad, 1)
    assert int(optimizer.steps) == 0


@pytest.mark.parametrize(
    ("read", "how"),
    [
        (lambda t: float(t.sum()), "float"),
        (lambda t: bool(t.sum() > 0), "bool"),
        (lambda t: t.data, "data"),
        (lambda t: t.sum().item(), "item"),
        (lambda t: np.asarray(t), "asarray"),
        (lambda t: int(t.sum()), r"int\(t\)"),
        (lambda t: f"{t.sum():.3f}", "formatting"),
        (lambda t: [5, 6, 7, 8][t.sum().astype(int)], "index"),
        (lambda t: t.tolist(), "tolist"),
        (lambda t: 2.0 in t, "in "),
    ],
)
def test_reading_a_value_is_refused(read, how):
    with pytest.raises(errors.CaptureError, match=how):
        tn.compile(lambda x: x * 2 if read(x) is not None else x)(np.ones(3))


def test_a_constant_that_changes_is_refused():
    count = iter(range(1000))
    with pytest.raises(errors.CaptureError, match="differed between two runs"):
        tn.compile(lambda x: x * float(next(count)))(np.ones(3))
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    with pytest.raises(errors.CaptureError, match=r"draws from Generator(.|\n)*hint"):
        tn.compile(lambda x: x * rng.random(3))(np.ones(3))
    assert rng.bit_generator.state == state


def test_a_gradient_from_plain_numpy_is_refused():
    model = network()
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)

    def step(x, labels):
        optimizer.zero_grad()
        tn.nn.losses.cross_entropy(model(x), labels).backward()
        for parameter in model.parameters():
            parameter.grad = np.clip(parameter.grad, -1, 1)
        optimizer.step()

    with pytest.raises(errors.CaptureError, match="plain NumPy"):
        tn.compile(step)(*problem())


@pytest.mark.parametrize("shape", [(3,), ()])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_an_update_by_what_plain_numpy_makes_of_a_gradient_is_refused_and_by_tensors_repeated(backend, shape):
    if backend == "numba":
        pytest.importorskip("numba")
    w = tn.tensor(np.ones(shape), requires_grad=True)

    def step(x, change):
        w.grad = None
        (w * x).sum().backward()
        with tn.no_grad():
            w.__isub__(change(w.grad))

    refused = {
        "an array": lambda g: 0.1 * g,
        "a number": lambda g: float(np.abs(g).max()),
        "a choice": lambda g: np.where(g > 2.5, 1.0, 0.5),
    }
    for change in refused.values():
        with pytest.raises(errors.CaptureError, match=r"differed(.|\n)*tn.as_tensor\(w.grad\)"):
            tn.compile(step, backend)(np.full(shape, 2.0), change)
    np.testing.assert_array_equal(w.data, 1)
    compiled, expected = tn.compile(step, backend), w.data.copy()
    for k in (1.0, 2.0, 3.0):
        compiled(np.full(shape, k), _half)
        expected -= 0.5 * k
        np.testing.assert_array_equal(w.data, expected)
        np.testing.assert_array_equal(w.grad, k)


def _half(gradient):
    return 0.5 * tn.as_tensor(gradient)


def test_an_argument_that_requires_grad_is_refused():
    with pytest.raises(errors.CaptureError, match="requires grad"):
        tn.compile(lambda x: x * 2)(tn.tensor([1.0], requires_grad=True))


def test_what_other_threads_do_beside_a_capture_is_neither_seen_nor_undone():
    w, v = (tn.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    optimizer = tn.optim.SGD([w], lr=0.5)
    generator = np.random.default_rng(3)
    (w * w).sum().backward()
    inside, done = threading.Event(), threading.Event()
    drawn = []

    def train():
        inside.wait(5)
        optimizer.step()
        (v * v).sum().backward()
        drawn.append(generator.random())
        done.set()

    def step(x):
        inside.set()
        assert done.wait(5)
        return (x * 2).sum()

    thread = threading.Thread(target=train)
    thread.start()
    assert tn.compile(step, "numpy")(np.ones(3)).item() == 6
    thread.join()
    np.testing.assert_array_equal(w.data, [0, 0])
    np.testing.assert_array_equal(v.grad, [2, 4])
    assert [*drawn, generator.random()] == list(np.random.default_rng(3).random(2))


def test_nobody_outside_sees_what_a_captured_step_does_to_leaves():
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    w.grad = given = np.array([5.0, 6.0], np.float32)
    optimizer = tn.optim.SGD([w], lr=0.5)
    seen = []

    def look():
        seen.append((w.grad, w._node.number))

    def step(x):
        optimizer.zero_grad()
        assert w.grad is None
        (w * x).sum().backward()
        optimizer.step()
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        return w * 1

    number = w._node.number
    compiled = tn.compile(step, "numpy")
    result = compiled(np.ones(2, np.float32))
    assert len(seen) >= 2
    assert all(grad is given and seen_number == number for grad, seen_number in seen)
    np.testing.assert_array_equal(result.data, [0.5, 1.5])
    np.testing.assert_array_equal(w.grad, [1, 1])


def test_a_backward_pass_after_the_update_of_the_same_step_is_refused_in_a_capture_too():
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    optimizer = tn.optim.SGD([w], lr=0.5)

    def step(x):
        first, second = (w * x).sum(), (w * w).sum()
        first.backward()
        optimizer.step()
        second.backward()

    with pytest.raises(errors.StaleValue, match="multiply"):
        tn.compile(step, "numpy")(np.ones(2, np.float32))


def test_a_random_op_draws_from_a_twin_while_it_is_captured(backend):
    @tn.kernel(None, differentiable=False, method=False)
    def shaken(x, *, rng):
        return x + rng.normal(size=x.shape)

    for make in (np.random.default_rng, np.random.RandomState):
        generator, twin = make(5), make(5)
        step = tn.compile(lambda x, generator=generator: shaken(x, rng=generator) * 2, backend)
        for _ in range(3):
            np.testing.assert_array_equal(step(np.ones(3)).data, 2 * (1 + twin.normal(size=3)))


class Flipping:
    """A step that flips a coin, kept in an object."""

    def __init__(self, flip):
        self.flips = [flip]

    def __call__(self, x):
        return x * 2 if self.flips[0]() < 2 else x


@pytest.mark.parametrize(
    "flip",
    [
        np.random.default_rng(0).random,
        np.random.RandomState(0).rand,
        random.Random(0).random,
        lambda: np.random.rand(),  # noqa: NPY002
    ],
)
def test_a_coin_that_falls_the_same_in_all_runs_of_a_capture_is_refused_and_put_back(flip):
    for step in (Flipping(flip), Flipping(flip).__call__, lambda x: x * 2 if flip() < 2 else x):
        compiled = tn.compile(step, "numpy")
        with generators.put_back(step) as moved:
            with pytest.raises(errors.CaptureError, match="draws from"):
                compiled(np.ones(2))
            assert not moved()
            flip()
            assert len(moved()) == 1


def test_an_update_alone_sees_the_gradients_that_come_after_its_capture(backend):
    w, v = (tn.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    optimizer = tn.optim.SGD([w, v], lr=0.5)
    update, forget = tn.compile(optimizer.step, backend), tn.compile(optimizer.zero_grad, backend)
    with pytest.raises(errors.GraphError, match="none of the 2 parameters has a gradient"):
        update()
    forget()
    np.testing.assert_array_equal(w.data, [1, 2])
    w.grad = np.ones(2, np.float32)
    update()
    np.testing.assert_array_equal(w.data, [0.5, 1.5])
    np.testing.assert_array_equal(v.data, [1, 2])
    v.grad = np.ones(2, np.float32)
    forget()
    assert w.grad is v.grad is None


def test_a_gradient_that_is_only_looked_for_is_noticed_when_it_is_there():
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    step = tn.compile(lambda x: x * (1.0 if w.grad is None else 2.0), "numpy")
    assert step(np.ones(1)).item() == 1
    w.grad = np.ones(2, np.float32)
    assert step(np.ones(1)).item() == 2


def test_an_update_alone_follows_another_array_and_tells_graphs_of_the_change(backend):
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    update = tn.compile(tn.optim.SGD([w], lr=0.5).step, backend)
    w.grad = np.ones(2, np.float32)
    update()
    w.data = np.array([5.0, 6.0], np.float32)
    loss = (w * w).sum()
    update()
    np.testing.assert_array_equal(w.data, [4.5, 5.5])
    with pytest.raises(errors.StaleValue):
        loss.backward()


@pytest.mark.parametrize("before", [True, False])
def test_a_step_that_freezes_or_thaws_a_tensor_is_refused_and_changes_nothing(before):
    w = tn.tensor([1.0, 2.0], requires_grad=True, name="w")
    w.requires_grad = before

    def step(x):
        w.requires_grad = not before
        return w * x

    with pytest.raises(errors.CaptureError, match=r"requires_grad = \.\.\. of w \(2,\)(.|\n)*hint"):
        tn.compile(step, "numpy")(np.ones(2, np.float32))
    assert w.requires_grad is before


def test_a_tensor_that_a_step_makes_may_be_thawed_there():
    def step(x):
        w = tn.tensor(2.0, name="w")
        w.requires_grad = True
        return tn.gradients(w * x, [w])

    compiled = tn.compile(step, "numpy")
    assert [compiled(np.array(k))[0].item() for k in (3.0, 4.0)] == [3, 4]
