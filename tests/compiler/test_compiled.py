"""A compiled step does what the step does: same numbers, same effects, same errors, whatever it is given."""

import copy
import os
import pickle
import signal
import sys
import threading
import tracemalloc
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.benchmarks.by_hand import by_hand
from tests.benchmarks.contestants import our_step
from tests.benchmarks.workloads import WORKLOADS, Workload
from tests.support import needs
from tests.support.leaves import vector
from tests.support.networks import network
from tests.support.steps import assert_twins, pair, problem, training_step
from tinygrad_nn import errors

SMALL = Workload("small", (6, 5, 4, 3), 16, "tanh", "adam", 0.01)


@pytest.mark.parametrize("workload", [*WORKLOADS, SMALL], ids=lambda workload: workload.name)
def test_twenty_steps_equal_the_eager_ones(workload, backend):
    x, labels = workload.batch_of_data()
    eager, compiled = our_step(workload), tn.compile(our_step(workload), backend=backend)
    # Losses that have become small differ as much where an input does in its last bit.
    rtol, atol = (1e-10, 0) if workload.dtype == "float64" else (2e-3, 1e-3)
    for _ in range(20):
        np.testing.assert_allclose(compiled(x, labels).item(), eager(x, labels).item(), rtol=rtol, atol=atol)


