"""PyTorch as an oracle: 50 steps of every optimizer that it has, in float64."""

import inspect

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import optim

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinygrad_nn[oracle]'")
SETTINGS = {
    "SGD": [{"lr": 0.1}, {"lr": 0.05, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.5, "nesterov": True}],
    "Adam": [{}, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}],
    "AdamW": [{}, {"lr": 0.1, "weight_decay": 0.3}],
    "RMSprop": [
        {},
        {"momentum": 0.9},
        {"centered": True},
        {"lr": 0.1, "alpha": 0.7, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.5, "centered": True},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.3, "eps": 1e-3},
    ],
}


def gradient(k, size):
    rng = np.random.default_rng(k)
    return rng.normal(size=size) * 10.0 ** rng.integers(-3, 3)


def compare(name, make_groups, settings, schedule=None):
    start = [np.linspace(-1, 2, 5), np.linspace(2, -3, 3)]
    ours = [tn.tensor(x, requires_grad=True) for x in start]
    theirs = [torch.tensor(x, requires_grad=True) for x in start]
    here = getattr(optim, name)(make_groups("parameters", ours), **settings)
    there = getattr(torch.optim, name)(make_groups("params", theirs), **settings)
    scheduler = None
    if schedule is not None:
        here.lr = schedule
        scheduler = torch.optim.lr_scheduler.LambdaLR(there, schedule)
    for k in range(50):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = gradient(k, p.size)
            q.grad = torch.tensor(p.grad)
        here.step()
        there.step()
        if scheduler is not None:
            scheduler.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "settings"), [(name, settings) for name, several in SETTINGS.items() for settings in several]
)
def test_fifty_steps(name, settings):
    compare(name, lambda key, parameters: parameters, settings)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("schedule", [None, lambda k: 0.9**k])
def test_fifty_steps_in_groups(name, schedule):
    compare(
        name,
        lambda key, parameters: [{key: parameters[:1], "lr": 0.03}, {key: parameters[1:]}],
        {"lr": 0.01},
        schedule,
    )


def test_defaults_are_pytorchs():
    for name in ("RMSprop", "Adagrad", "Adam", "AdamW"):
        theirs = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).defaults
        settings = inspect.signature(getattr(optim, name)).parameters.values()
        ours = {x.name: x.default for x in settings if x.default is not inspect.Parameter.empty}
        assert {key: theirs[key] for key in ours} == ours


def test_the_average_of_weights_is_that_of_an_averaged_model():
    model = tn.nn.Dense(3, 2, rng=0, dtype=np.float64)
    twin = torch.nn.Linear(3, 2, dtype=torch.float64)
    theirs = torch.optim.swa_utils.AveragedModel(
        twin, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    ours = tn.train.EMA(model, 0.9)
    for k in range(50):
        model.weight.data[...], model.bias.data[...] = gradient(k, (3, 2)), gradient(-k % 99, 2)
        with torch.no_grad():
            twin.weight.copy_(torch.tensor(model.weight.data.T))
            twin.bias.copy_(torch.tensor(model.bias.data))
        ours.update()
        theirs.update_parameters(twin)
    with ours.averaged():
        np.testing.assert_allclose(model.weight.data.T, theirs.module.weight.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(model.bias.data, theirs.module.bias.detach().numpy(), rtol=1e-12)
