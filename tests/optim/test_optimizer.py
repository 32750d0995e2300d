"""Optimizers: the rates, options and parameters that they refuse, and how one writes one's own."""

import copy
import functools
import math
import pickle
from functools import partial

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.interrupts import interrupted_everywhere
from tests.support.leaves import leaf, weights
from tinygrad_nn import nn, optim
from tinygrad_nn.errors import BadRule, CheckpointError, GraphError, UsageWarning
from tinygrad_nn.optim import SGD, Adagrad, Adam, AdamW, Lion, Optimizer, RMSprop, optimizer, schedules
from tinygrad_nn.testing import check_optimizer
from tinygrad_nn.testing.bad_states import same_states


def adagrad():
    """Duchi, Hazan and Singer 2011, written as a user would: a rule, its slots, its options."""

    @tn.kernel(*[None] * 5, writes=(0, 2, 4), differentiable=False, method=False)
    def own_adagrad_update(parameter, gradient, total, rate, scratch, *, eps):
        total += gradient * gradient
        np.sqrt(total, out=scratch)
        scratch += eps
        np.divide(gradient, scratch, out=scratch)
        parameter -= float(rate) * scratch

    class AdaGrad(Optimizer):
        rule = own_adagrad_update
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
    "RMSprop": lambda ws: RMSprop(ws, lr=0.1, momentum=0.9, centered=True),
    "Adagrad": lambda ws: Adagrad(ws, lr=0.1),
    "Lion": lambda ws: Lion(ws, lr=0.1, weight_decay=0.1),
    "groups": lambda ws: SGD([{"parameters": ws[:2], "lr": 1e-30}, {"parameters": ws[2:], "lr": 0.1}]),
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
@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop, Adagrad, Lion])
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
    other.grad = np.ones((), np.float32)
    optimizer.step()
    np.testing.assert_array_equal(w.data, [1.0, 2.0])
    assert other.item() < 1


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_a_step_without_any_gradient_is_refused_before_anything_changes(kind):
    optimizer = kind(weights(), lr=0.1)
    before = optimizer.state_dict()
    with pytest.raises(
        GraphError,
        match=rf"{kind.__name__}\.step: none of the 1 parameters has a gradient\n  hint   loss\.back",
    ):
        optimizer.step()
    assert same_states(optimizer.state_dict(), before)


def test_a_captured_step_without_any_gradient_is_refused_as_the_eager_one_is(backend):
    (w,) = weights()
    optimizer = SGD([w], lr=0.5)
    step = tn.compile(lambda: optimizer.step(), backend)
    for _ in range(2):
        with pytest.raises(GraphError, match=r"SGD\.step: none of the 1 parameters has a gradient"):
            step()
        w.grad = np.ones(2, np.float32)
        step()
        w.grad = None
    np.testing.assert_array_equal(w.data, [0.0, 1.0])
    assert optimizer.steps == 2


@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize(
    "freeze",
    [
        lambda w: w.data.setflags(write=False),
        lambda w: setattr(w, "data", np.broadcast_to(np.float32(3), (2,))),
        lambda w: setattr(w, "data", np.frombuffer(bytes(8), np.float32)),
    ],
    ids=["made read-only", "a broadcast view", "memory of a bytes object"],
)
def test_a_parameter_on_memory_that_cannot_be_written_is_refused_before_anything_changes(kind, freeze):
    (first,), second = weights(), weights()[0]
    optimizer = kind([first, second], lr=0.5)
    freeze(second)
    before = optimizer.state_dict()
    first.grad = second.grad = np.ones(2, np.float32)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=r"parameter 1 of shape \(2,\) lies in memory .*\n  hint   p\.data = p\."
        ):
            optimizer.step()
    np.testing.assert_array_equal(first.data, weights()[0].data)
    assert same_states(optimizer.state_dict(), before)
    second.data = second.data.copy()
    optimizer.step()
    assert (first.data != weights()[0].data).all()


