"""Callbacks: early stopping, rates by epoch and on a plateau, and options that make no sense."""

import math

import pytest

from tests.support.training import X, Y, network, trained, weights
from tinygrad_nn import optim
from tinygrad_nn.data import batches
from tinygrad_nn.errors import ArgumentError, CheckpointError
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import (
    EMA,
    Callback,
    Checkpoint,
    Doctor,
    EarlyStopping,
    Film,
    LearningRate,
    ReduceOnPlateau,
    fit,
)


def test_a_function_is_called_after_every_epoch_and_may_stop():
    seen = []

    def look(run):
        seen.append((run.epoch, run.history["loss"][-1]))
        if run.epoch == 2:
            run.stop("seen enough")

    _, history = trained(epochs=9, callbacks=[look])
    assert seen == list(enumerate(history["loss"], 1))
    assert len(history) == 2
    assert history.stopped == "seen enough"


def test_callbacks_may_come_from_an_iterator():
    seen = []
    trained(epochs=2, callbacks=(callback for callback in [lambda run: seen.append(run.epoch)]))
    assert seen == [1, 2]


def test_early_stopping_restores_the_best_weights():
    kept = {}

    def remember(run):
        kept[run.epoch] = weights(run.model)

    stopping = EarlyStopping("val_loss", patience=2)
    validation = X[:40], 1 - Y[:40]  # learning the training set makes this one worse
    model, history = trained(epochs=50, validation=validation, callbacks=[remember, stopping])
    best = history.best("val_loss").epoch
    assert len(history) == best + 3
    assert weights(model) == kept[best]
    assert history.stopped == f"val_loss has not improved on {min(history['val_loss']):.4f} for 3 epochs"


def trained_on_gain(gain, callbacks):
    """Train for at most ten epochs, with a column `gain` of the numbers that a function returns."""
    model = network()
    history = fit(
        model,
        cross_entropy,
        optim.SGD(model.parameters(), lr=0.1),
        [(X, Y)],
        epochs=10,
        metrics={"gain": lambda predictions, labels: gain()},
        callbacks=callbacks,
        progress=False,
    )
    return model, history


@pytest.mark.parametrize(("mode", "best"), [("max", 3), ("min", 1), (None, 3)])
def test_early_stopping_follows_its_mode_whatever_the_column_is_called(mode, best):
    kept = {}
    values = iter([0.1, 0.5, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    model, history = trained_on_gain(
        lambda: next(values),
        [
            lambda run: kept.update({run.epoch: weights(run.model)}),
            EarlyStopping("gain", patience=2, mode=mode),
        ],
    )
    assert len(history) == best + 3
    assert weights(model) == kept[best]
    assert history.stopped == f"gain has not improved on {history['gain'][best - 1]:.4f} for 3 epochs"


def test_epochs_of_nan_count_as_waiting_from_the_first():
    _, history = trained_on_gain(lambda: math.nan, [EarlyStopping("gain", patience=2, mode="max")])
    assert len(history) == 3


def test_early_stopping_on_a_column_that_is_not_there_says_which_are():
    with pytest.raises(KeyError, match="no column 'val_loss'; there are loss, acc"):
        trained(callbacks=[EarlyStopping("val_loss")])


def test_learning_rates_by_epoch_and_on_a_plateau():
    rates = []
    watch = lambda run: rates.append(run.optimizer.lr)
    trained(epochs=3, callbacks=[watch, LearningRate(lambda epoch: 0.1 / (epoch + 1))])
    assert rates == [0.1, 0.05, 0.1 / 3]
    rates.clear()
    rate = 2.0**-60  # too small to change a weight: the accuracy stays as it is
    trained(epochs=6, lr=rate, callbacks=[ReduceOnPlateau("acc", patience=1, factor=0.5), watch])
    assert rates == [rate, rate, rate / 2, rate / 2, rate / 4, rate / 4]
    rates.clear()
    trained(
        epochs=4,
        validation=(X, Y),
        callbacks=[ReduceOnPlateau("val_acc", patience=0, factor=0.5, mode="min", lowest=0.02), watch],
    )
    assert rates[0] == 0.05
    assert min(rates) == 0.02


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=-1), r"EarlyStopping: patience is a number .*got -1"),
        (lambda: EarlyStopping(min_delta=-0.1), "min_delta is a number .*got -0.1"),
        (lambda: EarlyStopping(mode="down"), 'mode is "min", "max" or None, got \'down\''),
        (lambda: ReduceOnPlateau(factor=1.0), "ReduceOnPlateau: factor lies between 0 and 1, got 1.0"),
        (lambda: ReduceOnPlateau(factor=0.0), "got 0.0"),
        (lambda: Checkpoint("x", every=0), "Checkpoint: every is a number of steps from 1, got 0"),
    ],
)
def test_callbacks_refuse_options_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


