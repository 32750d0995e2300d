"""Losses: extreme logits, wrong labels, shapes that broadcast silently."""

import math
import warnings

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn import nn
from tinygrad_nn.errors import DtypeError, LabelError, SettingError, ShapeError
from tinygrad_nn.nn import losses

INF, NAN = math.inf, math.nan


@pytest.mark.case("H138")
@pytest.mark.parametrize("label", [3, -1])
@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.nll])
def test_a_label_out_of_range_is_named_with_its_position(loss, label):
    with pytest.raises(LabelError, match=f"label {label} at position 1 is outside of the 3 classes") as error:
        loss(np.zeros((2, 3)), np.array([0, label]))
    assert isinstance(error.value, IndexError)


@pytest.mark.case("H140")
@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.nll])
def test_rows_to_ignore_count_for_nothing(loss):
    logits = -np.random.default_rng(0).random((4, 3)) - 0.1
    labels = np.array([0, -100, 2, -100])
    kept = tn.tensor(logits[::2], requires_grad=True)
    expected = loss(kept, labels[::2])
    expected.backward()
    full = np.zeros((4, 3))
    full[::2] = kept.grad
    check(lambda x: loss(x, labels, ignore_index=-100), [logits], expected.item(), full)
    single = loss(logits, labels, ignore_index=-100, reduction="none")
    assert single.shape == (4,)
    assert single.data[1] == single.data[3] == 0


@pytest.mark.case("H140")
def test_the_mean_of_no_rows_is_nan_with_a_warning_and_no_gradient():
    x = tn.tensor(np.zeros((2, 3)), requires_grad=True)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        y = losses.cross_entropy(x, np.array([9, 9]), ignore_index=9)
    assert math.isnan(y.item())
    y.backward()
    np.testing.assert_array_equal(x.grad, np.zeros((2, 3)))
    labels = np.array([9, 9])
    check(
        lambda t: losses.cross_entropy(t, labels, ignore_index=9, reduction="sum"),
        [np.zeros((2, 3))],
        0,
        np.zeros((2, 3)),
    )


@pytest.mark.case("H141")
@pytest.mark.parametrize(("reduction", "value"), [("mean", NAN), ("sum", 0)])
def test_an_empty_batch_has_no_mean_and_the_sum_zero(reduction, value):
    labels = np.zeros(0, np.int64)
    check(
        lambda x: losses.cross_entropy(x, labels, reduction=reduction),
        [np.zeros((0, 3))],
        value,
        np.zeros((0, 3)),
    )


@pytest.mark.case("H142")
def test_extreme_logits_of_the_wrong_class_cost_their_difference():
    check(lambda x: losses.cross_entropy(x, np.array([1])), [[[1e4, -1e4]]], 20000, [[1, -1]])


@pytest.mark.case("H144")
def test_class_probabilities_have_to_sum_to_one():
    logits = np.array([[1.0, 2.0, 3.0]])
    p = np.array([[0.2, 0.3, 0.5]])
    softmax = np.exp(logits) / np.exp(logits).sum()
    value = -(p * np.log(softmax)).sum()
    assert value == pytest.approx(1.1076, abs=1e-4)
    check(lambda x: losses.cross_entropy(x, p), [logits], value, softmax - p)
    with pytest.raises(ValueError, match=r"(?s)sums to 10.*normalized=False"):
        losses.cross_entropy(logits, p * 10)
    ten = losses.cross_entropy(logits, p * 10, normalized=False).item()
    assert ten == pytest.approx(11.076, abs=1e-3)


@pytest.mark.case("H144")
def test_a_target_of_zero_costs_nothing_whatever_the_logit():
    check(lambda x: losses.cross_entropy(x, np.array([[1.0, 0.0]])), [[[0.0, -INF]]], 0, [[0, 0]])


@pytest.mark.case("H145")
def test_label_smoothing_is_cross_entropy_with_smoothed_targets():
    logits = np.array([[1.0, 2.0, 3.0]])
    softmax = np.exp(logits) / np.exp(logits).sum()
    target = np.array([[1, 1, 28]]) / 30
    value = -(target * np.log(softmax)).sum()
    assert value == pytest.approx(0.5076, abs=1e-4)
    check(
        lambda x: losses.cross_entropy(x, np.array([2]), label_smoothing=0.1),
        [logits],
        value,
        softmax - target,
    )
    one_hot = np.array([[0.0, 0.0, 1.0]])
    check(lambda x: losses.cross_entropy(x, one_hot, label_smoothing=0.1), [logits], value, softmax - target)
    with pytest.raises(ValueError, match="label_smoothing"):
        losses.cross_entropy(logits, np.array([2]), label_smoothing=1.5)
    infinite = losses.cross_entropy(np.array([[0.0, -INF]]), np.array([0]), label_smoothing=0.1)
    assert infinite.item() == INF


