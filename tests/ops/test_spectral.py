"""Eigenvalues and singular values: symmetric gradients, equal values, shapes, and what has no derivative."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import derive
from tinygrad_nn.errors import MatrixError, NoGradientRule
from tinygrad_nn.testing import gradcheck

RNG = np.random.default_rng(5)
A = RNG.normal(size=(4, 4))
S = A + A.T
TALL = RNG.normal(size=(5, 3))
NO_VECTORS = r"vectors of equal eigenvalues or singular values(.|\n)*hint"


@pytest.mark.parametrize("uplo", ["L", "U"])
def test_the_gradient_of_a_symmetric_matrix_is_symmetric(uplo):
    for f in (
        lambda t: np.linalg.eigvalsh(t, UPLO=uplo)[1],
        lambda t: (np.linalg.eigh(t, UPLO=uplo).eigenvectors[:, 0] ** 2 * np.arange(4)).sum(),
    ):
        _, (g,) = derive(f, S)
        assert np.abs(g).max() > 0.01
        np.testing.assert_allclose(g, g.T, atol=1e-15)
        direction = A @ A.T
        step = 1e-6 * direction
        slope = (f(S + step) - f(S - step)) / 2e-6
        np.testing.assert_allclose((g * direction).sum(), slope, rtol=1e-6)


@pytest.mark.parametrize("uplo", ["L", "U"])
def test_the_triangle_that_numpy_reads_is_read(uplo):
    one = np.tril(S) if uplo == "L" else np.triu(S)
    np.testing.assert_array_equal(np.linalg.eigh(tn.tensor(one), uplo)[0].data, np.linalg.eigh(one, uplo)[0])
    _, (g,) = derive(lambda t: np.linalg.eigvalsh(t, UPLO=uplo)[1], one)
    _, (whole,) = derive(lambda t: np.linalg.eigvalsh(t)[1], S)
    np.testing.assert_allclose(g, whole, atol=1e-12)


def test_equal_eigenvalues_have_a_gradient_if_they_are_treated_alike():
    repeated = np.diag([2.0, 2.0, 2.0, 5.0])
    q = np.linalg.qr(A)[0]
    matrix = q @ repeated @ q.T
    _, (g,) = derive(lambda t: (np.linalg.eigvalsh(t) ** 2).sum(), matrix)
    np.testing.assert_allclose(g, 2 * matrix, atol=1e-12)
    _, (g,) = derive(lambda t: np.log(np.linalg.eigvalsh(t)).sum(), np.eye(3))
    np.testing.assert_allclose(g, np.eye(3), atol=1e-15)
    # The vector of an eigenvalue that is alone.
    _, (g,) = derive(lambda t: (np.linalg.eigh(t)[1][:, 3] ** 2 * np.arange(4)).sum(), matrix)
    gap = (
        np.linalg.inv(5 * np.eye(4) - matrix + 9 * np.outer(q[:, 3], q[:, 3]))
        - np.outer(q[:, 3], q[:, 3]) / 9
    )
    expected = 2 * gap @ np.outer(np.arange(4) * q[:, 3], q[:, 3])
    np.testing.assert_allclose(g, (expected + expected.T) / 2, atol=1e-12)


def test_vectors_of_equal_values_are_refused_with_what_to_write():
    for f in (
        lambda t: (np.linalg.eigh(t).eigenvectors * A[:3, :3]).sum(),
        lambda t: (np.linalg.svd(t).U * A[:3, :3]).sum(),
        lambda t: (np.linalg.svd(t).Vh * A[:3, :3]).sum(),
    ):
        with pytest.raises(MatrixError, match=NO_VECTORS):
            derive(f, 2 * np.eye(3))


def exponential(t):
    values, vectors = np.linalg.eigh(t)
    return vectors * np.exp(values) @ vectors.T


def polar(t):
    u, _, vh = np.linalg.svd(t, full_matrices=False)
    return u @ vh


@pytest.mark.parametrize(
    ("f", "m", "direction"),
    [(exponential, S[:3, :3], TALL[:3] + TALL[:3].T), (polar, A[:3, :3], TALL[:3])],
)
def test_a_function_of_vectors_has_a_gradient_where_values_differ_and_is_refused_elsewhere(f, m, direction):
    weights = A[1:, 1:]
    _, (g,) = derive(lambda t: (f(t) * weights).sum(), m)
    step = 1e-5 * direction
    slope = ((f(m + step) - f(m - step)) * weights).sum() / 2e-5
    np.testing.assert_allclose((g * direction).sum(), slope, rtol=1e-6)
    with pytest.raises(MatrixError, match=NO_VECTORS):
        derive(lambda t: (f(t) * weights).sum(), np.eye(3))


def test_singular_values_that_are_equal_or_zero_have_a_gradient_where_all_are_treated_alike():
    _, (g,) = derive(lambda t: np.linalg.norm(t, "nuc"), np.eye(3))
    np.testing.assert_allclose(g, np.eye(3), atol=1e-15)
    low = TALL[:, :1] @ TALL[:1]
    _, (g,) = derive(lambda t: (np.linalg.svdvals(t) ** 2).sum(), low)
    np.testing.assert_allclose(g, 2 * low, atol=1e-12)
    with pytest.raises(MatrixError, match=NO_VECTORS):
        derive(lambda t: (np.linalg.svd(t, full_matrices=False).U * TALL).sum(), low)


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 3), (2, 3, 2), (2, 2, 3)])
def test_decompositions_are_numpys_and_put_together_they_are_the_matrix(shape):
    a = RNG.normal(size=shape)
    t = tn.tensor(a, requires_grad=True)
    u, s, vh = np.linalg.svd(t, full_matrices=False)
    for ours, numpys in zip((u, s, vh), np.linalg.svd(a, full_matrices=False), strict=True):
        np.testing.assert_array_equal(ours.data, numpys)
    q, r = np.linalg.qr(t)
    np.testing.assert_allclose(q.data, np.linalg.qr(a).Q, atol=1e-14)
    np.testing.assert_allclose(r.data, np.linalg.qr(a).R, atol=1e-14)
    weights = RNG.normal(size=shape)
    for whole in ((u * s[..., None, :]) @ vh, q @ r):
        (g,) = tn.gradients((whole * weights).sum(), [t], retain_graph=True)
        np.testing.assert_allclose(g.data, weights, atol=1e-12)


def test_vectors_outside_of_the_space_of_the_matrix_have_no_derivative():
    with pytest.raises(NoGradientRule, match=r"5 by 3(.|\n)*full_matrices=False"):
        np.linalg.svd(tn.tensor(TALL, requires_grad=True))
    assert np.linalg.svd(tn.tensor(TALL)).U.shape == (5, 5)
    assert np.linalg.svd(tn.tensor(A, requires_grad=True)).Vh.requires_grad
    with pytest.raises(NoGradientRule, match=r"complete(.|\n)*reduced"):
        np.linalg.qr(tn.tensor(TALL, requires_grad=True), "complete")
    with pytest.raises(NoGradientRule, match=r"hermitian=True(.|\n)*eigh"):
        np.linalg.svd(tn.tensor(S, requires_grad=True), hermitian=True)


@pytest.mark.parametrize("f", [np.linalg.eigh, np.linalg.eigvalsh, lambda t: np.linalg.matrix_power(t, 2)])
def test_what_takes_square_matrices_says_so(f):
    with pytest.raises(MatrixError, match=r"takes square matrices, got shape \(5, 3\)"):
        f(tn.tensor(TALL))


def test_least_squares_are_those_of_numpy_with_a_gradient():
    b = RNG.normal(size=(5, 2))
    for right in (b, b[:, 0]):
        for found, expected in zip(
            np.linalg.lstsq(tn.tensor(TALL), tn.tensor(right)), np.linalg.lstsq(TALL, right), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
    gradcheck(lambda a, y: np.linalg.lstsq(a, y)[0], TALL, b, order=2)
    gradcheck(lambda a, y: np.linalg.lstsq(a, y)[1], TALL, b)
    with pytest.raises(MatrixError, match="lstsq: takes a matrix and as many rows"):
        np.linalg.lstsq(tn.tensor(TALL), tn.tensor(b[:3]))


def test_the_pseudo_inverse_of_a_matrix_of_lower_rank_has_the_gradient_among_those():
    left, right = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 3))
    gradcheck(lambda u, v: np.linalg.pinv(u @ v), left, right)


def test_powers_of_matrices():
    for n in range(-4, 6):
        np.testing.assert_allclose(
            np.linalg.matrix_power(tn.tensor(A), n).data, np.linalg.matrix_power(A, n), rtol=1e-9
        )
    (g,) = derive(lambda t: np.linalg.matrix_power(t, 0).sum(), np.full((2, 2), np.inf))[1]
    np.testing.assert_array_equal(g, 0)
    with pytest.raises(TypeError):
        np.linalg.matrix_power(tn.tensor(A), 0.5)


def test_a_chain_of_products_is_computed_in_the_cheapest_order():
    arrays = [RNG.normal(size=shape) for shape in ((2, 50), (50, 60), (60, 1), (1, 30))]
    tensors = [tn.tensor(x, requires_grad=True) for x in arrays]
    whole = np.linalg.multi_dot(tensors)
    np.testing.assert_allclose(whole.data, np.linalg.multi_dot(arrays), rtol=1e-12)
    assert [value.shape for value in whole.graph().graph.ops] == [(50, 1), (2, 1), (2, 30)]
    with pytest.raises(ValueError, match="multi_dot: takes two arrays or more, got 1"):
        np.linalg.multi_dot(tensors[:1])


def test_a_compiled_step_learns_through_an_eigendecomposition(backend):
    w = tn.tensor(np.diag([1.0, 2.0, 3.0]), requires_grad=True)
    optimizer = tn.optim.SGD([w], lr=0.1)

    def step(x):
        optimizer.zero_grad()
        values, vectors = np.linalg.eigh(x @ x.T + w)
        loss = (values * (vectors[0] ** 2)).sum() + np.linalg.svdvals(w)[0]
        loss.backward()
        optimizer.step()
        return loss

    compiled = tn.compile(step, backend)
    start = w.data.copy()
    x = RNG.normal(size=(3, 3))
    eager = [step(x).item() for _ in range(3)]
    w.data[...] = start
    np.testing.assert_allclose([compiled(x).item() for _ in range(3)], eager, rtol=1e-12)


def test_a_large_matrix_beside_others_does_not_make_their_values_equal():
    small = np.array([[2.0, 0.5], [0.5, 1.0]])
    weights = np.arange(4.0).reshape(2, 2)

    def f(t):
        return np.sum(np.linalg.eigh(t).eigenvectors ** 2 * weights)

    _, (alone,) = derive(f, small)
    _, (both,) = derive(f, np.stack([small, 1e20 * small]))
    np.testing.assert_allclose(both[0], alone, rtol=1e-12)


def test_a_value_at_its_target_has_a_second_derivative():
    a, v = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[0.3, -1.0], [-1.0, 0.7]])
    for f in (np.linalg.eigvalsh, np.linalg.svdvals, np.linalg.pinv):
        target = f(a)
        product = tn.jvp(tn.grad(lambda t, f=f, y=target: np.sum((f(t) - y) ** 2) / 2), a, v)[1]
        change = tn.jvp(f, a, v)[1].data
        np.testing.assert_allclose(np.sum(product.data * v), np.sum(change**2), rtol=1e-9)
