"""find_rate: a rate that trains, and everything as it was before."""

import math
import random
import re

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.errors import ArgumentError, NonFinite, SettingError, ShapeError
from tinygrad_nn.nn.losses import cross_entropy, mse
from tinygrad_nn.states import random_state
from tinygrad_nn.train import evaluate, find_rate, fit

X, Y = tn.data.moons(200)


def network(*between):
    return nn.Sequential(nn.Dense(2, 16, rng=0), nn.Tanh(), *between, nn.Dense(16, 2, rng=1))


def batches():
    return tn.data.batches(X, Y, size=20, rng=0)


OPTIMIZERS = {
    "sgd": lambda parameters, lr: optim.SGD(parameters, lr=lr),
    "momentum": lambda parameters, lr: optim.SGD(parameters, lr=lr, momentum=0.9),
    "adam": lambda parameters, lr: optim.Adam(parameters, lr=lr),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_suggestion_trains_about_as_well_as_the_best_of_a_grid(name):
    make = OPTIMIZERS[name]

    def trained(lr):
        model = network()
        try:
            fit(model, cross_entropy, make(model.parameters(), lr), batches(), epochs=6, progress=False)
        except NonFinite:
            return math.inf
        return evaluate(model, cross_entropy, (X, Y))["loss"]

    model = network()
    found = find_rate(model, cross_entropy, make(model.parameters(), 1.0), batches())
    best = min(trained(lr) for lr in (0.001, 0.01, 0.1, 1.0))
    assert trained(found.suggestion) < best + 0.1


def everything(model, optimizer, data):
    """Return all that a run could change, as text."""
    state = data.state_dict() if hasattr(data, "state_dict") else None
    lr = optimizer.lr if callable(optimizer.lr) else float(optimizer.lr)
    modes = [module.training for _, module in model.named_modules()]
    gradients = [None if p.grad is None else p.grad.tolist() for p in model.parameters()]
    arrays = {name: array.tolist() for name, array in model.state_dict().items()}
    globally = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    slots = {name: array.tolist() for name, array in optimizer.state_dict().items()}
    with np.printoptions(threshold=10**6, precision=17):
        return repr((state, lr, modes, gradients, arrays, globally, slots))


DATA = {
    "batches": batches,
    "in the middle of an epoch": lambda: started(batches()),
    "without end": lambda: tn.data.batches_forever(X, Y, size=20, rng=0),
    "a list": lambda: list(batches()),
}


def started(data):
    run = iter(data)
    next(run)
    next(run)
    return data


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("lr", [0.01, optim.schedules.cosine(0.1, 100)], ids=["rate", "schedule"])
def test_model_optimizer_data_and_random_numbers_are_as_they_were(kind, lr):
    rng = np.random.default_rng(3)
    model = network(nn.BatchNorm(16), nn.Dropout(0.5, rng=rng)).eval()
    optimizer = optim.SGD(model[4].parameters(), lr=lr, momentum=0.9)
    cross_entropy(model(X), Y).backward()
    optimizer.step()
    data = DATA[kind]()

    def loss(predictions, labels):
        np.random.normal()  # noqa: NPY002
        return cross_entropy(predictions, labels) * (1 + 0.01 * random.random())

    before, drawn = everything(model, optimizer, data), repr(random_state(rng))
    gradients = [p.grad for p in model.parameters()]
    waiting = cross_entropy(model(X), Y)
    found = find_rate(model, loss, optimizer, data, steps=30)
    assert len(found.rates) >= 10
    assert everything(model, optimizer, data) == before
    assert repr(random_state(rng)) == drawn
    assert all(a is b for a, b in zip(gradients, [p.grad for p in model.parameters()], strict=True))
    waiting.backward()
    again = find_rate(model, loss, optimizer, data, steps=30)
    assert again.losses == found.losses


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_all_is_as_it_was_after_an_error_too(error):
    model, data, calls = network(), batches(), []
    optimizer = optim.Adam(model.parameters())
    before = everything(model, optimizer, data)

    def loss(predictions, labels):
        calls.append(1)
        if len(calls) > 12:
            raise error
        return cross_entropy(predictions, labels)

    with pytest.raises(error):
        find_rate(model, loss, optimizer, data)
    assert everything(model, optimizer, data) == before


def test_a_model_that_is_a_function_is_as_it_was():
    w = tn.tensor(np.array([[0.5], [-1.0]], np.float32), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    before = w.data.copy()
    t = X @ np.float32([[1.0], [2.0]])
    found = find_rate(lambda x: tn.as_tensor(x) @ w, mse, optimizer, tn.data.batches(X, t, size=20, rng=0))
    assert found.suggestion > 0
    np.testing.assert_array_equal(w.data, before)


def test_rates_grow_by_the_same_factor_and_end_where_the_loss_diverges():
    model = network()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    found = find_rate(model, cross_entropy, sgd, batches(), low=1e-4, high=1e4, steps=60)
    factors = np.divide(found.rates[1:], found.rates[:-1])
    np.testing.assert_allclose(factors, 1e8 ** (1 / 59))
    assert found.rates[0] == pytest.approx(1e-4)
    assert found.rates[-1] < 1e4
    assert len(found.rates) == len(found.losses) == len(found.smoothed)
    assert found.suggestion == found.rates[int(np.argmin(found.smoothed))] / 10


def test_what_was_found_is_one_line():
    model = network()
    found = find_rate(model, cross_entropy, optim.Adam(model.parameters()), batches())
    pattern = (
        r"Rates\(suggestion 0\.\d+; the loss is least, 0\.\d{4}, at 0\.\d+; \d+ rates from 1e-06 to [\d.]+\)"
    )
    assert re.fullmatch(pattern, repr(found))


def test_what_was_found_is_drawn():
    pytest.importorskip("matplotlib").use("Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    model = network()
    found = find_rate(model, cross_entropy, optim.Adam(model.parameters()), batches(), steps=30)
    _, ax = plt.subplots()
    assert found.plot(ax=ax) is ax
    plt.close("all")


def test_where_no_rate_makes_the_loss_fall_none_is_suggested():
    model = network()
    adam = optim.Adam(model.parameters())
    found = find_rate(model, lambda p, y: cross_entropy(p, y) * 0 + 1.0, adam, batches(), steps=40)
    assert found.suggestion is None
    assert repr(found).startswith("Rates(no suggestion: no rate made the loss fall; 40 rates")


def test_losses_below_zero_are_judged_by_their_fall():
    model = network()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    plain = find_rate(model, cross_entropy, sgd, batches())
    shifted = find_rate(model, lambda p, y: cross_entropy(p, y) - 5.0, sgd, batches())
    assert shifted.suggestion == pytest.approx(plain.suggestion)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"optimizer": optim.Adam}, ArgumentError, "an optimizer is needed, got <class.*hint   find_rate"),
        ({"batches": (X, Y)}, ArgumentError, "find_rate: data are batches, and these are whole arrays"),
        (
            {"batches": iter(list(batches()))},
            ArgumentError,
            "can be iterated only once, and would be used up",
        ),
        ({"batches": []}, ValueError, "there are no batches"),
        ({"low": 0}, SettingError, "rates grow from low=0 to high=10.0, both positive"),
        ({"low": 1.0, "high": 0.1}, SettingError, "rates grow from low=1.0 to high=0.1"),
        ({"steps": 9}, SettingError, "steps=9 are too few"),
        ({"loss": lambda p, y: p}, ShapeError, "find_rate: the loss is a tensor with one element"),
        ({"loss": lambda p, y: p.sum() * np.nan}, NonFinite, "infinite or NaN before any step"),
    ],
)
def test_what_cannot_be_tried_is_refused(change, error, message):
    model = network()
    given = {
        "model": model,
        "loss": cross_entropy,
        "optimizer": optim.Adam(model.parameters()),
        "batches": batches(),
    }
    with pytest.raises(error, match=f"(?s){message}"):
        find_rate(**(given | change))
