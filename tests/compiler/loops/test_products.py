"""Products of few rows and a large matrix, in tiles, are those of NumPy, whatever the number of threads."""

import numpy as np
import pytest

import tinygrad_nn as tn

pytest.importorskip("numba")

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(32, 256, 256), (100, 300, 261), (256, 257, 300)])
def test_a_product_of_few_rows_is_numpys(shape):
    m, k, n = shape
    a, b = RNG.normal(size=(m, k)).astype(np.float32), RNG.normal(size=(k, n)).astype(np.float32)
    found = []
    for threads in (1, 2):
        step = tn.compile(np.matmul, "numba", threads)
        found += [step(tn.tensor(a), tn.tensor(b)).data for _ in range(30)]
        assert "matmul(0, " in step.programs[0].text
    np.testing.assert_allclose(found[0], a.astype(np.float64) @ b, rtol=0, atol=1e-4)
    assert all((other == found[0]).all() for other in found)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((31, 256), np.float32), np.ones((256, 256), np.float32)),
        (np.ones((64, 256), np.float64), np.ones((256, 256), np.float64)),
        (np.ones((64, 255), np.float32), np.ones((255, 256), np.float32)),
        (np.ones((2, 64, 256), np.float32), np.ones((256, 256), np.float32)),
    ],
)
def test_other_products_are_left_to_blas(a, b):
    step = tn.compile(np.matmul, "numba", 1)
    np.testing.assert_array_equal(step(tn.tensor(a), tn.tensor(b)).data, a @ b)
    assert "matmul(0, " not in step.programs[0].text
