"""JAX as an oracle of derivatives of functions of containers, to the second order, in float64."""

from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.engine import trees

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install 'tinygrad_nn[oracle]'")
jax.config.update("jax_enable_x64", True)


class Layer(NamedTuple):
    w: Any
    b: Any


def draw(rng, depth=3):
    """Return containers of arrays, at random."""
    kind = rng.integers(6) if depth else 0
    inner = [draw(rng, depth - 1) for _ in range(rng.integers(1, 4))] if kind > 1 else []
    if kind < 2:
        return rng.normal(size=[(), (2,), (2, 3), (1, 2)][rng.integers(4)])
    if kind == 2:
        return inner
    if kind == 3:
        return (*inner, None)
    # In the order of their keys, which is JAX's.
    return {f"k{k}": x for k, x in enumerate(inner)} if kind == 4 else Layer(inner[0], inner[-1])


def results(np, tree):
    parts = [x for x in trees.leaves(tree) if x is not None]
    total = sum(np.tanh(x).sum() * (k + 1) for k, x in enumerate(parts))
    return {"a": (np.exp(total / 7) * parts[0], None), "b": [np.sin(parts[-1] * total)]}


def loss(np, tree):
    made = results(np, tree)
    return (made["a"][0] ** 2).sum() + made["b"][0].sum()


def assert_same(ours, theirs):
    pairs = trees.paired(ours, jax.tree.map(np.asarray, theirs))
    assert pairs is not None, f"{trees.form(ours)}\n{trees.form(theirs)}"
    for a, b in pairs:
        assert a.shape == b.shape
        np.testing.assert_allclose(a.data, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(60))
def test_containers_of_every_form_have_the_derivatives_of_jax(seed):
    rng = np.random.default_rng(seed)
    tree = draw(rng)
    like = lambda tree: jax.tree.map(lambda x: rng.normal(size=np.shape(x)), tree)
    v, jnp = like(tree), jax.numpy
    ours, theirs = (lambda t: loss(np, t)), (lambda t: loss(jnp, t))
    f, g = (lambda t: results(np, t)), (lambda t: results(jnp, t))
    assert_same(tn.value_and_grad(ours)(tree), jax.value_and_grad(theirs)(tree))
    assert_same(tn.jvp(f, (tree,), (v,)), jax.jvp(g, (tree,), (v,)))
    y, pull = jax.vjp(g, tree)
    cotangent = like(y)
    assert_same(tn.vjp(f, tree)[1](cotangent), pull(cotangent)[0])
    assert_same(tn.jacobian(f)(tree), jax.jacobian(g)(tree))
    assert_same(tn.hvp(ours, (tree,), (v,))[0], jax.jvp(jax.grad(theirs), (tree,), (v,))[1])
    if sum(x.size for x in trees.leaves(tree) if x is not None) < 20:
        assert_same(tn.hessian(ours)(tree), jax.hessian(theirs)(tree))
    both = lambda t: (loss(np, t), results(np, t)), lambda t: (loss(jnp, t), results(jnp, t))
    assert_same(tn.grad(both[0], has_aux=True)(tree), jax.grad(both[1], has_aux=True)(tree))
