"""fit, evaluate and predict on two moons."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.training import X, Y, network, trained, weights
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches, batches_forever, moons
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import accuracy, evaluate, fit, predict


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


def test_a_schedule_is_given_the_step_count():
    model = network()
    seen = []
    optimizer = optim.SGD(model.parameters(), lr=lambda step: seen.append(step) or 0.1)
    fit(model, cross_entropy, optimizer, batches(X, Y, size=100, rng=0), epochs=2, progress=False)
    assert seen == [0, 1, 2, 3]


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
