"""Trainings with one planted ill each are named, and healthy ones have no finding: the quick ones of the wards.

All of them: python -m tests.support.wards.
"""

import pytest

from tests.support.wards import WARDS, looked_after, verdict
from tinygrad_nn.train.doctor import NAMES


@pytest.mark.filterwarnings("ignore::tinygrad_nn.errors.UsageWarning")
@pytest.mark.parametrize("one", [one for one in WARDS if one.quick], ids=lambda one: one.name)
def test_a_planted_ill_is_named_first_or_second_and_a_healthy_training_has_no_finding(one):
    outcome = looked_after(one)
    assert not verdict(one, outcome), outcome


def test_the_wards_have_each_ill_three_times_and_as_many_healthy_trainings_as_half_of_them():
    planted = [one.ill for one in WARDS if one.ill]
    assert {name: planted.count(name) for name in NAMES if planted.count(name) < 3} == {}
    assert set(planted) == set(NAMES)
    assert len(planted) >= 40
    assert 2 * (len(WARDS) - len(planted)) >= 40
    assert {one.ill for one in WARDS if one.quick} == {*NAMES, ""}
