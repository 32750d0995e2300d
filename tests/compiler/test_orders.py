"""In which order the axes of results lie in memory: results that are read transposed alone need no copy."""

import numpy as np
import pytest

import tinygrad_nn as tn

A, B = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 4))


def joined(y):
    """Put heads side by side, as attention does."""
    return np.reshape(np.swapaxes(y, 1, 2), (2, 4, 12))


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: joined(a @ b),
        lambda a, b: joined((a @ b) * 0.5),
        lambda a, b: joined(np.swapaxes(a @ b, -1, -2)),
        lambda a, b: np.reshape(np.transpose(a @ b, (3, 1, 0, 2)), (12, 8)),
    ],
)
def test_products_that_are_read_transposed_alone_are_not_copied(f, backend):
    compiled = tn.compile(f, backend)
    np.testing.assert_allclose(compiled(A, B).data, f(A, B), rtol=1e-12)
    assert "reshape" not in compiled.programs[0].text


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: (joined(a @ b), a @ b),
        lambda a, b: (joined(a @ b), (a @ b) + 1),
        lambda a, b: (joined(a @ b), np.reshape(np.swapaxes(a @ b, 0, 1), (3, 32))),
        lambda a, b: joined(np.swapaxes(a @ b, 1, 2)),
        lambda a, b: joined((a @ b) * a),
        lambda a, b: joined(np.exp((a @ b) * 0.1) + 1),
        lambda a, b: joined(((a @ b) * 0.5) @ b),
        lambda a, b: joined((a @ b) * 0.5) + (a @ b).sum(),
        lambda a, b: joined(a @ b[0, 0]),
        lambda a, b: joined((a @ b) @ np.swapaxes(a @ b, -1, -2)),
        lambda a, b: np.swapaxes(a @ b, -1, -2) @ b,
        lambda a, b: joined(a[:, :1] @ b),
        lambda a, b: a[0, 0] @ np.swapaxes(a @ b, -1, -2),
    ],
)
def test_other_readers_see_the_same(f, backend):
    compiled = tn.compile(f, backend)
    for _ in range(2):
        found, expected = (y if type(y) is tuple else (y,) for y in (compiled(A, B), f(A, B)))
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x.data, y, rtol=1e-12)


def test_gradients_of_attention_are_those_of_a_run(backend):
    layer = tn.nn.MultiheadAttention(12, 3, rng=0, dtype=np.float64)
    x = np.random.default_rng(0).normal(size=(2, 5, 12))

    def step(x):
        for p in layer.parameters():
            p.grad = None
        (layer(x, causal=True) ** 2).sum().backward()
        return [p.grad for p in layer.parameters()]

    expected = [np.array(g.data) for g in step(x)]
    compiled = tn.compile(step, backend)
    for _ in range(2):
        for g, h in zip(compiled(x), expected, strict=True):
            np.testing.assert_allclose(g.data, h, rtol=1e-9, atol=1e-12)
    assert "\n    reshape" not in compiled.programs[0].text
