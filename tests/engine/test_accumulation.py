"""A value used many times collects every contribution."""

import numpy as np
import pytest

import tinygrad_nn as tn


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("times", [1, 2, 3, 4, 7])
def test_a_value_used_several_times_collects_every_contribution(shape, create_graph, times):
    x = tn.tensor(np.full(shape, 2.0), requires_grad=True)
    y = 3 * x
    total = x * 0.0
    for k in range(times):
        total = total + y * float(k + 1)
    gradient = tn.gradients(total.sum(), x, create_graph=create_graph)
    np.testing.assert_array_equal(gradient.data, np.full(shape, 3.0 * sum(range(1, times + 1))))


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_leaf_added_to_itself_counts_every_time(create_graph):
    x = tn.tensor(2.0, requires_grad=True)
    assert tn.gradients(x + x + x + x, x, create_graph=create_graph).item() == 4.0
