"""Products so small that loops multiply themselves: those of NumPy, however the operands lie."""

import numpy as np
import pytest

import tinygrad_nn as tn

pytest.importorskip("numba")


def numbers(rows, columns, dtype):
    """Return a matrix of whole numbers, whose products are exact."""
    return np.random.default_rng(rows).integers(-9, 9, (rows, columns)).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "transposed", "dtype"),
    [
        ((5, 2, 3), (False, False), np.float64),
        ((5, 2, 3), (True, False), np.float32),
        ((9, 4, 2), (False, True), np.float32),
        ((6, 1, 5), (True, True), np.float64),
        ((2, 7, 3), (False, False), np.float32),
        ((2, 7, 3), (True, True), np.float64),
        ((4, 5, 6), (True, False), np.float32),
        ((3, 9, 1), (False, True), np.float64),
    ],
)
def test_the_result_is_that_of_numpy(shape, transposed, dtype):
    m, k, n = shape
    a, b = numbers(m, k, dtype), numbers(k, n, dtype)
    x, y = (tn.tensor(z.T.copy() if turned else z) for z, turned in zip((a, b), transposed, strict=True))
    step = tn.compile(lambda x, y: (x.T if transposed[0] else x) @ (y.T if transposed[1] else y), "numba")
    found = step(x, y)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.data, a @ b)
    assert "matmul" not in step.programs[0].text
