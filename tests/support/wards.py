"""Trainings with one planted ill each, and their healthy twins: `python -m tests.support.wards` examines all of them.

Each is small and seeded. An ill is to be named first or second, and a healthy training to have no finding at all; the
table says what was found, by the doctor during the training and by `examine` before it where that can know.
"""

import os
import sys
import time
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches, mnist, moons
from tinygrad_nn.errors import NonFinite, TinygradError
from tinygrad_nn.nn.losses import binary_cross_entropy, cross_entropy, mse
from tinygrad_nn.train import Doctor, examine, fit


class Training(NamedTuple):
    """What `fit` is given."""

    model: object
    loss: object
    optimizer: object
    X: object
    y: object
    epochs: int = 6
    size: int = 20
    shuffle: bool = True
    validation: object = None
    callbacks: tuple = ()

    def data(self):
        return batches(self.X, self.y, size=self.size, rng=0, shuffle=self.shuffle)


class Ward(NamedTuple):
    """One training.

    Attributes:
        name: of the training.
        ill: what is planted; "" where nothing is.
        make: returns the training, new each time.
        before: whether `examine` is to find it before the training.
        quick: whether it is in the normal run of the tests.
    """

    name: str
    ill: str
    make: object
    before: bool
    quick: bool


WARDS = []


def ward(ill="", *, before=True, quick=False):
    """Register a function that makes a training."""

    def register(make):
        WARDS.append(Ward(make.__name__, ill, make, before, quick))
        return make

    return register


# Data


def images(n=400, seed=0, classes=4, side=8):
    """Return small images: bars across, down and along both diagonals, somewhere, with noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    X = 0.15 * rng.normal(size=(n, side, side))
    for image, label, shift in zip(X, y, rng.integers(1, side - 1, size=n), strict=True):
        across, diagonal = np.zeros((side, side)), np.eye(side, k=int(shift) % 3 - 1)
        across[shift] = 1
        image += (across, across.T, diagonal, diagonal[:, ::-1])[label]
    return X[..., None].astype(np.float32), y


def flat_images(n=400, seed=0):
    X, y = images(n, seed)
    return X.reshape(n, -1), y


def sequences(n=300, length=10, seed=0):
    """Return sequences, and whether their first feature is positive on the whole."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, length, 3)).astype(np.float32)
    return X, (X[:, :, 0].sum(axis=1) > 0).astype(np.int64)


def waves(n=300, seed=0):
    """Return points, and noisy sines of them, (N, 1) both."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n, 1))
    return X.astype(np.float32), (np.sin(2 * X) + 0.1 * rng.normal(size=X.shape)).astype(np.float32)


def digits():
    """Return the digits of scikit-learn, from 0 to 1, in an order that is drawn."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))[:900]
    return (X[order] / 16).astype(np.float32), y[order]


def some_mnist(rows=2000):
    data = mnist(os.environ["TINYGRAD_NN_DATA"])
    return data.x_train[:rows], data.y_train[:rows]


# Models


def mlp(*widths, act=nn.ReLU, seed=0, init=None, bias_init=None, between=()):
    """Return dense layers with an activation, and what `between` makes, behind each but the last."""
    layers = []
    for k, (a, b) in enumerate(pairwise(widths)):
        layers.append(nn.Dense(a, b, rng=seed + k, init=init, bias_init=bias_init))
        if k < len(widths) - 2:
            layers += [act(), *[make(b) for make in between]]
    return nn.Sequential(*layers)


def cnn(classes=4, act=nn.ReLU, seed=0, bias_init=None, init=None):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, rng=seed, bias_init=bias_init, init=init),
        act(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, rng=seed + 1, bias_init=bias_init, init=init),
        act(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dense(32, classes, rng=seed + 2),
    )


def last(results):
    return results[0][:, -1]


def recurrent(kind=nn.LSTM, classes=2, seed=0, **options):
    return nn.Sequential(kind(3, 16, rng=seed, **options), last, nn.Dense(16, classes, rng=seed + 1))


def dropping(p=0.3):
    return lambda width: nn.Dropout(p, rng=7)