@pytest.mark.case("H146")
def test_binary_cross_entropy_is_exact_for_extreme_logits():
    targets = np.array([0.0, 1.0, 1.0, 0.0])
    check(
        lambda z: losses.binary_cross_entropy(z, targets, reduction="none"),
        [[1e3, -1e3, 1e3, -1e3]],
        [1e3, 1e3, 0, 0],
        [1, -1, 0, 0],
    )
    small = losses.binary_cross_entropy(np.array([40.0]), np.array([1.0])).item()
    assert small == pytest.approx(math.log1p(math.exp(-40)), rel=1e-12)


@pytest.mark.case("H148")
@pytest.mark.parametrize(
    "loss",
    [
        losses.mse,
        losses.mae,
        losses.huber,
        losses.binary_cross_entropy,
        losses.binary_cross_entropy_probabilities,
    ],
)
def test_shapes_that_would_broadcast_are_refused(loss):
    with pytest.raises(ShapeError, match=r"\(4, 1\).*\(4,\)"):
        loss(np.full((4, 1), 0.5), np.full(4, 0.5))


def test_binary_cross_entropy_of_probabilities_is_infinite_where_they_are_wrong():
    targets = np.array([0.0, 1.0, 1.0])
    check(
        lambda p: losses.binary_cross_entropy_probabilities(p, targets, reduction="none"),
        [[0.0, 1.0, 0.0]],
        [0, 0, INF],
        [1, -1, -INF],
    )
    with pytest.raises(LabelError, match="predictions are probabilities"):
        losses.binary_cross_entropy_probabilities(np.array([1.5]), np.array([1.0]))


def test_kl_divergence_is_cross_entropy_without_the_entropy():
    logits = np.random.default_rng(1).normal(size=(2, 3))
    p = np.array([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0]])
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    entropy = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8)) / 2
    value = losses.cross_entropy(logits, p).item() - entropy
    check(lambda x: losses.kl_divergence(x, p), [logits], value, (softmax - p) / 2, rtol=1e-10)


@pytest.mark.parametrize("loss", [losses.kl_divergence, losses.cross_entropy])
def test_a_class_that_is_ruled_out_and_never_occurs_costs_nothing(loss):
    logits = tn.tensor(np.array([[0.5, -np.inf, 1.0], [0.0, 0.0, -np.inf]]), requires_grad=True)
    p = np.array([[0.25, 0.0, 0.75], [1.0, 0.0, 0.0]])
    few = [logits.data[:1, [0, 2]], logits.data[1:, :2]]
    expected = np.mean([loss(x, q).item() for x, q in zip(few, (p[:1, [0, 2]], p[1:, :2]), strict=True)])
    # NumPy warns of the product of 0 and infinity that is left out.
    with np.errstate(invalid="ignore"):
        value = loss(logits, p)
        value.backward()
    np.testing.assert_allclose(value.item(), expected, rtol=1e-12)
    np.testing.assert_array_equal(logits.grad[[0, 1], [1, 2]], 0)
    assert np.isfinite(logits.grad).all()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_reduce_the_same_way(reduction):
    rng = np.random.default_rng(2)
    x, y, p = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), tn.softmax(rng.normal(size=(4, 3)))
    labels = rng.integers(3, size=4)
    reduce = {"mean": np.mean, "sum": np.sum, "none": np.positive}[reduction]
    d, q = x - y, np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    expected = {
        losses.mse: (y, d**2),
        losses.mae: (y, np.abs(d)),
        losses.huber: (y, np.where(np.abs(d) < 1, d**2 / 2, np.abs(d) - 0.5)),
        losses.cross_entropy: (labels, -np.log(q)[np.arange(4), labels]),
        losses.nll: (labels, -np.log(q)[np.arange(4), labels]),
        losses.binary_cross_entropy: (p, np.log1p(np.exp(x)) - p * x),
        losses.kl_divergence: (p, (p * np.log(p / q)).sum(axis=1)),
    }
    for loss, (target, each) in expected.items():
        predictions = np.log(q) if loss is losses.nll else x
        result = loss(predictions, target, reduction=reduction)
        np.testing.assert_allclose(result.data, reduce(each), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: losses.mse(x, x, reduction="average"), r"reduction .*'average'\n  hint   reduction="),
        (lambda x: losses.huber(x, x, delta=0.0), r"huber: delta"),
        (lambda x: losses.cross_entropy(x, np.zeros(2, int), label_smoothing=2.0), r"label_smoothing"),
    ],
)
def test_a_setting_that_a_loss_has_not_is_refused(call, text):
    with pytest.raises(SettingError, match=text):
        call(np.ones((2, 3)))


