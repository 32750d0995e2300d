"""The fuzzer, with small counts: it finds nothing in the library, and what is put there wrong on purpose."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support import needs
from tests.support.fuzz import compiled_calls, compositions
from tests.support.fuzz.cases import run
from tests.support.fuzz.programs import draw
from tinygrad_nn.primitives.record import REGISTRY

# With the seed. Trainings with Numba take their time.
KINDS = {
    "compositions": (100, 0),
    "compiled_trainings": (3, 1),
    "threads": (1, 0),
    "forks": (1, 0),
    "interrupts": (3, 0),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=needs.fork if kind == "forks" else ()) for kind in KINDS]
)
def test_a_few_cases_of_each_kind_fail_in_nothing(kind, without_coverage):
    count, seed = KINDS[kind]
    outcome = run(kind, count, seed)
    assert outcome.cases == count
    assert not outcome.failures, "\n".join(map(str, outcome.failures))


def test_every_op_is_drawn_in_random_programs_or_says_why_not():
    assert compositions.LEFT_OUT.keys() <= {record.name for record in REGISTRY.values()}
    assert compiled_calls.LEFT_OUT.keys() <= compositions.ALL.keys()
    x = tn.tensor(np.random.default_rng(0).normal(size=(2, 3)), requires_grad=True)
    for name, entry in compositions.REGISTERED.items():
        with np.errstate(all="ignore"):
            drawn = [draw(np.random.default_rng(seed), [x], 1, {name: entry}).steps for seed in range(3)]
        assert any(drawn), name


def test_a_wrong_rule_is_found_and_can_be_found_again(monkeypatch):
    wrong = tn.kernel(lambda g, x: 2 * g * x + 0.01 * g, name="wrong", reference=np.square)(lambda x: x * x)
    words = {"square": lambda rng, values: (wrong, (0,))}
    monkeypatch.setattr(compositions, "ALL", words)
    failures = run("compositions", 3, 0).failures
    assert failures
    assert "without rules" in failures[0].text
    assert f"--seed 0 --only {failures[0].index}" in str(failures[0])
    (again,) = run("compositions", 3, 0, only=failures[0].index).failures
    assert again.text == failures[0].text
