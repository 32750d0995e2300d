"""BatchNorm and GroupNorm: running averages, modes, checkpoints, and compiled steps that keep them going."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn
from tinygrad_nn.errors import SettingError, ShapeError

RNG = np.random.default_rng(0)
BATCHES = [np.float32(RNG.normal(k, 1 + k, (5, 2, 3))) for k in range(4)]


def test_running_averages_follow_the_batches_with_the_unbiased_variance():
    layer = nn.BatchNorm(3, momentum=0.3)
    mean, var = np.zeros(3), np.ones(3)
    for x in BATCHES:
        y = layer(x).data
        np.testing.assert_allclose(y.mean(axis=(0, 1)), 0, atol=1e-6)
        np.testing.assert_allclose(y.std(axis=(0, 1)), 1, rtol=1e-3)
        mean = 0.7 * mean + 0.3 * x.mean(axis=(0, 1))
        var = 0.7 * var + 0.3 * x.var(axis=(0, 1), ddof=1)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-5)
    assert layer.running_mean.dtype == layer.running_var.dtype == np.float32


def test_evaluation_uses_the_averages_and_leaves_them_alone():
    layer = nn.BatchNorm(3)
    layer(BATCHES[1])
    before = layer.state_dict()
    layer.eval()
    x = BATCHES[2]
    expected = (x - layer.running_mean) / np.sqrt(layer.running_var + 1e-5)
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(layer(x[:1]).data, layer(x).data[:1])
    after = layer.state_dict()
    assert list(after) == ["weight", "bias", "running_mean", "running_var"]
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


def test_a_backward_pass_after_later_batches_is_that_of_its_own():
    layer = nn.BatchNorm(3).eval()
    x = tn.tensor(BATCHES[0], requires_grad=True)
    y = layer(x)
    layer.train()(BATCHES[3])
    (g,) = tn.gradients(y.sum(), [x])
    np.testing.assert_allclose(g.data, np.full(x.shape, 1 / np.sqrt(1 + 1e-5)), rtol=1e-6)


def test_an_empty_batch_and_a_batch_that_is_refused_change_no_averages():
    layer = nn.BatchNorm(3)
    assert layer(np.zeros((0, 4, 3), np.float32)).shape == (0, 4, 3)
    with pytest.raises(ShapeError, match="BatchNorm: x of shape .1, 3. has one value for each channel"):
        layer(np.ones((1, 3)))
    with pytest.raises(
        ShapeError, match=r"BatchNorm: x has shape \(2, 3, 8, 8\)(.|\n)*np.moveaxis\(x, 1, -1\)"
    ):
        layer(np.ones((2, 3, 8, 8)))
    assert not layer.running_mean.any()
    assert (layer.running_var == 1).all()


def test_no_grad_in_training_moves_the_averages_as_training_does():
    layer = nn.BatchNorm(3)
    with tn.no_grad():
        layer(BATCHES[1])
    assert layer.running_mean.all()


def test_averages_are_saved(tmp_path):
    layer, other = nn.BatchNorm(3), nn.BatchNorm(3)
    layer(BATCHES[2])
    tn.save(tmp_path / "c", model=layer)
    tn.load(tmp_path / "c", model=other)
    np.testing.assert_array_equal(layer.eval()(BATCHES[0]).data, other.eval()(BATCHES[0]).data)


def test_the_dtype_is_that_of_parameters_and_averages():
    layer = nn.BatchNorm(3, dtype=np.float64)
    assert layer(BATCHES[0].astype(np.float16)).dtype == np.float64
    assert {x.dtype for x in layer.state_dict().values()} == {np.dtype(np.float64)}
    assert nn.BatchNorm(3)(BATCHES[0].astype(np.float64)).dtype == np.float32


def test_settings_that_are_none_are_refused():
    for features in (0, -1, 2.5, True, "3", None):
        for make in (nn.BatchNorm, lambda n: nn.GroupNorm(1, n)):
            with pytest.raises(SettingError, match="features is a positive integer"):
                make(features)
    for eps in (-1e-5, float("nan"), float("inf"), None):
        with pytest.raises(SettingError, match="eps is a number in"):
            nn.BatchNorm(3, eps=eps)
    for momentum in (None, 1.1, -0.1, float("nan")):
        with pytest.raises(SettingError, match="momentum is the share of the newest batch"):
            nn.BatchNorm(3, momentum=momentum)
    with pytest.raises(SettingError, match=r"GroupNorm: 6 channels do not make 4 groups(.|\n)*1, 2, 3, 6"):
        nn.GroupNorm(4, 6)


def test_group_norm_does_the_same_in_training_and_evaluation():
    layer = nn.GroupNorm(3, 3)
    trained = layer(BATCHES[1]).data
    np.testing.assert_array_equal(layer.eval()(BATCHES[1]).data, trained)
    np.testing.assert_allclose(trained.mean(axis=1), 0, atol=1e-6)
    assert repr(layer) == "GroupNorm(3, 3)"
    assert repr(nn.BatchNorm(3)) == "BatchNorm(3)"


def network():
    return nn.Sequential(
        nn.Dense(3, 4, rng=0), nn.BatchNorm(4), np.tanh, nn.Dense(4, 2, rng=1), nn.GroupNorm(2, 2)
    )


def trainer(net):
    optimizer = tn.optim.Adam(net.parameters(), lr=0.01)

    def step(x):
        optimizer.zero_grad()
        loss = (net(x) ** 2).sum() if net.training else net(x).sum()
        if net.training:
            loss.backward()
            optimizer.step()
        return loss

    return step


def test_compiled_steps_move_the_averages_and_follow_the_mode_and_what_is_loaded():
    nets = network(), network()
    eager, step = map(trainer, nets)
    compiled = tn.compile(step, "numpy")
    saved = nets[0].state_dict()
    for k, training in enumerate([True, True, True, False, False, True, False, True]):
        for net in nets:
            net.train(training)
            if k == 5:
                net.load_state_dict(saved)
        x = BATCHES[k % 4]
        assert compiled(x).item() == eager(tn.as_tensor(x)).item()
        for (name, a), (_, b) in zip(nets[0].state_dict().items(), nets[1].state_dict().items(), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    # One for training, and two for evaluation: with gradients to forget, and without.
    assert len(compiled.programs) == 3


def test_compiled_loops_do_what_eager_steps_do(backend):
    nets = network(), network()
    eager, step = map(trainer, nets)
    compiled = tn.compile(step, backend)
    for x in BATCHES:
        np.testing.assert_allclose(compiled(x).item(), eager(tn.as_tensor(x)).item(), rtol=1e-5)
    np.testing.assert_allclose(nets[1][1].running_var, nets[0][1].running_var, rtol=1e-5)


def test_a_capture_and_a_picture_leave_the_averages_alone():
    net = network()
    before = net.state_dict()
    tn.trace(net, BATCHES[0])
    net.summary((3,))
    net(BATCHES[0]).graph()
    moved = net.state_dict()
    assert not np.array_equal(moved["1.running_mean"], before["1.running_mean"])
    net.load_state_dict(before)
    tn.trace(net, BATCHES[0])
    str(net.summary((3,)))
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_layer_that_is_called_twice_in_one_step_moves_its_averages_twice(backend):
    def make():
        layer = nn.BatchNorm(3, momentum=0.5)
        return layer, lambda x: layer(layer(x) * 2 + 1)

    (a, eager), (b, step) = make(), make()
    compiled = tn.compile(step, backend)
    for x in BATCHES:
        np.testing.assert_allclose(compiled(x).data, eager(x).data, rtol=1e-5)
        np.testing.assert_allclose(b.running_mean, a.running_mean, rtol=1e-6)
        np.testing.assert_allclose(b.running_var, a.running_var, rtol=1e-6)