def test_memory_that_becomes_read_only_by_an_assignment_between_steps_is_refused_too():
    first, second = weights()[0], weights()[0]
    optimizer = SGD([first, second], lr=0.5)
    first.grad = second.grad = np.ones(2, np.float32)
    optimizer.step()
    second.data = np.broadcast_to(np.float32(3), (2,))
    after = first.data.copy()
    with pytest.raises(ValueError, match="parameter 1 .* cannot be written"):
        optimizer.step()
    np.testing.assert_array_equal(first.data, after)
    assert optimizer.steps == 1


def exact(kind, dtypes):
    """Take a step in each dtype, on a gradient that float32 would round; return the parameter and the state."""
    w = tn.tensor(np.ones(2, dtypes[0]), requires_grad=True)
    optimizer = kind([w])
    for k, dtype in enumerate(dtypes):
        w.data = w.data.astype(dtype)
        w.grad = np.array([1, 2], dtype) if k == 0 else np.array([1 / 3, 1e-3], dtype)
        optimizer.step()
    return w, optimizer.state_dict()


@pytest.mark.parametrize(
    "kind",
    [
        lambda ps: SGD(ps, lr=0.125),
        lambda ps: SGD(ps, lr=0.125, momentum=0.5),
        lambda ps: SGD(ps, lr=0.125, momentum=0.5, nesterov=True, weight_decay=0.25),
        Adam,
        AdamW,
    ],
)
def test_a_parameter_of_another_dtype_is_updated_in_that_one_and_so_is_its_state(kind):
    changed, state = exact(kind, [np.float32, np.float64])
    assert changed.dtype == np.float64
    slots = {name: array.dtype for name, array in state.items() if name.startswith("0.")}
    assert set(slots.values()) <= {np.dtype(np.float64)}
    if kind in (Adam, AdamW):
        # Their first step in float32 rounds; only the second is exact.
        np.testing.assert_allclose(changed.data, exact(kind, [np.float64] * 2)[0].data, rtol=1e-6)
    else:
        np.testing.assert_array_equal(changed.data, exact(kind, [np.float64] * 2)[0].data)


def test_the_state_is_of_the_new_dtype_before_the_first_step_in_it():
    (w,) = weights()
    optimizer = Adam([w])
    w.data = w.data.astype(np.float64)
    assert optimizer.state_dict()["0.first"].dtype == np.float64
    optimizer.load_state_dict(Adam([tn.tensor(w.data, requires_grad=True)]).state_dict())


def test_adam_refuses_parameters_that_become_float16():
    (w,) = weights()
    optimizer = Adam([w])
    w.data = w.data.astype(np.float16)
    w.grad = np.ones(2, np.float16)
    with pytest.raises(ValueError, match="float16 is too narrow"):
        optimizer.step()


def test_a_captured_step_follows_parameters_to_another_dtype(backend):
    (w,) = weights()
    optimizer = SGD([w], lr=0.125, momentum=0.5)

    @functools.partial(tn.compile, backend=backend)
    def step(x):
        optimizer.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    twin = tn.tensor(np.array(w.data, np.float64), requires_grad=True)
    other = SGD([twin], lr=0.125, momentum=0.5)
    for x in (np.array([1.0, 2.0]), np.array([1 / 3, 1e-3])):
        for _ in range(2):
            step(x.astype(w.dtype))
            twin.grad = x.copy()
            other.step()
        w.data = w.data.astype(np.float64)
    np.testing.assert_allclose(w.data, twin.data, rtol=1e-15)


def test_the_rate_is_part_of_the_state_exactly_and_a_schedule_is_not():
    one, again = SGD(weights(), lr=0.1), SGD(weights(), lr=0.5)
    one.lr = np.float32(0.001)
    again.load_state_dict(one.state_dict())
    assert type(again.lr) is float
    assert again.lr == np.float32(0.001)
    follower = SGD(weights(), lr=tn.optim.schedules.linear(0.0, 1.0, 10))
    assert set(follower.state_dict()) == {"steps"}
    follower.load_state_dict(follower.state_dict())
    assert callable(follower.lr)


