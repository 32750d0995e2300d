"""Calls of those who begin, or come from another library, around training: each is answered with what to write."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.training import X, Y, network
from tinygrad_nn import data, export, nn, optim, plot, train, viz
from tinygrad_nn.nn.losses import cross_entropy


def fit(**changes):
    model = network()
    options = {
        "model": model,
        "loss": cross_entropy,
        "optimizer": optim.SGD(model.parameters(), lr=0.1),
        "data": data.batches(X, Y, size=50, rng=0),
        "progress": False,
    }
    return train.fit(**(options | changes))


def scores():
    return train.predict(network(), X)


NOWHERE = "/nowhere/of/all"
MISTAKES = {
    "arrays in a dict": (
        lambda: data.batches({"x": X, "y": Y}, size=10),
        r"a dict is no array.*\n  hint   tn\.data\.batches\(\*data\.values\(\), size=32\)",
    ),
    "a number of points in words": (lambda: data.moons("many"), "moons: n is a positive integer, got 'many'"),
    "noise in words": (lambda: data.moons(10, noise="some"), "moons: noise is a number .*got 'some'"),
    "shuffle in words": (
        lambda: data.batches(X, Y, size=10, shuffle="yes"),
        "batches: shuffle is True or False, got 'yes'",
    ),
    "batches without targets": (
        lambda: fit(data=data.batches(X, size=10)),
        r"a batch has one array, .*\n  hint   tn\.data\.batches\(X, y, size=32\)",
    ),
    "a validation loss without validation data": (
        lambda: fit(callbacks=[train.EarlyStopping("val_loss")]),
        r"no column 'val_loss'; there are loss, seconds, and more with validation=\(X, y\) of fit",
    ),
    "a metric that is not measured": (
        lambda: fit()["accuracy"],
        r"no column 'accuracy'; there are loss, seconds, and more with metrics=\[\.\.\.\] of fit",
    ),
    "patience in words": (
        lambda: train.EarlyStopping("loss", patience="3"),
        "EarlyStopping: patience is a number .*got '3'",
    ),
    "a plateau without patience": (
        lambda: train.ReduceOnPlateau("loss", patience=None),
        "ReduceOnPlateau: patience is a number .*got None",
    ),
    "a factor in words": (lambda: train.ReduceOnPlateau("loss", factor="half"), "factor .*got 'half'"),
    "a rate for a schedule": (
        lambda: train.LearningRate(0.1),
        r"a function of the epoch, got 0\.1\n  hint   LearningRate\(lambda epoch",
    ),
    "a checkpoint in no folder": (
        lambda: fit(callbacks=[train.Checkpoint(f"{NOWHERE}/run.safetensors")], data=None),
        rf"there is no such folder: '{NOWHERE}'",
    ),
    "a film in no folder": (
        lambda: fit(callbacks=[train.Film(f"{NOWHERE}/film.html")], data=None),
        rf"there is no such folder: '{NOWHERE}'",
    ),
    "a number for a path": (lambda: train.Checkpoint(5), "Checkpoint: path is the name of a file, got 5"),
    "a number for the path of a film": (lambda: train.Film(5), "Film: path is the name of a file, got 5"),
    "a function of nothing among callbacks": (
        lambda: fit(callbacks=[lambda: None]),
        r"takes the run, and <lambda> takes no arguments\n  hint   lambda run",
    ),
    "a function of two among callbacks": (
        lambda: fit(callbacks=[lambda epoch, logs: None]),
        "takes the run, and <lambda> takes 2 arguments",
    ),
    "a metric in words": (
        lambda: fit(metrics={"mood": lambda p, t: "good"}),
        r"the metric 'mood' returned 'good', expected one number",
    ),
    "a metric of every row": (
        lambda: fit(metrics={"right": lambda p, t: p.argmax(axis=1) == t}),
        r"the metric 'right' returned shape \(50,\), expected one number for the rows of a batch\n  hint",
    ),
    "the input before the model": (
        lambda: train.predict(X, network()),
        r"predict: the model is a module or a function, got ndarray\n  hint   predict\(model, X\)",
    ),
    "the accuracy of classes": (
        lambda: train.accuracy(scores().argmax(axis=1), Y),
        r"\n  hint   scores of all classes, as the model returns them, before argmax",
    ),
    "a history in a list": (
        lambda: train.History([0.5, 0.4]),
        r"columns go by name, got list\n  hint   History",
    ),
    "a picture of a dict": (
        lambda: plot.history({"loss": [0.5, 0.4]}),
        r"history: what fit returned is drawn, got dict\n  hint   plot\.history\(tn\.train\.History",
    ),
    "points before the model": (
        lambda: plot.decision_boundary(X, Y, network()),
        r"the model is a module or a function, got ndarray\n  hint   plot\.decision_boundary\(model, X, y\)",
    ),
    "axes in words": (
        lambda: plot.decision_boundary(network(), X, Y, ax="here", resolution=5),
        r"ax is what to draw on, got str\n  hint   _, ax = plt\.subplots\(\)",
    ),
    "predictions before labels": (
        lambda: plot.confusion(scores(), Y),
        r"not one-hot.*\n  hint   plot\.confusion\(labels, predictions\)",
    ),
    "one image": (lambda: plot.images(np.ones((28, 28))), r"hint   pictures\[None\], for one of them"),
    "the gradients of an array": (
        lambda: plot.gradient_flow(X),
        r"a module is needed.*got ndarray\n  hint   loss\.backward\(\), and then plot\.gradient_flow\(model\)",
    ),
    "the weights of a model": (
        lambda: plot.weights(network()),
        r"got Sequential\n  hint   plot\.weights\(model\[0\]\)",
    ),
    "the weights of a model that begins with images": (
        lambda: plot.weights(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.Flatten(), nn.Dense(8, 2)))),
        r"hint   plot\.weights\(model\[1\]\[1\]\)",
    ),
    "the weights of a convolution": (
        lambda: plot.weights(nn.Conv2d(1, 2, 3)),
        r"needed, got \(3, 3, 1, 2\)$",
    ),
    "the path before the example": (
        lambda: export.numpy(network(), "model.py", X),
        r"the example comes before the path\n  hint   export\.numpy\(model, x, 'model\.py'\)",
    ),
    "a shape for an example": (
        lambda: export.onnx(network(), (4, 2)),
        r"got the numbers \(4, 2\)\n  hint   np\.zeros\(\(4, 2\), np\.float32\)",
    ),
    "weights from a path": (
        lambda: network().load_state_dict("model.safetensors"),
        r"it is 'model\.safetensors'; nothing was changed\n  hint   tn\.load\(path, model=model\)",
    ),
    "weights from a model": (
        lambda: network().load_state_dict(network()),
        r"does not fit this Sequential.*(.|\n)*hint   model\.load_state_dict\(other\.state_dict\(\)\)",
    ),
    "nothing to save": (
        lambda: tn.save("model.safetensors"),
        r"save: there is nothing to save\n  hint   tn\.save\(path, model=model",
    ),
    "a summary in a dtype that there is not": (
        lambda: network().summary((2,), dtype="float99"),
        "summary: 'float99' is no dtype",
    ),
    "names in a list": (
        lambda: network()(X).graph(names=["x"]),
        r"names are tensors and arrays by name, got \['x'\]\n  hint   names={'x': x}",
    ),
    "depth in words": (lambda: network()(X).graph(depth="all"), "depth is an integer or None, got 'all'"),
    "a picture of an array": (lambda: viz.draw(X), r"\n  hint   viz\.draw\(model, x\), or what was computed"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_around_training_is_answered_with_what_to_write(mistake):
    call, text = MISTAKES[mistake]
    with pytest.raises((tn.errors.TinygradError, KeyError, OSError), match=text):
        call()


def test_functions_of_the_run_of_every_form_are_callbacks():
    seen = []

    class Told:
        def __call__(self, run, times=2):
            seen.append(run.epoch)

        def method(self, run):
            seen.append(run.epoch)

    fit(
        epochs=1,
        callbacks=[Told(), Told().method, seen.append, lambda *runs: None, lambda run, *, more=1: None],
    )
    assert len(seen) == 3
