"""fit, evaluate and predict on two moons."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches, batches_forever, moons
from tinygrad_nn.errors import NonFinite, ShapeError
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import (
    Checkpoint,
    EarlyStopping,
    LearningRate,
    ReduceOnPlateau,
    accuracy,
    evaluate,
    fit,
    predict,
)

X, Y = moons(200)


def network(seed=0):
    return nn.Sequential(nn.Dense(2, 16, rng=seed), nn.Tanh(), nn.Dense(16, 2, rng=seed + 1))


def trained(epochs=3, seed=0, lr=0.05, **options):
    model = network()
    data = batches(X, Y, size=32, rng=seed)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    options.setdefault("progress", False)
    history = fit(model, cross_entropy, optimizer, data, epochs=epochs, metrics={"acc": accuracy}, **options)
    return model, history


def weights(model):
    return b"".join(array.tobytes() for array in model.state_dict().values())


def test_fit_learns_the_moons():
    _, history = trained(epochs=30, validation=moons(200, seed=1))
    assert list(history) == ["loss", "acc", "val_loss", "val_acc", "seconds"]
    assert len(history) == 30
    assert history["acc"][-1] > 0.9
    assert history["val_acc"][-1] > 0.9
    assert history.best("val_loss").value == min(history["val_loss"])


def test_fit_is_the_plain_loop():
    fitted, _ = trained()
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    data = batches(X, Y, size=32, rng=0)
    for _ in range(3):
        for x, y in data:
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
    assert weights(fitted) == weights(model)


def test_the_same_seed_gives_the_same_training_and_another_seed_another():
    first, again, other = (trained(seed=seed)[0] for seed in (0, 0, 1))
    assert weights(first) == weights(again) != weights(other)


def test_training_means_weigh_rows_not_batches():
    model = network()
    rows = [X[:150], X[150:]], [Y[:150], Y[150:]]
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    data = list(zip(*rows, strict=True))
    history = fit(model, cross_entropy, optimizer, data, metrics={"acc": accuracy}, progress=False)
    assert history["loss"][0] == pytest.approx(cross_entropy(model(X), Y).item(), rel=1e-6)
    assert history["acc"][0] == accuracy(predict(model, X), Y)


def test_evaluate_and_predict_use_evaluation_mode_and_record_nothing():
    seen = []

    class Probe(nn.Module):
        def forward(self, x):
            seen.append((self.training, x.requires_grad))
            return x

    model = nn.Sequential(nn.Dense(2, 2, rng=0), Probe())
    model[0].training = False
    evaluate(model, cross_entropy, (X, Y))
    predict(model, X)
    assert seen == [(False, False)] * 2
    assert model.training
    assert not model[0].training


def test_predict_gives_one_row_for_each_row():
    model = network()
    many = np.tile(X, (11, 1))
    assert predict(model, many).shape == (2200, 2)
    np.testing.assert_allclose(predict(model, many), model(many).detach().numpy(), rtol=1e-6)


def test_evaluate_takes_arrays_or_batches():
    model = network()
    whole = evaluate(model, cross_entropy, (X, Y), metrics={"acc": accuracy})
    parts = evaluate(model, cross_entropy, batches(X, Y, size=37, rng=0), metrics={"acc": accuracy})
    assert whole == pytest.approx(parts)
    assert list(whole) == ["loss", "acc"]


def test_endless_batches_need_to_be_told_what_an_epoch_is():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    history = fit(
        model,
        cross_entropy,
        optimizer,
        batches_forever(X, Y, size=64, rng=0),
        epochs=2,
        steps=10,
        progress=False,
    )
    assert len(history) == 2
    assert int(optimizer.steps) == 20
    with pytest.raises(ValueError, match="steps="):
        fit(model, cross_entropy, optimizer, batches_forever(X, Y, size=64, rng=0), progress=False)
    with pytest.raises(ValueError, match="have epochs of their own"):
        fit(model, cross_entropy, optimizer, batches(X, Y, size=64), steps=3, progress=False)


def test_data_that_run_out_are_reported():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="gave 1 batches for epoch 1"):
        fit(model, cross_entropy, optimizer, iter([(X, Y)]), steps=2, progress=False)
    with pytest.raises(ValueError, match="gave 0 batches"):
        fit(model, cross_entropy, optimizer, [], progress=False)


def test_whole_arrays_are_refused_with_the_line_to_write():
    model = network()
    with pytest.raises(TypeError, match=r"tn\.data\.batches\(X, y"):
        fit(model, cross_entropy, optim.SGD(model.parameters(), lr=0.1), (X, Y), progress=False)


def test_a_model_may_take_several_inputs():
    left, right = nn.Dense(1, 2, rng=0), nn.Dense(1, 2, rng=1)
    both = lambda a, b: left(a) + right(b)
    optimizer = optim.SGD([*left.parameters(), *right.parameters()], lr=0.5)
    data = batches(X[:, :1], X[:, 1:], Y, size=50, rng=0)
    history = fit(
        both, cross_entropy, optimizer, data, epochs=5, validation=(X[:, :1], X[:, 1:], Y), progress=False
    )
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert predict(both, X[:, :1], X[:, 1:]).shape == (200, 2)


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


@pytest.mark.parametrize(
    "options",
    [{"metrics": {"acc": 3}}, {"callbacks": [3]}, {"epochs": -1}],
    ids=lambda options: next(iter(options)),
)
def test_what_cannot_be_trained_with_is_refused_before_anything_is_trained(options):
    model = network()
    before = weights(model)
    with pytest.raises(tn.errors.ArgumentError, match="fit: "):
        tn.train.fit(
            model,
            tn.nn.losses.cross_entropy,
            tn.optim.SGD(model.parameters(), lr=0.1),
            [(np.zeros((4, 2), np.float32), np.array([0, 1, 1, 0]))],
            **{"epochs": 1, "progress": False} | options,
        )
    assert weights(model) == before


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


def test_early_stopping_on_a_column_that_is_not_there_says_which_are():
    with pytest.raises(KeyError, match="no column 'val_loss'; there are loss, acc"):
        trained(callbacks=[EarlyStopping("val_loss")])


def test_learning_rates_by_epoch_and_on_a_plateau():
    rates = []
    watch = lambda run: rates.append(run.optimizer.lr)
    trained(epochs=3, callbacks=[watch, LearningRate(lambda epoch: 0.1 / (epoch + 1))])
    assert rates == [0.1, 0.05, 0.1 / 3]
    rates.clear()
    trained(epochs=6, lr=0.0, callbacks=[ReduceOnPlateau("acc", patience=1, factor=0.5), watch])
    assert rates == [0.0] * 6
    rates.clear()
    trained(
        epochs=4,
        validation=(X, Y),
        callbacks=[ReduceOnPlateau("val_acc", patience=0, factor=0.5, mode="min", lowest=0.02), watch],
    )
    assert rates[0] == 0.05
    assert min(rates) == 0.02


def test_a_schedule_is_given_the_step_count():
    model = network()
    seen = []
    optimizer = optim.SGD(model.parameters(), lr=lambda step: seen.append(step) or 0.1)
    fit(model, cross_entropy, optimizer, batches(X, Y, size=100, rng=0), epochs=2, progress=False)
    assert seen == [0, 1, 2, 3]


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


def test_accuracy_refuses_shapes_that_would_broadcast():
    with pytest.raises(ShapeError, match=r"predictions \(3, 1\) and labels \(2,\)"):
        accuracy(np.zeros((3, 1)), np.zeros(2, int))
    with pytest.raises(ShapeError):
        accuracy(np.zeros(3), np.zeros(3, int))
    assert accuracy(np.eye(3), np.eye(3)) == 1.0


def test_training_leaves_the_module_in_its_mode():
    model = network().eval()
    fit(
        model,
        cross_entropy,
        optim.SGD(model.parameters(), lr=0.1),
        batches(X, Y, size=50, rng=0),
        progress=False,
    )
    assert not model.training


def test_train_names_are_public():
    assert tn.train.fit is fit


def test_a_loss_that_is_nan_without_an_op_to_blame_still_names_epoch_and_batch():
    w = tn.tensor([1.0], requires_grad=True)
    model = lambda x: tn.as_tensor(x) * w
    loss = lambda predictions, targets: predictions.mean() * tn.tensor(np.nan)
    with pytest.raises(NonFinite, match=r"the loss is nan in epoch 1, batch 1; .*\n  hint   a smaller"):
        fit(model, loss, optim.SGD([w], lr=0.1), [(np.ones(3), np.ones(3))], progress=False)
    assert w.item() == 1


def test_evaluate_and_predict_of_nothing_are_refused():
    for data in ([], [(X[:0], Y[:0])]):
        with pytest.raises(ValueError, match="evaluate: the data have no rows"):
            evaluate(network(), lambda p, y: (p * 0).sum(), data)
    with pytest.raises(ValueError, match="predict: the data have no rows"):
        predict(network(), [])


@pytest.mark.parametrize(
    ("arrays", "shapes"), [((X, Y[:-1]), r"\(200, 2\), \(199,\)"), ((X, np.float32(1)), r"\(200, 2\), \(\)")]
)
def test_arrays_of_different_lengths_are_refused(arrays, shapes):
    with pytest.raises(ShapeError, match=f"the same number of rows are needed, got {shapes}"):
        evaluate(network(), cross_entropy, arrays)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=-1), "EarlyStopping: patience=-1 and min_delta=0.0 are not negative"),
        (lambda: EarlyStopping(min_delta=-0.1), "min_delta=-0.1"),
        (lambda: EarlyStopping(mode="down"), 'mode is "min", "max" or None, got \'down\''),
        (lambda: ReduceOnPlateau(factor=1.0), "ReduceOnPlateau: factor lies between 0 and 1, got 1.0"),
        (lambda: ReduceOnPlateau(factor=0.0), "got 0.0"),
        (lambda: Checkpoint("x", every=0), "Checkpoint: every is a number of steps from 1, got 0"),
    ],
)
def test_callbacks_refuse_options_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


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
