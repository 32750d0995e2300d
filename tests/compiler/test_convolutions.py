"""Convolutions and their adjoints that write into given memory, with NumPy alone: the same bits as the eager ones."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.convolutions import calls, settings
from tinygrad_nn.ops.windows import Window


@pytest.mark.parametrize("seed", range(15))
def test_numpy_fills_given_memory_with_the_bits_of_the_eager_ops(seed):
    rng = np.random.default_rng(seed)
    for op, operands, params in calls(rng, *settings(rng), "fde"[seed % 3]):
        compiled = tn.compile(lambda *arrays, op=op, params=params: op(*arrays, **params), "numpy")
        expected = op(*map(tn.tensor, operands), **params).data
        found = [compiled(*operands).data for _ in "123"][-1]
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, err_msg=f"{op.name} {params}")


def test_other_dtypes_than_floats_are_convolved_all_the_same():
    rng, window = np.random.default_rng(0), Window((2,), (2,), ((1, 0),), (1,))
    for op, operands, params in calls(rng, (2, 5, 3), (2, 3, 4), window, 1, "d"):
        arrays = [(4 * operand).astype(np.int64) for operand in operands]
        compiled = tn.compile(lambda *arrays, op=op, params=params: op(*arrays, **params), "numpy")
        expected = op.function(*arrays, **params)
        for _ in "123":
            np.testing.assert_array_equal(compiled(*arrays).data, expected)
