"""WeightPath: where the parameters were, from before the first step to the last one, and not too many of them."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.errors import ArgumentError, SettingError
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import WeightPath, fit

X, Y = tn.data.moons(100)


def recorded(path, epochs=2, model=None, **options):
    model = model or nn.Sequential(nn.Dense(2, 4, rng=0), nn.BatchNorm(4), nn.Dense(4, 2, rng=1))
    batches = tn.data.batches(X, Y, size=10, rng=0)
    sgd = optim.SGD(model.parameters(), lr=0.1)
    fit(model, cross_entropy, sgd, batches, epochs=epochs, callbacks=[path], progress=False, **options)
    return model


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("every", "places"), [(1, 21), (5, 5), (7, 4), (100, 2)])
def test_places_are_recorded_from_the_start_to_the_end(every, places, compiled):
    path = WeightPath(every=every)
    model = recorded(path, compile=compiled)
    assert len(path) == len(list(path)) == places
    start = nn.Dense(2, 4, rng=0).weight.data
    np.testing.assert_array_equal(path[0]["0.weight"], start)
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(path[-1][name], p.data)
    assert not np.array_equal(path[0]["0.weight"], path[1]["0.weight"])
    assert set(path[0]) == {name for name, _ in model.named_parameters()}


def test_of_a_long_path_every_second_place_is_kept():
    whole, short = WeightPath(), WeightPath(most=6)
    recorded(whole)
    recorded(short)
    assert len(short) <= 6
    assert repr(short) == f"WeightPath({len(short)} places, every 4 steps)"
    for k, place in enumerate(short):
        np.testing.assert_array_equal(place["0.weight"], whole[4 * k]["0.weight"])


def test_a_second_training_is_another_path():
    path = WeightPath(most=6)
    model = recorded(path)
    recorded(path, epochs=1, model=model)
    assert repr(path) == "WeightPath(6 places, every 2 steps)"


def test_what_cannot_be_recorded_is_refused():
    with pytest.raises(SettingError, match="WeightPath: every is a positive integer, got 0"):
        WeightPath(every=0)
    w = tn.tensor(np.ones((2, 2), np.float32), requires_grad=True)
    batches = tn.data.batches(X, Y, size=10)
    with pytest.raises(ArgumentError, match="the model is a function, whose parameters have no names"):
        fit(
            lambda x: tn.as_tensor(x) @ w,
            cross_entropy,
            optim.SGD([w], lr=0.1),
            batches,
            callbacks=[WeightPath()],
        )
