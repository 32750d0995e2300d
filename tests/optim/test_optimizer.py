"""Optimizers: the rates, options and parameters that they refuse, and how one writes one's own."""

import math
from functools import partial

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import weights
from tinygrad_nn.errors import BadRule
from tinygrad_nn.optim import SGD, Adam, AdamW, Optimizer
from tinygrad_nn.testing import check_optimizer


def adagrad():
    """Duchi, Hazan and Singer 2011, written as a user would: a rule, its slots, its options."""

    @tn.kernel(*[None] * 5, writes=(0, 2, 4), differentiable=False, method=False)
    def adagrad_update(parameter, gradient, total, rate, scratch, *, eps):
        total += gradient * gradient
        np.sqrt(total, out=scratch)
        scratch += eps
        np.divide(gradient, scratch, out=scratch)
        parameter -= float(rate) * scratch

    class AdaGrad(Optimizer):
        rule = adagrad_update
        slots = ("total",)

        def __init__(self, parameters, lr, *, eps=1e-8):
            super().__init__(parameters, lr, eps=eps)

    return AdaGrad


def test_an_optimizer_of_ones_own_is_a_rule_its_slots_and_its_options():
    def formula(w, gradient, steps):
        total = np.zeros_like(w)
        for k in range(steps):
            total += gradient(k) ** 2
            w = w - 0.1 * gradient(k) / (np.sqrt(total) + 1e-6)
        return w

    kind = adagrad()
    check_optimizer(lambda ps: kind(ps, 0.1, eps=1e-6), formula)


EXTREMES = [1e-30, 1e-45, 1e30, np.inf, np.nan, 0.0]
"""Gradients whose squares, in float32, underflow, overflow or are no numbers."""


def after_a_step(kind, error):
    """Return the parameters and the state after one step, while NumPy does so on errors of numbers."""
    ws = [tn.tensor(np.full(2, 1e-20, np.float32), requires_grad=True) for _ in EXTREMES]
    optimizer = kind(ws)
    for w, gradient in zip(ws, EXTREMES, strict=True):
        w.grad = np.full(2, gradient, np.float32)
    with np.errstate(all=error):
        optimizer.step()
    return [*(w.data for w in ws), *optimizer.state_dict().values()]