def classified(model, X, y, lr=0.01, rule=optim.Adam, loss=cross_entropy, **options):
    return Training(model, loss, rule(model.parameters(), lr=lr), X, y, **options)


def change(model, name, value):
    """Write into a parameter."""
    parameter = dict(model.named_parameters())[name]
    parameter.data = np.broadcast_to(np.asarray(value, parameter.dtype), parameter.shape).copy()


def learned(X, y, *widths, seed=0):
    """Return a model that was trained a little."""
    model = mlp(*widths, seed=seed)
    fit(
        model,
        cross_entropy,
        optim.Adam(model.parameters(), lr=0.01),
        batches(X, y, size=20, rng=0),
        epochs=3,
        progress=False,
    )
    return model


# Healthy trainings


def healthy(name, make, *, quick=False):
    WARDS.append(Ward(name, "", make, True, quick))


for act in (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.LeakyReLU):
    healthy(
        f"moons_{act.__name__}",
        partial(lambda act: classified(mlp(2, 16, 2, act=act), *moons(200)), act),
        quick=act is nn.ReLU,
    )
for rule, lr in (
    (optim.SGD, 0.1),
    (optim.SGD, 0.3),
    (optim.RMSprop, 0.003),
    (optim.Adagrad, 0.05),
    (optim.AdamW, 0.003),
    (optim.Lion, 0.001),
):
    healthy(
        f"images_{rule.__name__}_{lr}",
        partial(lambda rule, lr: classified(mlp(64, 32, 4), *flat_images(), lr=lr, rule=rule), rule, lr),
    )
for size in (4, 100, 200):
    healthy(
        f"moons_batches_of_{size}",
        partial(
            lambda size: classified(
                mlp(2, 16, 2), *moons(200), size=size, epochs=max(4, size // 3), validation=moons(100, seed=1)
            ),
            size,
        ),
    )
for kind in (nn.RNN, nn.LSTM, nn.GRU):
    healthy(
        f"sequences_{kind.__name__}",
        partial(lambda kind: classified(recurrent(kind), *sequences(), validation=sequences(seed=1)), kind),
        quick=kind is nn.GRU,
    )


@ward(quick=True)
def healthy_cnn():
    return classified(cnn(), *images(300), lr=0.003, epochs=3)


@ward()
def healthy_cnn_with_norm():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, rng=0), nn.BatchNorm(8), nn.ReLU(), nn.Flatten(), nn.Dense(288, 4, rng=1)
    )
    return classified(model, *images(), lr=0.003, validation=images(seed=1))


@ward(quick=True)
def healthy_dropout():
    return classified(
        mlp(64, 32, 4, between=[nn.BatchNorm, dropping()]),
        *flat_images(),
        validation=flat_images(seed=1),
        epochs=4,
    )


@ward()
def healthy_sequences_sgd():
    return classified(recurrent(nn.LSTM), *sequences(), lr=0.3, rule=optim.SGD, epochs=10)


@ward()
def healthy_deep():
    return classified(mlp(64, *[32] * 8, 4, init=nn.init.he_normal()), *flat_images(), lr=0.003)


@ward(quick=True)
def healthy_regression():
    model = mlp(1, 32, 1, act=nn.Tanh)
    return classified(model, *waves(), loss=mse, epochs=10, validation=waves(seed=1))


@ward()
def healthy_binary():
    X, y = moons(200)
    return classified(mlp(2, 16, 1), X, y[:, None].astype(np.float32), loss=binary_cross_entropy, epochs=10)


@ward()
def healthy_probabilities():
    model = nn.Sequential(*mlp(2, 16, 2), nn.LogSoftmax())
    return classified(model, *moons(200), loss=nn.losses.nll)


@ward()
def healthy_linear_from_zero():
    return classified(mlp(64, 4, init=nn.init.zeros()), *flat_images(), lr=0.1, rule=optim.SGD)


@ward(quick=True)
def healthy_transfer():
    X, y = flat_images()
    before = learned(X[:200], y[:200], 64, 32, 4)
    for parameter in before[0].parameters():
        parameter.requires_grad = False
    return classified(nn.Sequential(before[0], before[1], nn.Dense(32, 4, rng=9)), X[200:], y[200:])


