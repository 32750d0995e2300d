"""fit, evaluate and predict on two moons."""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.training import X, Y, network, trained, weights
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches, batches_forever, moons
from tinygrad_nn.engine import trees
from tinygrad_nn.errors import ArgumentError, ShapeError
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


class Pair(NamedTuple):
    mean: object
    deviation: object


class Several(nn.Module):
    """Has two outputs, in a container of one's choice."""

    def __init__(self, container):
        self.first, self.second = nn.Dense(2, 3, rng=0), nn.Dense(2, 1, rng=1)
        self.container = container

    def forward(self, x):
        return self.container(self.first(x), self.second(x))


CONTAINERS = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [a, b],
    "named tuple": Pair,
    "dict": lambda a, b: {"a": a, "b": b},
    "nested": lambda a, b: (a, {"b": [b]}),
    "of arrays": lambda a, b: (a.detach().numpy(), b),
}


@pytest.mark.parametrize("rows", [1, 2, 200, 1000, 1001, 2200])
@pytest.mark.parametrize("container", CONTAINERS)
def test_predict_gives_the_outputs_of_a_model_in_their_container_with_a_row_for_each(container, rows):
    model = Several(CONTAINERS[container])
    x = np.random.default_rng(0).normal(size=(rows, 2)).astype(np.float32)
    result, expected = predict(model, x), model(x)
    assert type(result) is type(expected)
    for array, tensor in zip(trees.leaves(result), trees.leaves(expected), strict=True):
        assert type(array) is np.ndarray
        np.testing.assert_allclose(
            array, np.asarray(tensor.data if isinstance(tensor, tn.Tensor) else tensor), 1e-5
        )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda x: (tn.tensor(x), tn.tensor(x).sum()),
            r"of 3 rows the model made \(3, 2\), \(\), expected one row",
        ),
        (lambda x: tn.tensor(x).T, r"of 3 rows the model made \(2, 3\)"),
        (lambda x: (tn.tensor(x), None), r"of 3 rows the model made \(3, 2\), \(\)"),
        (lambda x: OrderedDict(a=tn.tensor(x)), "got a OrderedDict|of 3 rows"),
        (lambda x: 3.0, r"of 3 rows the model made \(\)"),
        (lambda x: (), r"of 3 rows the model made \(0,\)"),
    ],
)
def test_predict_refuses_outputs_that_have_no_row_for_each(model, message):
    with pytest.raises((ShapeError, tn.errors.ArgumentError), match=message):
        predict(model, X[:3])


def test_inputs_may_come_in_containers_too():
    model = lambda pair, z: pair[0] + pair[1] + z
    x = np.arange(4000.0).reshape(2000, 2)
    np.testing.assert_array_equal(predict(model, (x, 2 * x), x), 4 * x)


def test_targets_in_a_container_count_their_rows_once():
    model = Several(CONTAINERS["tuple"])
    both = lambda outputs, targets: (
        cross_entropy(outputs[0], targets[0]) + nn.losses.mse(outputs[1], targets[1])
    )
    seen = []
    look = lambda outputs, targets: (
        seen.append((outputs[0].shape, targets[1].shape)) or float(len(targets[0]))
    )
    values = X[:, :1].copy()
    data = [(X[:150], (Y[:150], values[:150])), (X[150:], (Y[150:], values[150:]))]
    history = fit(
        model,
        both,
        optim.SGD(model.parameters(), lr=0.0),
        data,
        validation=(X, (Y, values)),
        metrics={"rows": look},
        progress=False,
    )
    whole = both(model(X), (Y, values)).item()
    assert history["loss"][0] == pytest.approx(whole, rel=1e-5)
    assert history["val_loss"][0] == pytest.approx(whole, rel=1e-5)
    assert history["rows"] == [(150 * 150 + 50 * 50) / 200]
    assert seen == [((150, 3), (150, 1)), ((50, 3), (50, 1)), ((200, 3), (200, 1))]
    assert evaluate(model, both, data)["loss"] == pytest.approx(whole, rel=1e-5)


def test_targets_of_different_lengths_are_refused():
    loss = lambda outputs, targets: outputs.sum()
    for targets in ((Y, Y[:-1]), (Y, np.float32(1)), {"a": Y, "b": Y[:3]}):
        with pytest.raises(ShapeError, match="targets: arrays with the same number of rows are needed"):
            evaluate(network(), loss, [(X, targets)])


