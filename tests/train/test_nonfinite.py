"""A loss that is not finite: epoch, batch and the first bad op are named."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.training import X, Y, network, weights
from tinygrad_nn import nn, optim
from tinygrad_nn.errors import NonFinite
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import fit


def test_a_loss_that_is_not_finite_names_epoch_batch_and_first_bad_op():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    data = [(X[:50], Y[:50]), (X[50:] - 10.0, Y[50:])]

    def loss(predictions, labels):
        shift = 0.0 if len(labels) == 50 else 5.0
        return cross_entropy(predictions, labels) + np.log(5 - shift + (predictions * 0).sum() ** 2)

    before = weights(model)
    report = r"loss is -inf in epoch 1, batch 2(.|\n)*first bad op: log: the result has -inf"
    with np.errstate(divide="ignore"), pytest.raises(NonFinite, match=report) as caught:
        fit(model, loss, optimizer, data, progress=False)
    assert caught.value.history.history == {}
    assert weights(model) != before
    assert all(np.isfinite(array).all() for array in model.state_dict().values())


def test_a_bad_batch_and_a_bad_parameter_are_named():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(
        NonFinite, match=r"not finite before the first op: input 0 \(200, 2\): 1 NaN of 400 values"
    ):
        fit(model, cross_entropy, optimizer, [(bad, Y)], progress=False)
    model[0].weight.data[0, 0] = np.nan
    with pytest.raises(NonFinite, match=r"parameter 0\.weight \(2, 16\): 1 NaN of 32 values"):
        fit(model, cross_entropy, optimizer, [(X, Y)], progress=False)


def test_the_first_bad_op_names_its_module():
    class Log(nn.Module):
        def forward(self, x):
            return np.log(x)

    model = nn.Sequential(nn.Dense(2, 2, rng=0), Log())
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            NonFinite, match=r"first bad op: log: the result has nan(.|\n)*\n +in +Sequential / 1: Log\(\)"
        ),
    ):
        fit(model, cross_entropy, optimizer, [(X, Y)], progress=False)


def test_a_loss_that_is_nan_without_an_op_to_blame_still_names_epoch_and_batch():
    w = tn.tensor([1.0], requires_grad=True)
    model = lambda x: tn.as_tensor(x) * w
    loss = lambda predictions, targets: predictions.mean() * tn.tensor(np.nan)
    with pytest.raises(NonFinite, match=r"the loss is nan in epoch 1, batch 1; .*\n  hint   a smaller"):
        fit(model, loss, optim.SGD([w], lr=0.1), [(np.ones(3), np.ones(3))], progress=False)
    assert w.item() == 1