@ward()
def healthy_head_alone():
    X, y = flat_images()
    model = nn.Sequential(*learned(X[:200], y[:200], 64, 32, 4)[:2], nn.Dense(32, 4, rng=9))
    return Training(model, cross_entropy, optim.Adam(model[2].parameters(), lr=0.01), X[200:], y[200:])


@ward()
def healthy_autoencoder():
    X, _ = flat_images()
    return classified(mlp(64, 32, 8, 32, 64), X, X, lr=0.003, loss=mse)


@ward()
def healthy_after_a_training():
    X, y = moons(200)
    return classified(learned(X, y, 2, 16, 2), X, y)


@ward()
def healthy_two_to_one():
    X, y = moons(300)
    rows = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:70]])
    return classified(mlp(2, 16, 2), X[rows], y[rows])


@ward()
def healthy_weighted_classes():
    X, y = rare()
    return classified(mlp(2, 16, 2), X, y, loss=partial(cross_entropy, weight=np.float32([1, 19])), epochs=10)


@ward()
def healthy_digits():
    return classified(mlp(64, 64, 10), *digits(), lr=0.003, validation=0.2)


@ward()
def healthy_embedding():
    ids = np.random.default_rng(0).integers(0, 12, size=(300, 8))
    y = (ids == 3).any(axis=1) + (ids == 4).any(axis=1).astype(np.int64)
    model = nn.Sequential(
        nn.Embedding(12, 16, rng=0), nn.LayerNorm(16), lambda x: x.mean(axis=1), nn.Dense(16, 3, rng=1)
    )
    return classified(model, ids, y, epochs=10)


# One planted ill each


@ward("softmax-twice", quick=True)
def softmax_at_the_end():
    return classified(nn.Sequential(*mlp(2, 16, 2), nn.Softmax()), *moons(200))


@ward("softmax-twice")
def softmax_in_forward():
    class Net(nn.Module):
        def __init__(self):
            self.body = recurrent(nn.GRU)

        def forward(self, x):
            return tn.softmax(self.body(x))

    return classified(Net(), *sequences())


@ward("softmax-twice")
def sigmoid_before_logits():
    X, y = moons(200)
    return classified(
        nn.Sequential(*mlp(2, 16, 1), nn.Sigmoid()),
        X,
        y[:, None].astype(np.float32),
        loss=binary_cross_entropy,
    )


