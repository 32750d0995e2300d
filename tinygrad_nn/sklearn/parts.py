"""What an estimator trains: the network and the optimizer that its settings say."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from tinygrad_nn.errors import ArgumentError, SettingError, ShapeError
from tinygrad_nn.hints.words import closest, word
from tinygrad_nn.nn import activations
from tinygrad_nn.nn.containers import Sequential
from tinygrad_nn.nn.dense import Dense
from tinygrad_nn.nn.dropout import Dropout
from tinygrad_nn.nn.init import he_normal
from tinygrad_nn.nn.module import Module
from tinygrad_nn.optim import SGD, Adagrad, Adam, AdamW, Lion, Optimizer, RMSprop
from tinygrad_nn.optim.schedules import Schedule
from tinygrad_nn.primitives import Array
from tinygrad_nn.primitives.operands import Function
from tinygrad_nn.primitives.signature import parameters_of
from tinygrad_nn.settings import is_integer, positive_integer
from tinygrad_nn.train.loop import predict

Found = TypeVar("Found")

ACTIVATIONS: Mapping[str, type[Module] | None] = {
    "elu": activations.ELU,
    "gelu": activations.GELU,
    "identity": None,
    "leaky_relu": activations.LeakyReLU,
    "logistic": activations.Sigmoid,
    "relu": activations.ReLU,
    "silu": activations.SiLU,
    "softplus": activations.Softplus,
    "tanh": activations.Tanh,
}
OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    "adagrad": Adagrad,
    "adam": Adam,
    "adamw": AdamW,
    "lion": Lion,
    "rmsprop": RMSprop,
    "sgd": SGD,
}


def dense_network(
    who: str,
    hidden: int | Sequence[int],
    activation: str,
    dropped: float,
    widths: tuple[int, int],
    rng: np.random.Generator,
    dtype: np.dtype,
) -> Module:
    """Return dense layers from `widths[0]` features to `widths[1]` outputs, with an activation after each but the last.

    Raises:
        SettingError: a width, a name or a probability that is none.
    """
    sizes = [hidden] if is_integer(hidden) else hidden
    if isinstance(sizes, (str, int, float)) or sizes is None:
        raise SettingError(
            f"{who}: hidden_layer_sizes are integers, got {hidden!r:.60}\n  hint   hidden_layer_sizes=(100, 50)"
        )
    kind = _named(who, "activation", activation, ACTIVATIONS, "module= is for other networks")
    layers: list[Module] = []
    width = widths[0]
    for size in sizes:
        size = positive_integer(who, "an item of hidden_layer_sizes", size)
        layers.append(
            Dense(width, size, init=he_normal() if activation == "relu" else None, rng=rng, dtype=dtype)
        )
        if kind is not None:
            layers.append(kind())
        if dropped:
            layers.append(Dropout(dropped, rng=rng))
        width = size
    return Sequential(*layers, Dense(width, widths[1], rng=rng, dtype=dtype))


def network_of(who: str, factory: Function, X: Array, outputs: int, rng: np.random.Generator) -> Module:
    """Return the network that a user's function makes, after a look at what it does with a row.

    Raises:
        ArgumentError: `module` is no such function, or makes something else; the network takes more than x.
        ShapeError: it does not give `outputs` numbers for a row.
    """
    hint = "\n  hint   module=lambda n_in, n_out, rng: nn.Sequential(nn.Dense(n_in, n_out, rng=rng))"
    if isinstance(factory, Module) or not callable(factory) or not _takes_three(factory):
        raise ArgumentError(
            f"{who}: module is called with n_in, n_out, rng for each fit and makes a network, got {factory!r:.60}{hint}"
        )
    model = factory(X.shape[1], outputs, rng)
    if not isinstance(model, Module):
        raise ArgumentError(f"{who}: module made {type(model).__name__}, expected a module{hint}")
    takes = parameters_of(model.forward) or []
    if sum(p.kind is not p.KEYWORD_ONLY for p in takes) != 1:
        names = ", ".join(str(p) for p in takes)
        raise ArgumentError(
            f"{who}: the network takes ({names}), and is given rows alone\n  hint   def forward(self, x)"
        )
    found = np.shape(predict(model, X[:1]))
    if found != (1, outputs):
        raise ShapeError(
            f"{who}: of a row the network made {found}, expected (1, {outputs})\n"
            "  hint   a last layer nn.Dense(..., n_out)"
        )
    return model


def _takes_three(factory: Function) -> bool:
    try:
        inspect.signature(factory).bind(None, None, None)
    except TypeError:
        return False
    return True


def optimizer_of(who: str, choice: str | Function, model: Module, rate: float | Schedule) -> Optimizer:
    """Return the optimizer of the network's parameters.

    Raises:
        SettingError: an unknown name, a rate that is none.
        ArgumentError: an optimizer that is made already, or something else that makes none.
    """
    if isinstance(choice, str):
        make: Function = _named(
            who, "optimizer", choice, OPTIMIZERS, "optimizer=partial(optim.SGD, momentum=0.9)"
        )
    elif isinstance(choice, Optimizer) or not callable(choice):
        raise ArgumentError(
            f"{who}: optimizer is a name, or is called with the parameters and lr=, got {choice!r:.60}\n"
            "  hint   optimizer=optim.AdamW, or functools.partial(optim.SGD, momentum=0.9)"
        )
    else:
        make = choice
    made = make(model.parameters(), lr=rate)
    if not isinstance(made, Optimizer):
        raise ArgumentError(f"{who}: optimizer made {type(made).__name__}, expected one of tn.optim")
    return made


def _named(who: str, setting: str, name: str, table: Mapping[str, Found], otherwise: str) -> Found:
    if not isinstance(name, str) or name not in table:
        meant = word(str(name), "estimators") or closest(str(name).lower(), table)
        hint = meant if meant and "=" in meant else f'{setting}="{meant}"' if meant else otherwise
        raise SettingError(
            f"{who}: there is no {setting} {name!r:.60}; there are {', '.join(table)}\n  hint   {hint}"
        )
    return table[name]
