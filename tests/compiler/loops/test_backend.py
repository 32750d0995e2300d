"""What is put into compiled loops: whole steps, chains without memory, elementwise ops of every kind."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import network
from tests.support.steps import problem, training_step

pytest.importorskip("numba")
from tinygrad_nn.compiler.loops import backend


@pytest.mark.parametrize(
    "make",
    [
        lambda ps: tn.optim.SGD(ps, lr=0.1),
        lambda ps: tn.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
        lambda ps: tn.optim.Adam(ps),
        lambda ps: tn.optim.AdamW(ps),
    ],
    ids=["SGD", "momentum", "Adam", "AdamW"],
)
def test_a_step_of_a_small_network_is_one_call_of_loops(make):
    model = network()
    step = tn.compile(training_step(model, make(model.parameters())), "numba")
    step(*problem())
    (program,) = step.programs
    assert [line.split("(")[0].strip() for line in program.text.splitlines()[1:]] == [
        *("check_labels", "prepare", "loops", "return"),
    ]


def grouped(rate):
    """Return a small model, and an optimizer that trains its layers at rates of their own."""
    model = tn.nn.Sequential(tn.nn.Dense(5, 4, rng=0), tn.nn.Tanh(), tn.nn.Dense(4, 3, rng=1))
    groups = [
        {"parameters": [*model[0].parameters()]},
        {"parameters": [*model[2].parameters()], "lr": 10 * rate},
    ]
    return model, tn.optim.Adam(groups, lr=rate)


def test_updates_of_one_kind_are_one_loop_and_come_out_as_eager_ones_do(monkeypatch):
    monkeypatch.setattr(backend, "_FUNCTIONS", texts := {})
    (model, optimizer), (replayed, other) = grouped(0.01), grouped(0.01)
    step, compiled = training_step(model, optimizer), tn.compile(training_step(replayed, other), "numba")
    for _ in range(3):
        step(*problem())
        compiled(*problem())
    for w, replica in zip(model.parameters(), replayed.parameters(), strict=True):
        np.testing.assert_allclose(replica.data, w.data, rtol=1e-5, atol=1e-7)
    (text,) = texts
    assert text.count("adam(") == 2


def test_updates_of_gradients_that_are_given_anew_each_time_have_lines_of_their_own():
    model = network()
    optimizer = tn.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    update = tn.compile(optimizer.step, "numba")
    for k in range(3):
        before = [w.data.copy() for w in model.parameters()]
        for w in model.parameters():
            w.grad = np.full_like(w.data, k + 1)
        update()
        momentum = [1, 2.9, 5.61][k]
        for w, was in zip(model.parameters(), before, strict=True):
            np.testing.assert_allclose(w.data, was - momentum, rtol=1e-5)


def test_what_loops_compute_on_the_way_needs_no_memory():
    x = np.ones((50, 40))
    chain = tn.compile(lambda x: np.tanh(x * 2 + 1) * (x - 3) + np.exp(-x), "numba")
    np.testing.assert_allclose(chain(x).data, np.tanh(3) * -2 + np.exp(-1))
    assert x.nbytes <= chain.programs[0].nbytes < 1.5 * x.nbytes


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: np.where(x > y, x * 2, y),
        lambda x, y: np.where(x >= y, 1.0, x),
        lambda x, y: np.where(np.logical_or(x < y, x != 1.0), x, y + 1),
        lambda x, y: np.where(np.logical_and(x == y, x <= 1.0), x, y + 1),
        lambda x, y: np.maximum(x, 0) / np.sqrt(np.abs(y)) - np.minimum(x, y),
    ],
)
def test_what_is_computed_element_by_element_is_in_loops(f):
    x, y = np.random.default_rng(0).normal(size=(2, 40, 30))
    compiled = tn.compile(f, "numba")
    np.testing.assert_allclose(compiled(x, y).data, f(tn.tensor(x), tn.tensor(y)).data, rtol=1e-12)
    calls = [line.split("(")[0].strip() for line in compiled.programs[0].text.splitlines()[1:-1]]
    assert [call for call in calls if not call.startswith("loops")] == []
    assert calls
