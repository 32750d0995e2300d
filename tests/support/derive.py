"""Values and gradients of functions at a point, for tests that pin them."""

import numpy as np

import tinygrad_nn as tn


def derive(function, *xs, cotangent=None):
    """Return the value and the gradients of `function` at float64 points, without warnings of NumPy."""
    leaves = [tn.tensor(np.asarray(x, np.float64), requires_grad=True) for x in xs]
    with np.errstate(all="ignore"):
        y = function(*leaves)
        seed = np.ones(y.shape) if cotangent is None else np.asarray(cotangent, np.float64)
        gradients = tn.gradients(y, leaves, cotangent=seed)
    return y.data, tuple(g.data for g in gradients)


def check(function, xs, value, *gradients, cotangent=None, rtol=1e-12):
    """Assert the value and gradients of `function` at a point, NaN and infinities by position and sign."""
    y, found = derive(function, *xs, cotangent=cotangent)
    np.testing.assert_allclose(y, value, rtol=rtol, atol=1e-300)
    assert len(found) == len(gradients)
    for g, x, expected in zip(found, xs, gradients, strict=True):
        assert g.shape == np.shape(x)
        np.testing.assert_allclose(g, expected, rtol=rtol, atol=1e-300)
