"""A race is fair when everybody computes the same: run with `pytest tests/benchmarks`."""

import warnings

import numpy as np
import pytest

from tests.benchmarks.by_hand import by_hand
from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.workloads import WORKLOADS

STEPS = 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in CONTESTANTS if name != "NumPy by hand"])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_every_contestant_reaches_the_loss_of_the_hand_written_step(workload, name):
    x, labels = workload.batch_of_data()
    expected = by_hand(workload)
    try:
        step, prepare = CONTESTANTS[name](workload)
    except ImportError as error:
        pytest.skip(str(error))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = [float(step(prepare(x), prepare(labels))) for _ in range(STEPS)]
    losses = [float(expected(x, labels)) for _ in range(STEPS)]
    tolerance = 1e-9 if workload.dtype == "float64" else 1e-3
    np.testing.assert_allclose(own, losses, rtol=tolerance)
    assert losses[-1] < losses[0]
