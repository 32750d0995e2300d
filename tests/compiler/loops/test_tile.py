"""Products from tiles: the same as NumPy's for all sizes, strides, ways to begin and dtypes."""

import os
import subprocess
import sys

import numpy as np
import pytest

numba = pytest.importorskip("numba")
from tinygrad_nn.compiler.loops import tile  # noqa: E402

product = tile.product
EVERY = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@numba.njit
def run(kernel, a, rs, cs, sa, b, ldb, qs, sb, c, ldc, start, lds, m, n, k, batches, relu):
    """Call a product as compiled code does."""
    product(kernel, a, rs, cs, sa, b, ldb, qs, sb, c, ldc, start, lds, m, n, k, batches, relu)


def multiplied(a, b, c, start=None, relu=0):
    """Fill c, a part of an array, with start + sum of a[i] @ b[i]; a and b have any strides."""
    (batches, m, k), n = a.shape, b.shape[-1]
    sa, rs, cs = (stride // a.itemsize for stride in a.strides)
    sb, ldb, qs = (stride // b.itemsize for stride in b.strides)
    begin = (0, 0)
    if start is not None:
        begin = start.ctypes.data, start.strides[0] // start.itemsize if start.ndim == 2 else 0
    kernel = tile.product_kernel(c.dtype.name)
    to = c.ctypes.data, c.strides[0] // c.itemsize
    run(kernel, a.ctypes.data, rs, cs, sa, b.ctypes.data, ldb, qs, sb, *to, *begin, m, n, k, batches, relu)


def expected(a, b, start=0.0, relu=0):
    y = start + np.einsum("bij,bjk->ik", a.astype(np.float64), b.astype(np.float64))
    return np.maximum(y, 0) if relu else y


def numbers(rng, dtype, *shape):
    return rng.normal(size=shape).astype(dtype)


def check(a, b, dtype, **more):
    """Compare a product with NumPy's, and that what lies around its result is left alone."""
    m, n = a.shape[1], b.shape[-1]
    around = np.full((m + 2, n + 5), 7, dtype)
    multiplied(a, b, around[1:-1, 2:-3], **more)
    np.testing.assert_allclose(
        around[1:-1, 2:-3],
        expected(a, b, **more),
        rtol=0,
        atol=200 * np.finfo(dtype).eps * max(1, a.shape[2]),
    )
    around[1:-1, 2:-3] = 7
    assert (around == 7).all()


@EVERY
def test_products_have_any_number_of_rows_and_columns(dtype):
    rng = np.random.default_rng(0)
    for m in (*range(15), 23, 24, 25, 37):
        for n in (0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 48, 50, 65, 83):
            check(numbers(rng, dtype, 1, m, 3), numbers(rng, dtype, 1, 3, n), dtype)


@EVERY
@pytest.mark.parametrize(("batches", "k"), [(1, 1), (3, 7), (1, 512), (2, 513), (1, 1030), (0, 3), (3, 0)])
def test_products_add_any_number_of_terms(dtype, batches, k):
    rng = np.random.default_rng(1)
    a, b = numbers(rng, dtype, batches, 5, k), numbers(rng, dtype, batches, k, 21)
    start = numbers(rng, dtype, 5, 21)
    for relu in (0, 1):
        check(a, b, dtype, relu=relu)
        check(a, b, dtype, start=start, relu=relu)


@EVERY
@pytest.mark.parametrize("m", [3, 130])
def test_operands_have_any_strides(dtype, m):
    rng = np.random.default_rng(2)
    a = numbers(rng, dtype, 4, 9, 2, m).transpose(2, 3, 1, 0)[..., 1]
    apart = numbers(rng, dtype, 9, 2, 40)
    check(a, apart.transpose(1, 0, 2), dtype)
    check(a, apart[:, :, ::3].transpose(1, 0, 2), dtype)
    check(a, numbers(rng, dtype, 2, 37, 9).transpose(0, 2, 1), dtype)
    check(a[:, ::-1], apart.transpose(1, 0, 2)[:, ::-1], dtype)
    # Rows that lie a power of two apart are copied.
    check(a, numbers(rng, dtype, 2, 9, 1024)[:, :, :70], dtype)
    # Rows that overlap, as what lies under windows does.
    under = np.lib.stride_tricks.sliding_window_view(numbers(rng, dtype, m + 8), 9)[None]
    check(under, apart[:, :1].transpose(1, 0, 2), dtype)


@EVERY
def test_products_begin_with_nothing_a_bias_or_a_matrix(dtype):
    rng = np.random.default_rng(3)
    a, b = numbers(rng, dtype, 2, 13, 6), numbers(rng, dtype, 2, 6, 35)
    bias, matrix = numbers(rng, dtype, 35), numbers(rng, dtype, 13, 50)[:, 4:39]
    for relu in (0, 1):
        check(a, b, dtype, start=bias, relu=relu)
        check(a, b, dtype, start=matrix, relu=relu)
    c = matrix.copy()
    multiplied(a, b, c, start=c)
    np.testing.assert_allclose(c, expected(a, b, matrix), atol=1e-4)


@EVERY
def test_columns_may_have_nothing_to_do_with_each_other(dtype):
    rng = np.random.default_rng(4)
    for m, n, batches, k in ((1, 1, 1, 1), (5, 7, 2, 3), (13, 16, 3, 2), (30, 35, 2, 0)):
        a, b = (
            numbers(rng, dtype, batches, m, k + 1, n)[:, :, :k],
            numbers(rng, dtype, batches, k + 1, n)[:, :k],
        )
        bias, c = numbers(rng, dtype, n), np.full((m + 2, n), 7, dtype)
        strides = [(k + 1) * n, n, m * (k + 1) * n]
        address, channels = c.ctypes.data + c.strides[0], tile.channels_kernel(c.dtype.name)
        first = (channels, a.ctypes.data, *strides, b.ctypes.data, n, 1, (k + 1) * n, address, n)
        run(*first, bias.ctypes.data, 0, m, n, k, batches, 1)
        np.testing.assert_allclose(c[1:-1], np.maximum(bias + np.einsum("bmkn,bkn->mn", a, b), 0), atol=1e-5)
        assert (c[[0, -1]] == 7).all()


@EVERY
def test_numbers_that_are_none_stay_in_their_rows_and_columns(dtype):
    a, b = np.ones((1, 7, 5), dtype), np.ones((1, 5, 19), dtype)
    a[0, 6, 2], b[0, 1, 18] = np.nan, np.inf
    c = np.empty((7, 19), dtype)
    for relu in (0, 1):
        multiplied(a, b, c, relu=relu)
        np.testing.assert_array_equal(c, np.where(np.arange(7)[:, None] == 6, np.nan, expected(a, b)))


def output(program, **environment):
    """Return what a program prints in a process of its own."""
    command, environment = [sys.executable, "-c", program], {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout.strip()


def test_machine_code_of_products_is_found_again():
    program = (
        "from tinygrad_nn.compiler.loops import tile; tile.product_kernel('float32'); "
        "print(len(tile._compiled(tile._product, 'float32').stats.cache_hits))"
    )
    assert [output(program) for _ in "12"][1] == "1"


@pytest.mark.parametrize(("features", "nbytes"), [("", 16), ("+sse2,+avx,+avx2,+fma", 32)])
def test_products_are_right_on_older_processors(features, nbytes):
    program = (
        "import numpy as np; from tests.compiler.loops import test_tile as t; print(t.tile.VECTOR)\n"
        "rng = np.random.default_rng(0)\n"
        "for m, n in ((1, 1), (5, 7), (13, 16), (14, 35), (3, 51)):\n"
        "    t.check(t.numbers(rng, 'f4', 2, m, 9), t.numbers(rng, 'f4', 2, 9, n), 'f4', relu=1)"
    )
    assert output(program, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES=features) == str(nbytes)