OPTIMIZERS = {
    "sgd": lambda p: tn.optim.SGD(p, lr=0.1),
    "sgd with a schedule": lambda p: tn.optim.SGD(p, lr=lambda step: 0.5 / (1 + step)),
    "momentum": lambda p: tn.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: tn.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: tn.optim.Adam(p, lr=0.01),
    "adam with decay": lambda p: tn.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: tn.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


@pytest.mark.parametrize(
    ("name", "activation"),
    [*((name, tn.nn.Tanh) for name in OPTIMIZERS), ("sgd", tn.nn.Sigmoid), ("sgd", tn.nn.ReLU)],
)
def test_every_optimizer_is_replayed(name, activation, backend):
    def make():
        model = network(activation=activation)
        optimizer = OPTIMIZERS[name](model.parameters())
        return model, optimizer, training_step(model, optimizer)

    eager, compiled = pair(make, backend)
    x, labels = problem()
    for _ in range(7):
        expected, got = eager[2](x, labels), compiled[2](x, labels)
        np.testing.assert_allclose(got.item(), expected.item(), rtol=1e-5)
    assert_twins(eager[0], compiled[0])
    assert int(compiled[1].steps) == 7
    for a, b in zip(eager[1].state, compiled[1].state, strict=True):
        for slot in a:
            np.testing.assert_allclose(b[slot], a[slot], rtol=1e-4, atol=1e-7)


def test_gradients_accumulate_over_calls_as_eagerly(backend):
    def make():
        model = network()
        optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
        return model, optimizer, lambda x, labels: tn.nn.losses.cross_entropy(model(x), labels).backward()

    eager, compiled = pair(make, backend)
    for k in range(6):
        x, labels = problem(seed=k)
        for _, optimizer, accumulate in (eager, compiled):
            accumulate(x, labels)
            if k % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
        assert_twins(eager[0], compiled[0])
    assert len(compiled[2].programs) <= 2


def test_a_found_gradient_that_is_used_twice_is_not_overwritten_in_between(backend):
    w = tn.tensor(np.ones(30), requires_grad=True)

    def step(x):
        old = w.grad
        (w * x).sum().backward()
        return (tn.as_tensor(old) * 1.5).sum()

    w.grad = np.full(30, 2.0)
    compiled = tn.compile(step, backend)
    for k in range(4):
        assert compiled(np.ones(30)).item() == 30 * 1.5 * (2 + k)
        np.testing.assert_array_equal(w.grad, 3 + k)


def test_gradients_accumulate_inside_one_step(backend):
    def make():
        model = network()
        optimizer = tn.optim.SGD(model.parameters(), lr=0.1)

        def step(batches):
            optimizer.zero_grad()
            for x, labels in batches:
                tn.nn.losses.cross_entropy(model(x), labels).backward()
            optimizer.step()

        return model, optimizer, step

    eager, compiled = pair(make, backend)
    for k in range(3):
        batches = [problem(seed=k), problem(seed=k + 10)]
        assert eager[2](batches) is None
        assert compiled[2](batches) is None
        assert_twins(eager[0], compiled[0])


def test_several_updates_in_one_step_see_their_own_rate_and_count(backend):
    def make():
        model = network()
        optimizer = tn.optim.Adam(model.parameters(), lr=lambda step: 0.1 / (1 + step))
        once = training_step(model, optimizer)
        return model, optimizer, lambda x, labels: [once(x, labels), once(x, labels)]

    eager, compiled = pair(make, backend)
    x, labels = problem()
    for _ in range(3):
        expected, got = eager[2](x, labels), compiled[2](x, labels)
        assert isinstance(got, list)
        np.testing.assert_allclose([t.item() for t in got], [t.item() for t in expected], rtol=1e-5)
    assert_twins(eager[0], compiled[0])
    assert int(compiled[1].steps) == 6


def test_a_step_that_only_updates_is_replayed(backend):
    def make():
        model = network()
        optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
        return model, optimizer, optimizer.step

    eager, compiled = pair(make, backend)
    x, labels = problem()
    for _ in range(3):
        for model, optimizer, update in (eager, compiled):
            optimizer.zero_grad()
            tn.nn.losses.cross_entropy(model(x), labels).backward()
            update()
        assert_twins(eager[0], compiled[0])


@pytest.mark.parametrize("max_norm", [0.1, 100.0])
def test_gradients_are_clipped_on_replay(max_norm, backend):
    def make():
        model = network()
        optimizer = tn.optim.SGD(model.parameters(), lr=0.5)

        def step(x, labels):
            optimizer.zero_grad()
            tn.nn.losses.cross_entropy(model(x), labels).backward()
            tn.optim.clip_grad_norm(model.parameters(), max_norm)
            optimizer.step()

        return model, optimizer, step

    eager, compiled = pair(make, backend)
    x, labels = problem()
    for _ in range(5):
        eager[2](x, labels)
        compiled[2](x, labels)
        assert_twins(eager[0], compiled[0])


def written_by_hand(w, momentum):
    """Return a step that updates by hand, reads what it wrote, and keeps what it had read before."""

    def step(x):
        w.grad = None
        loss = ((w * x) ** 2).sum()
        loss.backward()
        with tn.no_grad():
            before = np.tanh(w) * 3
            momentum.__imul__(0.9)
            momentum.__iadd__(tn.as_tensor(w.grad))
            w.__isub__(0.1 * momentum)
            w.__imul__(x)
            w.__itruediv__(x + 1.5)
            middle = np.tanh(w) * 3
            w.__iadd__(np.float64([[0.25], [0.5]]))
        return loss, before, middle, (w * w).sum()

    return step


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_place_changes_under_no_grad_are_replayed(backend, dtype):
    def make():
        w, momentum = (tn.tensor(np.full((2, 3), v, dtype), requires_grad=True) for v in (1.5, 0))
        return w, momentum, written_by_hand(w, momentum)

    (w, momentum, eager), (w2, momentum2, step) = make(), make()
    compiled = tn.compile(step, backend)
    for k in range(4):
        x = np.arange(6, dtype=dtype).reshape(2, 3) / 8 + k + 1
        for got, expected in zip(compiled(x), eager(x), strict=True):
            np.testing.assert_allclose(got.data, expected.data, rtol=1e-5)
        np.testing.assert_allclose(w2.data, w.data, rtol=1e-5)
        np.testing.assert_allclose(momentum2.data, momentum.data, rtol=1e-5)
    assert len(compiled.programs) == 1


def test_two_models_in_one_step_are_replayed(backend):
    def make():
        first, second = network(0), network(10)
        optimizers = [tn.optim.SGD(first.parameters(), lr=0.1), tn.optim.Adam(second.parameters(), lr=0.01)]
        both = tn.nn.Sequential(first, second)

        def step(x, labels):
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = tn.nn.losses.cross_entropy(first(x) + second(x), labels)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            return {"loss": loss, "logits": first(x)}

        return both, optimizers, step

    eager, compiled = pair(make, backend)
    for k in range(4):
        x, labels = problem(seed=k)
        expected, got = eager[2](x, labels), compiled[2](x, labels)
        np.testing.assert_allclose(got["loss"].item(), expected["loss"].item(), rtol=1e-5)
        np.testing.assert_allclose(got["logits"].data, expected["logits"].data, rtol=1e-4, atol=1e-6)
    assert_twins(eager[0], compiled[0])


def test_a_pure_function_and_its_derivatives_are_replayed(backend):
    def f(x):
        return (np.tanh(x) * x).sum()

    x = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(tn.compile(f, backend)(x).data, f(tn.tensor(x)).data, rtol=1e-12)
    both = tn.compile(tn.value_and_grad(f), backend)
    for given in (x, x + 1, -x):
        value, gradient = both(given)
        expected_value, expected = tn.value_and_grad(f)(given)
        np.testing.assert_allclose(value.data, expected_value.data, rtol=1e-12)
        np.testing.assert_allclose(gradient.data, expected.data, rtol=1e-12)
    assert len(both.programs) == 1


def test_keyword_arguments_are_given_anew_in_whatever_order_and_nested(backend):
    def step(x, *, scale, shift=0.0, more=None):
        y = x * scale + shift
        return y if more is None else y + more["pair"][0] - more["pair"][1]

    compiled = tn.compile(step, backend)
    for k in range(1, 4):
        x, scale, shift = np.arange(3.0) * k, np.full(3, 2.0 * k), tn.tensor(np.full(3, 0.5 * k))
        more = {"pair": (x * 10, tn.tensor(x))}
        np.testing.assert_array_equal(compiled(x=x, scale=scale).data, x * scale)
        np.testing.assert_array_equal(compiled(x, scale=scale, shift=shift).data, x * scale + shift.data)
        np.testing.assert_array_equal(compiled(x, shift=shift, scale=scale).data, x * scale + shift.data)
        np.testing.assert_array_equal(compiled(scale=scale, x=x, more=more).data, x * scale + 9 * x)
        # Numbers are what they are, and belong to what is captured.
        np.testing.assert_array_equal(compiled(x, scale=2, shift=3.0).data, x * 2 + 3)
    assert len(compiled.programs) == 5
    np.testing.assert_array_equal(compiled(x, scale=4, shift=3.0).data, x * 4 + 3)


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
        np.asfortranarray,
        lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
        lambda x: x.astype(x.dtype.newbyteorder()),
        lambda x: np.asfortranarray(x).astype(x.dtype.newbyteorder()),
    ],
    ids=["strided", "Fortran", "reversed", "byte-swapped", "both"],
)
@pytest.mark.parametrize("make", [lambda x: x, tn.tensor, lambda x: tn.tensor(x.T).T, lambda x: {"in": [x]}])
def test_arguments_of_any_layout_and_byte_order_are_taken_by_one_program(layout, make, backend):
    def step(x, scale):
        x = x["in"][0] if isinstance(x, dict) else x
        return np.tanh(x) * scale, x.reshape(-1) * 2

    rng = np.random.default_rng(0)
    compiled = tn.compile(step, backend)
    for _ in range(2):
        for given in (lambda x: x, layout):
            x, scale = rng.normal(size=(4, 6)), rng.normal(size=6)
            argument = given(x)
            first, second = compiled(make(argument), scale)
            np.testing.assert_allclose(first.data, np.tanh(x) * scale, rtol=1e-12)
            np.testing.assert_array_equal(second.data, x.reshape(-1) * 2)
            np.testing.assert_array_equal(argument, x)
    assert len(compiled.programs) == 1


