"""States that do not fit: everything that is wrong is named, and nothing is changed."""

import random

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import weights
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.states import random_state, random_stream, set_random_state


@pytest.mark.case("H153")
def test_a_state_that_does_not_fit_lists_everything_and_changes_nothing():
    model = tn.nn.Sequential(tn.nn.Dense(2, 3, rng=0), tn.nn.Dense(3, 1, rng=1))
    before = model.state_dict()
    state = {
        "0.weight": before["0.weight"] + 1,
        "0.bias": np.zeros(4, np.float32),
        "1.weight": before["1.weight"].astype(np.float64),
        "extra": np.zeros(1),
    }
    with pytest.raises(CheckpointError) as error:
        model.load_state_dict(state)
    text = str(error.value)
    for problem in (
        "0.bias",
        "(4,)",
        "(3,)",
        "1.weight",
        "float64",
        "extra",
        "1.bias",
        "nothing was changed",
    ):
        assert problem in text
    after = model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.case("H153")
def test_a_negative_step_count_is_refused():
    optimizer = tn.optim.Adam(weights(), lr=0.1)
    state = optimizer.state_dict()
    with pytest.raises(CheckpointError, match=r"nothing was changed\n  negative    steps: -1"):
        optimizer.load_state_dict(state | {"steps": np.array(-1, state["steps"].dtype)})
    assert int(optimizer.steps) == 0


@pytest.mark.case("H153")
@pytest.mark.parametrize("steps", ["x", 1.5, np.nan, [1], None])
def test_a_step_count_that_is_no_integer_is_refused(steps):
    optimizer = tn.optim.Adam(weights(), lr=0.1)
    with pytest.raises(CheckpointError, match=r"nothing was changed\n  (dtype|shape) +steps"):
        optimizer.load_state_dict(optimizer.state_dict() | {"steps": steps})
    assert int(optimizer.steps) == 0


def test_a_state_of_read_only_or_swapped_arrays_is_loaded_whole_or_not_at_all():
    model = tn.nn.Sequential(tn.nn.Dense(2, 2, rng=0, bias=False), tn.nn.Dense(2, 2, rng=1, bias=False))
    a, b = (p.data.copy() for p in model.parameters())
    first, second = model.parameters()
    model.load_state_dict({"0.weight": second, "1.weight": first})
    assert np.array_equal(first.data, b)
    assert np.array_equal(second.data, a)
    second.data.flags.writeable = False
    with pytest.raises(CheckpointError, match=r"read-only   1\.weight"):
        model.load_state_dict({"0.weight": a, "1.weight": b})
    assert np.array_equal(first.data, b)


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.random.default_rng(3),
        lambda: np.random.Generator(np.random.MT19937(3)),
        lambda: np.random.Generator(np.random.Philox(3)),
        lambda: np.random.RandomState(3),
        lambda: np.random.SFC64(3),
        lambda: random.Random(3),
    ],
)
def test_streams_of_a_source_differ_by_number_and_by_when_they_were_taken(make):
    source, same = make(), make()
    before = str(random_state(source))
    first, later = random_stream(source, 0), random_stream(source, 0)
    assert str(first) == str(random_stream(same, 0))
    assert len({str(first), str(later), str(random_stream(make(), 1)), before}) == 4
    assert str(random_state(source)) != before
    # It is a state of such a source.
    set_random_state(source, later)
