"""einsum: subscripts of every kind, lists of axes, and what does not fit."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import NoGradientRule, ShapeError

EINSUM = {
    "implicit output": ("ij,jk", (2, 3), (3, 4)),
    "implicit trace": ("ii", (3, 3)),
    "implicit order": ("ba", (2, 3)),
    "ellipsis": ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    "implicit ellipsis": ("...i,i", (2, 3), (3,)),
    "ellipsis that broadcasts": ("...i,...i->...", (4, 1, 3), (2, 3)),
    "spaces": (" i j , j -> i ", (2, 3), (3,)),
    "diagonal of a batch": ("...ii->...i", (2, 3, 3)),
    "length one": ("ij,ij->", (1, 3), (2, 3)),
}


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("name", EINSUM)
def test_einsum_is_linear_in_every_operand_for_subscripts_of_every_kind(name, optimize):
    subscripts, *shapes = EINSUM[name]
    rng = np.random.default_rng(1)
    xs = [rng.normal(size=shape) for shape in shapes]
    expected = np.einsum(subscripts, *xs)
    g = rng.normal(size=expected.shape)
    y, gradients = derive(lambda *ts: np.einsum(subscripts, *ts, optimize=optimize), *xs, cotangent=g)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    for k, x in enumerate(xs):
        v = rng.normal(size=x.shape)  # einsum is linear in each operand
        moved = np.einsum(subscripts, *[v if i == k else other for i, other in enumerate(xs)])
        assert np.sum(gradients[k] * v) == pytest.approx(np.sum(g * moved), rel=1e-10)


def test_einsum_takes_lists_of_axes():
    a, b = np.ones((2, 3)), np.ones((3, 4))
    check(
        lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [0, 2]),
        [a, b],
        np.full((2, 4), 3),
        np.full((2, 3), 4),
        np.full((3, 4), 2),
    )


@pytest.mark.parametrize(
    "axes", [([0, 1], [1, 2]), ([2, 0], [0, 1]), ([27, 1], [1, 3]), ([51, 30], [30, 26])]
)
def test_einsum_with_lists_of_axes_and_no_output_orders_them_as_numpy_does(axes):
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    expected = np.einsum(a, axes[0], b, axes[1])
    y = np.einsum(tn.tensor(a), axes[0], tn.tensor(b), axes[1])
    np.testing.assert_array_equal(y.data, expected)


def test_einsum_says_which_operand_does_not_fit():
    with pytest.raises(ShapeError, match="3 axes, the operand has 2"):
        np.einsum("ijk->i", tn.tensor(np.ones((2, 3)), requires_grad=True))
    with pytest.raises(ShapeError, match="2 operands, got 1"):
        np.einsum("ij,jk->ik", tn.tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.parametrize(
    "subscripts", ["...ik, ...j -> ij", "i...->i", "...,...->", "......,...", "ij,...->......", "ij,...- >ij"]
)
def test_einsum_refuses_the_subscripts_that_numpy_refuses(subscripts):
    a, b = np.ones((2, 2, 2)), np.ones(2)
    operands = (a, b) if "," in subscripts else (a,)
    with pytest.raises(ValueError, match=r"."):
        np.einsum(subscripts, *operands)
    with pytest.raises(ShapeError, match="einsum: "):
        np.einsum(subscripts, *[tn.tensor(x, requires_grad=True) for x in operands])


def test_einsum_takes_an_ellipsis_of_no_axes_that_has_no_place_in_the_output():
    check(lambda x: np.einsum("...ij->ji", x), [np.ones((2, 3))], np.ones((3, 2)), np.ones((2, 3)))


def test_einsum_takes_out_none():
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    np.einsum("i->", x, out=None).backward()
    np.testing.assert_array_equal(x.grad, [1, 1])
    with pytest.raises(NoGradientRule, match="out"):
        np.einsum("i->", x, out=np.zeros(()))
