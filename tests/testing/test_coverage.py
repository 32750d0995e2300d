"""Nothing public escapes the checks: what is no op of the registry is named here, with who checks it."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.nn import losses
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY
from tinygrad_nn.testing import gradcheck, numerical_gradient, numerical_jacobian

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4))
P = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
LABELS = np.array([0, 3, 1])
TARGETS = RNG.normal(size=(3, 4))
SHARES = np.full((3, 4), 0.25)
WEIGHT, ROWS = np.array([0.5, 2.0, 0.0, 1.5]), np.array([1.0, 0.0, 3.0])

DERIVATIVES = {"grad", "gradients", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"}
"""Checked below, against numerical derivatives."""

NO_DERIVATIVE = {
    "as_tensor": "makes a tensor of data",
    "compile": "runs a captured step; compared with eager steps bit by bit in its own tests",
    "debug": "watches",
    "record_lines": "watches",
    "enable_grad": "switches recording",
    "kernel": "declares an op, which is then checked",
    "load": "reads a file",
    "load_model": "reads a file",
    "no_grad": "switches recording",
    "op": "declares an op, which is then checked",
    "profile": "measures",
    "remat": "runs a function again; compared with the function bit by bit in its own tests",
    "save": "writes a file",
    "tensor": "makes a tensor of data",
    "trace": "writes a graph down",
}
METHODS = {
    "backward": "checked by every check of an op",
    "conj": "is conjugate",
    "detach": "has no derivative, checked in random graphs",
    "explain": "draws",
    "flatten": "is reshape",
    "graph": "draws",
}
"""Of Tensor, besides those that the registry gives it."""

LOSSES = {
    "cross_entropy": [
        lambda x: losses.cross_entropy(x, LABELS),
        lambda x: losses.cross_entropy(x, LABELS, reduction="sum"),
        lambda x: losses.cross_entropy(x, LABELS, reduction="none"),
        lambda x: losses.cross_entropy(x, LABELS, label_smoothing=0.1),
        lambda x: losses.cross_entropy(x, LABELS, ignore_index=3),
        lambda x: losses.cross_entropy(x, SHARES),
        lambda x: losses.cross_entropy(x, SHARES, weight=WEIGHT, sample_weight=ROWS),
        lambda x: losses.cross_entropy(x, LABELS, weight=WEIGHT, sample_weight=ROWS, label_smoothing=0.1),
        lambda x: losses.cross_entropy(x, LABELS, weight=WEIGHT, ignore_index=3),
        lambda x: losses.cross_entropy(x.reshape(1, *x.shape), LABELS[None], sample_weight=ROWS[None]),
    ],
    "nll": [
        lambda x: losses.nll(-x * x, LABELS),
        lambda x: losses.nll(-x * x, LABELS, ignore_index=0),
        lambda x: losses.nll(-x * x, LABELS, weight=WEIGHT, sample_weight=ROWS),
    ],
    "mse": [
        lambda x: losses.mse(x, TARGETS),
        lambda x: losses.mse(x, TARGETS, reduction="none"),
        lambda x: losses.mse(x, TARGETS, sample_weight=ROWS),
    ],
    "mae": [lambda x: losses.mae(x, TARGETS)],
    "huber": [
        lambda x: losses.huber(x, TARGETS),
        lambda x: losses.huber(x, TARGETS, delta=0.3, reduction="sum"),
    ],
    "binary_cross_entropy": [
        lambda x: losses.binary_cross_entropy(x, SHARES),
        lambda x: losses.binary_cross_entropy(x, SHARES, pos_weight=WEIGHT, sample_weight=ROWS),
        lambda w: losses.binary_cross_entropy(TARGETS, SHARES, sample_weight=w * w),
    ],
    "binary_cross_entropy_probabilities": [lambda p: losses.binary_cross_entropy_probabilities(p, SHARES)],
    "kl_divergence": [lambda x: losses.kl_divergence(x, SHARES)],
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_pass_gradcheck_to_second_order(name):
    for loss in LOSSES[name]:
        assert gradcheck(loss, P if name.endswith("probabilities") else X, order=2).nonzero


def _public(owner):
    return {name for name, value in vars(owner).items() if callable(value) and not name.startswith("_")}


def test_every_public_function_is_checked_or_says_why_not():
    # Objects are compared, not names: a function may be called as an op is.
    public = {name: getattr(tn, name) for name in tn.__all__}
    functions = {
        name
        for name, value in public.items()
        if callable(value)
        and not isinstance(value, type)
        and value not in (record := REGISTRY.get(name), getattr(record, "key", None))
    }
    assert functions == DERIVATIVES | set(NO_DERIVATIVE)
    registered = {record.name for record in REGISTRY.values()}
    assert _public(Tensor) - registered == set(METHODS)
    own = {name for name in _public(losses) if getattr(losses, name).__module__ == losses.__name__}
    assert own == set(LOSSES)


def test_every_record_without_a_derivative_is_declared_so():
    primitives = [record for record in dict.fromkeys(REGISTRY.values()) if isinstance(record, Primitive)]
    derived = {op.name for op in primitives if op.differentiable and not (op.writes or op.made_of_others)}
    assert derived == {op.name for op in primitives if any(op.rules)}


def function(x):
    return (np.exp(np.sin(x)) * x).sum()


def test_derivatives_of_functions_are_those_of_the_numerical_side():
    x, v = X[0], RNG.normal(size=4)
    expected = numerical_gradient(function, x)
    value, found = tn.value_and_grad(function)(x)
    assert value.item() == pytest.approx(float(np.sum(np.exp(np.sin(x)) * x)), rel=1e-14)
    leaf = tn.tensor(x, requires_grad=True)
    for g in (found, tn.grad(function)(x), tn.vjp(function, x)[1](1.0), tn.gradients(function(leaf), leaf)):
        np.testing.assert_allclose(g.data, expected, rtol=1e-8)
    J = numerical_jacobian(lambda x: np.tanh(np.outer(x, x)), x)
    np.testing.assert_allclose(tn.jacobian(lambda x: np.tanh(np.outer(x, x)))(x).data, J, atol=1e-9)
    np.testing.assert_allclose(tn.jvp(lambda x: np.tanh(np.outer(x, x)), x, v)[1].data, J @ v, atol=1e-8)
    H = numerical_jacobian(tn.grad(function), x)
    np.testing.assert_allclose(tn.hessian(function)(x).data, H, atol=1e-8)
    np.testing.assert_allclose(tn.hvp(function, x, v).data, H @ v, atol=1e-8)
