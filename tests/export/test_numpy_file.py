"""Models and steps written as files of NumPy alone compute the same."""

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_nn as tn
from examples.shakespeare import GPT
from tests.support.op_calls import calls_of, in_one_function
from tinygrad_nn import errors, nn, optim
from tinygrad_nn.export import plain, plain_updates
from tinygrad_nn.export.rules import RULES
from tinygrad_nn.export.spellings import SPELLINGS
from tinygrad_nn.ops import arithmetic, pooling

RNG = np.random.default_rng(0)
STEPS = 20


HELPERS = {
    name: helper
    for module in (plain, plain_updates)
    for name, helper in vars(module).items()
    if inspect.isfunction(helper)
}


def ran(text):
    """Return what a file defines; it is run as one of its own.

    What it has copied is then taken from where it was copied, so that coverage tells which of that ever ran.
    """
    space = {}
    exec(compile(text, "exported", "exec"), space)
    for name in HELPERS.keys() & space.keys():
        assert inspect.getsource(HELPERS[name]) in text
        space[name] = HELPERS[name]
    return space


# Every op of the table


def all_calls(op, dtype=np.float64):
    """Return one function that makes all calls of an op's own samples, and its arguments."""

    def of_dtype(x):
        return x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x

    calls = [
        (tuple(map(of_dtype, operands)), params)
        for operands, params in calls_of(op, np.random.default_rng(0))
        # There is no largest element of none.
        if op.samples is not None or all(x.size for x in operands)
    ]
    return in_one_function(op, calls, lambda x: isinstance(x, np.ndarray))


@pytest.mark.parametrize(
    "op", [op for op in SPELLINGS if op.key is not np.empty_like], ids=lambda op: op.name
)
def test_an_op_is_spelled_as_what_it_computes(op):
    function, arrays = all_calls(op)
    forward = ran(tn.export.numpy(function, arrays, dynamic=False))["forward"]
    expected = [np.asarray(y) for y in function(*arrays)]
    results = forward(*arrays)
    for mine, theirs in zip(expected, results if len(expected) > 1 else [results], strict=True):
        assert mine.shape == np.shape(theirs)
        np.testing.assert_allclose(theirs, mine, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "op", [op for op in SPELLINGS if op is not pooling.first_largest], ids=lambda op: op.name
)
def test_an_op_keeps_the_dtype_that_it_has_here(op):
    function, arrays = all_calls(op, np.float32)
    results = ran(tn.export.numpy(function, arrays, dynamic=False))["forward"](*arrays)
    mine = function(*map(tn.as_tensor, arrays))
    theirs = results if len(mine) > 1 else [results]
    assert [y.dtype for y in mine] == [np.asarray(y).dtype for y in theirs]


# The examples: files that run alone


def step_of(model, optimizer, clip=None):
    def step(x, labels):
        optimizer.zero_grad()
        loss = nn.losses.cross_entropy(model(x), labels)
        loss.backward()
        if clip is not None:
            optim.clip_grad_norm(model.parameters(), clip)
        optimizer.step()
        return loss

    return step


def points(count, *shape):
    return RNG.normal(size=(count, *shape)).astype(np.float32)


def moons():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Dense(2, 3, rng=rng), nn.Tanh(), nn.Dense(3, 2, rng=rng))
    batch = tn.data.moons(200, noise=0.2, seed=0)
    return model, optim.SGD(model.parameters(), lr=1.0, momentum=0.9), None, lambda: batch


def mnist():
    rng = np.random.default_rng(0)
    hidden = nn.Dense(784, 256, init=nn.init.he_normal(), rng=rng)
    model = nn.Sequential(hidden, nn.ReLU(), nn.Dense(256, 10, rng=rng))
    rate = optim.schedules.cosine(0.1, 100)
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    return model, optimizer, None, lambda: (points(64, 784), RNG.integers(0, 10, 64))


