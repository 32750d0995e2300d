"""The same training step in this library and in every peer that is installed.

Each function takes a workload and returns `(step, prepare)`: `step(x, labels)` trains once and returns the
loss, `prepare` turns arrays into what the peer likes best, outside of the measurement. A peer that is missing
raises ImportError. All are written as their own documentation recommends.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_nn as tn
from tests.benchmarks.by_hand import by_hand
from tests.benchmarks.workloads import BETAS, EPS, Workload
from tests.support.steps import training_step

Contestant = tuple[Callable[[Any, Any], Any], Callable[[Any], Any]]


def _as_is(array: Any) -> Any:
    return array


def numpy_by_hand(workload: Workload) -> Contestant:
    return by_hand(workload), _as_is


def our_step(workload: Workload) -> Callable[[Any, Any], Any]:
    kinds = {"tanh": tn.nn.Tanh, "sigmoid": tn.nn.Sigmoid, "relu": tn.nn.ReLU}
    modules: list[Any] = []
    for weight, bias in workload.first_weights():
        layer = tn.nn.Dense(*weight.shape, dtype=weight.dtype)
        layer.load_state_dict({"weight": weight, "bias": bias})
        modules += [layer, kinds[workload.activation]()]
    model = tn.nn.Sequential(*modules[:-1])
    if workload.optimizer == "sgd":
        optimizer: Any = tn.optim.SGD(model.parameters(), lr=workload.rate)
    else:
        optimizer = tn.optim.Adam(model.parameters(), lr=workload.rate, betas=BETAS, eps=EPS)
    return training_step(model, optimizer)


def eager(workload: Workload) -> Contestant:
    return our_step(workload), _as_is


def compiled(workload: Workload) -> Contestant:
    return tn.compile(our_step(workload)), _as_is


def compiled_numpy(workload: Workload) -> Contestant:
    return tn.compile(our_step(workload), backend="numpy"), _as_is


def compiled_numba(workload: Workload) -> Contestant:
    return tn.compile(our_step(workload), backend="numba"), _as_is


def torch_training(
    loss_of: Callable[..., Any], parameters: Any, optimizer: str, rate: float
) -> Callable[..., Any]:
    """Return a training step of PyTorch, which takes a batch."""
    import torch

    if optimizer == "sgd":
        chosen: Any = torch.optim.SGD(parameters, lr=rate)
    else:
        chosen = torch.optim.Adam(parameters, lr=rate, betas=BETAS, eps=EPS)

    def step(*batch: Any) -> Any:
        chosen.zero_grad()
        loss = loss_of(*batch)
        loss.backward()
        chosen.step()
        return loss.detach()

    return step


def _torch_model(workload: Workload) -> Any:
    import torch

    kinds = {"tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU}
    modules: list[Any] = []
    for weight, bias in workload.first_weights():
        layer = torch.nn.Linear(*weight.shape, dtype=getattr(torch, workload.dtype))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight.T))
            layer.bias.copy_(torch.from_numpy(bias))
        modules += [layer, kinds[workload.activation]()]
    return torch.nn.Sequential(*modules[:-1])


def _pytorch(workload: Workload, made: Callable[[Any], Any]) -> Contestant:
    import torch

    model = _torch_model(workload)
    loss_of = made(lambda x, labels: torch.nn.functional.cross_entropy(model(x), labels))
    step = torch_training(loss_of, model.parameters(), workload.optimizer, workload.rate)
    return step, torch.from_numpy


def pytorch(workload: Workload) -> Contestant:
    return _pytorch(workload, _as_is)


def torch_compile(workload: Workload) -> Contestant:
    import torch

    return _pytorch(workload, torch.compile)


def jax_training(
    loss_of: Callable[..., Any], parameters: Any, state: Any, optimizer: str, rate: float
) -> Callable[..., Any]:
    """Return a training step of JAX, which takes a batch.

    Args:
        loss_of: `(parameters, state, *batch) -> (loss, state)`.
        parameters, state: arrays, whose memory the step takes over.
        optimizer: "sgd" or "adam".
        rate: the learning rate.
    """
    import jax

    jnp = jax.numpy
    b1, b2 = BETAS
    gradients_of = jax.value_and_grad(loss_of, has_aux=True)

    def sgd(parameters: Any, moments: Any, state: Any, *batch: Any) -> Any:
        (loss, state), gradients = gradients_of(parameters, state, *batch)
        return loss, jax.tree.map(lambda w, g: w - rate * g, parameters, gradients), moments, state

    def adam(parameters: Any, moments: Any, state: Any, *batch: Any) -> Any:
        t, first, second = moments
        t = t + 1
        (loss, state), gradients = gradients_of(parameters, state, *batch)
        first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, first, gradients)
        second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, second, gradients)
        scale, root = rate / (1 - b1**t), 1 / jnp.sqrt(1 - b2**t)
        parameters = jax.tree.map(
            lambda w, m, v: w - scale * m / (jnp.sqrt(v) * root + EPS), parameters, first, second
        )
        return loss, parameters, (t, first, second), state

    moments: Any = ()
    if optimizer == "adam":
        # Buffers that a step takes over must not be shared.
        moments = (
            jnp.zeros((), "float32"),
            jax.tree.map(jnp.zeros_like, parameters),
            jax.tree.map(jnp.zeros_like, parameters),
        )
    train = jax.jit({"sgd": sgd, "adam": adam}[optimizer], donate_argnums=(0, 1, 2))

    def step(*batch: Any) -> Any:
        nonlocal parameters, moments, state
        loss, parameters, moments, state = train(parameters, moments, state, *batch)
        return loss.block_until_ready()

    return step


def jax_jit(workload: Workload) -> Contestant:
    import jax

    if workload.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    function = {"tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}[workload.activation]

    def loss_of(layers: Any, state: Any, x: Any, labels: Any) -> Any:
        for weight, bias in layers[:-1]:
            x = function(x @ weight + bias)
        weight, bias = layers[-1]
        chosen = jax.nn.log_softmax(x @ weight + bias)[jnp.arange(len(labels)), labels]
        return -chosen.mean(), state

    layers = jax.tree.map(jnp.asarray, workload.first_weights())
    return jax_training(loss_of, layers, (), workload.optimizer, workload.rate), jnp.asarray


def pytensor(workload: Workload) -> Contestant:
    import pytensor
    import pytensor.tensor as pt

    function = {"tanh": pt.tanh, "sigmoid": pt.sigmoid, "relu": lambda z: pt.maximum(z, 0)}
    layers = [
        [pytensor.shared(array, name=f"{kind}{k}") for kind, array in zip("wb", layer, strict=True)]
        for k, layer in enumerate(workload.first_weights())
    ]
    x, labels = pt.matrix("x", dtype=workload.dtype), pt.lvector("labels")
    y = x
    for weight, bias in layers[:-1]:
        y = function[workload.activation](y @ weight + bias)
    weight, bias = layers[-1]
    chosen = pt.special.log_softmax(y @ weight + bias, axis=1)[pt.arange(labels.shape[0]), labels]
    loss = -pt.mean(chosen)
    parameters = list(itertools.chain(*layers))
    gradients = pytensor.grad(loss, parameters)
    rate = np.asarray(workload.rate, workload.dtype)
    if workload.optimizer == "sgd":
        updates = {w: w - rate * g for w, g in zip(parameters, gradients, strict=True)}
    else:
        updates = _adam_updates(parameters, gradients, rate)
    return pytensor.function([x, labels], loss, updates=updates, mode="NUMBA"), _as_is


def _adam_updates(parameters: list[Any], gradients: list[Any], rate: Any) -> dict[Any, Any]:
    """Return what PyTensor has to change in a step of Adam, and to what."""
    import pytensor
    import pytensor.tensor as pt

    dtype = rate.dtype
    one, b1, b2, eps = (np.asarray(number, dtype) for number in (1, *BETAS, EPS))
    t = pytensor.shared(np.zeros((), dtype), name="t")
    updates = {t: t + one}
    scale, root = rate / (one - b1 ** updates[t]), one / pt.sqrt(one - b2 ** updates[t])
    for w, g in zip(parameters, gradients, strict=True):
        m, v = (pytensor.shared(np.zeros_like(w.get_value())) for _ in range(2))
        updates[m] = b1 * m + (one - b1) * g
        updates[v] = b2 * v + (one - b2) * g * g
        updates[w] = w - scale * updates[m] / (pt.sqrt(updates[v]) * root + eps)
    return updates


def _functional(workload: Workload, gradient_of: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """Return a step around `gradient_of(parameters, x, labels) -> (loss, gradients)` on plain arrays."""
    from tests.benchmarks.by_hand import _adam, _sgd

    parameters = list(itertools.chain(*workload.first_weights()))
    update = {"sgd": _sgd, "adam": _adam}[workload.optimizer](parameters, workload.rate)

    def step(x: Any, labels: Any) -> Any:
        loss, gradients = gradient_of(parameters, x, labels)
        update(gradients)
        return loss

    return step


def autograd(workload: Workload) -> Contestant:
    import autograd.numpy as anp
    from autograd import value_and_grad

    function = {
        "tanh": anp.tanh,
        "sigmoid": lambda z: 1 / (1 + anp.exp(-z)),
        "relu": lambda z: anp.maximum(z, 0),
    }[workload.activation]

    def loss_of(parameters: Any, x: Any, labels: Any) -> Any:
        for k in range(0, len(parameters) - 2, 2):
            x = function(anp.dot(x, parameters[k]) + parameters[k + 1])
        logits = anp.dot(x, parameters[-2]) + parameters[-1]
        logits = logits - anp.max(logits, axis=1, keepdims=True)
        chosen = logits[anp.arange(len(labels)), labels]
        return anp.mean(anp.log(anp.sum(anp.exp(logits), axis=1)) - chosen)

    return _functional(workload, value_and_grad(loss_of)), _as_is


def mygrad(workload: Workload) -> Contestant:
    import mygrad as mg
    from mygrad.nnet.activations import relu, sigmoid
    from mygrad.nnet.losses import softmax_crossentropy

    mg.turn_memory_guarding_off()
    function = {"tanh": mg.tanh, "sigmoid": sigmoid, "relu": relu}[workload.activation]

    def gradient_of(arrays: Any, x: Any, labels: Any) -> Any:
        parameters = [mg.tensor(array, copy=False) for array in arrays]
        for k in range(0, len(parameters) - 2, 2):
            x = function(mg.matmul(x, parameters[k]) + parameters[k + 1])
        loss = softmax_crossentropy(mg.matmul(x, parameters[-2]) + parameters[-1], labels)
        loss.backward()
        return loss.data, [parameter.grad for parameter in parameters]

    return _functional(workload, gradient_of), _as_is


def dezero(workload: Workload) -> Contestant:
    vars(np).setdefault("int", int)  # DeZero 0.0.13 was written for NumPy before 1.24
    import dezero.functions as functions
    from dezero import Variable

    kinds = {"tanh": functions.tanh, "sigmoid": functions.sigmoid, "relu": functions.relu}
    function = kinds[workload.activation]

    def gradient_of(arrays: Any, x: Any, labels: Any) -> Any:
        parameters = [Variable(array) for array in arrays]
        for k in range(0, len(parameters) - 2, 2):
            x = function(functions.linear(x, parameters[k], parameters[k + 1]))
        logits = functions.linear(x, parameters[-2], parameters[-1])
        loss = functions.softmax_cross_entropy(logits, labels)
        loss.backward()
        return loss.data, [parameter.grad.data for parameter in parameters]

    return _functional(workload, gradient_of), _as_is


CONTESTANTS: dict[str, Callable[[Workload], Contestant]] = {
    "NumPy by hand": numpy_by_hand,
    "tinygrad_nn": eager,
    "tinygrad_nn compiled": compiled,
    "tinygrad_nn compiled, NumPy": compiled_numpy,
    "tinygrad_nn compiled, Numba": compiled_numba,
    "jax.jit": jax_jit,
    "PyTorch": pytorch,
    "torch.compile": torch_compile,
    "PyTensor, Numba": pytensor,
    "autograd": autograd,
    "MyGrad": mygrad,
    "DeZero": dezero,
}