def test_integer_predictions_do_not_truncate_their_targets():
    assert losses.mse(np.array([1, 2]), np.array([1.5, 2.0])).item() == 0.125


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_losses_keep_the_dtype_of_the_predictions(dtype):
    x = tn.tensor(np.array([[0.3, 0.6], [0.1, 0.2]], dtype), requires_grad=True)
    p, labels = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([1, 0])
    results = [
        losses.cross_entropy(x, labels),
        losses.cross_entropy(x, labels, label_smoothing=np.float64(0.1), ignore_index=0),
        losses.cross_entropy(x, p, label_smoothing=0.1),
        losses.nll(-x, labels),
        losses.kl_divergence(x, p),
        *[f(x, p) for f in (losses.mse, losses.mae, losses.huber, losses.binary_cross_entropy)],
        losses.binary_cross_entropy_probabilities(x, p),
    ]
    for y in results:
        assert y.dtype == dtype
        x.grad = None
        y.backward()
        assert x.grad.dtype == dtype
        assert np.isfinite(x.grad).all()


@pytest.mark.case("H139")
@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.nll])
@pytest.mark.parametrize(
    ("scores", "labels", "error", "message"),
    [
        (np.zeros(3), np.array([0]), ShapeError, r"predictions have shape \(3,\), expected \(N, classes\)"),
        (
            np.zeros((2, 3)),
            np.array([0, 1, 2]),
            ShapeError,
            r"2 rows of shape \(2, 3\) but labels of shape \(3,\)",
        ),
        (np.zeros((2, 3)), np.zeros((2, 1), int), ShapeError, r"labels of shape \(2, 1\)"),
        (
            np.zeros((2, 3)),
            np.array([0.0, 1.0]),
            DtypeError,
            r"got dtype float64\n  hint   labels.astype\(np.int64\)",
        ),
        (
            np.zeros((2, 3)),
            np.eye(3, dtype=bool)[:2],
            DtypeError,
            r"got dtype bool\n  hint   labels.argmax\(axis=1\)",
        ),
    ],
)
def test_scores_and_labels_that_do_not_fit_are_refused(loss, scores, labels, error, message):
    with pytest.raises(error, match=f"{loss.__name__}: .*{message}"):
        loss(scores, labels)


@pytest.mark.parametrize("delta", [0.0, -1.0, NAN])
def test_the_bend_of_huber_is_positive(delta):
    with pytest.raises(ValueError, match=f"huber: delta is positive, got {delta}"):
        losses.huber(np.zeros(2), np.zeros(2), delta=delta)


def test_targets_may_be_tensors_and_get_a_gradient_of_their_own():
    check(lambda p, t: losses.mse(p, t), [[1.0, 2.0], [0.0, 4.0]], 2.5, [1, -2], [-1, 2])


def test_labels_in_foreign_byte_order_are_read_right():
    loss = tn.nn.losses.cross_entropy(np.zeros((2, 10)), np.array([1, 2], ">i8"))
    assert np.isclose(loss.item(), np.log(10))


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (np.eye(3, dtype=int), r"labels\.argmax\(axis=1\)(.|\n)*labels\.astype\(np\.float32\)"),
        (np.zeros((3, 1), int), r"labels\.reshape\(-1\)"),
        (np.zeros(4, int), r"expected \(3,\)"),
    ],
)
def test_labels_of_a_wrong_shape_say_what_to_write(targets, text):
    with pytest.raises(ShapeError, match=text):
        tn.nn.losses.cross_entropy(np.zeros((3, 3)), targets)


@pytest.mark.parametrize("classes", [2, 31, 32, 100])
def test_cross_entropy_is_exact_for_few_and_for_many_classes(classes):
    rng = np.random.default_rng(classes)
    logits, labels = 100 * rng.normal(size=(5, classes)), rng.integers(classes, size=5)
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    expected = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(5), labels]
    y, (g,) = derive(lambda x: tn.nn.losses.cross_entropy(x, labels), logits)
    np.testing.assert_allclose(y, expected.mean(), rtol=1e-13)
    np.testing.assert_allclose(g, (p - np.eye(classes)[labels]) / 5, rtol=1e-10, atol=1e-16)