def test_results_are_fresh_arrays(backend):
    double = tn.compile(lambda x: (x * 2, x), backend)
    x = np.arange(3.0)
    first, same = double(x)
    double(np.ones(3))
    np.testing.assert_array_equal(first.data, [0, 2, 4])
    assert not np.shares_memory(same.data, x)


def test_results_come_as_what_the_step_returns(backend):
    w = vector(1.0, 2.0)

    def step(x):
        (w * x).sum().backward()
        gradient, w.grad = w.grad, None
        return {"tensor": x * 2, "pair": (x + 1, gradient), "number": 3}

    compiled = tn.compile(step, backend)
    for x in (np.ones(2, np.float32), np.zeros(2, np.float32)):
        result = compiled(x)
        assert type(result["tensor"]) is type(result["pair"][0]) is tn.Tensor
        assert type(result["pair"][1]) is np.ndarray
        assert result["number"] == 3
        assert not result["tensor"].requires_grad
        np.testing.assert_array_equal(result["pair"][1], x)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.tanh(np.exp(x) + 1) * 2,
        lambda x: np.minimum(x, x * 2),
        lambda x: np.minimum(x * 2, x),
        lambda x: np.maximum(x, x * 2),
        lambda x: np.where(x > 0, x * 2, x) - 1,
        lambda x: tn.softmax(tn.relu(tn.sigmoid(x * 2))),
        lambda x: 1 / (3 - x),
    ],
)
def test_results_take_over_the_memory_of_operands_that_nobody_needs_any_more(f):
    x = np.random.default_rng(0).normal(size=(50, 40))
    compiled = tn.compile(f, "numpy")
    np.testing.assert_allclose(compiled(x).data, f(tn.tensor(x)).data, rtol=1e-12)
    # A condition takes a byte for each number.
    assert x.nbytes <= compiled.programs[0].nbytes < 1.5 * x.nbytes


