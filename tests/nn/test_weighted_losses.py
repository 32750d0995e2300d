"""Losses of sequences, and what classes, targets of 1 and rows count."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import derive
from tinygrad_nn.errors import ArgumentError, LabelError, SettingError, ShapeError
from tinygrad_nn.nn import losses

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(2, 3, 4))
K = RNG.integers(4, size=(2, 3))
SHARES = RNG.dirichlet(np.ones(4), size=(2, 3))
ROWS = np.array([[1.0, 0.5, 0.0], [2.0, 0.0, 3.0]])
CLASSES = np.array([1.0, 2.0, 0.5, 0.0])
OF_CLASSES = {
    "cross_entropy": lambda z, i, **o: losses.cross_entropy(z, K[i], **o),
    "cross_entropy of shares": lambda z, i, **o: losses.cross_entropy(z, SHARES[i], **o),
    "nll": lambda z, i, **o: losses.nll(tn.log_softmax(z), K[i], **o),
    "kl_divergence": lambda z, i, **o: losses.kl_divergence(z, SHARES[i], **o),
}
OF_ELEMENTS = {
    "mse": losses.mse,
    "mae": losses.mae,
    "huber": losses.huber,
    "binary_cross_entropy": losses.binary_cross_entropy,
    "binary_cross_entropy_probabilities": losses.binary_cross_entropy_probabilities,
}


@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_loss_of_sequences_is_that_of_their_elements_one_by_one(name, reduction):
    loss = OF_CLASSES[name]
    y, (g,) = derive(lambda z: loss(z, ..., reduction=reduction), Z)
    places = np.unravel_index(np.arange(6), (2, 3))
    flat, (g_flat,) = derive(lambda z: loss(z[places], places, reduction=reduction), Z)
    np.testing.assert_allclose(y, flat.reshape(2, 3) if reduction == "none" else flat, rtol=1e-12)
    np.testing.assert_allclose(g, g_flat, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_row_of_weight_two_counts_twice_and_one_of_weight_zero_not_at_all(name):
    loss = OF_CLASSES[name]
    twice = (np.array([0, 1, 1, 1, 1, 1]), np.array([0, 0, 0, 2, 2, 2]))
    y, (g,) = derive(lambda z: loss(z, ..., sample_weight=np.round(ROWS + 0.001) * (ROWS != 0.5)), Z)
    expected, (g_expected,) = derive(lambda z: loss(z[twice], twice), Z)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_allclose(g, g_expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", OF_ELEMENTS)
def test_weights_of_rows_and_of_elements_make_a_weighted_mean(name):
    loss = OF_ELEMENTS[name]
    p, t = RNG.uniform(0.1, 0.9, (3, 2)), RNG.integers(2, size=(3, 2)).astype(float)
    each = loss(p, t, reduction="none").data
    for w in (np.array([1.0, 0.0, 2.5]), RNG.random((3, 2))):
        full = np.broadcast_to(w.reshape(3, -1), (3, 2))
        expected = (each * full).sum() / full.sum()
        np.testing.assert_allclose(loss(p, t, sample_weight=w).item(), expected, rtol=1e-12)
        np.testing.assert_allclose(
            loss(p, t, sample_weight=w, reduction="none").data, each * full, rtol=1e-12
        )


@pytest.mark.parametrize("bad", [np.inf, np.nan, -np.inf])
def test_a_row_of_weight_zero_counts_for_nothing_whatever_its_loss(bad):
    x = np.array([[0.5, 1.0], [bad, 0.0]])
    with np.errstate(invalid="ignore"):
        for loss in (
            lambda z: losses.cross_entropy(z, np.array([0, 1]), sample_weight=[1, 0]),
            lambda z: losses.mse(z, np.zeros((2, 2)), sample_weight=[1, 0]),
        ):
            y, (g,) = derive(loss, x)
            kept, (g_kept,) = derive(loss, np.array([[0.5, 1.0], [0.0, 0.0]]))
            assert y == kept
            np.testing.assert_array_equal(g, [g_kept[0], [0, 0]])


@pytest.mark.parametrize("loss", [losses.mse, losses.mae, losses.huber])
def test_a_missing_target_of_weight_zero_leaves_no_trace(loss):
    p, t = np.array([0.5, 1.0, 2.0]), np.array([0.0, np.nan, 1.0])
    y, (g,) = derive(lambda x: loss(x, t, sample_weight=[1, 0, 1]), p)
    kept, (g_kept,) = derive(lambda x: loss(x, t[::2]), p[::2])
    assert y == kept
    np.testing.assert_array_equal(g, [g_kept[0], 0, g_kept[1]])


def test_a_mean_divides_by_the_weights_of_the_labels_that_count():
    labels = np.array([1, 3, 0, 2])
    each = losses.cross_entropy(Z.reshape(6, 4)[:4], labels, reduction="none").data
    found = losses.cross_entropy(Z.reshape(6, 4)[:4], labels, weight=CLASSES, ignore_index=0).item()
    assert found == pytest.approx((2.0 * each[0] + 0.5 * each[3]) / 2.5, rel=1e-12)


def test_a_mean_over_probabilities_divides_by_the_number_of_rows_whatever_the_classes_weigh():
    one_hot = np.eye(4)[K]
    summed = losses.cross_entropy(Z, K, weight=CLASSES, reduction="sum").item()
    assert losses.cross_entropy(Z, one_hot, weight=CLASSES).item() == pytest.approx(summed / 6, rel=1e-12)


def test_pos_weight_multiplies_the_term_of_a_target_of_one_and_is_exact_for_extreme_logits():
    z, t = np.array([[1e3, -1e3], [-40.0, 1e3]]), np.array([[1.0, 1.0], [0.0, 0.0]])
    y, (g,) = derive(lambda x: losses.binary_cross_entropy(x, t, pos_weight=[3.0, 2.0], reduction="none"), z)
    np.testing.assert_allclose(y, [[0, 2e3], [np.exp(-40), 1e3]], rtol=1e-12)
    np.testing.assert_allclose(g, [[0, -2], [np.exp(-40), 1]], rtol=1e-12)


def test_weights_that_are_tensors_get_gradients():
    w = tn.tensor([1.0, 3.0], requires_grad=True)
    losses.mse(np.array([1.0, 2.0]), np.zeros(2), sample_weight=w).backward()
    # The mean is (1 w0 + 4 w1) / (w0 + w1) = 13 / 4.
    np.testing.assert_allclose(w.grad, [(1 - 13 / 4) / 4, (4 - 13 / 4) / 4], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_weights_keep_the_dtype_of_the_predictions_and_their_sum_does_not_overflow(dtype):
    x = tn.tensor(np.full((70_000, 1), 0.5, dtype), requires_grad=True)
    y = losses.mse(x, np.zeros((70_000, 1)), sample_weight=np.full(70_000, 2.0))
    assert y.dtype == dtype
    assert y.item() == 0.25
    z = losses.cross_entropy(
        x[:4] * np.ones(4, dtype), K.ravel()[:4], weight=CLASSES + 1, sample_weight=[1, 2, 3, 4]
    )
    assert z.dtype == dtype


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, k, w: losses.cross_entropy(z, k, weight=CLASSES + 0.1, sample_weight=w, ignore_index=0),
        lambda z, k, w: losses.cross_entropy(z, k),
        lambda z, k, w: losses.nll(tn.log_softmax(z), k, weight=CLASSES + 0.1),
        lambda z, k, w: losses.binary_cross_entropy(z[..., 0], k > 1, pos_weight=3.0, sample_weight=w),
    ],
)
def test_a_compiled_step_takes_the_labels_and_weights_of_each_call(loss, backend):
    w0 = tn.tensor(RNG.normal(size=(4, 4)), requires_grad=True)

    def step(x, k, w):
        w0.grad = None
        y = loss(x @ w0, k, w)
        y.backward()
        return y

    compiled = tn.compile(step, backend)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        args = rng.normal(size=(2, 3, 4)), rng.integers(4, size=(2, 3)), rng.random((2, 3))
        y, g = step(*args).item(), w0.grad.copy()
        assert compiled(*args).item() == pytest.approx(y, rel=1e-10)
        np.testing.assert_allclose(w0.grad, g, rtol=1e-8, atol=1e-12)


X3, K3 = np.zeros((2, 3, 4)), np.zeros((2, 3), int)
REFUSED = [
    (lambda: losses.cross_entropy(np.zeros((2, 4, 3)), K3), ShapeError, r"np\.moveaxis\(logits, 1, -1\)"),
    (lambda: losses.cross_entropy(X3, K3.ravel()), ShapeError, r"labels\.reshape\(2, 3\)"),
    (lambda: losses.cross_entropy(X3.reshape(6, 4), K3), ShapeError, r"labels\.reshape\(-1\)"),
    (lambda: losses.cross_entropy(X3, X3.astype(int)), ShapeError, r"labels\.argmax\(axis=2\)"),
    (lambda: losses.nll(X3, X3), TypeError, r"labels\.argmax\(axis=2\)"),
    (lambda: losses.cross_entropy(X3, np.add(K3, [[0], [7]])), LabelError, r"label 7 at position \(1, 0\)"),
    (lambda: losses.cross_entropy(X3, X3), LabelError, r"row \(0, 0\) of the targets sums to 0"),
    (
        lambda: losses.cross_entropy(X3, K3, weight=[1, 2]),
        ShapeError,
        r"each of the 4 classes, got shape \(2,\)",
    ),
    (lambda: losses.cross_entropy(X3, K3, weight=K3), ShapeError, r"sample_weight=\.\.\."),
    (lambda: losses.cross_entropy(X3, K3, weight={0: 1.0}), TypeError, r"weight are numbers, got {0: 1.0}"),
    (lambda: losses.nll(X3, K3, weight=[1, 2, 3, -4]), SettingError, r'got -4.0\n.*reduction="sum"'),
    (lambda: losses.mse(X3, X3, sample_weight=[1, np.nan]), SettingError, r"got nan"),
    (lambda: losses.mse(X3, X3, sample_weight=[1, 2, 3, 4]), ShapeError, r"expected \(2,\) or \(2, 3, 4\)"),
    (
        lambda: losses.mse(X3[0, 0], X3[0, 0], sample_weight=np.ones((4, 1))),
        ShapeError,
        r"sample_weight\.reshape",
    ),
    (lambda: losses.mae(X3, X3, sample_weight=2.0), ShapeError, r"sample_weight of shape \(\)"),
    (lambda: losses.mae(X3, X3, sample_weight=None, reduction="avg"), ValueError, r'"none", got \'avg\''),
    (
        lambda: losses.binary_cross_entropy(X3, X3, pos_weight=[1, 2]),
        ShapeError,
        r"pos_weight .* got shape \(2,\)",
    ),
    (
        lambda: losses.binary_cross_entropy(X3, X3, pos_weight=-1),
        SettingError,
        r"pos_weight are numbers from 0",
    ),
    (
        lambda: losses.cross_entropy(X3, SHARES, ignore_index=0),
        ArgumentError,
        r"sample_weight=\.\.\., 0 for rows",
    ),
    (lambda: losses.mse(X3, X3, sample_weight=["a", "b"]), TypeError, r"sample_weight are numbers"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_weights_and_shapes_that_do_not_fit_say_what_to_write(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_a_loss_of_one_number_takes_one_weight():
    assert losses.mse(np.array(3.0), np.array(0.0), sample_weight=2.0).item() == 9.0


def test_a_sum_takes_negative_weights():
    assert losses.mse(np.ones(2), np.zeros(2), sample_weight=[1, -3], reduction="sum").item() == -2


def test_the_mean_of_weights_of_zero_is_nan_with_a_warning():
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(losses.mse(np.ones(2), np.zeros(2), sample_weight=[0, 0]).item())