@pytest.mark.case("H049")
def test_huber_has_no_step_in_its_slope():
    def loss(x):
        return tn.nn.losses.huber(x, np.zeros(3), reduction="sum")

    check(loss, [[1.0, -1.0, 0.0]], 1, [1, -1, 0])


Z = np.array([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]])
K = np.array([2, 0])
PROBABLE = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
MISUSED = {
    "cross_entropy": lambda z: losses.cross_entropy(tn.softmax(z), K),
    "cross_entropy of sigmoids": lambda z: losses.cross_entropy(tn.sigmoid(z), K),
    "cross_entropy with shares": lambda z: losses.cross_entropy(tn.softmax(z), PROBABLE),
    "binary_cross_entropy": lambda z: losses.binary_cross_entropy(tn.sigmoid(z), PROBABLE),
    "binary_cross_entropy of shares": lambda z: losses.binary_cross_entropy(tn.softmax(z), PROBABLE),
    "nll": lambda z: losses.nll(tn.softmax(z), K),
    "kl_divergence": lambda z: losses.kl_divergence(tn.softmax(z), PROBABLE),
}


@pytest.mark.parametrize("name", MISUSED)
def test_a_loss_of_probabilities_that_takes_something_else_warns_on_the_users_line(name):
    z = tn.tensor(Z, requires_grad=True)
    who = name.split()[0]
    with pytest.warns(tn.UsageWarning, match=rf"^{who}: (softmax|sigmoid) has made .*\n  hint   ") as warned:
        MISUSED[name](z)
    (warning,) = warned
    assert warning.filename == __file__


def test_the_warning_names_the_module_and_says_what_to_write():
    model = nn.Sequential(nn.Dense(3, 3, rng=0), nn.Softmax())
    with pytest.warns(
        tn.UsageWarning, match=r"softmax in Sequential / 1: Softmax\(\) .* takes logits\n  hint   leave"
    ):
        losses.cross_entropy(model(Z.astype(np.float32)), K)


def test_a_training_loop_is_warned_once():
    model = nn.Sequential(nn.Dense(3, 3, rng=0), nn.Softmax())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        for _ in range(5):
            losses.cross_entropy(model(Z.astype(np.float32)), K).backward()
    assert len(warned) == 1


def test_losses_of_what_they_take_do_not_warn():
    z = tn.tensor(Z, requires_grad=True)
    losses.cross_entropy(z, K)
    losses.cross_entropy(tn.log_softmax(z), K)
    losses.nll(tn.log_softmax(z), K)
    losses.nll(np.log(tn.softmax(z)), K)
    losses.nll(z - tn.logsumexp(z, axis=1, keepdims=True), K)
    losses.binary_cross_entropy(z, PROBABLE)
    losses.binary_cross_entropy_probabilities(tn.sigmoid(z), PROBABLE)
    losses.mse(tn.sigmoid(z), PROBABLE)


@pytest.mark.parametrize("values", [PROBABLE, tn.tensor(PROBABLE, requires_grad=True), Z, 1 - PROBABLE])
def test_nll_refuses_values_that_are_no_logarithms_of_probabilities(values):
    with pytest.raises(LabelError, match=r"nll: logarithms .* at most 0, got .*\n  hint   nll\(log_softmax"):
        losses.nll(values, K)


def test_nll_looks_at_no_values_where_the_op_tells(monkeypatch):
    z = tn.tensor(Z, requires_grad=True)
    predictions = tn.log_softmax(z)
    monkeypatch.setattr(losses, "plain", lambda x: pytest.fail("looked at the values"))
    losses.nll(predictions, K)
    losses.cross_entropy(z, K)


@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.kl_divergence])
def test_predictions_and_targets_that_have_changed_places_are_told_apart(loss):
    one_hot = np.eye(2)[[0, 1, 1]]
    predicted = tn.softmax(tn.tensor(np.zeros((3, 2)), requires_grad=True), axis=1)
    with pytest.warns(
        tn.UsageWarning, match=rf"the targets depend .*\n  hint   {loss.__name__}\(predictions, t"
    ):
        loss(one_hot, predicted)


@pytest.mark.parametrize("name", ["cross_entropy", "nll", "mse", "mae", "huber", "binary_cross_entropy"])
def test_masked_targets_are_refused_and_not_unmasked(name):
    labels = np.ma.array([0, 1, 1], mask=[False, False, True])
    scores = np.full((3, 2), -1.0) if name in ("cross_entropy", "nll") else np.full(3, -1.0)
    with pytest.raises(DtypeError, match="masked arrays are not supported"):
        getattr(losses, name)(scores, labels)
