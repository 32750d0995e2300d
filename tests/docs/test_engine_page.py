"""The engine that a page grows from nothing has the derivatives of the library, op by op."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.pages import PAGES, PART, run

PAGE = "docs/build_your_own_engine.md"
RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.uniform(0.5, 2.0, shape)


CALLS = {
    "add": (np.add, (drawn(4, 3), drawn(3))),
    "subtract": (np.subtract, (drawn(4, 1), drawn(2, 1, 3))),
    "multiply": (np.multiply, (drawn(1, 3), drawn(4, 1))),
    "divide": (np.divide, (drawn(3), drawn(4, 3))),
    "exp": (np.exp, (drawn(4, 3),)),
    "log": (np.log, (drawn(4, 3),)),
    "tanh": (np.tanh, (drawn(4, 3),)),
    "matmul": (np.matmul, (drawn(4, 2), drawn(2, 3))),
    "total": (np.sum, (drawn(4, 3),), {"axis": 0}),
    "take": (lambda x, index: x[index], (drawn(4, 3),), {"index": np.array([0, 2, 2])}),
}


@pytest.fixture(scope="module")
def engine():
    return list(run(PAGE))[-1][-1]


def test_every_op_of_the_page_is_compared_here(engine):
    assert {name for name, value in engine.items() if isinstance(value, engine["Op"])} == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_an_op_of_the_page_has_the_derivatives_of_the_library(engine, name):
    function, operands, params = (*CALLS[name], {})[:3]
    leaves = [engine["Node"](x) for x in operands]
    result = engine[name](*leaves, **params)
    root = engine["total"](engine["multiply"](result, result))
    tensors = [tn.tensor(x, requires_grad=True) for x in operands]
    expected = function(*tensors, **params)
    (expected * expected).sum().backward()
    gradients = engine["backward"](root)
    for leaf, tensor in zip(leaves, tensors, strict=True):
        np.testing.assert_allclose(gradients[leaf], tensor.grad, rtol=1e-12)


def test_a_chain_may_be_as_long_as_one_likes(engine):
    x = leaf = engine["Node"](1.0)
    for _ in range(2000):
        x = engine["add"](x, 1e-3)
    assert engine["backward"](x)[leaf] == 1


def test_the_engine_is_no_longer_than_a_hundred_lines():
    steps = PAGES[PAGE].split("## Step 6")[0]
    code = [text for part in PART.finditer(steps) for text in [part[2]] if part[1] == "python"]
    assert len([line for line in "".join(code).splitlines() if line.strip()]) <= 100
