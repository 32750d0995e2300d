"""Clipping: all gradients together, and not by a norm that is no number."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import vector, weights
from tinygrad_nn.errors import GraphError
from tinygrad_nn.optim import clip_grad_norm


@pytest.mark.case("H150")
def test_gradients_are_clipped_together():
    a, b = tn.tensor(0.0, requires_grad=True), tn.tensor(0.0, requires_grad=True)
    a.grad, b.grad = np.array(3.0, np.float32), np.array(4.0, np.float32)
    assert clip_grad_norm([a, b], 1.0) == 5.0
    np.testing.assert_allclose([a.grad, b.grad], [0.6, 0.8], rtol=1e-6)
    assert a.grad.dtype == np.float32
    assert clip_grad_norm([a, b], 10.0) == pytest.approx(1.0)
    np.testing.assert_allclose([a.grad, b.grad], [0.6, 0.8], rtol=1e-6)


@pytest.mark.case("H150")
def test_zero_gradients_are_not_divided():
    (w,) = weights()
    w.grad = np.zeros(2, np.float32)
    assert clip_grad_norm([w], 1.0) == 0.0
    np.testing.assert_array_equal(w.grad, [0.0, 0.0])


@pytest.mark.case("H150")
@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_an_infinite_norm_raises_and_changes_nothing(bad):
    (w,) = weights()
    w.grad = np.array([bad, 1.0], np.float32)
    with pytest.raises(ValueError, match="nothing was changed"):
        clip_grad_norm([w], 1.0)
    np.testing.assert_array_equal(w.grad, [np.float32(bad), 1.0])


@pytest.mark.case("H150")
@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_a_bad_bound_is_refused(max_norm):
    with pytest.raises(ValueError, match="max_norm"):
        clip_grad_norm(weights(), max_norm)


def test_clip_grad_norm_takes_one_tensor_and_counts_a_repeated_one_once():
    w = vector(3.0, 4.0)
    for parameters in (w, [w, w]):
        w.grad = np.array([3.0, 4.0])
        assert tn.optim.clip_grad_norm(parameters, 1.0) == 5
        assert np.allclose(w.grad, [0.6, 0.8])


@pytest.mark.parametrize("several", [lambda w: [w], lambda w: w, lambda w: iter([w, w]), lambda w: []])
def test_clipping_without_any_gradient_is_refused(several):
    w = tn.tensor([1.0], requires_grad=True)
    with pytest.raises(
        GraphError, match=r"clip_grad_norm: none of the \d parameters has a gradient\n  hint   loss\.back"
    ):
        clip_grad_norm(several(w), 1.0)


def test_a_parameter_without_a_gradient_beside_others_is_left_out():
    w, other = tn.tensor([1.0], requires_grad=True), tn.tensor([1.0], requires_grad=True)
    w.grad = np.array([3.0], np.float32)
    assert clip_grad_norm([other, w], 1.0) == 3
    assert other.grad is None


def test_gradients_are_clipped_together_whatever_numpy_does_on_errors():
    ends = []
    for error in ("ignore", "raise"):
        ws = [tn.tensor(np.zeros(2), requires_grad=True) for _ in range(3)]
        for w, g in zip(ws, (1e-300, 1e150, 1e-170), strict=True):
            w.grad = np.full(2, g)
        with np.errstate(all=error):
            clip_grad_norm(ws, 1e-10)
        ends.append([w.grad for w in ws])
    np.testing.assert_array_equal(*ends)


def test_while_a_step_is_captured_there_is_no_norm_yet():
    w, norms = tn.tensor([3.0, 4.0], requires_grad=True), []

    @tn.compile
    def step():
        w.grad = None
        loss = (w * w / 2).sum()
        loss.backward()
        norms.append(clip_grad_norm([w], 1.0))
        return loss

    step()
    assert set(norms) == {None}