@pytest.mark.parametrize("rate", [-0.1, math.nan, math.inf])
def test_a_saved_rate_that_is_none_is_refused(rate):
    optimizer = SGD(weights(), lr=0.1)
    with pytest.raises(CheckpointError, match=r"wrong +lr: "):
        optimizer.load_state_dict(optimizer.state_dict() | {"lr": np.array(rate)})
    assert optimizer.lr == 0.1


def test_a_rate_and_a_schedule_do_not_take_each_others_place_silently():
    constant, follower = SGD(weights(), lr=0.1), SGD(weights(), lr=lambda step: 0.5)
    with pytest.raises(
        CheckpointError, match=r"unexpected  lr\n  hint +load into a constant rate, then optimizer\.lr"
    ):
        follower.load_state_dict(constant.state_dict())
    with pytest.raises(
        CheckpointError, match=r"missing     lr\n  hint +saved under a schedule: load with one"
    ):
        constant.load_state_dict(follower.state_dict())


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize(
    "schedule",
    [
        tn.optim.schedules.piecewise([0.5, 0.25], [2]),
        tn.optim.schedules.exponential(0.5, 0.5),
        tn.optim.schedules.inverse_time(0.5, 10),
        tn.optim.schedules.linear(0.5, 0.1, 4),
        tn.optim.schedules.cosine(0.5, 10),
        tn.optim.schedules.warmup(tn.optim.schedules.cosine(0.5, 10), 2),
        0.25,
    ],
    ids=lambda rate: rate.func.__name__ if callable(rate) else "a number",
)
@pytest.mark.parametrize("kind", [lambda ps, lr: SGD(ps, lr, momentum=0.5), Adam])
def test_an_optimizer_is_copied_and_pickled_with_its_rate_and_goes_on_by_itself(kind, schedule, copied):
    def train(w, optimizer, steps):
        for k in range(steps):
            w.grad = np.array([1.0, k], np.float32)
            optimizer.step()

    (w,) = weights()
    optimizer = kind([w], schedule)
    train(w, optimizer, 3)
    other, twin = copied((w, optimizer))
    assert twin.parameters[0] is other
    train(other, twin, 3)
    between = w.data.copy()
    train(w, optimizer, 3)
    assert not np.array_equal(between, w.data)
    np.testing.assert_array_equal(other.data, w.data)
    assert same_states(optimizer.state_dict(), twin.state_dict())


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


EVERY_OPTION = {
    "SGD": lambda ps: SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda ps: Adam(ps, weight_decay=0.1),
    "AdamW": AdamW,
    "RMSprop": lambda ps: RMSprop(ps, momentum=0.9, centered=True),
    "Adagrad": lambda ps: Adagrad(ps, lr_decay=0.1),
    "Lion": Lion,
}