@ward("softmax-twice")
def softmax_by_hand():
    def by_hand(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    return classified(
        nn.Sequential(*cnn(), by_hand), *images(200), loss=lambda p, y: cross_entropy(p, y), epochs=3
    )


@ward("optimizer-of-another-model", quick=True)
def optimizer_of_a_copy():
    model, other = mlp(2, 16, 2), mlp(2, 16, 2)
    return Training(model, cross_entropy, optim.Adam(other.parameters(), lr=0.01), *moons(200))


@ward("optimizer-of-another-model")
def head_replaced_after_the_optimizer():
    model = cnn()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    headed = nn.Sequential(*list(model)[:-1], nn.Dense(32, 4, rng=5))
    return Training(headed, cross_entropy, optimizer, *images(200), epochs=3)


@ward("optimizer-of-another-model")
def optimizer_of_another_lstm():
    return Training(
        recurrent(), cross_entropy, optim.RMSprop(recurrent(seed=3).parameters(), lr=0.003), *sequences()
    )


class Detached(nn.Module):
    """Takes what its first part makes out of the graph."""

    def __init__(self, body, head):
        self.body, self.head = body, head

    def forward(self, x):
        return self.head(self.body(x).detach())


@ward("no-gradient", quick=True)
def detached_layer():
    return classified(
        Detached(nn.Sequential(nn.Dense(2, 16, rng=0), nn.ReLU()), nn.Dense(16, 2, rng=1)), *moons(200)
    )


@ward("no-gradient")
def detached_lstm():
    return classified(
        Detached(nn.Sequential(nn.LSTM(3, 16, rng=0), last), nn.Dense(16, 2, rng=1)), *sequences()
    )


@ward("no-gradient")
def frozen_before_it_was_trained():
    model = mlp(64, 32, 32, 4)
    for parameter in model[2].parameters():
        parameter.requires_grad = False
    return classified(model, *flat_images())


@ward("no-gradient")
def through_an_array():
    class Net(Detached):
        def forward(self, x):
            return self.head(tn.as_tensor(self.body(x).data))

    return classified(Net(cnn()[:-1], nn.Dense(32, 4, rng=1)), *images(200), epochs=3)


@ward("dead-units", quick=True)
def biases_far_below_zero():
    model = mlp(2, 16, 2)
    change(model, "0.bias", -10)
    return classified(model, *moons(200))


@ward("dead-units")
def dead_convolution():
    return classified(cnn(bias_init=nn.init.constant(-10)), *images(200), lr=0.003, epochs=3)


@ward("dead-units")
def dead_in_the_middle():
    model = mlp(64, 32, 32, 4)
    change(model, "2.bias", -10)
    return classified(model, *flat_images(), lr=0.1, rule=optim.SGD)


@ward("saturated", quick=True)
def large_weights_before_tanh():
    return classified(mlp(2, 16, 16, 2, act=nn.Tanh, init=nn.init.normal(30)), *moons(200))


@ward("saturated")
def sigmoids_far_out():
    model = mlp(64, 32, 4, act=nn.Sigmoid)
    change(model, "0.bias", 12)
    return classified(model, *flat_images(), lr=0.05, rule=optim.SGD)


@ward("saturated")
def saturated_rnn():
    return classified(
        recurrent(nn.RNN, recurrent_init=nn.init.normal(5), init=nn.init.normal(5)), *sequences()
    )


@ward("vanishing", quick=True)
def eight_sigmoids():
    return classified(mlp(2, *[16] * 8, 2, act=nn.Sigmoid), *moons(200), lr=0.1, rule=optim.SGD)


@ward("vanishing")
def eight_sigmoids_with_adam():
    return classified(mlp(64, *[32] * 8, 4, act=nn.Sigmoid), *flat_images(), lr=0.001)


@ward("vanishing")
def tiny_weights():
    return classified(mlp(64, *[32] * 5, 4, act=nn.Tanh, init=nn.init.normal(0.01)), *flat_images())


@ward("exploding", quick=True)
def weights_of_one():
    return classified(mlp(64, *[64] * 4, 4, init=nn.init.normal(1)), *flat_images(), lr=1e-4, rule=optim.SGD)


@ward("exploding")
def large_kernels():
    return classified(cnn(init=nn.init.normal(3)), *images(200), lr=1e-3, epochs=3)


@ward("exploding")
def rnn_that_grows():
    class Linear(nn.Module):
        def __init__(self):
            self.step, self.head = nn.Dense(16, 16, init=nn.init.normal(0.8), rng=0), nn.Dense(16, 2, rng=2)
            self.enter = nn.Dense(3, 16, rng=1)

        def forward(self, x):
            h = np.zeros((len(x), 16), np.float32)
            for t in range(10):
                h = self.step(h) + self.enter(x[:, t])
            return self.head(h)

    return classified(Linear(), *sequences(), lr=1e-4, rule=optim.SGD)


@ward("rate-too-high", quick=True)
def ten_with_sgd():
    return classified(mlp(2, 16, 2), *moons(200), lr=10.0, rule=optim.SGD)


@ward("rate-too-high")
def ten_with_adam():
    return classified(mlp(64, 32, 4, act=nn.Tanh), *flat_images(), lr=10.0)


@ward("rate-too-high")
def diverging_regression():
    return classified(mlp(1, 32, 32, 1), *waves(), lr=3.0, rule=optim.SGD, loss=mse)


@ward("rate-too-high")
def ten_with_lstm():
    return classified(recurrent(), *sequences(), lr=10.0, rule=optim.SGD)


@ward("rate-too-high")
def one_with_rmsprop_and_kernels():
    return classified(cnn(), *images(200), lr=1.0, rule=optim.RMSprop, epochs=3)


@ward("rate-too-low", quick=True)
def a_millionth_with_sgd():
    return classified(mlp(2, 16, 2), *moons(200), lr=1e-6, rule=optim.SGD)


@ward("rate-too-low")
def a_millionth_with_adam():
    return classified(mlp(64, 32, 4), *flat_images(), lr=1e-6)


@ward("rate-too-low")
def a_millionth_with_gru():
    return classified(recurrent(nn.GRU), *sequences(), lr=1e-6, rule=optim.RMSprop)


@ward("rate-too-low")
def a_millionth_with_kernels():
    return classified(cnn(), *images(200), lr=1e-6, rule=optim.SGD, epochs=3)


@ward("inputs-not-scaled", quick=True)
def bytes_as_they_are():
    X, y = flat_images()
    return classified(mlp(64, 32, 4), (127 + 100 * X).clip(0, 255), y, lr=0.001)


@ward("inputs-not-scaled")
def bytes_for_kernels():
    X, y = images(200)
    return classified(cnn(), (127 + 100 * X).clip(0, 255).astype(np.uint8), y, lr=0.001, epochs=3)


@ward("inputs-not-scaled")
def one_large_feature():
    X, y = moons(200)
    return classified(mlp(2, 16, 2, act=nn.Tanh), X * np.float32([1, 1000]), y)


@ward("inputs-not-scaled")
def large_sequences():
    X, y = sequences()
    return classified(recurrent(nn.LSTM), X * 200, y)


@ward("inputs-not-scaled")
def divided_twice():
    X, y = flat_images()
    return classified(mlp(64, 32, 4), X / 255 / 4, y, lr=0.001)


@ward("constant-labels", quick=True)
def all_of_one_class():
    X, y = moons(200)
    return classified(mlp(2, 16, 2), X, np.zeros_like(y))


@ward("constant-labels")
def all_the_same_number():
    X, y = waves()
    return classified(mlp(1, 16, 1), X, np.full_like(y, 0.7), loss=mse)


@ward("constant-labels")
def all_threes():
    X, y = images(200)
    return classified(cnn(), X, np.full_like(y, 3), epochs=3)


def rare(n=400, share=20):
    """Return moons of which one class is twenty times as rare as the other."""
    X, y = moons(n)
    few = np.flatnonzero(y == 1)
    rows = np.concatenate([np.flatnonzero(y == 0), few[: len(few) // share]])
    return X[rows], y[rows]


@ward("imbalanced", quick=True)
def nineteen_to_one():
    return classified(mlp(2, 16, 2), *rare())


@ward("imbalanced")
def nineteen_to_one_binary():
    X, y = rare()
    return classified(mlp(2, 16, 1), X, y[:, None].astype(np.float32), loss=binary_cross_entropy)


@ward("imbalanced")
def one_image_class_of_four():
    X, y = images(900)
    kept = (y == 2) | (np.arange(len(y)) % 20 == 0)
    return classified(cnn(), X[kept], y[kept], lr=0.003)


def by_difference(predictions, targets):
    """A loss of one's own that does not look at shapes."""
    return ((predictions - targets) ** 2).mean()


@ward("wrong-target-shape", quick=True)
def every_pair_is_compared():
    X, y = waves()
    return classified(mlp(1, 16, 1), X, y[:, 0], loss=by_difference)


@ward("wrong-target-shape")
def every_pair_the_other_way():
    X, y = sequences()
    model = nn.Sequential(*recurrent(classes=1), lambda z: z[:, 0])
    return classified(model, X, y[:, None].astype(np.float32), loss=by_difference)


@ward("wrong-target-shape")
def refused_by_the_loss():
    X, y = waves()
    return classified(mlp(1, 16, 1), X, y[:, 0], loss=mse)


@ward("wrong-target-shape")
def one_hot_for_labels():
    X, y = flat_images()
    return classified(mlp(64, 32, 4), X, np.eye(4, dtype=np.int64)[y])


@ward("identical-weights", quick=True)
def all_weights_zero():
    return classified(mlp(2, 16, 2, init=nn.init.zeros()), *moons(200))


@ward("identical-weights")
def all_weights_equal():
    return classified(mlp(64, 32, 4, act=nn.Tanh, init=nn.init.constant(0.1)), *flat_images())


@ward("identical-weights")
def equal_kernels():
    model = cnn()
    change(model, "0.weight", 0.2)
    return classified(model, *images(200), epochs=3)


@ward("identical-weights")
def equal_lstm():
    same = nn.init.constant(0.05)
    return classified(recurrent(init=same, recurrent_init=same), *sequences())


@ward("wrong-mode", before=False, quick=True)
def a_callback_evaluates_and_goes_on():
    X, y = flat_images()
    model = mlp(64, 32, 4, between=[dropping(0.5)])
    return classified(model, X, y, callbacks=(lambda run: run.model.eval(),))._replace(epochs=4)


@ward("wrong-mode", before=False)
def a_callback_evaluates_in_training_mode():
    X, y = flat_images()
    model = mlp(64, 32, 4, between=[nn.BatchNorm, dropping(0.5)])
    return classified(model, X, y, callbacks=(lambda run: cross_entropy(run.model(X), y).item(),))


@ward("wrong-mode", before=False)
def a_function_that_never_evaluates():
    model = mlp(64, 32, 4, between=[dropping(0.5)])
    training = classified(model, *flat_images(), validation=flat_images(seed=1))
    return training._replace(model=lambda x: model(x))


@ward("wrong-mode")
def left_in_evaluation():
    model = mlp(64, 32, 4, between=[nn.BatchNorm])
    training = classified(model, *flat_images())
    model.eval()
    return training._replace(model=lambda x: model(x))


@ward("overfitting", before=False, quick=True)
def a_few_noisy_rows():
    X, y = moons(24, noise=0.4)
    return classified(
        mlp(2, 64, 64, 2), X, y, lr=0.02, size=8, epochs=60, validation=moons(200, noise=0.4, seed=1)
    )


@ward("overfitting", before=False)
def a_few_images():
    X, y = flat_images(20)
    rng = np.random.default_rng(5)
    return classified(
        mlp(64, 64, 4),
        X + rng.normal(size=X.shape).astype(np.float32),
        y,
        size=5,
        epochs=60,
        validation=noisy_images(),
    )


@ward("overfitting", before=False)
def a_few_waves():
    rng = np.random.default_rng(0)
    X, y = waves(12)
    y = y + 1.5 * rng.normal(size=y.shape).astype(np.float32)
    return classified(mlp(1, 64, 64, 1), 3 * X, y, size=4, epochs=150, loss=mse, validation=waves(seed=1))


def noisy_images():
    X, y = flat_images(seed=1)
    return X + np.random.default_rng(6).normal(size=X.shape).astype(np.float32), y


def in_order(X, y):
    order = np.argsort(y.reshape(-1), kind="stable")
    return X[order], y[order]


@ward("not-shuffled", quick=True)
def sorted_by_class():
    return classified(mlp(2, 16, 2), *in_order(*moons(200)), shuffle=False)


@ward("not-shuffled")
def sorted_images():
    return classified(cnn(), *in_order(*images(300)), shuffle=False, epochs=3)


@ward("not-shuffled")
def sorted_numbers():
    return classified(mlp(1, 32, 1, act=nn.Tanh), *in_order(*waves()), loss=mse, shuffle=False)


@ward("not-shuffled")
def sorted_sequences():
    return classified(recurrent(nn.GRU), *in_order(*sequences()), shuffle=False)


def anyhow(X, y, seed=3):
    return X, np.random.default_rng(seed).permutation(y)


@ward("chance-level", before=False, quick=True)
def labels_at_random():
    return classified(mlp(2, 16, 2), *anyhow(*moons(400)), epochs=10)


@ward("chance-level", before=False)
def random_labels_of_sequences():
    return classified(recurrent(nn.GRU), *anyhow(*sequences(600)), lr=0.003, epochs=5)


@ward("chance-level", before=False)
def noise_as_images():
    X = np.random.default_rng(0).normal(size=(800, 8, 8, 1)).astype(np.float32)
    return classified(cnn(), X, np.random.default_rng(1).integers(4, size=800), lr=0.003, epochs=3)


@ward("chance-level", before=False)
def numbers_at_random():
    return classified(mlp(1, 16, 1), *anyhow(*waves()), loss=mse, epochs=10)


# Digits of scikit-learn and MNIST

if "TINYGRAD_NN_DATA" in os.environ:

    def mnist_ward(ill, name, make, *, before=True):
        WARDS.append(Ward(f"mnist_{name}", ill, make, before, False))

    wide = partial(mlp, 784, 64, 10)
    mnist_ward("", "mlp", lambda: classified(wide(), *some_mnist(), lr=0.001, size=100))
    mnist_ward(
        "", "sgd", lambda: classified(wide(act=nn.Sigmoid), *some_mnist(), lr=0.3, rule=optim.SGD, size=50)
    )
    mnist_ward(
        "rate-too-high", "ten", lambda: classified(wide(), *some_mnist(), lr=10.0, rule=optim.SGD, size=100)
    )
    mnist_ward("rate-too-low", "millionth", lambda: classified(wide(), *some_mnist(), lr=1e-6, size=100))
    mnist_ward(
        "not-shuffled", "sorted", lambda: classified(wide(), *in_order(*some_mnist()), size=50, shuffle=False)
    )
    mnist_ward(
        "dead-units",
        "dead",
        lambda: classified(wide(bias_init=nn.init.constant(-10)), *some_mnist(), size=100),
    )
    mnist_ward(
        "chance-level",
        "random",
        lambda: classified(wide(), *anyhow(*some_mnist(6000)), size=100, epochs=1),
        before=False,
    )
    mnist_ward(
        "vanishing",
        "deep",
        lambda: classified(mlp(784, *[64] * 8, 10, act=nn.Sigmoid), *some_mnist(), size=100),
    )

    def mnist_bytes():
        X, y = some_mnist()
        return classified(wide(), X * 255, y, lr=0.001, size=100)

    mnist_ward("inputs-not-scaled", "bytes", mnist_bytes)


class Outcome(NamedTuple):
    """What was found of a ward: during the training, and before it."""

    during: list
    before: list
    ended: str


def looked_after(one):
    """Train with a doctor, after an examination of the same; return the names of what both found."""
    training = one.make()
    report = examine(training.model, training.loss, training.data(), training.optimizer)
    doctor = Doctor()
    ended = ""
    try:
        history = fit(
            training.model,
            training.loss,
            training.optimizer,
            training.data(),
            epochs=training.epochs,
            validation=training.validation,
            callbacks=[*training.callbacks, doctor],
            progress=False,
        )
        ended = f"{history['loss'][0]:.3g} -> {history['loss'][-1]:.3g}"
    except (TinygradError, NonFinite) as error:
        ended = type(error).__name__
    return Outcome(names(doctor.report), names(report), ended)


def names(report):
    return [finding.name for finding in report.findings]


def verdict(one, outcome):
    """Return what is wrong with what was found; nothing where it is right."""
    if not one.ill:
        return "false alarm" if outcome.during or outcome.before else ""
    if one.ill not in outcome.during[:2]:
        return "not named"
    return "not named before" if one.before and one.ill not in outcome.before[:2] else ""


def main():
    import warnings

    warnings.simplefilter("ignore")
    wrong = 0
    for one in WARDS:
        start = time.perf_counter()
        outcome = looked_after(one)
        fault = verdict(one, outcome)
        wrong += bool(fault)
        seconds = time.perf_counter() - start
        print(
            f"{one.name:<40} {one.ill or 'healthy':<27} {', '.join(outcome.during) or '-':<50} "
            f"before: {', '.join(outcome.before) or '-':<40} {outcome.ended:<18} {seconds:4.1f} s  {fault}",
            flush=True,
        )
    ill = sum(bool(one.ill) for one in WARDS)
    print(f"{len(WARDS)} trainings, {ill} ill and {len(WARDS) - ill} healthy; {wrong} wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