@pytest.mark.parametrize(
    "options",
    [{}, {"weight_decay": 0.1}, {"momentum": 0.5}, {"momentum": 0.5, "nesterov": True, "weight_decay": 0.1}],
    ids=str,
)
def test_each_setting_of_sgd_is_replayed(options, backend):
    def make():
        model = network()
        optimizer = tn.optim.SGD(model.parameters(), lr=0.1, **options)
        return model, optimizer, training_step(model, optimizer)

    eager, compiled = pair(make, backend)
    for k in range(3):
        data = problem(seed=k)
        eager[2](*data)
        compiled[2](*data)
    assert_twins(eager[0], compiled[0])


def test_nothing_is_written_over_while_a_part_of_it_is_read(backend):
    def centred(x):
        y = x * 2
        return y - y[0] + 1

    x = np.random.default_rng(0).normal(size=(5, 20)).astype(np.float32)
    np.testing.assert_allclose(tn.compile(centred, backend)(x).data, centred(x), rtol=1e-6)


def test_new_shapes_dtypes_and_structures_are_captured_again(backend):
    double = tn.compile(lambda x, factor=2: x * factor, backend)
    np.testing.assert_array_equal(double(np.ones(3)).data, [2, 2, 2])
    assert double(np.ones((2, 3))).shape == (2, 3)
    assert double(np.ones(3, np.float32)).dtype == np.float32
    np.testing.assert_array_equal(double(np.ones(3), factor=3).data, [3, 3, 3])
    np.testing.assert_array_equal(double(np.ones(3) * 5).data, [10, 10, 10])
    np.testing.assert_array_equal(double(np.ones((3, 2)).T * 5).data, np.full((2, 3), 10))
    assert len(double.programs) == 4


def test_a_replaced_parameter_and_a_switch_to_eval_are_noticed(backend):
    model = tn.nn.Dense(2, 2, rng=0)
    run = tn.compile(model, backend)
    x = np.ones((1, 2), np.float32)
    run(x)
    model.weight.data = np.zeros((2, 2), np.float32)
    np.testing.assert_array_equal(run(x).data, [[0, 0]])

    class Switch(tn.nn.Module):
        def forward(self, x):
            return x * (2 if self.training else 3)

    switch = Switch()
    run = tn.compile(switch, backend)
    assert run(np.ones(1)).item() == 2
    switch.eval()
    assert run(np.ones(1)).item() == 3


def test_bad_labels_are_refused_on_every_replay_and_change_nothing(backend):
    model = network()
    optimizer = tn.optim.Adam(model.parameters(), lr=0.1)
    step = tn.compile(training_step(model, optimizer), backend)
    x, labels = problem()
    step(x, labels)
    before = model.state_dict()
    for bad in (-1, 3):
        wrong = labels.copy()
        wrong[5] = bad
        with pytest.raises(errors.LabelError, match=str(bad)):
            step(x, wrong)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert int(optimizer.steps) == 1


def test_wide_arrays_are_cast_as_eagerly(backend):
    def make():
        model = network()
        optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
        return model, optimizer, training_step(model, optimizer)

    eager, compiled = pair(make, backend)
    x, labels = problem(dtype=np.float64)
    for _ in range(3):
        expected, got = eager[2](x, labels), compiled[2](x, labels.astype(np.uint8))
        assert got.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(got.item(), expected.item(), rtol=1e-6)
    error = tn.compile(lambda p, t: tn.nn.losses.mse(model_free(p), t), backend)
    assert error(np.ones(3, np.float32), np.zeros(3)).dtype == np.float32


def model_free(p):
    return p * 1.5


def test_a_leaf_is_newer_after_a_replay(backend):
    model = network()
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
    step = tn.compile(training_step(model, optimizer), backend)
    x, labels = problem()
    step(x, labels)
    pending = tn.nn.losses.cross_entropy(model(x), labels)
    step(x, labels)
    with pytest.raises(errors.StaleValue):
        pending.backward()


