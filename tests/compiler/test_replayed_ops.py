"""Ops, shapes and dtypes that replays treat differently give what the eager run gives, on new data too."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import errors, nn
from tinygrad_nn.ops.fused_losses import minus_one_hot

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6))
Y = RNG.normal(size=(4, 6))
S = RNG.normal(size=(4, 4))
HALF = X.astype(np.float16)
SINGLE = X.astype(np.float32)
COUNTS = np.arange(24).reshape(4, 6)
LABELS = np.array([0, 5, 2, 2])
TALL = RNG.normal(size=(32, 4)).astype(np.float32)


def again(array):
    """Return other data of the same form."""
    array = np.asarray(array)
    return (array[..., ::-1] * 1.5 - (array.dtype.kind == "f")).astype(array.dtype)


PROGRAMS = {
    "powers": (lambda x, y: (x * x + 1) ** 3 + (x * x + 1) ** y + (x * x + 1) ** -1 + (x * x) ** 0.5, (X, Y)),
    "integer powers": (lambda x: x**2 + x**3, (COUNTS,)),
    "activations of small counts": (
        lambda k: (tn.sigmoid(k), tn.softmax(k), tn.silu(k)),
        (COUNTS.astype(np.uint8) % 5,),
    ),
    "activations at infinity": (
        lambda x: (tn.silu(x), tn.gelu(x), tn.gelu_tanh(x), np.copysign(x, -1.0)),
        (np.array([np.inf, -np.inf, 0.0, 2.0]),),
    ),
    "softmax over no entries": (lambda x: tn.softmax(x), (np.zeros((3, 0)),)),
    "softmax of narrow numbers": (lambda x: (tn.softmax(x), x.sum(), x.std()), (HALF,)),
    "sums of bools and counts": (lambda x: (x > 0).sum(axis=0) + (x > 1).sum(), (X,)),
    "means of narrow numbers and of counts": (lambda x, k: (x.mean(axis=1), k.mean()), (HALF, COUNTS)),
    "extrema": (lambda x: (x.max(axis=1, keepdims=True), x.min(), x.max(axis=(0, 1)), x.min(axis=-1)), (X,)),
    "extrema with a start": (lambda x: np.max(x, axis=0, initial=0.5) * 2, (X,)),
    "where with numbers as conditions": (lambda k, x, y: np.where(k % 2, x, y) * 1.0, (COUNTS, X, Y)),
    "where of bools": (lambda x, y: np.where(np.logical_not(x > 0), y > x, x > 1), (X, Y)),
    "where in place": (lambda x, y: np.where(x > 0, x * 2, y * 3) + np.where(y > 0, 0.5, y + x), (X, Y)),
    "concatenate": (lambda x, y: np.concatenate([x, y], axis=1) * 2, (X, Y)),
    "concatenate to a dtype": (lambda x, y: np.concatenate([x, y], dtype=np.float32), (X, Y)),
    "one-hot": (lambda x, k: minus_one_hot(x, k) + minus_one_hot(x * 2, k), (X, LABELS)),
    "one-hot in place": (lambda x, k: minus_one_hot(tn.softmax(x), k) * 2, (X, LABELS)),
    "identities": (lambda x: ((x * 1) / 1 + 1 * x) + (+x).reshape(4, 6), (X,)),
    "nothing but an identity": (lambda x: x * 1, (X,)),
    "identities that widen": (lambda k: k * 1.0, (COUNTS,)),
    "a reshape that copies": (lambda x: (x.T.reshape(-1) * 2).sum() + x.T.reshape(8, 3), (X,)),
    "infinite constants": (lambda x: np.where(x > 0, x, -np.inf) + 0 * np.minimum(x, np.inf), (X,)),
    "mixed widths": (lambda x, y: x * y + x, (SINGLE, Y)),
    "bools among numbers": (lambda x, y: (x > 0) * y + np.logical_and(x > 0, y), (X, Y)),
    "an axis of length one in the middle": (
        lambda x, y: np.tanh(x) * y,
        (X.reshape(4, 2, 3), Y[:, None, :3]),
    ),
    "rows and columns": (lambda x, c, r: (x + c) * r - c, (X, Y[0], Y[:, :1])),
    "nothing at all": (lambda x: np.tanh(x) * 2 + 1, (np.zeros((0, 3)),)),
    "small products": (lambda x, s: (x.T @ s) + x.T[:, ::-1] @ s[:, :] + np.matmul(s, x).T, (X[:, :3], S)),
    "stacked and mixed products": (lambda x, s: (x.reshape(2, 2, 6) @ x.T, s @ x), (SINGLE, S)),
    "a long stack and a matrix": (lambda x, s: np.tile(x, (2, 16, 6))[..., :32] @ s, (SINGLE, TALL)),
    "losses of each reduction": (
        lambda x, k: [nn.losses.cross_entropy(x * 2, k, reduction=how) for how in ("none", "sum", "mean")],
        (X, LABELS),
    ),
    "labels that are computed": (lambda x: nn.losses.cross_entropy(x * 2, x.argmax(axis=1)), (X,)),
    "a loss of narrow numbers": (lambda x, k: nn.losses.cross_entropy(x, k, reduction="sum"), (HALF, LABELS)),
}


def leaves(result):
    return [result] if isinstance(result, tn.Tensor) else list(result)


def same(got, expected, rtol):
    for a, b in zip(leaves(got), leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a.data, b.data, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_replay_with_numpy_equals_the_eager_run(name):
    compare("numpy", name)


@pytest.mark.parametrize(
    "name",
    ["bools among numbers", "an axis of length one in the middle", "mixed widths", "rows and columns", "small products",
     "where with numbers as conditions", "stacked and mixed products", "infinite constants", "nothing at all",
     "labels that are computed", "losses of each reduction", "a loss of narrow numbers", "identities"],
)  # fmt: skip
def test_a_replay_with_loops_equals_the_eager_run(name):
    pytest.importorskip("numba")
    compare("numba", name)


def compare(backend, name):
    function, args = PROGRAMS[name]
    rtol = (
        2e-3
        if any(np.asarray(x).dtype == np.float16 for x in args)
        else 1e-5
        if SINGLE in ArgsOf(args)
        else 1e-12
    )
    compiled = tn.compile(function, backend)
    for given in (args, args, [x if x is LABELS else again(x) for x in args]):
        kept = [x.copy() for x in given]
        same(compiled(*given), function(*map(tn.as_tensor, given)), rtol)
        for x, before in zip(given, kept, strict=True):
            np.testing.assert_array_equal(x, before)
    assert len(compiled.programs) == 1


class ArgsOf(tuple):  # arrays are found by identity: == of arrays is an array
    def __contains__(self, x):
        return any(x is y for y in self)


DERIVATIVES = {
    "a residual that is computed with its value": lambda x: tn.silu(x * 2).sum(),
    "logsumexp and extrema": lambda x: (tn.logsumexp(x, axis=1) * x.max(axis=1)).sum(),
    "norms and variances": lambda x: np.linalg.norm(x) * x.var() + x.std(axis=0).sum(),
    "losses in sum and one by one": lambda x: (
        nn.losses.cross_entropy(x, LABELS, reduction="sum")
        + (nn.losses.cross_entropy(x * 2, LABELS, reduction="none") ** 2).sum()
    ),
    "the loss of another's labels": lambda x: nn.losses.cross_entropy(x, x.argmax(axis=1)) * x[0, 0],
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_of_ops_with_residuals_are_replayed(name):
    f = tn.value_and_grad(DERIVATIVES[name])
    compiled = tn.compile(f, "numpy")
    for x in (X, again(X)):
        same(compiled(x), f(x), 1e-12)


def test_a_residual_of_a_users_kernel_that_is_no_op_of_ours_is_replayed():
    times_exp = tn.kernel(
        lambda g, e: g * e, None, residuals={"e": lambda a, b: np.exp(b)}, name="times_exp"
    )(lambda a, b: (a * np.exp(b), np.exp(b)))
    halved = tn.kernel(lambda g, h: g * h, residuals={"h": lambda x: 0.5}, name="halved")(
        lambda x: (x * 0.5, 0.5)
    )
    f = tn.value_and_grad(lambda x: (times_exp(x, Y) * halved(x)).sum())
    compiled = tn.compile(f, "numpy")
    for x in (X, again(X)):
        same(compiled(x), f(x), 1e-12)


@pytest.mark.parametrize("ignored", [None, -100])
@pytest.mark.parametrize("loss", [nn.losses.cross_entropy, nn.losses.nll])
def test_labels_are_checked_on_every_replay(loss, ignored, backend):
    step = lambda x, k: loss(tn.log_softmax(x), k, ignore_index=ignored)
    compiled = tn.compile(step, backend)
    compiled(X, LABELS)
    for bad in (-1, 6, -50):
        wrong = LABELS.copy()
        wrong[1] = bad
        with pytest.raises(errors.LabelError, match=f"{loss.__name__}: label {bad} at position 1"):
            compiled(X, wrong)
    np.testing.assert_allclose(
        compiled(X, LABELS[::-1].copy()).item(), step(X, LABELS[::-1]).item(), rtol=1e-12
    )


def test_computed_labels_are_checked_on_every_replay(backend):
    compiled = tn.compile(lambda x: nn.losses.cross_entropy(x, (x > 0).sum(axis=1)), backend)
    assert compiled(X - X).item() == pytest.approx(np.log(6))
    with pytest.raises(errors.LabelError, match="label 6 at position 0 is outside of the 6 classes"):
        compiled(np.abs(X))
    assert compiled(X - X).item() == pytest.approx(np.log(6))


@pytest.mark.parametrize(("reduction", "expected"), [("sum", 0), ("mean", np.nan), ("none", [])])
@pytest.mark.parametrize("loss", [nn.losses.cross_entropy, nn.losses.nll])
def test_no_rows_have_no_loss(loss, reduction, expected, backend):
    compiled = tn.compile(lambda x, k: loss(x, k, reduction=reduction), backend)
    with np.errstate(invalid="ignore"):
        for _ in range(2):
            np.testing.assert_array_equal(compiled(X[:0], LABELS[:0]).data, expected)


@pytest.mark.parametrize(
    "same_again",
    [
        lambda x: x * 1,
        lambda x: 1 * x,
        lambda x: x / 1.0,
        lambda x: x**1,
        lambda x: +x,
        lambda x: x.reshape(4, 6),
        lambda x: np.broadcast_to(x, (4, 6)),
        lambda x: np.squeeze(x),
    ],
)
def test_nothing_is_computed_where_an_operand_is_the_result(same_again):
    compiled = tn.compile(lambda x: same_again(x) + 2, "numpy")
    np.testing.assert_array_equal(compiled(X).data, X + 2)
    assert [line.split("(")[0].strip() for line in compiled.programs[0].text.splitlines()[1:]] == [
        "add",
        "return",
    ]


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_the_mean_of_nothing_is_nan():
    compiled = tn.compile(lambda x: x[:0].mean() + x.sum(), "numpy")
    with np.errstate(all="ignore"):
        assert np.isnan(compiled(X).item())


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_optimizers_of_parameters_that_loops_do_not_know_are_replayed(backend, dtype):
    def make():
        w = tn.tensor(np.asfortranarray(S.astype(dtype)), requires_grad=True)
        optimizer = tn.optim.SGD([w], lr=0.1, momentum=0.5)

        def step(x):
            optimizer.zero_grad()
            (w * x).sum().backward()
            optimizer.step()

        return w, step

    (eager, run), (other, traced) = make(), make()
    replay = tn.compile(traced, backend)
    for _ in range(3):
        run(tn.as_tensor(S.astype(dtype)))
        replay(S.astype(dtype))
        np.testing.assert_allclose(other.data, eager.data, rtol=1e-3 if dtype == np.float16 else 1e-13)


def test_what_was_computed_before_an_update_is_not_computed_after_it(backend):
    def make():
        w = tn.tensor(S.copy(), requires_grad=True)
        optimizer = tn.optim.SGD([w], lr=0.5)

        def step(x):
            optimizer.zero_grad()
            old = np.abs(w.detach() * 2)
            (w * x).sum().backward()
            optimizer.step()
            return old * 3 + w

        return step

    eager, compiled = make(), tn.compile(make(), backend)
    for x in (S, S + 1, S):
        np.testing.assert_allclose(compiled(x).data, eager(tn.as_tensor(x)).data, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_gradient_of_a_bias_of_many_rows_adds_up_in_a_replay(backend, dtype):
    rows = 200_000
    bias = tn.tensor(np.zeros(2, dtype), requires_grad=True)

    def step(x):
        bias.grad = None
        ((x + bias) * dtype(0.1)).sum().backward()

    compiled = tn.compile(step, backend)
    for _ in range(2):
        compiled(np.zeros((rows, 2), dtype))
    expected = rows * float(dtype(0.1)) if dtype is np.float32 else np.float16(rows * 0.1)
    np.testing.assert_allclose(bias.grad, np.full(2, expected), rtol=1e-6 if dtype is np.float32 else 1e-3)


# Zero and minus zero, infinities, NaN, and numbers whose squares and quotients are none.
SPECIAL = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 1e308, -5e-324])
PAIRS = tuple(np.array(a) for a in np.meshgrid(SPECIAL, SPECIAL))
COTANGENT = np.where(np.arange(81).reshape(9, 9) % 3, 0.5, 0.0)

AT_THE_EDGES = {
    "x / y": lambda x, y: x / y,
    "x * y": lambda x, y: x * y,
    "x - y": lambda x, y: x - y,
    "square": lambda x, y: x * x,
    "x ** 2": lambda x, y: x**2 + y**3,
    "x ** -1": lambda x, y: x**-1 + y**-2,
    "x ** 0.5": lambda x, y: x**0.5,
    "x ** y": lambda x, y: x**y,
    "sqrt": lambda x, y: np.sqrt(x) * y,
    "exp": lambda x, y: np.exp(x) - np.exp(y),
    "log": lambda x, y: np.log(x) - y,
    "tanh": lambda x, y: np.tanh(x) * np.tanh(y),
    "reciprocal": lambda x, y: np.reciprocal(x) * y,
    "maximum": lambda x, y: np.maximum(x, y) - np.minimum(x, y),
    "where": lambda x, y: np.where(x > y, x / y, 0.0) + np.where(np.isfinite(x), 1.0, y),
    "absolute": lambda x, y: np.abs(x) / np.abs(y),
    "sigmoid": lambda x, y: tn.sigmoid(x) * tn.softplus(y),
    "relu": lambda x, y: tn.relu(x) * tn.silu(y),
    "leaky relu": lambda x, y: tn.leaky_relu(x) + tn.elu(y),
    "softmax": lambda x, y: tn.softmax(x, axis=1) * tn.log_softmax(y, axis=0),
    "logsumexp": lambda x, y: tn.logsumexp(x, axis=1, keepdims=True) + tn.logsumexp(y, axis=0),
    "sums": lambda x, y: x.sum(axis=0) / y.sum(axis=1, keepdims=True),
    "means": lambda x, y: x - x.mean(axis=1, keepdims=True) + y.max(axis=0),
    "a constant quotient": lambda x, y: x * (tn.tensor(0.0) / tn.tensor(0.0)) + y / tn.tensor(0.0),
}


def both(names, *with_loops):
    """Return programs for NumPy, and those that are worth compiled loops, which take a second each, for Numba."""
    return [*((name, "numpy") for name in names), *((name, "numba") for name in with_loops)]


@pytest.mark.parametrize(
    ("name", "backend"),
    both(AT_THE_EDGES, "x / y", "maximum", "where", "sigmoid", "sums"),
    indirect=["backend"],
)
def test_replays_have_the_infinities_and_nans_of_the_eager_run_and_do_not_warn(name, backend):
    def values_and_gradients(x, y, g):
        z, pull = tn.vjp(AT_THE_EDGES[name], x, y)
        return z, *pull(g)

    compiled = tn.compile(values_and_gradients, backend)
    with np.errstate(all="ignore"):
        # The capture runs the step, as it is, under the warnings of its caller.
        compiled(*PAIRS, COTANGENT)
        swapped = (*PAIRS[::-1], COTANGENT[::-1])
        expected = [
            values_and_gradients(*map(tn.as_tensor, given)) for given in ((*PAIRS, COTANGENT), swapped)
        ]
    for given, results in zip(((*PAIRS, COTANGENT), swapped), expected, strict=True):
        for got, result in zip(compiled(*given), results, strict=True):
            np.testing.assert_allclose(got.data, result.data, rtol=1e-12)
    assert len(compiled.programs) == 1


OVER_OPERANDS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: b - a,
    "tanh": lambda a, b: np.tanh(a),
    "sin": lambda a, b: np.sin(b),
    "sigmoid": lambda a, b: tn.sigmoid(a),
    "relu": lambda a, b: tn.relu(b),
    "silu": lambda a, b: tn.silu(a),
    "softplus": lambda a, b: tn.softplus(a),
    "softmax": lambda a, b: tn.softmax(a),
    "log-softmax": lambda a, b: tn.log_softmax(b),
    "maximum": lambda a, b: np.maximum(a, b),
    "minimum": lambda a, b: np.minimum(b, a),
    "where": lambda a, b: np.where(a > 0, a, b),
    "where, the other way": lambda a, b: np.where(a > 0, b, a),
    "powers": lambda a, b: a**2 + b**3,
    "power": lambda a, b: (a * a + 1) ** np.tanh(b),
    "product": lambda a, b: a @ b.T @ a,
    "transposed": lambda a, b: a.T.reshape(4, 6) + b,
    "a part": lambda a, b: a - a[0] * b[:, :1],
    "reversed": lambda a, b: a + a[::-1, ::-1],
    "concatenate": lambda a, b: np.concatenate([a[:2], b[:2]]),
    "one-hot": lambda a, b: minus_one_hot(a, LABELS),
    "sums": lambda a, b: a - a.sum(axis=0) + b.mean(axis=1, keepdims=True),
    "extrema": lambda a, b: a - a.max(axis=1, keepdims=True) + b.min(),
    "cumsum": lambda a, b: np.cumsum(a, axis=0),
    "narrower": lambda a, b: a.astype(np.float32) * b,
}


@pytest.mark.parametrize(
    ("name", "backend"), both(OVER_OPERANDS, "tanh", "where", "a part", "extrema"), indirect=["backend"]
)
def test_nothing_is_written_over_an_operand_that_is_needed_later(name, backend):
    f = OVER_OPERANDS[name]

    def step(x, y):
        a, b = x * 2, y * 3
        first = f(a, b)
        second = f(b, a)
        # The last use of `a`, of `first` and of `second`; `b` and an argument are results besides.
        return b, first * second, a + first, f(first, second), x - f(x, y), f(x * 5, y), y * 1

    compiled = tn.compile(step, backend)
    for x, y in ((X, Y), (Y, X), (again(X), Y)):
        kept = x.copy(), y.copy()
        for got, expected in zip(compiled(x, y), step(tn.as_tensor(x), tn.as_tensor(y)), strict=True):
            np.testing.assert_allclose(got.data, expected.data, rtol=1e-5 if name == "narrower" else 1e-11)
        np.testing.assert_array_equal((x, y), kept)


@pytest.mark.parametrize(
    "same_again",
    [lambda w: w * 1, lambda w: 1 * w, lambda w: w / 1, lambda w: +w, lambda w: w.detach() * 1.0],
)
def test_a_value_equal_to_a_parameter_stays_when_the_parameter_changes(same_again, backend):
    def make():
        w = tn.tensor(S.copy(), requires_grad=True)

        def step(x):
            with tn.no_grad():
                before = same_again(w)
                w.__iadd__(x)
                between = same_again(w)
                w.__imul__(x)
            return before, between, same_again(w)

        return step

    eager, compiled = make(), tn.compile(make(), backend)
    for x in (S, S + 1, S * 2):
        for got, expected in zip(compiled(x), eager(tn.as_tensor(x)), strict=True):
            np.testing.assert_array_equal(got.data, expected.data)


def test_each_random_draw_of_a_step_is_drawn_on_each_replay(backend):
    @tn.kernel(None, differentiable=False, method=False)
    def shaken(x, *, rng):
        return x + rng.normal(size=np.shape(x))

    def make(kind):
        generator = kind(7)

        def step(x):
            first, second = shaken(x, rng=generator), shaken(x, rng=generator)
            # Nobody needs this one, and it moves the generator all the same.
            shaken(x, rng=generator)
            return first, second, shaken(tn.tensor(2.0), rng=generator) * x

        return step

    for kind in (np.random.default_rng, np.random.RandomState):
        eager, compiled = make(kind), tn.compile(make(kind), backend)
        for _ in range(3):
            got, expected = compiled(np.ones(3)), eager(tn.tensor(np.ones(3)))
            assert not np.array_equal(got[0].data, got[1].data)
            for a, b in zip(got, expected, strict=True):
                np.testing.assert_array_equal(a.data, b.data)


def test_nothing_is_computed_of_memory_that_nobody_has_written(monkeypatch):
    """A sum of whatever lay there warned now and then, of infinities of both signs for example."""
    fresh = np.empty
    x = np.random.default_rng(0).normal(size=(5, 4))
    expected = tn.softmax(x)
    step = tn.compile(tn.softmax, "numpy")

    def unwritten(*args, **kwargs):
        array = fresh(*args, **kwargs)
        if array.dtype.kind == "f":
            array.flat = [np.inf, -np.inf]
        return array

    monkeypatch.setattr(np, "empty", unwritten)
    np.testing.assert_allclose(step(x).data, np.asarray(expected), rtol=1e-12)