KINDS = {
    "SGD": lambda ws: SGD(ws, lr=1e-30),
    "SGD with momentum": lambda ws: SGD(ws, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-30),
    "Adam": lambda ws: Adam(ws, lr=0.1),
    "AdamW": lambda ws: AdamW(ws, lr=1e-3),
    "one of ones own": lambda ws: adagrad()(ws, 0.1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_is_whole_whatever_numpy_does_on_errors(kind):
    expected = after_a_step(KINDS[kind], "ignore")
    for error in ("raise", "warn"):
        for a, b in zip(after_a_step(KINDS[kind], error), expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_replayed_update_is_whole_whatever_numpy_does_on_errors(kind, backend):
    ends = []
    for error in ("ignore", "raise"):
        w = tn.tensor(np.float32([1e-20, 1.0]), requires_grad=True)
        optimizer = kind([w], lr=0.1)

        @partial(tn.compile, backend=backend)
        def step(x, w=w, optimizer=optimizer):
            optimizer.zero_grad()
            (w * x).sum().backward()
            optimizer.step()

        step(np.float32([1.0, 1.0]))
        with np.errstate(all=error):
            step(np.float32([1e-30, 1e30]))
        ends.append(w.data.copy())
    np.testing.assert_array_equal(*ends)


def test_an_optimizer_of_ones_own_is_captured_with_its_state_and_its_options(backend):
    kind = adagrad()
    ends = []
    for wrap in (lambda step: step, lambda step: tn.compile(step, backend)):
        (w,) = weights()
        optimizer = kind([w], lambda step: 0.5 / (step + 1), eps=1e-3)

        def step(x, w=w, optimizer=optimizer):
            optimizer.zero_grad()
            loss = ((w * x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        losses = [step(np.array([1.0, k], np.float32)).item() for k in range(6)]
        ends.append((losses, w.data, optimizer.state_dict()))
    (losses, w, state), (compiled_losses, compiled_w, compiled_state) = ends
    np.testing.assert_allclose(compiled_losses, losses, rtol=1e-6)
    np.testing.assert_allclose(compiled_w, w, rtol=1e-6)
    assert state.keys() == compiled_state.keys() == {"steps", "0.total"}
    np.testing.assert_allclose(compiled_state["0.total"], state["0.total"], rtol=1e-6)


def test_an_operand_of_a_rule_that_no_optimizer_has_is_named():
    @tn.kernel(None, None, None, writes=(0,), differentiable=False, method=False)
    def descent(parameter, gradient, learning_rate):
        parameter -= float(learning_rate) * gradient

    class Descent(Optimizer):
        rule = descent

    with pytest.raises(BadRule, match=r"Descent has no learning_rate for the rule\n.*scratch, rate, count"):
        Descent(weights(), 0.1)


@pytest.mark.case("H149")
@pytest.mark.parametrize("lr", [-0.1, math.nan, math.inf, "0.1", None])
@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_bad_rates_are_refused(kind, lr):
    with pytest.raises(ValueError, match="lr"):
        kind(weights(), lr)


@pytest.mark.case("H149")
@pytest.mark.parametrize("betas", [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, math.nan), (0.9,)])
def test_bad_betas_are_refused(betas):
    with pytest.raises(ValueError, match="betas"):
        Adam(weights(), betas=betas)


@pytest.mark.case("H149")
@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"momentum": math.nan},
        {"weight_decay": -1.0},
        {"nesterov": True},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SGD(weights(), 0.1, **options)


@pytest.mark.case("H149")
def test_bad_parameter_lists_are_refused():
    (w,) = weights()
    bad = {
        "model.parameters": tn.nn.Dense(2, 3),
        "empty": [],
        "more than once": [w, w],
        "not a leaf": [w * 2],
    }
    for message, parameters in bad.items():
        with pytest.raises(ValueError, match=message):
            SGD(parameters, 0.1)


@pytest.mark.case("H149")
def test_a_parameter_without_gradient_is_skipped():
    w, other = weights()[0], tn.tensor(1.0, requires_grad=True)
    optimizer = Adam([w, other])
    optimizer.step()  # also where nobody has one
    assert other.item() == 1
    other.grad = np.ones((), np.float32)
    optimizer.step()
    np.testing.assert_array_equal(w.data, [1.0, 2.0])
    assert other.item() < 1


@pytest.mark.case("H149")
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_under_debug_a_nan_gradient_is_refused_before_anything_changes(kind):
    a, b = weights()[0], tn.tensor([3.0, 4.0], requires_grad=True, name="b")
    optimizer = kind([a, b], lr=0.1)
    a.grad, b.grad = np.ones(2, np.float32), np.array([0.0, math.nan], np.float32)
    before = optimizer.state_dict()
    with tn.debug(), pytest.raises(tn.errors.NonFinite, match=r"step: the gradient of b has nan at \[1\]"):
        optimizer.step()
    np.testing.assert_array_equal([a.data, b.data], [[1, 2], [3, 4]])
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("kind", [tn.optim.Adam, tn.optim.AdamW])
def test_float16_parameters_are_refused_where_squares_would_vanish(kind):
    half = tn.tensor(np.ones(2, np.float16), requires_grad=True)
    with pytest.raises(ValueError, match=f"{kind.__name__}: float16 is too narrow.*\n  hint   float32"):
        kind([half], lr=0.1)


@pytest.mark.case("H149")
@pytest.mark.parametrize("lr", [None, "a", -1.0, math.nan])
def test_a_bad_rate_that_is_set_later_is_refused_when_its_step_comes(lr):
    (w,) = weights()
    w.grad = np.ones(2, np.float32)
    optimizer = SGD([w], 0.5)
    optimizer.lr = lr
    with pytest.raises(ValueError, match=r"SGD: the learning rate of step 0 is a number in \[0, inf\), got"):
        optimizer.step()
    np.testing.assert_array_equal(w.data, weights()[0].data)
    assert optimizer.steps == 0


def rule(*slots, writes, **options):
    operands = ", ".join(["parameter", "gradient", *slots, "rate"])
    names = {}
    exec(f"def update({operands}): parameter -= rate * gradient", names)
    count = 3 + len(slots)
    return tn.kernel(*[None] * count, writes=writes, differentiable=False, method=False, **options)(
        names["update"]
    )


@pytest.mark.parametrize(
    ("attributes", "options", "complaint"),
    [
        (dict, {}, "Own: its rule is None; expected a kernel that writes the parameter"),
        (lambda: {"rule": abs}, {}, "Own: its rule is <built-in function abs>; expected a kernel"),
        (lambda: {"rule": rule(writes=(), name="u1")}, {}, "<op u1>, which does not say what it writes"),
        (lambda: {"rule": rule(writes=(0,), name="u2"), "slots": "velocity"}, {}, r"slots = \('velocity',\)"),
        (
            lambda: {"rule": rule("first", writes=(0,), name="u3"), "slots": ("first",)},
            {},
            r"u3 keeps first but does not write it\n  hint   writes=\(0, 2\)",
        ),
        (lambda: {"rule": rule(writes=(0,), name="u4")}, {"momentum": 0.9}, "Own: u4 takes no momentum"),
        (lambda: {"rule": rule("second", writes=(0,), name="u5")}, {}, "u5: Own has no second for the rule"),
    ],
)
def test_a_rule_that_could_not_be_replayed_is_refused_when_the_optimizer_is_made(
    attributes, options, complaint
):
    own = type("Own", (tn.optim.Optimizer,), attributes())
    with pytest.raises(BadRule, match=complaint):
        own([tn.tensor([1.0], requires_grad=True)], 0.1, **options)