def lenet():
    rng = np.random.default_rng(0)
    layers = [nn.Conv2d(1, 6, 5, padding=2, rng=rng), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(6, 16, 5, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    layers += [nn.Dense(400, 120, rng=rng), nn.ReLU(), nn.Dense(120, 84, rng=rng), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Dense(84, 10, rng=rng))
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return model, optimizer, None, lambda: (points(8, 28, 28, 1), RNG.integers(0, 10, 8))


def gpt():
    model = GPT(11, 2, 2, 8, 6, np.random.default_rng(0))
    rate = optim.schedules.warmup(optim.schedules.cosine(3e-3, 100, last=1e-4), 10)
    optimizer = optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.1)
    return model, optimizer, 1.0, lambda: (RNG.integers(0, 11, (3, 6)), RNG.integers(0, 11, (3, 6)))


EXAMPLES = {"moons": moons, "mnist": mnist, "lenet": lenet, "gpt": gpt}

ALONE = """
import sys
class OnlyNumPy:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tinygrad_nn", "scipy", "numba", "torch"):
            raise ImportError(name)
sys.meta_path.insert(0, OnlyNumPy())
folder, = sys.argv[1:]
import numpy as np
import runpy
given = np.load(folder + "/given.npz")
forward = runpy.run_path(folder + "/forward.py")["forward"]
step = runpy.run_path(folder + "/step.py")["step"]
assert not any(name.split(".")[0] == "tinygrad_nn" for name in sys.modules)
scores = forward(given["x"][0])
losses = [step(x, labels) for x, labels in zip(given["x"], given["labels"])]
np.savez(folder + "/found.npz", scores=scores, losses=losses)
"""


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_file_runs_with_numpy_alone_and_trains_as_the_library_does(name, tmp_path):
    model, optimizer, clip, draw = EXAMPLES[name]()
    step = step_of(model, optimizer, clip)
    batches = [draw() for _ in range(STEPS)]
    tn.export.numpy(model, batches[0][0][:2], tmp_path / "forward.py")
    tn.export.numpy(step, tuple(x[:2] for x in batches[0]), tmp_path / "step.py")
    scores = model(batches[0][0]).data
    losses = [step(*batch).item() for batch in batches]
    np.savez(tmp_path / "given.npz", x=[x for x, _ in batches], labels=[y for _, y in batches])
    subprocess.run([sys.executable, "-I", "-c", ALONE, str(tmp_path)], check=True)
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["scores"], scores, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["losses"], losses, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["moons", "mnist", "lenet"])
def test_a_step_leaves_the_weights_that_the_library_leaves(name):
    model, optimizer, clip, draw = EXAMPLES[name]()
    step, first = step_of(model, optimizer, clip), draw()
    space = ran(tn.export.numpy(step, first))
    for _ in range(STEPS):
        batch = draw()
        step(*batch)
        space["step"](*batch)
    weights = [value for key, value in space.items() if re.search(r"(weight|bias)$", key)]
    assert len(weights) == len(model.parameters())
    for mine, theirs in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(theirs, mine.data, rtol=1e-6, atol=1e-6)


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD with decay": lambda p: optim.SGD(p, lr=optim.schedules.linear(0.1, 0.0, 9), weight_decay=0.1),
    "Nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=optim.schedules.exponential(0.1, 0.9), weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=optim.schedules.inverse_time(0.1, 10)),
    "RMSprop": lambda p: optim.RMSprop(p, lr=optim.schedules.piecewise([0.1, 0.01], [3])),
    "RMSprop with all": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True, weight_decay=0.1),
    "Adagrad": lambda p: optim.Adagrad(p, lr_decay=0.1, weight_decay=0.1),
    "Lion": lambda p: optim.Lion(p, lr=0.01, weight_decay=0.1),
    "groups": lambda p: optim.Adam([{"parameters": p[:1], "lr": 0.1}, {"parameters": p[1:], "lr": 0.2}]),
    "groups with a schedule": lambda p: optim.SGD(
        [{"parameters": p[:1], "lr": 0.1}, {"parameters": p[1:]}], lr=optim.schedules.cosine(0.5, 10)
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_updates_as_it_does_here(name):
    model = nn.Sequential(
        nn.Dense(4, 3, rng=0, dtype=np.float64), nn.Tanh(), nn.Dense(3, 2, rng=1, dtype=np.float64)
    )
    x, labels = RNG.normal(size=(6, 4)), RNG.integers(0, 2, 6)
    step = step_of(model, OPTIMIZERS[name](model.parameters()))
    # What it keeps is in the file too.
    step(x, labels)
    exported = ran(tn.export.numpy(step, (x, labels)))["step"]
    for _ in range(STEPS):
        assert exported(x, labels) == pytest.approx(step(x, labels).item(), rel=1e-9)


def test_what_a_step_changes_by_hand_is_changed_in_the_file():
    held = [tn.tensor(RNG.normal(size=3), requires_grad=True, name="weight")]

    def step(x):
        loss = np.mean((x @ held[0]) ** 2)
        (gradient,) = tn.gradients(loss, held)
        with tn.no_grad():
            held[0] -= 0.1 * gradient
        return loss

    x = RNG.normal(size=(5, 3))
    text = tn.export.numpy(step, x)
    assert re.search(r"^    weight\[...\] -= 0.1 \* ", text, re.MULTILINE)
    exported = ran(text)["step"]
    for _ in range(STEPS):
        assert exported(x) == pytest.approx(step(x).item(), rel=1e-12)


def test_random_masks_and_running_averages_go_on_as_in_the_library():
    layers = [nn.Dense(4, 8, rng=0), nn.BatchNorm(8), nn.LeakyReLU(), nn.Dropout(0.3, rng=0)]
    model = nn.Sequential(*layers, nn.Dense(8, 3, rng=1))
    step, x, labels = (
        step_of(model, optim.SGD(model.parameters(), lr=0.1)),
        points(16, 4),
        RNG.integers(0, 3, 16),
    )
    exported = ran(tn.export.numpy(step, (x, labels)))["step"]
    for _ in range(STEPS):
        assert exported(x, labels) == pytest.approx(step(x, labels).item(), abs=1e-6)


# How it reads


def test_the_file_of_the_moons_reads_as_one_would_write_it():
    model, optimizer, _, draw = moons()
    x, labels = draw()
    text = tn.export.numpy(step_of(model, optimizer), (x.astype(np.float32), labels))
    lines = [
        "z1 = x @ dense1_weight + dense1_bias",
        "a1 = np.tanh(z1)",
        "loss = cross_entropy(z2, labels)",
        "# Back through 1: Tanh: a1 = np.tanh(z1)",
        "# gradient of tanh: g * (1 - y * y)",
        "dz1 = da1 * (1 - a1 * a1)",
        "d_dense1_weight = x.T @ dz1",
        "sgd_with_momentum(dense1_weight, d_dense1_weight, dense1_weight_velocity, 1.0, momentum=0.9)",
    ]
    places = [text.index(f"    {line}\n") for line in lines]
    assert places == sorted(places)
    helpers = re.findall(r"^def (\w+)", text, re.MULTILINE)
    assert helpers == ["softmax", "cross_entropy", "minus_one_hot", "sgd_with_momentum", "step"]
    assert max(map(len, text.splitlines())) <= 110


def test_what_the_rules_repeat_is_computed_once():
    def step(x):
        w = tn.tensor(np.ones(3, np.float32), requires_grad=True)
        return tn.gradients(np.sum(np.exp(x * w) * 1 + np.exp(x * w)), [w])

    text = tn.export.numpy(step, points(2, 3))
    assert len(re.findall(r"^    [^#\n]*np.exp\(", text, re.MULTILINE)) == 1
    assert "* 1" not in text


def test_an_array_with_infinities_is_there_in_bytes():
    table = np.array([0.5, np.inf, np.nan])
    text = tn.export.numpy(lambda x: x + table, np.zeros((1, 3)))
    np.testing.assert_array_equal(ran(text)["forward"](np.ones((1, 3)))[0], table + 1)


def test_a_model_is_left_in_its_mode_and_its_weights_as_they_were():
    model = nn.Sequential(nn.Dense(2, 2, rng=0), nn.Dropout(0.5, rng=0))
    before = model[0].weight.data.copy()
    assert "rng" not in tn.export.numpy(model.train(), X)
    step = step_of(model, optim.SGD(model.parameters(), lr=0.1))
    assert "rng" in tn.export.numpy(step, (X, np.zeros(2, int)))
    assert all(module.training for _, module in model.named_modules())
    np.testing.assert_array_equal(model[0].weight.data, before)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_zero_beside_an_infinity_is_not_kept():
    forward = ran(tn.export.numpy(arithmetic.product, (np.zeros(1), np.zeros(1))))["forward"]
    assert np.isnan(forward(np.zeros(1), np.full(1, np.inf)))


def test_every_rule_in_words_is_of_an_op_that_has_as_many():
    assert all(len(words) == len(op.rules) for op, words in RULES.items())


# What cannot be written


X = np.ones((2, 2), np.float32)
WEIGHT = tn.tensor(np.ones((2, 2), np.float32), requires_grad=True)


class Spectrum(nn.Module):
    def forward(self, x):
        return np.linalg.svd(x, compute_uv=False)


def adding(x):
    (x @ WEIGHT).sum().backward()


def following(x):
    optimizer = optim.SGD([WEIGHT], lr=lambda step: 0.1)
    optimizer.zero_grad()
    (x @ WEIGHT).sum().backward()
    optimizer.step()


WRONG = {
    "no function": (
        lambda: tn.export.numpy(3, X),
        errors.ArgumentError,
        "expected a model or another function",
    ),
    "no batch": (
        lambda: tn.export.numpy(nn.Tanh(), np.float32(1)),
        errors.ArgumentError,
        "the first axis of the example is the batch",
    ),
    "an op without a spelling": (
        lambda: tn.export.numpy(Spectrum(), X),
        errors.ExportError,
        r"singular_values_and_vectors has no spelling in NumPy\n  in     %1 = singular_.*\(x\) .*\n  of     Spectrum",
    ),
    "what depends on the batch": (
        lambda: tn.export.numpy(lambda x: np.tanh(x) if len(x) > 2 else np.exp(x), X),
        errors.ExportError,
        "depends on the length of the batch\n  hint   dynamic=False",
    ),
    "rows for each sample": (
        lambda: tn.export.numpy(lambda x: x + np.arange(len(x), dtype=np.float32)[:, None], X),
        errors.ExportError,
        r"a constant of shape \(2, 1\) depends on the length",
    ),
    "gradients from before": (lambda: tn.export.numpy(adding, X), errors.ExportError, "zero_grad"),
    "a rate of one's own": (
        lambda: tn.export.numpy(following, X),
        errors.ExportError,
        "cannot be written out",
    ),
    "a generator with arrays": (
        lambda: tn.export.numpy(
            lambda x: tn.dropout(x, 0.5, rng=np.random.Generator(np.random.MT19937(0))), X
        ),
        errors.ExportError,
        "the state of a MT19937 cannot be written out",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_written_says_why(name):
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()


def test_a_step_may_train_two_models_in_turn():
    maker, judge = nn.Dense(2, 2, rng=0), nn.Dense(2, 1, rng=1)
    first = optim.Adam(judge.parameters(), lr=optim.schedules.cosine(0.1, 10))
    second = optim.Adam(maker.parameters(), lr=0.01)

    def step(x):
        first.zero_grad()
        wrong = (judge(maker(x).detach()) ** 2).mean()
        wrong.backward()
        first.step()
        second.zero_grad()
        right = ((judge(maker(x)) - 1) ** 2).mean()
        right.backward()
        second.step()
        return wrong, right

    text = tn.export.numpy(step, X)
    assert "global steps, steps_2" in text
    assert re.findall(r"^    # (Backward|Update|Forward)", text, re.MULTILINE) == [
        "Backward",
        "Update",
        "Forward",
        "Backward",
        "Update",
    ]
    exported, x = ran(text)["step"], points(7, 2)
    for _ in range(STEPS):
        np.testing.assert_allclose(exported(x), [loss.item() for loss in step(x)], rtol=1e-6, atol=1e-6)


def test_gradients_alone_change_nothing():
    text = tn.export.numpy(tn.grad(lambda x: np.sum(np.sin(x) ** 2)), np.ones(3), dynamic=False)
    assert "# Update" not in text
    np.testing.assert_allclose(ran(text)["step"](np.arange(3.0)), np.sin(2 * np.arange(3.0)))
