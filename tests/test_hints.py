"""The mistakes of those who come from another library: each is answered with what to write."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import vector


def batch():
    return np.zeros((4, 2), np.float32), np.array([0, 1, 2, 0])


def fit(**changes):
    model = tn.nn.Dense(2, 3, rng=0)
    roles = {
        "model": model,
        "loss": tn.nn.losses.cross_entropy,
        "optimizer": tn.optim.SGD(model.parameters(), lr=0.1),
        "data": [batch()],
        "progress": False,
    }
    return tn.train.fit(**(roles | changes))


NEWCOMERS = {
    "the name of a loss": (lambda: fit(loss="cross_entropy"), "the loss is a function"),
    "the name of an optimizer": (lambda: fit(optimizer="adam"), r"SGD\(model\.parameters\(\), lr=\.\.\.\)"),
    "the class of an optimizer": (lambda: fit(optimizer=tn.optim.SGD), "the optimizer is made of"),
    "half an epoch": (lambda: fit(epochs=2.5), "epochs are an integer from 0, got 2.5"),
    "metrics without names": (lambda: fit(metrics=[lambda p, t: 0]), "names of their own"),
    "a metric in a list in a list": (lambda: fit(metrics=[["accuracy"]]), "functions by name, got"),
    "one metric": (lambda: fit(metrics="accuracy"), r"got 'accuracy'\n  hint   metrics=\["),
    "a metric by another name": (
        lambda: fit(metrics=["acc"]),
        'there is no metric .acc.; .*\n  hint   "accuracy"',
    ),
    "a metric misspelt": (lambda: fit(metrics={"a": "binary_acuracy"}), 'hint   "binary_accuracy"'),
    "a metric of Keras": (lambda: fit(metrics=["mean_absolute_error"]), 'hint   "mae"'),
    "a metric that nobody knows": (lambda: fit(metrics=["xyz"]), "hint   a function of predictions"),
    "the same metric twice": (lambda: fit(metrics=["mae", "mae"]), "names of their own"),
    "a share of a list": (
        lambda: fit(data=[batch()], validation=0.2),
        r"not of a list\n  hint   validation=\(X, y\)",
    ),
    "one callback": (lambda: fit(callbacks=tn.train.EarlyStopping()), "callbacks are a list"),
    "the class of a callback": (lambda: fit(callbacks=[tn.train.EarlyStopping]), r"EarlyStopping\("),
    "a number as a callback": (lambda: fit(callbacks=[3]), "callbacks are .* got 3"),
    "no callback": (lambda: fit(callbacks=[None]), "callbacks are .* got None"),
    "text as callbacks": (lambda: fit(callbacks="abc"), "callbacks are .* got 'a'"),
    "a metric that is a number": (lambda: fit(metrics={"acc": 3}), "functions by name, got {'acc': 3}"),
    "fewer epochs than none": (lambda: fit(epochs=-1), "epochs are an integer from 0, got -1"),
    "a flag for epochs": (lambda: fit(epochs=True), "epochs are an integer from 0, got True"),
    "arrays in a list": (lambda: fit(data=list(batch())), r"tn\.data\.batches"),
    "one loss per row": (
        lambda: fit(loss=lambda p, t: tn.nn.losses.cross_entropy(p, t, reduction="none")),
        r'shape \(4,\)\n  hint   reduction="mean"',
    ),
    "a loss that is a number": (lambda: fit(loss=lambda p, t: 1.0), "a tensor with one element, got float"),
    "parameters without their call": (
        lambda: tn.optim.SGD(tn.nn.Dense(2, 3).parameters, lr=0.1),
        r"model\.parameters\(\)",
    ),
    "one beta": (lambda: tn.optim.Adam([vector(1.0)], betas=0.9), "two numbers"),
    "layers in a list": (lambda: tn.nn.Sequential([tn.nn.ReLU()]), r"Sequential\(\*modules\)"),
    "a model among the operands": (lambda: vector(1.0) @ tn.nn.ReLU(), "ReLU with dtype object"),
    "a method of PyTorch": (lambda: vector(1.0).view(1, 1), r"t\.reshape\(shape\)"),
    "a layer of PyTorch": (lambda: tn.nn.Linear(2, 3), r"nn\.Dense"),
    "averages among optimizers": (lambda: tn.optim.EMA(None), r"tn\.train\.EMA\("),
    "schedulers": (lambda: tn.optim.lr_scheduler, r"lr=optim\.schedules\.cosine\("),
    "an optimizer of Keras": (lambda: tn.optim.RMSProp([]), r"optim\.RMSprop\("),
    "a convolution of Keras": (lambda: tn.nn.Conv2D(8, 3), r"nn\.Conv2d\(in_channels.*channels come last"),
    "a convolution of PyTorch": (lambda: tn.conv2d, r"tn\.conv\(x, w\).*channels come last"),
    "a loss of PyTorch": (lambda: tn.nn.CrossEntropyLoss(), r"nn\.losses\.cross_entropy\("),
    "a function of NumPy": (lambda: tn.exp(vector(1.0)), r"np\.exp"),
    "NumPy's word for tensor": (lambda: tn.array([1.0]), r"hint   tn\.tensor\(data\)"),
    "NumPy's word for as_tensor": (lambda: tn.asarray([1.0]), r"hint   tn\.as_tensor\(data\)"),
    "a function that takes no tensor": (lambda: tn.zeros(3), "no attribute 'zeros'$"),
    "a dtype": (lambda: tn.float32, "no attribute 'float32'$"),
    "a table of NumPy": (lambda: tn.sctypeDict, "no attribute 'sctypeDict'$"),
}


@pytest.mark.parametrize("name", NEWCOMERS)
def test_the_mistakes_of_a_newcomer_are_answered_with_what_to_write(name):
    mistake, text = NEWCOMERS[name]
    with pytest.raises((TypeError, ValueError, AttributeError, RuntimeError), match=text):
        mistake()
