"""Small training steps, run eagerly and compiled side by side."""

import numpy as np

import tinygrad_nn as tn


def problem(n=12, features=5, classes=3, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, features)).astype(dtype), rng.integers(classes, size=n)


def training_step(model, optimizer):
    def step(x, labels):
        optimizer.zero_grad()
        loss = tn.nn.losses.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step


def pair(make, backend):
    """Return an eager and a compiled twin of what `make()` returns: (model, optimizer, step)."""
    eager, compiled = make(), make()
    return eager, (*compiled[:2], tn.compile(compiled[2], backend=backend))


def assert_twins(eager, compiled, rtol=1e-5):
    for a, b in zip(eager.parameters(), compiled.parameters(), strict=True):
        np.testing.assert_allclose(b.data, a.data, rtol=rtol, atol=1e-6)
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            np.testing.assert_allclose(b.grad, a.grad, rtol=1e-4, atol=1e-6)
