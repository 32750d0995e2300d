"""A race is fair when everybody computes the same: run with `pytest tests/benchmarks`."""

import warnings

import numpy as np
import pytest

from tests.benchmarks import convolutions, gpt, network, recurrent, residual
from tests.benchmarks.by_hand import by_hand
from tests.benchmarks.contestants import CONTESTANTS
from tests.benchmarks.workloads import WORKLOADS

STEPS = 10
NEEDS = {
    "tinygrad_nn compiled, Numba": "numba",
    "jax.jit": "jax",
    "PyTorch": "torch",
    "PyTorch, channels last": "torch",
    "torch.compile": "torch",
    "PyTensor, Numba": "pytensor",
    "autograd": "autograd",
    "MyGrad": "mygrad",
    "DeZero": "dezero",
}
SMALL = (
    convolutions.network("LeNet", convolutions.LENET, 4),
    convolutions.network("32-64 CNN", convolutions.CNN, 2),
    residual.network(channels=8, batch=2),
    recurrent.network("LSTM", length=5),
    recurrent.network("GRU", length=5),
    gpt.network(layers=2, context=8, batch=2),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in CONTESTANTS if name != "NumPy by hand"])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_every_contestant_reaches_the_loss_of_the_hand_written_step(workload, name):
    pytest.importorskip(NEEDS.get(name, "numpy"))
    x, labels = workload.batch_of_data()
    expected = by_hand(workload)
    step, prepare = CONTESTANTS[name](workload)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = [float(step(prepare(x), prepare(labels))) for _ in range(STEPS)]
    losses = [float(expected(x, labels)) for _ in range(STEPS)]
    tolerance = 1e-9 if workload.dtype == "float64" else 1e-3
    np.testing.assert_allclose(own, losses, rtol=tolerance)
    assert losses[-1] < losses[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("small", "name"),
    [(small, name) for small in SMALL for name in network.contestants(small) if name != "PyTorch"],
    ids=lambda case: getattr(case, "name", case),
)
def test_networks_learn_as_that_of_pytorch(small, name):
    pytest.importorskip("torch")
    pytest.importorskip(NEEDS.get(name, "numpy"))
    makers = network.contestants(small)
    own, theirs = ([float(step()) for _ in range(STEPS)] for step in (makers[name](), makers["PyTorch"]()))
    np.testing.assert_allclose(own, theirs, rtol=1e-4)
