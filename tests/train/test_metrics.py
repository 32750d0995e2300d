"""Metrics: one number for a batch, and no shapes that broadcast."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.train import accuracy


def test_accuracy_takes_the_tensor_that_a_model_returns():
    assert tn.train.accuracy(tn.tensor([[0.0, 1.0]], requires_grad=True), tn.tensor([1])) == 1


def test_accuracy_refuses_shapes_that_would_broadcast():
    with pytest.raises(ShapeError, match=r"predictions \(3, 1\) and labels \(2,\)"):
        accuracy(np.zeros((3, 1)), np.zeros(2, int))
    with pytest.raises(ShapeError):
        accuracy(np.zeros(3), np.zeros(3, int))
    assert accuracy(np.eye(3), np.eye(3)) == 1.0