def test_a_loss_that_is_not_finite_names_the_input_in_a_container():
    bad = X.copy()
    bad[3, 1] = np.nan
    model = network()
    with pytest.raises(tn.errors.NonFinite, match=r"input 0 \(200, 2\): 1 NaN of 400 values"):
        fit(
            lambda pair: model(pair[0]) + pair[1],
            lambda outputs, targets: cross_entropy(outputs, targets[0]),
            optim.SGD(model.parameters(), lr=0.1),
            [((X * 0 + bad, bad[:, :1] * 0), (Y, X))],
            progress=False,
        )


def untrained(match, error=(tn.errors.ArgumentError, ValueError), **options):
    """Check that fit refuses something before the first step."""
    model = network()
    before = weights(model)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(error, match=match):
        fit(
            model,
            cross_entropy,
            optimizer,
            **{"data": batches(X, Y, size=50, rng=0), "progress": False} | options,
        )
    assert weights(model) == before


@pytest.mark.parametrize("name", ["loss", "seconds", "epoch", "val_loss", "val_acc", "val_"])
def test_a_metric_with_the_name_of_another_column_is_refused_before_training(name):
    metrics = {"acc": accuracy, name: accuracy}
    untrained(f"fit: no metric can be called '{name}': loss, seconds, epoch and val_... are", metrics=metrics)
    with pytest.raises(tn.errors.ArgumentError, match=f"evaluate: no metric can be called '{name}'"):
        evaluate(network(), cross_entropy, (X, Y), metrics=metrics)


def test_names_near_those_of_columns_are_fine_and_names_are_text():
    _, history = trained(epochs=1, validation=(X, Y))
    assert "val_acc" in history
    model = network()
    metrics = {"Loss": accuracy, "validation": accuracy, "loss2": accuracy}
    assert set(evaluate(model, cross_entropy, (X, Y), metrics=metrics)) == {"loss", *metrics}
    untrained("fit: metrics are functions by name", metrics={1: accuracy})


@pytest.mark.parametrize(
    "make",
    [
        lambda: (X, Y),
        lambda: [X, Y],
        lambda: [tn.tensor(X), Y],
        lambda: [(X[:50], Y[:50]), (X[50:], Y[50:])],
        lambda: [[X, Y]],
        lambda: (X.tolist(), Y.tolist()),
        lambda: batches(X, Y, size=70, rng=0),
    ],
)
def test_validation_data_are_arrays_or_batches_in_a_tuple_or_a_list(make):
    model, history = trained(epochs=2, validation=make())
    assert history["val_loss"][-1] == pytest.approx(cross_entropy(model(X), Y).item(), rel=1e-5)
    assert evaluate(model, cross_entropy, make())["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-5)


@pytest.mark.parametrize(
    ("validation", "match"),
    [
        (
            iter([(X, Y)]),
            r"list_iterator can be iterated over only once.*\n  hint   validation=list\(batches\)",
        ),
        (((X, Y) for _ in range(2)), "generator can be iterated over only once"),
        (batches_forever(X, Y, size=10), "_Epochs can be iterated over only once, or never ends"),
        (zip([X], [Y], strict=True), "zip can be"),
        (X, r"fit: validation: expected arrays \(X, y\), the targets last, or batches of them, got ndarray"),
        ((X,), "got tuple"),
        ([X], "got list"),
        ([(X, Y), X], "got list"),
        ([1, 2, 3], "got list"),
        (1.5, r"between 0 and 1, got 1\.5"),
        (20, "between 0 and 1, got 20"),
        (True, "between 0 and 1, got True"),
        (0.001, r"a share of 0\.001 of 200 rows leaves one side without any"),
        ({"x": X, "y": Y}, "validation: a batch has arrays by name"),
        ((X, Y[:-1]), r"the same number of rows are needed, got \(200, 2\), \(199,\)"),
        ([], "no rows"),
        ((X[:0], Y[:0]), "no rows"),
    ],
)
def test_validation_data_that_would_fail_after_an_epoch_are_refused_before_it(validation, match):
    untrained(match, validation=validation)


def test_an_optimizer_of_another_model_is_refused_at_the_first_step():
    model, other = network(), nn.Dense(2, 2, rng=0)
    before = weights(model), weights(other)
    with pytest.raises(
        tn.errors.GraphError, match=r"SGD\.step: none of the 2 parameters has a gradient\n  hint   loss"
    ):
        fit(
            model,
            cross_entropy,
            optim.SGD(other.parameters(), lr=0.1),
            batches(X, Y, size=50),
            progress=False,
        )
    assert (weights(model), weights(other)) == before


def test_arrays_in_the_place_of_the_loss_are_answered_with_the_call_to_write():
    with pytest.raises(
        ArgumentError, match=r"hint   evaluate\(model, tn\.nn\.losses\.cross_entropy, \(X, y\)\)"
    ):
        evaluate(network(), X, Y)
