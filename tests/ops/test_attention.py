"""Attention: masks of both kinds, causal ones of unequal lengths, queries without keys, and what is refused."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import DtypeError, ShapeError

RNG = np.random.default_rng(0)
Q, K, V = (RNG.normal(size=shape) for shape in ((2, 3, 4), (2, 5, 4), (2, 5, 6)))
NO_KEY = np.array([[True] * 5, [False] * 5, [True, False, True, False, False]])
INFINITE = np.where(NO_KEY, 0.0, -np.inf)


def leaves(*arrays):
    return [tn.tensor(x, requires_grad=True) for x in arrays]


@pytest.mark.parametrize("mask", [NO_KEY, INFINITE], ids=["boolean", "minus infinity"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_query_without_a_key_gives_zeros_and_no_gradient_in_any_order(mask, causal):
    q, k, v = leaves(Q, K, V)
    y = tn.attention(q, k, v, mask, causal)
    assert not y.data[:, 1].any()
    first = tn.gradients((y * y).sum(), [q, k, v], create_graph=True)
    second = tn.gradients(sum((g * g).sum() for g in first), [q, k, v], create_graph=True)
    third = tn.gradients(sum((g * g).sum() for g in second), [q, k, v])
    for order in (first, second, third):
        assert all(np.isfinite(g.data).all() for g in order)
        assert any(g.data.any() for g in order)
        assert not order[0].data[:, 1].any()
    row = tn.gradients(tn.attention(q, k, v, mask, causal)[:, 1].sum(), [q, k, v])
    assert not any(g.data.any() for g in row)


def test_no_keys_at_all_give_zeros():
    assert not tn.attention(Q, K[:, :0], V[:, :0]).any()
    assert not tn.attention(Q, K[:, :0], V[:, :0], causal=True).any()


@pytest.mark.parametrize(("queries", "keys"), [(3, 5), (5, 3), (1, 4), (4, 1)])
def test_causal_lets_a_query_see_the_keys_up_to_its_own_number(queries, keys):
    q, k, v = (np.random.default_rng(1).normal(size=(n, 2)) for n in (queries, keys, keys))
    for t, row in enumerate(tn.attention(q, k, v, causal=True)):
        np.testing.assert_allclose(row, tn.attention(q[t : t + 1], k[: t + 1], v[: t + 1])[0])


def test_a_mask_and_causal_hold_together():
    seen = np.tril(NO_KEY)
    np.testing.assert_array_equal(tn.attention(Q, K, V, NO_KEY, True), tn.attention(Q, K, V, seen))
    np.testing.assert_allclose(tn.attention(Q, K, V, INFINITE, True), tn.attention(Q, K, V, seen))


def test_floats_are_added_and_have_a_gradient():
    bias = RNG.normal(size=(3, 5))
    scores = Q @ K.swapaxes(-1, -2) / 2 + bias
    np.testing.assert_allclose(tn.attention(Q, K, V, bias), tn.softmax(scores) @ V)
    (mask,) = leaves(bias)
    tn.attention(Q, K, V, mask).sum().backward()
    assert mask.grad.shape == (3, 5)
    assert mask.grad.any()


def test_values_that_take_no_part_have_no_gradient():
    q, k, v = leaves(Q, K, V)
    padded = np.array([True, True, True, False, False])
    tn.attention(q, k, v, padded).sum().backward()
    assert not k.grad[:, 3:].any()
    assert not v.grad[:, 3:].any()
    np.testing.assert_allclose(tn.attention(Q, K, V, padded), tn.attention(Q, K[:, :3], V[:, :3]), rtol=1e-12)


def test_scores_too_large_for_exponentials_are_taken():
    x = np.array([[1e3], [-1e3]])
    np.testing.assert_array_equal(tn.attention(x, x, x), x)
    np.testing.assert_array_equal(tn.attention(x, x, x, np.eye(2) > 0), x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_dtypes_are_kept_whatever_the_mask(dtype):
    arrays = [x.astype(dtype) for x in (Q, K, V)]
    for mask in (None, NO_KEY, INFINITE):
        assert tn.attention(*arrays, mask).dtype == dtype
        assert tn.attention(*leaves(*arrays), mask, causal=True).dtype == dtype


def test_shapes_that_do_not_fit_each_other_are_refused():
    for arrays, why in (
        ((Q, K[..., :2], V), "queries and keys have the same features"),
        ((Q, K, V[:, :4]), "there is a value for each key"),
        ((Q[0, 0], K, V), r"takes \(..., time, features\)"),
        ((Q, np.ones((3, 5, 4)), V), "the axes before time do not broadcast"),
    ):
        with pytest.raises(ShapeError, match=f"attention: {why}, got queries") as caught:
            tn.attention(*arrays)
        assert all(str(x.shape) in str(caught.value) for x in arrays)


def test_masks_that_do_not_fit_are_refused():
    for shape in ((2, 5), (5, 3), (2, 2, 3, 5)):
        text = rf"a mask of shape {shape} does not broadcast to (2, 3, 5), (..., queries, keys)"
        with pytest.raises(ShapeError) as caught:
            tn.attention(Q, K, V, np.ones(shape, bool))
        assert text in str(caught.value)
    np.testing.assert_array_equal(
        tn.attention(Q, K, V, np.ones((2, 5), bool)[:, None, :]), tn.attention(Q, K, V, np.ones(5, bool))
    )
    with pytest.raises(DtypeError, match=r"True takes part.* got dtype int64\n  hint   mask.astype\(bool\)"):
        tn.attention(Q, K, V, np.ones((3, 5), np.int64))


def test_a_step_with_masks_is_replayed_with_those_of_each_call(backend):
    def loss(q, k, v, mask):
        return (tn.attention(q, k, v, mask, causal=True) ** 2).sum() + tn.attention(q, k, v).sum()

    step = tn.value_and_grad(loss, argnums=(0, 1, 2))
    compiled = tn.compile(step, backend)
    for mask in (NO_KEY, ~NO_KEY, np.ones_like(NO_KEY)):
        found, expected = compiled(Q, K, V, mask), step(Q, K, V, mask)
        for a, b in zip((found[0], *found[1]), (expected[0], *expected[1]), strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-12)


def test_lists_are_queries_keys_and_values():
    np.testing.assert_array_equal(tn.attention([[1.0]], [[1.0], [2.0]], [[3.0], [3.0]]), [[3.0]])
