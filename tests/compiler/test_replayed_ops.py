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


def test_no_rows_have_no_loss():
    compiled = tn.compile(lambda x, k: nn.losses.cross_entropy(x, k, reduction="sum"), "numpy")
    for _ in range(2):
        assert compiled(X[:0], LABELS[:0]).item() == 0


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
