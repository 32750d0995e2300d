"""Batches whose arrays have names, as those of Hugging Face's `datasets`."""

import collections

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.training import X, Y, network, weights
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches
from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import evaluate, fit

ROWS = np.linspace(0.5, 1.5, len(X)).astype(np.float32)


class ByName:
    """Batches that can be iterated over again, as dicts with more than is wanted."""

    def __init__(self, kind=dict, size=40, **arrays):
        self.kind, self.names = kind, list(arrays)
        self.batches = batches(*arrays.values(), size=size, rng=0)

    def __iter__(self):
        for batch in self.batches:
            yield self.kind({"id": ["a"] * len(batch[0]), **dict(zip(self.names, batch, strict=True))})


def fitted(data, **options):
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return model, fit(model, cross_entropy, optimizer, data, epochs=2, progress=False, **options)


def trained(data, **options):
    return weights(fitted(data, **options)[0])


def both(**arrays):
    return ByName(**arrays), batches(*arrays.values(), size=40, rng=0)


@pytest.mark.parametrize("kind", [dict, collections.UserDict])
def test_keys_choose_the_arrays_of_a_batch_by_name(kind):
    expected = trained(batches(X, Y, size=40, rng=0), validation=(X, Y))
    by_name = ByName(kind, label=Y, image=X)
    for validation in (
        (X, Y),
        {"label": Y, "image": X},
        ByName(label=Y, image=X),
        [{"label": Y, "image": X}],
    ):
        by_name.batches = batches(Y, X, size=40, rng=0)
        assert trained(by_name, keys=("image", "label"), validation=validation) == expected


def test_weights_of_rows_and_several_inputs_have_names_too():
    expected = trained(batches(X, Y, ROWS, size=40, rng=0))
    assert trained(ByName(w=ROWS, x=X, y=Y), keys=["x", "y", "w"]) == expected

    def added(a, b):
        return tn.as_tensor(a) + b

    data = [{"b": X, "y": Y, "a": 2 * X}]
    assert evaluate(added, cross_entropy, data, keys=("a", "b", "y")) == evaluate(
        added, cross_entropy, (2 * X, X, Y)
    )
    assert evaluate(added, cross_entropy, data[0], keys=("a", "b", "y")) == evaluate(
        added, cross_entropy, (2 * X, X, Y)
    )


def test_ranks_share_out_batches_by_name():
    def work(comm):
        _, history = fitted(ByName(x=X, y=Y), keys=("x", "y"), comm=comm)
        return history["loss"]

    alone, two = tn.parallel.threads(1, work)[0], tn.parallel.threads(2, work)[0]
    np.testing.assert_allclose(two, alone, rtol=1e-5)


def test_a_batch_by_name_without_keys_is_an_error_with_the_line_to_write():
    with pytest.raises(
        ArgumentError, match=r'fit: a batch has arrays by name.*\n  hint   keys=\("id", "x", "y"\)'
    ):
        trained(ByName(x=X, y=Y))
    with pytest.raises(
        ArgumentError, match=r'evaluate: a batch has arrays by name.*\n  hint   keys=\("x", "y"\)'
    ):
        evaluate(network(), cross_entropy, [{"x": X, "y": Y}])
    with pytest.raises(
        ArgumentError, match=r'evaluate: a batch has arrays by name.*\n  hint   keys=\("x", "y"\)'
    ):
        evaluate(network(), cross_entropy, {"x": X, "y": Y})
    with pytest.raises(ArgumentError, match="fit: data are batches, and these are whole arrays"):
        trained({"x": X, "y": Y}, keys=("x", "y"))


@pytest.mark.parametrize(
    ("data", "keys", "message"),
    [
        (ByName(x=X, y=Y), ("x", "label", "w"), "fit: a batch has no 'label', 'w'; it has 'id', 'x', 'y'"),
        (
            batches(X, Y, size=40),
            ("x", "y"),
            r"keys=\('x', 'y'\) are of batches with arrays by name, got a tuple",
        ),
        (ByName(x=X, y=Y), "xy", r"keys are the names of the arrays of a batch, got 'xy'\n  hint   keys="),
        (ByName(x=X, y=Y), ("x",), "keys are the names of the arrays"),
        (ByName(x=X, y=Y), (0, 1), "keys are the names of the arrays"),
        (ByName(x=X, y=Y), 3, "keys are the names of the arrays"),
    ],
)
def test_keys_that_do_not_fit_are_refused(data, keys, message):
    with pytest.raises(ArgumentError, match=message):
        trained(data, keys=keys)


def test_a_dict_inside_of_a_batch_is_one_input():
    class Named(nn.Module):
        def forward(self, parts):
            return tn.as_tensor(parts["a"]) + parts["b"]

    assert evaluate(Named(), cross_entropy, [({"a": X, "b": X}, Y)]) == evaluate(
        lambda x: tn.as_tensor(x) + x, cross_entropy, (X, Y)
    )
