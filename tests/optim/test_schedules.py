"""Schedules: called with the steps taken, and refused where they make no sense."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import weights
from tinygrad_nn.optim import SGD
from tinygrad_nn.testing import check_optimizer


def test_a_schedule_is_called_with_the_number_of_steps_taken():
    def formula(w, gradient, steps):
        return w - sum(0.1 / (k + 1) * gradient(k) for k in range(steps))

    check_optimizer(lambda ps: SGD(ps, lr=lambda k: 0.1 / (k + 1)), formula)


@pytest.mark.case("H149")
@pytest.mark.parametrize("lr", [-0.1, math.nan, math.inf])
def test_a_bad_rate_of_a_schedule_is_refused_when_its_step_comes(lr):
    (w,) = weights()
    w.grad = np.ones(2, np.float32)
    optimizer = SGD([w], lambda step: lr if step else 0.5)
    optimizer.step()
    with pytest.raises(ValueError, match="learning rate of step 1"):
        optimizer.step()
    np.testing.assert_array_equal(w.data, [0.5, 1.5])
    assert optimizer.steps == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: tn.optim.schedules.exponential(0.0, 0.5),
            "exponential: rate is positive and finite, got 0.0",
        ),
        (
            lambda: tn.optim.schedules.exponential(0.1, math.inf),
            "exponential: decay is positive and finite, got inf",
        ),
        (
            lambda: tn.optim.schedules.inverse_time(0.1, -5),
            "inverse_time: steps is positive and finite, got -5",
        ),
        (lambda: tn.optim.schedules.inverse_time(math.nan, 5), "inverse_time: rate is positive"),
        (lambda: tn.optim.schedules.piecewise([0.1, 0.2], []), "2 rates need 1 increasing boundaries, got"),
        (
            lambda: tn.optim.schedules.piecewise([3, 2, 1], [10, 10]),
            r"3 rates need 2 increasing boundaries, got \[10, 10\]",
        ),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_when_it_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()
