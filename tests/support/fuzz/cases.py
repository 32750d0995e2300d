"""Running cases: each has a random generator of its own, so that any one can be run again alone."""

import time
import traceback
import warnings
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np

KINDS = (
    "compositions",
    "compiled_calls",
    "compiled_trainings",
    "numba_trainings",
    "threads",
    "forks",
    "interrupts",
    "ranks",
)


@dataclass(frozen=True)
class Failure:
    """A case that has failed: what it says, and how to run it again."""

    kind: str
    seed: int
    index: int
    text: str

    def __str__(self):
        again = f"python -m tests.support.fuzz {self.kind} --seed {self.seed} --only {self.index}"
        return f"{self.text}\n  reproduce  {again}"


@dataclass
class Outcome:
    """How many cases were run, what they counted (calls, trainings, ...), and which failed."""

    cases: int = 0
    counted: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def run(kind, count, seed, *, only=None, seconds=float("inf"), tell=lambda failure: None):
    """Run so many cases of a kind, or for so many seconds, and return the outcome.

    A case is a function of a generator; it returns what it counted, by name, and raises where something is wrong.
    """
    case = import_module(f"tests.support.fuzz.{kind}").case
    outcome, start = Outcome(), time.monotonic()
    for index in range(count) if only is None else [only]:
        if time.monotonic() - start > seconds:
            break
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                counted = case(np.random.default_rng([seed, index]))
        # Ctrl-C ends the run, and what has been done is told.
        except KeyboardInterrupt:
            break
        # Whatever else it raises is a finding.
        except Exception as error:
            lines = traceback.format_exception(error, limit=-4)
            outcome.failures.append(Failure(kind, seed, index, "".join(lines).rstrip()))
            tell(outcome.failures[-1])
        else:
            for name, number in counted.items():
                outcome.counted[name] = outcome.counted.get(name, 0) + number
        outcome.cases += 1
    return outcome


def chance(rng, p):
    """Return True with probability p."""
    return bool(rng.random() < p)


def pick(rng, items):
    """Return one of several items, whatever they are."""
    items = list(items)
    return items[rng.integers(len(items))]
