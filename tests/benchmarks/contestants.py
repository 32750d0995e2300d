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


def _torch_parts(workload: Workload) -> tuple[Any, Any, Any]:
    import torch

    kinds = {"tanh": torch.nn.Tanh, "sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU}
    modules: list[Any] = []
    for weight, bias in workload.first_weights():
        layer = torch.nn.Linear(*weight.shape, dtype=getattr(torch, workload.dtype))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight.T))
            layer.bias.copy_(torch.from_numpy(bias))
        modules += [layer, kinds[workload.activation]()]
    model = torch.nn.Sequential(*modules[:-1])
    if workload.optimizer == "sgd":
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=workload.rate)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=workload.rate, betas=BETAS, eps=EPS)
    return torch, model, optimizer


def pytorch(workload: Workload) -> Contestant:
    torch, model, optimizer = _torch_parts(workload)

    def step(x: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, torch.from_numpy


def torch_compile(workload: Workload) -> Contestant:
    torch, model, optimizer = _torch_parts(workload)
    loss_of = torch.compile(lambda x, labels: torch.nn.functional.cross_entropy(model(x), labels))

    def step(x: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(x, labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, torch.from_numpy


def jax_jit(workload: Workload) -> Contestant:
    import jax

    if workload.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    function = {"tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}[workload.activation]
    rate, (b1, b2) = workload.rate, BETAS

    def loss_of(layers: Any, x: Any, labels: Any) -> Any:
        for weight, bias in layers[:-1]:
            x = function(x @ weight + bias)
        weight, bias = layers[-1]
        chosen = jax.nn.log_softmax(x @ weight + bias)[jnp.arange(len(labels)), labels]
        return -chosen.mean()

    def sgd(layers: Any, state: Any, x: Any, labels: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(layers, x, labels)
        return loss, jax.tree.map(lambda w, g: w - rate * g, layers, gradients), state

    def adam(layers: Any, state: Any, x: Any, labels: Any) -> Any:
        t, first, second = state
        t = t + 1
        loss, gradients = jax.value_and_grad(loss_of)(layers, x, labels)
        first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, first, gradients)
        second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, second, gradients)
        scale, root = rate / (1 - b1**t), 1 / jnp.sqrt(1 - b2**t)
        layers = jax.tree.map(
            lambda w, m, v: w - scale * m / (jnp.sqrt(v) * root + EPS), layers, first, second
        )
        return loss, layers, (t, first, second)

    layers = jax.tree.map(jnp.asarray, workload.first_weights())
    zeros = jax.tree.map(jnp.zeros_like, layers)
    state: Any = (jnp.zeros((), "float32"), zeros, zeros) if workload.optimizer == "adam" else ()
    train = jax.jit({"sgd": sgd, "adam": adam}[workload.optimizer], donate_argnums=(0, 1))
    if state:
        state = (state[0], zeros, jax.tree.map(jnp.zeros_like, layers))  # donated buffers must not be shared

    def step(x: Any, labels: Any) -> Any:
        nonlocal layers, state
        loss, layers, state = train(layers, state, x, labels)
        return loss.block_until_ready()

    return step, jnp.asarray


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
    "autograd": autograd,
    "MyGrad": mygrad,
    "DeZero": dezero,
}
