"""The moving average of weights: its formula, swapping it in and back, its state, in fit and in compiled steps."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.errors import (
    ArgumentError,
    CaptureError,
    CheckpointError,
    GraphFreed,
    SettingError,
    StaleValue,
)
from tinygrad_nn.train import EMA

X = np.random.default_rng(0).normal(size=(20, 2))
Y = np.random.default_rng(1).integers(3, size=20)


class Counting(nn.Module):
    """A model with a buffer, as batch normalisation has, and a frozen parameter."""

    def __init__(self):
        self.layer = nn.Dense(2, 3, rng=0, dtype=np.float64)
        self.fixed = tn.tensor(np.ones(3), requires_grad=True)
        self.fixed.requires_grad = False
        self.seen = np.zeros(1)

    def forward(self, x):
        self.seen[...] += self.training
        return self.layer(x) * self.fixed


def weights(model):
    return [parameter.data.copy() for parameter in model.parameters()]


def train(model, ema, steps, optimizer=None):
    optimizer = optimizer or optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.losses.cross_entropy(model(X), Y).backward()
        optimizer.step()
        ema.update()
        yield weights(model)


@pytest.mark.parametrize("decay", [0.9, 0.0, lambda n: min(0.9, (1 + n) / (10 + n))])
def test_the_average_is_the_recursion_from_the_first_updated_weights(decay):
    model = Counting()
    ema = EMA(model, decay)
    trace = list(train(model, ema, 6))
    expected = trace[0]
    for n, now in enumerate(trace[1:], 1):
        d = decay(n) if callable(decay) else decay
        expected = [d * a + (1 - d) * w for a, w in zip(expected, now, strict=True)]
    with ema.averaged():
        for found, a in zip(weights(model), expected, strict=True):
            np.testing.assert_allclose(found, a, rtol=1e-12)
    for found, w in zip(weights(model), trace[-1], strict=True):
        np.testing.assert_array_equal(found, w)


def test_the_weights_come_back_whatever_happens_and_arrays_stay_where_they_are():
    model = Counting()
    ema = EMA(model, 0.5)
    (*_, before) = train(model, ema, 3)
    arrays = [parameter._data for parameter in model.parameters()]
    with pytest.raises(KeyboardInterrupt), ema.averaged():
        raise KeyboardInterrupt
    assert all(p._data is array for p, array in zip(model.parameters(), arrays, strict=True))
    for found, w in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(found, w)
    ema.update()


def test_a_graph_from_before_the_swap_is_not_differentiated_with_other_weights():
    model = nn.Sequential(nn.Dense(2, 3, rng=0, dtype=np.float64), nn.Dense(3, 3, rng=1, dtype=np.float64))
    ema = EMA(model, 0.5)
    list(train(model, ema, 2))
    loss = nn.losses.cross_entropy(model(X), Y)
    with ema.averaged(), pytest.raises((StaleValue, GraphFreed)):
        loss.backward()


def test_buffers_are_the_models_own():
    model = Counting()
    ema = EMA(model, 0.5)
    list(train(model, ema, 3))
    with ema.averaged():
        assert model.seen == 3
        model(X)
    assert model.seen == 4


def test_running_averages_of_a_norm_are_those_of_the_batches_whatever_the_weights():
    def model():
        return nn.Sequential(nn.BatchNorm(2, dtype=np.float64), nn.Dense(2, 3, rng=0, dtype=np.float64))

    net, alone = model(), model()
    ema = EMA(net, 0.5)
    list(train(net, ema, 3))
    list(train(alone, EMA(alone, 0.0), 3))
    for averages in ("running_mean", "running_var"):
        np.testing.assert_array_equal(getattr(net[0], averages), getattr(alone[0], averages))
    net.eval()
    with ema.averaged():
        scaled, dense = net[0], net[1]
        z = (X - scaled.running_mean) / np.sqrt(scaled.running_var + 1e-5)
        expected = (z * scaled.weight.data + scaled.bias.data) @ dense.weight.data + dense.bias.data
        np.testing.assert_allclose(net(X).data, expected, rtol=1e-12)
    np.testing.assert_array_equal(net[0].running_mean, alone[0].running_mean)


def test_it_is_a_callback_and_its_state_is_in_the_checkpoint(tmp_path):
    def run(path, epochs):
        model = Counting()
        ema = EMA(model, 0.8)
        data = tn.data.batches(X, Y, size=5, rng=0)
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        callbacks = [ema, tn.train.Checkpoint(path, every=3)]
        tn.train.fit(
            model,
            nn.losses.cross_entropy,
            optimizer,
            data,
            epochs=epochs,
            callbacks=callbacks,
            progress=False,
        )
        return ema

    run(tmp_path / "a", 2)
    resumed, whole = run(tmp_path / "a", 4), run(tmp_path / "b", 4)
    assert resumed.updates == whole.updates == 16
    for a, b in zip(
        resumed.state_dict()["averages"].values(), whole.state_dict()["averages"].values(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_a_compiled_step_updates_the_average(backend):
    ends = []
    for wrap in (lambda f: f, lambda f: tn.compile(f, backend)):
        model = nn.Dense(2, 3, rng=0, dtype=np.float64)
        optimizer, ema = optim.Adam(model.parameters(), lr=0.1), EMA(model, lambda n: n / (n + 1))

        @wrap
        def step(x, y, model=model, optimizer=optimizer, ema=ema):
            optimizer.zero_grad()
            nn.losses.cross_entropy(model(x), y).backward()
            optimizer.step()
            ema.update()

        for _ in range(6):
            step(X, Y)
        ends.append((ema.updates, *ema.state_dict()["averages"].values()))
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    assert ends[1][0] == 6


def test_a_state_that_does_not_fit_changes_nothing():
    model = Counting()
    ema = EMA(model, 0.5)
    list(train(model, ema, 2))
    before = ema.state_dict()
    averages = before["averages"]
    bad = [
        {},
        {"updates": -1, "averages": averages},
        {"updates": 3, "averages": {}},
        {"updates": 3, "averages": averages | {"fixed": np.zeros(2)}},
        {"updates": 3, "averages": [1]},
    ]
    for state in bad:
        with pytest.raises(CheckpointError, match="does not fit this EMA"):
            ema.load_state_dict(state)
    after = ema.state_dict()
    assert after["updates"] == 2
    assert all((after["averages"][name] == array).all() for name, array in averages.items())


MODEL = Counting()


def nested():
    ema = EMA(MODEL)
    with ema.averaged(), ema.averaged():
        pass


def updated_inside():
    ema = EMA(MODEL)
    with ema.averaged():
        ema.update()


def captured():
    ema = EMA(MODEL)

    @tn.compile
    def step(x):
        with ema.averaged():
            return MODEL.layer(x)

    step(X)


def of_another():
    other = nn.Dense(2, 3, rng=0)
    optimizer = optim.SGD(other.parameters(), lr=0.1)
    tn.train.fit(other, nn.losses.cross_entropy, optimizer, [(X, Y)], callbacks=[EMA(MODEL)], progress=False)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: EMA(MODEL, 1.0), SettingError, r"EMA: decay is a number in \[0, 1\), got 1\.0"),
        (lambda: EMA(MODEL, -0.5), SettingError, r"\[0, 1\), got -0\.5"),
        (lambda: EMA(MODEL, "0.9"), SettingError, r"got '0\.9'"),
        (
            lambda: EMA(MODEL.parameters()),
            ArgumentError,
            r"of a module, got list without any\n  hint   .*EMA\(model",
        ),
        (lambda: EMA(nn.Tanh()), ArgumentError, "got Tanh without any"),
        (lambda: EMA(optim.SGD(MODEL.parameters(), lr=1)), ArgumentError, "got SGD"),
        (lambda: EMA(MODEL, lambda n: 2.0).update(), SettingError, r"the decay of update 0 .* got 2\.0"),
        (nested, SettingError, r"EMA\.averaged: the model has its averaged weights"),
        (updated_inside, SettingError, r"EMA\.update: .*\n  hint   behind the block"),
        (captured, CaptureError, r"EMA\.averaged during capture"),
        (of_another, ArgumentError, "none of the parameters that this optimizer trains"),
    ],
)
def test_what_cannot_be_averaged_is_refused(call, error, text):
    before = weights(MODEL)
    with pytest.raises(error, match=text):
        call()
    assert all((a == b).all() for a, b in zip(before, weights(MODEL), strict=True))
