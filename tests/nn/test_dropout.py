"""Dropout: active while training, and bit for bit the same after a checkpoint."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import CheckpointError

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
LABELS = np.array([0, 1, 0, 1, 1, 0])


def test_it_drops_while_training_only():
    layer = nn.Dropout(0.5, rng=0)
    x = tn.tensor(X)
    assert (layer(x).data == 0).any()
    np.testing.assert_allclose(layer(np.ones((99, 99))).data.max(), 2)
    assert layer.eval()(x) is x
    assert (layer.train()(x).data == 0).any()
    assert repr(layer) == "Dropout(p=0.5)"


def test_the_same_seed_draws_the_same_and_a_generator_may_be_shared():
    a, b = nn.Dropout(0.5, rng=7), nn.Dropout(0.5, rng=7)
    np.testing.assert_array_equal(a(X).data, b(X).data)
    rng = np.random.default_rng(7)
    c, d = nn.Dropout(0.5, rng=rng), nn.Dropout(0.5, rng=rng)
    assert c.rng is d.rng
    assert not np.array_equal(c(X).data, d(X).data)


def test_copies_draw_on_their_own():
    layer = nn.Dropout(0.5, rng=7)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        state = copy.deepcopy(layer.rng.bit_generator.state)
        twin(X)
        assert layer.rng.bit_generator.state == state


def model(seed=0, rng=1):
    return nn.Sequential(nn.Dense(3, 8, rng=seed), nn.Dropout(0.4, rng=rng), nn.Dense(8, 2, rng=seed + 1))


def steps(net, optimizer, count):
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = nn.losses.cross_entropy(net(X), LABELS)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_a_training_that_goes_on_from_a_checkpoint_draws_what_it_would_have_drawn(tmp_path):
    net = model()
    optimizer = tn.optim.Adam(net.parameters(), lr=0.01)
    steps(net, optimizer, 3)
    tn.save(tmp_path / "c", model=net, optimizer=optimizer)
    expected = steps(net, optimizer, 4)
    again = model(5, 9)
    other = tn.optim.Adam(again.parameters(), lr=0.01)
    tn.load(tmp_path / "c", model=again, optimizer=other)
    assert steps(again, other, 4) == expected


def test_fit_resumes_bit_for_bit(tmp_path):
    path = tmp_path / "c.safetensors"

    def run(epochs, *callbacks):
        net = model()
        optimizer = tn.optim.Adam(net.parameters(), lr=0.01)
        data = tn.data.batches(X, LABELS, size=2, rng=4)
        loss = nn.losses.cross_entropy
        tn.train.fit(net, loss, optimizer, data, epochs=epochs, callbacks=callbacks, progress=False)
        return net.state_dict()

    whole = run(4)
    run(2, tn.train.Checkpoint(path))
    resumed = run(4, tn.train.Checkpoint(path))
    for name, array in whole.items():
        np.testing.assert_array_equal(resumed[name], array)


def test_weights_alone_fit_models_with_and_without_dropout(tmp_path):
    plain = nn.Sequential(nn.Dense(3, 8, rng=3), np.tanh, nn.Dense(8, 2, rng=4))
    net = model()
    net.load_state_dict(plain.state_dict())
    plain.load_state_dict(net.state_dict())
    tn.save(tmp_path / "c", model=plain)
    with pytest.raises(
        CheckpointError, match=r"0 random generators saved, but the module has 1\n  hint   load into a"
    ):
        tn.load(tmp_path / "c", model=net)


def test_it_is_captured_for_the_mode_that_it_is_in(backend):
    net, twin = model(), model()
    compiled = tn.compile(lambda x: net(x), backend)
    for training in (True, False, True):
        net.train(training)
        twin.train(training)
        for _ in range(2):
            np.testing.assert_allclose(compiled(X).data, twin(X).data, rtol=1e-5)
    assert len(compiled.programs) == 2