@pytest.mark.parametrize("kind", EVERY_OPTION.values(), ids=EVERY_OPTION.keys())
@pytest.mark.parametrize("order", ["C", "F"])
def test_blocks_of_a_large_parameter_are_updated_as_the_whole_is(monkeypatch, kind, order):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(7, 6)), rng.normal(size=(3, 7, 6))

    def trained(block, large):
        monkeypatch.setattr(optimizer, "_BLOCK", block)
        monkeypatch.setattr(optimizer, "_LARGE", large)
        w, b = (tn.tensor(x.copy(order), requires_grad=True) for x in (start, start[0]))
        method = kind([w, b])
        assert method.elementwise
        for gradient in gradients:
            w.grad, b.grad = gradient, gradient[0]
            method.step()
        return w.data, b.data

    for found, expected in zip(trained(40, 100), trained(2**20, 2**20), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_rule_that_looks_at_a_whole_parameter_gets_it_whole(monkeypatch):
    monkeypatch.setattr(optimizer, "_BLOCK", 16)
    monkeypatch.setattr(optimizer, "_LARGE", 16)

    @tn.kernel(*[None] * 7, writes=(0, 2, 3, 4), differentiable=False, method=False)
    def normed_update(parameter, gradient, first, second, scratch, rate, count, *, betas, eps):
        parameter -= gradient / np.linalg.norm(gradient)

    class Normed(Adam):
        rule = normed_update

    w = tn.tensor(np.zeros(9), requires_grad=True)
    w.grad = np.full(9, 5.0)
    Normed([w]).step()
    np.testing.assert_allclose(w.data, -1 / 3)
    assert not Normed.elementwise
    assert Adam.elementwise
    assert AdamW.elementwise


def test_an_interrupted_step_of_adamw_finds_or_leaves_a_parameter_whole():
    def step():
        nonlocal parameter
        parameter = tn.tensor(np.ones(3), requires_grad=True)
        parameter.grad = np.full(3, 0.5)
        AdamW([parameter], lr=0.1, weight_decay=0.5).step()

    parameter = None
    step()
    after = parameter.data.tolist()
    places = 0
    for where in interrupted_everywhere(step, [AdamW.rule.function.__code__.co_filename]):
        places += "adam_update" in where
        assert parameter.data.tolist() in ([1.0, 1.0, 1.0], after), where
    assert places > 5


def test_an_optimizer_shows_its_settings_in_a_line():
    w, b = leaf([1.0]), leaf([2.0])
    assert repr(Adam([w, b])) == "Adam(2 parameters, lr=0.001, betas=(0.9, 0.999), eps=1e-08; step 0)"
    rate = schedules.warmup(schedules.cosine(0.1, 10), 3)
    sgd = SGD([w], lr=rate, momentum=0.9)
    (w * w).sum().backward()
    sgd.step()
    assert repr(sgd) == "SGD(1 parameter, lr=warmup(cosine(0.1, 10, 0.0), 3), momentum=0.9; step 1)"
    assert repr(pickle.loads(pickle.dumps(rate))) == repr(rate)
    groups = SGD([{"parameters": [w], "lr": 0.1}, {"parameters": [b]}], lr=0.01)
    assert repr(groups) == "SGD(2 parameters, lr=1.0, rates=[0.1, 0.01]; step 0)"


def _regression():
    model = nn.Dense(2, 1, rng=0)
    return model, lambda: (model(np.ones((3, 2), np.float32)) ** 2).mean()


def test_a_forgotten_zero_grad_is_named_once():
    model, loss = _regression()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss().backward()
    optimizer.step()
    loss().backward()
    loss().backward()
    with pytest.warns(
        UsageWarning, match=r"^SGD\.step: .* never cleared.*\n  hint   optimizer\.zero_grad\(\) before"
    ) as caught:
        optimizer.step()
    assert caught[0].filename == __file__
    loss().backward()
    optimizer.step()


def test_a_forgotten_zero_grad_is_named_where_a_parameter_is_one_number():
    w = tn.tensor(2.0, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    (w * w).backward()
    optimizer.step()
    (w * w).backward()
    with pytest.warns(UsageWarning, match="never cleared"):
        optimizer.step()


@pytest.mark.parametrize(
    "clear", ["zero_grad of the optimizer", "zero_grad of the model", "None", "zeros in place", "before use"]
)
def test_gradients_that_are_summed_up_on_purpose_or_cleared_in_any_way_are_not_named(clear):
    model, loss = _regression()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    for _ in range(3):
        for _ in range(2):
            loss().backward()
        optimizer.step()
        if clear == "zero_grad of the optimizer":
            optimizer.zero_grad()
        elif clear == "zero_grad of the model":
            model.zero_grad()
        elif clear == "None":
            for p in model.parameters():
                p.grad = None
        elif clear == "zeros in place":
            for p in model.parameters():
                p.grad[:] = 0
        else:
            # As a discriminator, through which the generator is trained after its step.
            loss().backward()
            optimizer.zero_grad()


def test_a_gradient_that_is_used_twice_or_by_two_optimizers_is_not_named():
    model, loss = _regression()
    first, second = optim.SGD(model.parameters(), lr=0.1), optim.SGD(model.parameters(), lr=0.1)
    loss().backward()
    for each in (first, second, first, second):
        each.step()