def test_compiled_functions_nest_and_run_under_watchers(backend):
    inner = tn.compile(lambda x: x * 2, backend)
    outer = tn.compile(lambda x: inner(x) + 1, backend)
    np.testing.assert_array_equal(outer(np.ones(2)).data, [3, 3])
    np.testing.assert_array_equal(outer(np.zeros(2)).data, [1, 1])


def test_threads_take_turns(backend):
    square = tn.compile(lambda x: (x * x).sum(), backend)
    wrong = []

    def work(k):
        for _ in range(50):
            if square(np.full(100, k)).item() != 100 * k * k:
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(float(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("captured", [False, True], ids=["capturing", "replaying"])
def test_a_thread_waits_until_the_call_of_another_has_ended(captured, backend):
    inside, go, others = threading.Event(), threading.Event(), []

    @tn.kernel(None, differentiable=False, method=False)
    def pause(x):
        if threading.current_thread().name == "first":
            inside.set()
            assert go.wait(60)
        else:
            others.append(float(x[0]))
        return x + 1

    step = tn.compile(lambda x: pause(x) * 2, backend)
    if captured:
        step(np.zeros(2))
    others.clear()
    results = {}

    def work(name, number):
        results[name] = step(np.full(2, number)).tolist()

    threads = [
        threading.Thread(target=work, args=(name, number), name=name)
        for name, number in (("first", 1.0), ("second", 2.0))
    ]
    threads[0].start()
    assert inside.wait(60)
    threads[1].start()
    threads[1].join(0.2)
    early = list(others)
    go.set()
    for thread in threads:
        thread.join()
    assert early == []
    assert results == {"first": [4, 4], "second": [6, 6]}
    assert len(step.programs) == 1


@pytest.mark.parametrize("workload", WORKLOADS[:5], ids=lambda workload: workload.name)
def test_a_replay_allocates_nothing_large_and_needs_no_more_than_by_hand(workload, backend):
    x, labels = workload.batch_of_data()
    step, hand = tn.compile(our_step(workload), backend=backend), by_hand(workload)
    for run in (step, hand):
        run(x, labels)
        run(x, labels)

    def peak(run):
        tracemalloc.start()
        try:
            run(x, labels)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # With NumPy, up to 8,192 elements at a time pass through the buffers of its own iterators where it broadcasts.
    assert peak(step) < (48 if backend == "numpy" else 4) * 1024
    assert step.programs[0].nbytes <= 1.1 * peak(hand) + 64 * 1024


def test_an_argument_that_requires_grad_is_refused_on_every_call():
    double = tn.compile(lambda x, factor=2: x * factor, "numpy")
    plain, leaf = tn.tensor(np.ones(2)), tn.tensor(np.ones(2), requires_grad=True)
    with pytest.raises(
        errors.CaptureError, match=r"shape \(2,\) requires grad, but a replay records no graph"
    ):
        double(leaf)
    assert double(plain).tolist() == [2, 2]
    assert double(plain, factor=plain).tolist() == [1, 1]
    for args, kwargs in (((leaf,), {}), ((leaf * 2,), {}), ((plain,), {"factor": leaf})):
        with pytest.raises(errors.CaptureError, match="requires grad"):
            double(*args, **kwargs)
    leaf.requires_grad = False
    assert double(leaf).tolist() == [2, 2]
    assert len(double.programs) == 2


def test_bad_backends_and_steps_are_refused():
    with pytest.raises(ValueError, match="backend"):
        tn.compile(lambda x: x, backend="cuda")
    with pytest.raises(TypeError, match="function"):
        tn.compile(3)


@pytest.mark.parametrize("clip", [False, True])
def test_leaves_with_equal_gradients_do_not_share_them_after_a_compiled_step(clip):
    def build():
        a, b, c = vector(1.0, 2.0), vector(3.0, 4.0), vector(5.0, 6.0)
        optimizer = tn.optim.SGD([a, b, c], lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = ((a + b + c) * x).sum()
            loss.backward()
            if clip:
                tn.optim.clip_grad_norm([a, b, c], 1.0)
            optimizer.step()
            return loss

        return (a, b, c), step

    eager, step = build()
    compiled, traced = build()
    replay = tn.compile(traced, backend="numpy")
    for k in range(3):
        x = np.array([3.0 + k, 4.0])
        step(tn.tensor(x))
        replay(x)
    for one, other in zip(eager, compiled, strict=True):
        assert np.allclose(one.data, other.data)
        assert np.allclose(one.grad, other.grad)
    a, b, c = compiled
    for one, other in ((a, b), (b, c), (a, c)):
        assert not np.shares_memory(one.grad, other.grad)


def test_numbers_that_are_equal_but_not_the_same_are_told_apart():
    scaled = tn.compile(lambda x, factor: x * factor, "numpy")
    assert not np.signbit(scaled(np.ones(1), 0.0).data[0])
    assert np.signbit(scaled(np.ones(1), -0.0).data[0])
    assert scaled(np.ones(1, int), 1).dtype == np.int64
    assert scaled(np.ones(1, int), 1.0).dtype == np.float64
    before = len(scaled.programs)
    for _ in range(3):
        assert np.isnan(scaled(np.ones(1), float("nan")).item())
    assert len(scaled.programs) == before + 1


def test_numpy_scalars_are_arrays_given_anew():
    double = tn.compile(lambda x: x * 2, "numpy")
    assert double(np.float32(3)).item() == 6
    assert double(np.float32(4)).item() == 8
    assert double(np.float32(4)).dtype == np.float32
    assert len(double.programs) == 1


def test_a_compiled_function_says_what_it_is():
    def step(x):
        """Twice x."""
        return x * 2

    compiled = tn.compile(step, "numpy")
    assert repr(compiled) == "<compiled step, backend numpy, 0 captured>"
    compiled(np.ones(2))
    assert repr(compiled) == "<compiled step, backend numpy, 1 captured>"
    assert compiled.__doc__ == "Twice x."


def test_without_numba_auto_takes_numpy_and_numba_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinygrad_nn.compiler.loops.backend", None)
    with pytest.raises(
        ImportError, match=r'needs the package numba\n  hint   pip install "tinygrad_nn\[jit\]"'
    ):
        tn.compile(lambda x: x, "numba")
    compiled = tn.compile(lambda x: x * 2)
    assert compiled(np.ones(1)).item() == 2
    assert "segment" not in compiled.programs[0].text
    assert "loops" not in compiled.programs[0].text


class Batch(NamedTuple):
    x: Any
    scale: Any = 2.0


@pytest.mark.parametrize("kind", [list, tuple, Batch._make, lambda items: {"a": items[0], "b": items[1]}])
def test_results_are_new_on_each_call_whatever_they_come_in(kind):
    compiled = tn.compile(lambda x: kind([x * 2, [x * 3, "text"]]), "numpy")
    for k in (1.0, 2.0, 3.0):
        eager, got = kind([k * 2, [k * 3, "text"]]), compiled(np.array(k))
        assert type(got) is type(eager)
        first, (second, text) = got.values() if isinstance(got, dict) else got
        assert (first.item(), second.item(), text) == (2 * k, 3 * k, "text")
    assert len(compiled.programs) == 1
    slogdet = tn.compile(lambda a: np.linalg.slogdet(a), "numpy")
    for k in (2.0, 3.0):
        np.testing.assert_allclose(slogdet(np.eye(2) * k).logabsdet.data, 2 * np.log(k))


def test_a_named_tuple_is_an_argument_of_arrays_given_anew():
    compiled = tn.compile(lambda batch: batch.x * batch.scale, "numpy")
    for k in (1.0, 2.0):
        assert compiled(Batch(np.array([k]), np.array([k]))).data == [k * k]
        assert compiled(Batch(tn.tensor([k]))).data == [2 * k]
    assert len(compiled.programs) == 2


@pytest.mark.parametrize("operand", ["labels of nll", "a mask of a kernel of one's own", "indices"])
def test_operands_without_a_rule_are_followed_into_rules(operand, backend):
    masked = tn.kernel(lambda g, m: g * (m > 0), None, name="masked")(lambda x, m: x * (m > 0))
    loss = {
        "labels of nll": lambda x, y: tn.nn.losses.nll(tn.log_softmax(x), y),
        "a mask of a kernel of one's own": lambda x, y: masked(x, (y - 1)[:, None]).sum(),
        "indices": lambda x, y: (np.take_along_axis(x, y[:, None], axis=1) ** 2).sum(),
    }[operand]

    def gradient(x, y):
        return tn.value_and_grad(lambda x: loss(x, y))(x)

    compiled = tn.compile(gradient, backend)
    x = np.arange(6.0).reshape(2, 3) / 4
    for labels in (np.array([0, 1]), np.array([2, 2]), np.array([1, 0])):
        for found, expected in zip(compiled(x, labels), gradient(x, tn.tensor(labels)), strict=True):
            np.testing.assert_allclose(found.data, expected.data, rtol=1e-12)
    assert len(compiled.programs) == 1


@pytest.mark.parametrize(
    "f",
    [
        lambda x, m: x[m].sum(),
        lambda x, m: x[np.logical_not(m)].sum(),
        lambda x, m: x[x > 0].sum(),
        lambda x, m: tn.grad(lambda x: (x[m] ** 2).sum())(x),
        lambda x, m: (x * np.where(m, 1.0, 2.0))[m][0],
    ],
)
def test_a_mask_that_is_given_or_computed_is_refused_as_an_index(f, backend):
    x, mask = np.array([1.0, -2.0, 3.0]), np.array([True, False, True])
    with pytest.raises(errors.CaptureError, match=r"getitem(.|\n)*np\.where"):
        tn.compile(f, backend)(x, mask)


def test_a_mask_that_is_the_same_on_each_call_may_be_an_index_until_it_is_not(backend):
    mask = np.array([True, False, True])
    step = tn.compile(lambda x: tn.value_and_grad(lambda x: (x[mask] ** 2).sum())(x), backend)
    for x in (np.array([1.0, -2.0, 3.0]), np.array([4.0, 5.0, 6.0])):
        value, gradient = step(x)
        assert value.item() == (x[mask] ** 2).sum()
        np.testing.assert_array_equal(gradient.data, 2 * x * mask)
    for changed in ([True, True, True], [True, False, False], [False] * 3):
        mask[:] = changed
        with pytest.raises(errors.CaptureError, match=r"getitem(.|\n)*has shape"):
            step(x)


@pytest.mark.parametrize("number", [10**30, -(10**25), 2**63, 2**64, -(2**63) - 1])
def test_python_ints_of_any_size_are_numbers_of_a_step(number, backend):
    step = tn.compile(lambda x: x * number + number, backend)
    np.testing.assert_allclose(step(np.ones(3)).data, 2.0 * number)
    np.testing.assert_allclose(step(np.full(3, 2, np.float32)).data, 3.0 * number, rtol=1e-6)


class Trainer:
    """Holds a compiled step of its own model."""

    def __init__(self):
        self.model = tn.nn.Dense(2, 1, rng=0)
        self.fast = tn.compile(self.step, "numpy")

    def step(self, x):
        return self.model(x).sum()


def test_a_copy_of_what_holds_a_compiled_step_computes_with_its_own_parts():
    trainer, x = Trainer(), np.ones((1, 2), np.float32)
    trainer.fast(x)
    for copied in (copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))):
        copied.model.weight.data[...] = 5.0
        assert copied.fast(x).item() == 10
        assert copied.fast.programs
        assert trainer.fast(x).item() == trainer.step(x).item() != 10


@needs.fork
def test_a_fork_waits_for_a_replay_and_a_backward_pass_of_another_thread():
    w = tn.tensor(np.ones((100, 100)), requires_grad=True)
    step = tn.compile(lambda x: (np.tanh(x @ w) ** 2).sum(), "numpy")
    x = np.ones((20, 100))
    expected, done = step(x).item(), threading.Event()

    def work():
        while not done.is_set():
            step(x)
            (w * 2).sum().backward()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with warnings.catch_warnings():
            # Python 3.12 says that forking beside a thread is dangerous, which is what is tried here.
            warnings.simplefilter("ignore", DeprecationWarning)
            for _ in range(5):
                if not (child := os.fork()):
                    signal.alarm(10)
                    v = tn.tensor([1.0], requires_grad=True)
                    try:
                        (v * 2).sum().backward()
                    finally:
                        os._exit(int(v.grad is None or step(x).item() != expected))
                assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        thread.join()


def test_backward_of_what_a_compiled_function_returned_says_to_compile_the_step():
    model = tn.nn.Dense(2, 3, rng=0)
    fast = tn.compile(model, "numpy")
    with pytest.raises(errors.GraphError, match=r"compile the whole step, backward\(\) included"):
        fast(np.ones((4, 2), np.float32)).sum().backward()
