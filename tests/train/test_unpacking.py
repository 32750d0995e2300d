"""What goes by name is not unpacked into its names, and is a dict in all else."""

import _thread
import copy
import json
import pickle
from collections import deque
from itertools import chain
from queue import SimpleQueue

import numpy as np
import pytest

from tests.support.training import X, Y, network
from tinygrad_nn import optim
from tinygrad_nn.data import batches
from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import History, evaluate, fit


@pytest.fixture
def measured():
    return evaluate(network(), cross_entropy, (X, Y), metrics=["accuracy"])


def test_numbers_by_name_are_not_taken_apart_into_their_names(measured):
    with pytest.raises(
        ArgumentError, match=r"evaluate: .*'loss', 'accuracy'\n  hint   loss, accuracy = evaluate\(\.\.\.\)"
    ):
        loss, accuracy = measured
    with pytest.raises(ArgumentError, match="go by name"):
        loss, *_others = measured
    with pytest.raises(ArgumentError, match="go by name"):
        [loss for loss, _ in [measured]]
    loss, accuracy = measured.values()
    assert (loss, accuracy) == (measured["loss"], measured["accuracy"])


def test_the_line_to_write_can_be_written_whatever_the_numbers_are_called():
    measure = {"top-5": lambda predictions, targets: 1.0}
    with pytest.raises(
        ArgumentError, match=r"'top-5'\n  hint   loss, metric1 = evaluate\(\.\.\.\)\.values\(\)"
    ):
        _loss, _top = evaluate(network(), cross_entropy, (X, Y), metrics=measure)
    with pytest.raises(ArgumentError, match=r"hint   loss = evaluate\(\.\.\.\)\['loss'\]; more .*metrics="):
        _loss, _accuracy = evaluate(network(), cross_entropy, (X, Y))


def test_names_can_be_asked_for_where_no_line_of_python_asks(measured):
    names = SimpleQueue()
    # A thread that has no function of Python asks for them.
    _thread.start_new_thread(deque, (map(names.put, chain.from_iterable([measured])),))
    assert [names.get(timeout=30) for _ in measured] == ["loss", "accuracy"]


def test_numbers_by_name_are_a_dict_in_all_else(measured):
    plain = {"loss": measured["loss"], "accuracy": measured["accuracy"]}
    assert measured == plain == dict(measured) == {**measured} == {name: measured[name] for name in measured}
    assert list(measured) == [*measured] == sorted(measured, reverse=True) == ["loss", "accuracy"]
    assert (lambda **given: given)(**measured) == json.loads(json.dumps(measured)) == plain
    assert repr(measured) == repr(plain)
    for twin in (copy.copy(measured), copy.deepcopy(measured), pickle.loads(pickle.dumps(measured))):
        assert twin == plain


def test_a_history_is_not_taken_apart_into_the_names_of_its_columns():
    model = network()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, cross_entropy, sgd, batches(X, Y, size=50, rng=0), progress=False)
    with pytest.raises(
        ArgumentError, match=r"'loss', 'seconds'\n  hint   history = fit\(\.\.\.\); history\[\"loss\"\]"
    ):
        _loss, _seconds = history
    with pytest.raises(ArgumentError, match="History: its numbers go by name"):
        _loss, _seconds = history.history
    assert list(history) == list(history.history) == ["loss", "seconds"]
    assert history.history == {"loss": history["loss"], "seconds": history["seconds"]}
    assert np.isfinite(history["loss"]).all()
    assert History({"loss": [1.0]})["loss"] == [1.0]