EVENTS = "on_start, on_batch, on_step, on_epoch, on_interrupt, on_end"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("on_train_begin", "on_start"),
        ("on_epoch_end", "on_epoch"),
        ("on_train_batch_end", "on_step"),
        ("on_batch_end", "on_step"),
        ("on_batch_begin", "on_batch"),
        ("on_train_end", "on_end"),
        ("on_epoch_begin", None),
        ("on_steps", "on_step"),
        ("on_epohc", "on_epoch"),
        ("on_improvement_found_by_somebody", None),
    ],
)
def test_a_callback_for_an_event_that_there_is_not_is_refused_when_it_is_defined(name, meant):
    hint = rf"\n  hint   def {meant}\(self, run\)" if meant else ""
    with pytest.raises(
        ArgumentError, match=rf"^Own: there is no event {name}; the events are {EVENTS}{hint}$"
    ):
        type("Own", (Callback,), {name: lambda self, *args: None})


def test_events_of_a_mixin_and_of_a_subclass_of_a_callback_are_looked_at_too():
    class Mixin:
        def on_epoch_end(self, epoch, logs=None):
            pass

    with pytest.raises(ArgumentError, match="there is no event on_epoch_end"):
        type("Own", (Mixin, Callback), {})
    with pytest.raises(ArgumentError, match="there is no event on_begin"):
        type("Own", (EarlyStopping,), {"on_begin": lambda self, run: None})


def test_every_event_may_be_defined_and_attributes_may_be_called_what_they_like():
    told = []
    names = EVENTS.split(", ")
    own = type("Own", (Callback,), {name: lambda self, run, name=name: told.append(name) for name in names})
    own.on_screen = True
    type("Other", (own,), {"on_paper": False, "once": lambda self: None})
    trained(epochs=1, size=100, callbacks=[own()])
    steps = ["on_batch", "on_step"] * 2
    assert told == ["on_start", *steps, "on_epoch", "on_end"]


def test_before_a_step_a_callback_has_its_batch_and_after_it_what_was_measured():
    class Looking(Callback):
        def on_batch(self, run):
            (points,), labels, weights = run.parts_of(run.given)
            self.expected = cross_entropy(run.model(points), labels).item()
            assert weights == {}

        def on_step(self, run):
            seen.append(run.measured == {"loss": self.expected, "acc": run.measured["acc"]})

    seen = []
    trained(epochs=1, size=100, callbacks=[Looking()])
    assert seen == [True, True]


def test_a_plateau_cannot_reduce_a_rate_that_follows_a_schedule():
    model = network()
    before = weights(model)
    optimizer = optim.SGD(model.parameters(), lr=lambda step: 0.1)
    with pytest.raises(ValueError, match="learning rate follows a schedule already"):
        fit(
            model,
            cross_entropy,
            optimizer,
            batches(X, Y, size=50, rng=0),
            callbacks=[ReduceOnPlateau("loss")],
            progress=False,
        )
    assert weights(model) == before


@pytest.mark.parametrize(
    "make",
    [
        lambda: EarlyStopping("loss"),
        lambda: ReduceOnPlateau("loss"),
        lambda: EMA(network()),
        lambda: Checkpoint("run.safetensors"),
        Doctor,
        lambda: Film("film.html"),
    ],
)
@pytest.mark.parametrize("state", [{"step": 1}, None, [1, 2]])
def test_a_state_that_is_not_of_a_callback_is_refused_in_its_name(make, state):
    callback = make()
    with pytest.raises(CheckpointError, match=f"does not fit this {type(callback).__name__}"):
        callback.load_state_dict(state)


def test_a_callback_without_a_state_takes_the_one_that_it_gave():
    callback = Callback()
    callback.load_state_dict(callback.state_dict())


def test_a_callback_shows_its_settings_in_a_line():
    assert (
        repr(EarlyStopping("loss", patience=3)) == "EarlyStopping(monitor='loss', patience=3, min_delta=0.0)"
    )
    assert repr(Checkpoint("run.safetensors", every=9)) == "Checkpoint(path='run.safetensors', every=9)"

    class Collects(Callback):
        def __init__(self):
            self.everything, self.count = [0] * 1000, 3

    assert repr(Collects()) == "Collects(count=3)"


def test_a_callback_without_a_list_is_shown_in_one():
    model, stop = network(), EarlyStopping()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ArgumentError, match=r"callbacks are a list.*\n  hint   callbacks=\[EarlyStopping\("):
        fit(model, cross_entropy, optimizer, [], callbacks=stop)
