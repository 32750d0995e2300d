"""Optimizers follow the formulas that were published, step by step."""

import pytest

import tinygrad_nn as tn
from tests.support.update_rules import adagrad, adam, lion, rmsprop, sgd
from tinygrad_nn.optim import SGD, Adagrad, Adam, AdamW, Lion, Optimizer, RMSprop
from tinygrad_nn.testing import check_optimizer

OPTIMIZERS = {
    "SGD": (lambda ps: SGD(ps, lr=0.01), sgd(0.01)),
    "SGD momentum": (lambda ps: SGD(ps, lr=0.01, momentum=0.9), sgd(0.01, 0.9)),
    "SGD Nesterov": (lambda ps: SGD(ps, lr=0.01, momentum=0.8, nesterov=True), sgd(0.01, 0.8, True)),
    "SGD decay": (lambda ps: SGD(ps, lr=0.01, weight_decay=0.1), sgd(0.01, weight_decay=0.1)),
    "SGD everything": (
        lambda ps: SGD(ps, lr=0.02, momentum=0.7, nesterov=True, weight_decay=0.3),
        sgd(0.02, 0.7, True, 0.3),
    ),
    "Adam": (lambda ps: Adam(ps), adam()),
    "Adam betas": (lambda ps: Adam(ps, 0.1, betas=(0.5, 0.6), eps=1e-3), adam(0.1, (0.5, 0.6), 1e-3)),
    "Adam decay": (lambda ps: Adam(ps, 0.01, weight_decay=0.1), adam(0.01, weight_decay=0.1)),
    "Adam beta 0": (lambda ps: Adam(ps, 0.01, betas=(0.0, 0.9)), adam(0.01, (0.0, 0.9))),
    "AdamW": (lambda ps: AdamW(ps), adam(weight_decay=0.01, decoupled=True)),
    "AdamW decay": (lambda ps: AdamW(ps, 0.1, weight_decay=0.5), adam(0.1, weight_decay=0.5, decoupled=True)),
    "RMSprop": (lambda ps: RMSprop(ps), rmsprop()),
    "RMSprop momentum": (lambda ps: RMSprop(ps, momentum=0.9, alpha=0.5), rmsprop(alpha=0.5, momentum=0.9)),
    "RMSprop centered": (lambda ps: RMSprop(ps, centered=True, eps=1e-3), rmsprop(eps=1e-3, centered=True)),
    "RMSprop everything": (
        lambda ps: RMSprop(ps, 0.1, alpha=0.9, eps=1e-2, weight_decay=0.1, momentum=0.5, centered=True),
        rmsprop(0.1, 0.9, 1e-2, 0.1, 0.5, True),
    ),
    "Adagrad": (lambda ps: Adagrad(ps), adagrad()),
    "Adagrad everything": (
        lambda ps: Adagrad(ps, 0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3),
        adagrad(0.1, 0.1, 0.1, 0.5, 1e-3),
    ),
    "Lion": (lambda ps: Lion(ps), lion()),
    "Lion everything": (
        lambda ps: Lion(ps, 0.01, betas=(0.5, 0.7), weight_decay=0.3),
        lion(0.01, (0.5, 0.7), 0.3),
    ),
    "SGD in groups": (lambda ps: SGD(split(ps), lr=10.0, momentum=0.9), sgd(0.01, 0.9)),
    "Adam in groups": (lambda ps: Adam(split(ps)), adam(0.01)),
    "Lion in groups under a schedule": (lambda ps: Lion(split(ps), lr=lambda step: 0.5), lion(0.005)),
}


def split(parameters):
    """Return a group for each of the parameters, which are refused as those of a list are."""
    return [{"parameters": [parameter], "lr": 0.01} for parameter in parameters]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_follow_their_published_formula_for_a_hundred_steps(name):
    factory, formula = OPTIMIZERS[name]
    check_optimizer(factory, formula)


def test_every_optimizer_is_checked():
    public = {
        value for value in vars(tn.optim).values() if isinstance(value, type) and issubclass(value, Optimizer)
    }
    checked = {type(factory([tn.tensor([1.0], requires_grad=True)])) for factory, _ in OPTIMIZERS.values()}
    assert public - {Optimizer} == checked
