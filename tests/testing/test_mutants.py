"""The checks are checked: each rule is broken in some thirty ways, and every way has to be noticed."""

import numpy as np
import pytest

from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY
from tinygrad_nn.testing import mutants
from tinygrad_nn.testing.mutants import MUTATORS, breakable, calls_for, is_caught, mutation_test

OPS = breakable(REGISTRY.values())


@pytest.mark.usefixtures("without_coverage")
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_mutant_that_is_not_equivalent_is_caught(op):
    calls = calls_for(op)
    assert calls
    assert not is_caught(calls), "the rules fail before they are broken"
    report = mutation_test([op])
    assert report.survivors == []
    assert report.mutants == len(MUTATORS) * sum(rule is not None for rule in op.rules)
    assert report.mutants == report.caught + report.equivalent
    # An op whose gradient is zero has few ways to be wrong: only those that are not zero.
    assert report.caught >= (5 if op.zero_gradient else len(MUTATORS) / 2)


def test_there_are_at_least_a_thousand_mutants():
    assert len(MUTATORS) * sum(rule is not None for op in OPS for rule in op.rules) >= 1000


def test_every_mutator_is_caught_on_some_op():
    """A mutator that changes nothing anywhere would be no test."""
    useful = {"divide", "matmul", "softmax"}
    caught = dict.fromkeys(MUTATORS, 0)
    ops = [op for op in OPS if op.name in useful]
    assert len(ops) == len(useful)
    for op in ops:
        for name, mutator in MUTATORS.items():
            caught[name] += mutation_test([op], {name: mutator}).caught
    assert [name for name, count in caught.items() if not count] == []


def test_the_calls_of_an_op_are_the_same_every_time():
    for op in OPS[:5]:
        first, again = calls_for(op), calls_for(op)
        assert len(first) == len(again) > 0
        for a, b in zip(first, again, strict=True):
            assert len(a.operands) == len(b.operands) > 0
            assert all(map(np.array_equal, a.operands, b.operands))


def test_a_mutant_that_nothing_catches_is_reported(monkeypatch):
    monkeypatch.setattr(mutants, "is_caught", lambda calls: False)
    report = mutants.mutation_test([REGISTRY["square"]], {"sign": lambda rule: lambda g, x: -rule(g, x)})
    assert report.survivors == ["square, rule 0: sign"]
    assert (report.mutants, report.caught) == (1, 0)
    assert str(report) == "1 mutants: 0 caught, 0 equivalent, 1 survived\nsquare, rule 0: sign"


def test_what_has_no_rule_or_writes_or_lacks_data_cannot_be_broken():
    names = ("tanh", "greater", "sgd_update", "norm")
    assert [op.name for op in breakable(REGISTRY[name] for name in names)] == ["tanh"]
    assert set(breakable(REGISTRY.values())) == {
        record
        for record in REGISTRY.values()
        if isinstance(record, Primitive) and any(record.rules) and not record.writes
    }
