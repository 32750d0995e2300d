"""Random programs, compiled: every call gives the values and gradients of the eager run, whatever it is called with."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fuzz import compiled_calls

pytestmark = pytest.mark.filterwarnings("ignore")
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_numpy_replays_equal_the_eager_run(seed):
    compiled_calls.case(np.random.default_rng(seed), "numpy")


@settings(deadline=None, max_examples=2, suppress_health_check=[HealthCheck.too_slow])
@given(seeds)
def test_numba_replays_equal_the_eager_run(seed):
    pytest.importorskip("numba")
    compiled_calls.case(np.random.default_rng(seed), "numba")


def test_a_program_that_reads_what_is_no_input_is_found(monkeypatch):
    calls = []

    def counted(rng, values):
        return lambda x: x * (len(calls) > 10), (0,)

    monkeypatch.setattr(compiled_calls, "WORDS", {"counted": counted})
    monkeypatch.setattr(compiled_calls, "_change", lambda *_: calls.append(1))
    with pytest.raises(AssertionError, match="call 10, numpy"):
        compiled_calls.case(np.random.default_rng(0), "numpy")
