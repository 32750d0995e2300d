"""What is put into compiled loops: whole steps, chains without memory, elementwise ops of every kind."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.networks import network
from tests.support.steps import problem, training_step

pytest.importorskip("numba")


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
