"""Batches with weights of their rows, metrics by name and of sequences, and rows held out for validation."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.errors import ArgumentError, NonFinite, SettingError, ShapeError
from tinygrad_nn.nn.losses import cross_entropy, mse
from tinygrad_nn.train import METRICS, accuracy, binary_accuracy, evaluate, fit, top_k_accuracy

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 2))
Y = RNG.integers(3, size=30)
W = RNG.integers(4, size=30).astype(float)


def network():
    return nn.Sequential(
        nn.Dense(2, 8, rng=0, dtype=np.float64), nn.Tanh(), nn.Dense(8, 3, rng=1, dtype=np.float64)
    )


def trained(batches, loss=cross_entropy, **options):
    model = options.pop("model", None) or network()
    history = fit(model, loss, optim.SGD(model.parameters(), lr=0.1), batches, progress=False, **options)
    return model, history


def repeated(w=W):
    rows = np.repeat(np.arange(30), w.astype(int))
    return X[rows], Y[rows]


def test_a_third_array_of_a_batch_is_what_each_row_counts():
    weighted, one = trained([(X, Y, W)], epochs=5, metrics=["accuracy"], validation=(X, Y, W))
    plain, two = trained([repeated()], epochs=5, metrics=["accuracy"], validation=repeated())
    for a, b in zip(weighted.parameters(), plain.parameters(), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10)
    for column in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(one[column], two[column], rtol=1e-10)


def test_means_over_batches_weigh_them_by_the_weights_of_their_rows():
    whole = evaluate(network(), cross_entropy, (X, Y, W), metrics={"acc": accuracy, "top2": top2})
    parts = [(X[k : k + 7], Y[k : k + 7], W[k : k + 7]) for k in range(0, 30, 7)]
    parts.insert(1, (X[:2], Y[:2], np.zeros(2)))
    assert evaluate(
        network(), cross_entropy, parts, metrics={"acc": "accuracy", "top2": top2}
    ) == pytest.approx(whole)


def top2(predictions, labels, *, sample_weight=None):
    return top_k_accuracy(predictions, labels, k=2, sample_weight=sample_weight)


class Adding(nn.Module):
    def __init__(self):
        self.layer = nn.Dense(2, 3, rng=0, dtype=np.float64)

    def forward(self, a, b):
        return self.layer(a) + self.layer(b)


@pytest.mark.parametrize("model", [Adding(), lambda *xs: Adding()(*xs), lambda a, b=None: Adding()(a, b)])
def test_what_the_model_takes_are_its_inputs(model):
    assert set(evaluate(model, cross_entropy, [(X, X, Y)])) == {"loss"}


def test_a_model_of_two_inputs_has_weights_as_the_fourth_array():
    rows = np.flatnonzero(W)
    found = evaluate(Adding(), cross_entropy, [(X, X, Y, (W > 0) * 1.0)])
    assert found == pytest.approx(evaluate(Adding(), cross_entropy, [(X[rows], X[rows], Y[rows])]))


@pytest.mark.parametrize("which", ["the loss", "the metric 'mine'"])
def test_a_loss_or_metric_that_takes_no_weights_is_refused_before_a_step(which):
    def unweighted(predictions, targets):
        return cross_entropy(predictions, targets)

    options = {"loss": unweighted} if which == "the loss" else {"metrics": {"mine": unweighted}}
    model = network()
    before = model.state_dict()
    with pytest.raises(ArgumentError, match=rf"fit: .*{which} does not take them\n  hint   def loss\("):
        trained([(X, Y, W)], model=model, **options)
    assert all((before[name] == value).all() for name, value in model.state_dict().items())


def test_a_batch_whose_weights_are_none_has_none():
    without, with_none = (evaluate(network(), cross_entropy, [batch]) for batch in ((X, Y), (X, Y, None)))
    assert without == with_none


def test_more_arrays_than_a_model_a_loss_and_its_weights_take_are_refused():
    with pytest.raises(
        ArgumentError, match="a batch has 4 arrays, and the model takes 1; what may follow are the t"
    ):
        trained([(X, X, Y, W)])


def test_a_batch_that_weighs_nothing_says_so():
    with np.errstate(invalid="ignore"), pytest.raises(NonFinite, match="all rows .* sample weight 0"):
        trained([(X, Y, 0 * W)])
    with pytest.raises(ValueError, match="all of them weigh 0"):
        evaluate(network(), cross_entropy, (X, Y, 0 * W))


def test_weights_of_other_rows_are_refused():
    with pytest.raises(ShapeError, match=r"sample_weight of shape \(29,\), expected \(30,\)"):
        trained([(X, Y, W[1:])])
    with pytest.raises(ShapeError, match="the same number of rows"):
        evaluate(network(), cross_entropy, (X, Y, W[1:]))


SCORES = RNG.normal(size=(4, 5, 7))
LABELS = RNG.integers(7, size=(4, 5))


@pytest.mark.parametrize("metric", [accuracy, top_k_accuracy])
def test_metrics_of_sequences_are_those_of_their_elements(metric):
    flat = metric(SCORES.reshape(20, 7), LABELS.ravel())
    assert metric(SCORES, LABELS) == metric(SCORES, np.eye(7)[LABELS]) == flat
    w = RNG.random((4, 5))
    hits = [metric(s[None], k[None]) for s, k in zip(SCORES.reshape(20, 7), LABELS.ravel(), strict=True)]
    expected = (w.ravel() * hits).sum() / w.sum()
    assert metric(SCORES, LABELS, sample_weight=w) == pytest.approx(expected, rel=1e-12)


def test_top_k_counts_larger_scores_and_never_a_label_that_is_nan():
    assert top_k_accuracy([[3.0, 2.0, 1.0, 0.0]], [2], k=3) == 1
    assert top_k_accuracy([[3.0, 2.0, 1.0, 0.0]], [2], k=2) == 0
    assert top_k_accuracy([[np.nan, 2.0, 1.0]], [0], k=1) == 0
    assert top_k_accuracy([[1.0, 1.0, 1.0]], [2], k=1) == 1
    assert top_k_accuracy([[1.0, 2.0, 3.0]] * 3, [-1, -100, 3], k=2) == 0
    for k, text in (
        (0, "k is a positive integer"),
        (1.5, "k is a positive"),
        (3, "the 3 best of 3"),
        (5, "the 5 best"),
    ):
        with pytest.raises(SettingError, match=f"top_k_accuracy: .*{text}"):
            top_k_accuracy([[1.0, 2.0, 3.0]], [0], k=k)


def test_binary_accuracy_takes_logits_or_probabilities_with_their_threshold():
    logits, marks = np.array([[2.0], [-1.0], [0.3]]), np.array([[1], [1], [0]])
    assert binary_accuracy(logits, marks) == 1 / 3
    assert binary_accuracy(tn.sigmoid(logits), marks, threshold=0.5) == 1 / 3
    assert binary_accuracy(logits, marks, sample_weight=[3, 0, 1]) == 0.75
    assert binary_accuracy([np.nan, np.nan, 1.0], [0, 1, 1]) == 1 / 3
    with pytest.raises(ShapeError, match=r"targets\.reshape\(\(3, 1\)\)"):
        binary_accuracy(logits, marks.ravel())
    with pytest.raises(ShapeError, match="binary_accuracy for one logit a row"):
        accuracy(logits, marks.ravel())


def test_every_name_is_a_metric_and_errors_want_to_be_small():
    means = evaluate(lambda x: x, mse, (X, X + 1, W), metrics=["mae", "mse", "binary_accuracy"])
    assert means == pytest.approx(
        {"loss": 1, "mae": 1, "mse": 1, "binary_accuracy": means["binary_accuracy"]}
    )
    assert set(METRICS) == {"accuracy", "binary_accuracy", "top5", "mae", "mse"}
    assert [tn.train.History().mode(f"val_{name}") for name in METRICS] == ["max", "max", "max", "min", "min"]


def test_a_share_for_validation_is_spread_over_the_rows_and_trained_on_by_none():
    n = np.arange(50)
    model = nn.Dense(1, 1, rng=0, dtype=np.float64)
    seen = {"train": [], "val": []}

    def loss(predictions, targets):
        seen["train" if model.training else "val"] += targets.ravel().tolist()
        return mse(predictions, targets)

    for shuffle in (True, False):
        seen["train"], seen["val"] = [], []
        data = tn.data.batches(n[:, None] / 50, n[:, None] / 50, size=8, rng=3, shuffle=shuffle)
        fit(model, loss, optim.SGD(model.parameters(), lr=0.1), data, validation=0.2, progress=False)
        assert len(seen["val"]) == 10
        assert sorted(seen["train"] + seen["val"]) == (n / 50).tolist()
        # Sorted labels would have only the largest in the last fifth.
        assert min(seen["val"]) < 0.3
        assert max(seen["val"]) > 0.7


def test_which_rows_are_held_out_depends_on_their_number_alone():
    n = np.arange(50)
    data = [tn.data.batches(n, size=8, rng=seed) for seed in (0, None)] + [tn.data.batches_forever(n, size=3)]
    held = [part.hold_out(0.3)[1][0] for part in data]
    for other in held[1:]:
        np.testing.assert_array_equal(held[0], other)
    rest, _ = data[0].hold_out(0.3)
    again, (inner,) = rest.hold_out(0.2)
    assert len(inner) == 7
    assert not set(inner) & set(held[0])
    drawn = np.concatenate([part for (part,) in again])
    assert sorted([*drawn, *inner, *held[0]]) == n.tolist()
    stream, (out,) = data[2].hold_out(0.5)
    assert not set(np.concatenate([next(stream)[0] for _ in range(30)])) & set(out)


def test_a_training_with_a_share_for_validation_goes_on_as_if_never_stopped(tmp_path):
    def run(path, epochs):
        return trained(
            tn.data.batches(X, Y, W, size=7, rng=0),
            epochs=epochs,
            validation=0.2,
            metrics=["accuracy"],
            callbacks=[tn.train.Checkpoint(path, every=2)],
        )

    run(tmp_path / "a", 2)
    model, history = run(tmp_path / "a", 4)
    whole, expected = run(tmp_path / "b", 4)
    assert history["val_loss"] == expected["val_loss"]
    for a, b in zip(model.parameters(), whole.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
