"""A race is fair when everybody computes the same: run with `pytest tests/benchmarks`."""

import importlib.util
import warnings

import numpy as np
import pytest

from tests.benchmarks import recurrent
from tests.benchmarks.by_hand import by_hand
from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.workloads import WORKLOADS

STEPS = 10
NEEDS = {
    "tinygrad_nn compiled, Numba": "numba",
    "jax.jit": "jax",
    "PyTorch": "torch",
    "torch.compile": "torch",
    "autograd": "autograd",
    "MyGrad": "mygrad",
    "DeZero": "dezero",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in CONTESTANTS if name != "NumPy by hand"])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_every_contestant_reaches_the_loss_of_the_hand_written_step(workload, name):
    x, labels = workload.batch_of_data()
    expected = by_hand(workload)
    package = NEEDS.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    step, prepare = CONTESTANTS[name](workload)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = [float(step(prepare(x), prepare(labels))) for _ in range(STEPS)]
    losses = [float(expected(x, labels)) for _ in range(STEPS)]
    tolerance = 1e-9 if workload.dtype == "float64" else 1e-3
    np.testing.assert_allclose(own, losses, rtol=tolerance)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_recurrent_model_learns_as_that_of_pytorch(kind):
    pytest.importorskip("torch")
    step, model = recurrent.ours(kind)
    other = recurrent.pytorch(kind, model)
    for _ in range(3):
        assert step() == pytest.approx(other(), rel=1e-5)
