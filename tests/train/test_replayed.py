"""fit(compile=True) does what fit does: the same history, weights, callbacks and errors."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.training import X, Y, trained, weights
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches
from tinygrad_nn.errors import CaptureError, NonFinite
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import EarlyStopping, fit


def columns(history):
    return {name: history[name] for name in history.history if name != "seconds"}


@pytest.mark.parametrize("size", [50, 32], ids=["even batches", "a smaller last one"])
def test_a_compiled_training_is_the_eager_one_bit_for_bit(size, monkeypatch):
    monkeypatch.setattr("tinygrad_nn.compiler.compiled._chosen", lambda backend: "numpy")
    seen = {True: [], False: []}
    runs = [
        trained(
            size=size,
            validation=(X, Y),
            compile=how,
            callbacks=[lambda run, how=how: seen[how].append((run.epoch, run.means()))],
        )
        for how in (True, False)
    ]
    (model, history), (eager, expected) = runs
    assert columns(history) == columns(expected)
    assert weights(model) == weights(eager)
    assert seen[True] == seen[False]


def test_with_compiled_loops_too_it_learns_the_same():
    _, history = trained(epochs=5, compile=True)
    _, expected = trained(epochs=5)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)


def test_only_shapes_of_the_first_batch_are_captured(monkeypatch):
    captured = []
    capture = tn.compiler.compiled.capture
    monkeypatch.setattr(
        "tinygrad_nn.compiler.compiled.capture", lambda *args: captured.append(args) or capture(*args)
    )
    trained(epochs=4, size=32, compile=True)  # 200 rows: the last batch has 8
    assert len(captured) == 2  # gradients, and the update


def test_schedules_random_layers_and_running_averages_go_on_from_step_to_step(monkeypatch):
    monkeypatch.setattr("tinygrad_nn.compiler.compiled._chosen", lambda backend: "numpy")
    states = []
    for how in (True, False):
        model = nn.Sequential(
            nn.Dense(2, 8, rng=0), nn.BatchNorm(8), nn.ReLU(), nn.Dropout(0.3, rng=1), nn.Dense(8, 2, rng=2)
        )
        optimizer = optim.Adam(model.parameters(), lr=optim.schedules.cosine(0.05, 12))
        data = batches(X, Y, size=50, rng=3)
        fit(model, cross_entropy, optimizer, data, epochs=3, progress=False, compile=how)
        states.append(weights(model))
    assert states[0] == states[1]


def test_weights_of_rows_and_early_stopping_work_compiled():
    model = nn.Dense(2, 2, rng=0)
    data = batches(X, Y, np.linspace(0, 1, len(X), dtype=np.float32), size=50, rng=0)
    history = fit(
        model,
        cross_entropy,
        optim.SGD(model.parameters(), lr=0.1),
        data,
        epochs=50,
        callbacks=[EarlyStopping("loss", patience=1, min_delta=0.1)],
        progress=False,
        compile=True,
    )
    assert len(history) < 50


def test_a_loss_that_is_not_finite_stops_before_the_update_and_leaves_no_gradient():
    model = nn.Dense(2, 2, rng=0)
    before = weights(model)
    bad = X.copy()
    bad[3] = np.nan
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for how in (True, False):
        with pytest.raises(NonFinite, match="epoch 1, batch 1; this step was not taken"):
            fit(model, cross_entropy, optimizer, [(bad, Y)], progress=False, compile=how)
        assert weights(model) == before
        assert [p.grad for p in model.parameters()] == [None, None]


def test_what_a_replay_cannot_repeat_is_refused_before_anything_is_trained():
    model = nn.Dense(2, 2, rng=0)
    before = weights(model)

    def loss(predictions, targets):
        return cross_entropy(predictions, targets) * float(predictions.data.mean())

    with pytest.raises(CaptureError):
        fit(model, loss, optim.SGD(model.parameters(), lr=0.1), [(X, Y)], progress=False, compile=True)
    assert weights(model) == before
