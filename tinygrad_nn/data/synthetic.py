"""Data sets that are computed, not loaded."""

import numpy as np
from numpy.typing import NDArray

from tinygrad_nn.settings import check_number, positive_integer


def moons(
    n: int = 200, *, noise: float | None = 0.2, seed: int | None = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return two interleaved half circles in the plane, a small problem that no straight line separates.

    With t evenly spaced over [0, π], class 0 is (cos t, sin t), n // 2 points, and class 1 is
    (1 - cos t, 1/2 - sin t), the rest; the points are shuffled, and Gaussian noise of standard deviation
    `noise` is added to both coordinates (None and 0 add none). `seed` seeds NumPy's legacy generator, whose
    numbers never change, so that the points are those of scikit-learn's
    `make_moons(n, noise=noise, random_state=seed)`; with None they differ each time.

    Returns:
        X, float64 (n, 2), and y, int64 (n,).

    Raises:
        SettingError: n is no positive integer, or noise negative, not finite or no number.

    Example:
        >>> X, y = moons()
        >>> X[0].round(8).tolist(), y[:10].tolist()
        ([0.74346118, 0.46465633], [0, 1, 1, 0, 1, 1, 0, 1, 0, 1])
    """
    n = positive_integer("moons", "n", n)
    scale = 0.0 if noise is None else noise
    check_number("moons", "noise", scale)
    random = np.random.RandomState(seed)
    outer, inner = (np.linspace(0, np.pi, count) for count in (n // 2, n - n // 2))
    X = np.empty((n, 2))
    X[: n // 2] = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    # (1 - sin) - 0.5, in this order, rounds as scikit-learn does.
    X[n // 2 :] = np.stack([1 - np.cos(inner), 1 - np.sin(inner) - 0.5], axis=1)
    order = np.arange(n)
    random.shuffle(order)
    return X[order] + random.normal(scale=scale, size=X.shape), (order >= n // 2).astype(np.int64)
