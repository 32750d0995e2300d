"""Training that is interrupted, killed and resumed ends in the same bits as training that is not."""

import hashlib
import os
import signal
import time

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support import needs
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches, batches_forever, moons
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import Callback, Checkpoint, EarlyStopping, ReduceOnPlateau, accuracy, fit

X, Y = moons(200)
EPOCHS = 6


class Noise(nn.Module):
    """Random noise while training, so that the random state matters."""

    def __init__(self, rng):
        self.rng = rng

    def forward(self, x):
        return x + 0.1 * self.rng.normal(size=np.shape(x)) if self.training else x


def network(noise=None, seed=0):
    noise = Noise(noise or np.random.default_rng())
    return nn.Sequential(noise, nn.Dense(2, 8, rng=seed), nn.Tanh(), nn.Dense(8, 2, rng=seed))


def train(path=None, *, seed=0, epochs=EPOCHS, shared=False, every=None, callbacks=(), **options):
    """Train; return the SHA-256 of weights and optimizer state, and the history without its times."""
    rng = np.random.default_rng(seed)
    noise = rng if shared else np.random.default_rng(seed + 1)
    model = network(noise, seed)
    optimizer = optim.Adam(model.parameters(), lr=0.03)
    extra = [Checkpoint(path, every=every)] if path else []
    data = batches(X, Y, size=20, rng=rng)
    plateau = ReduceOnPlateau("val_loss", patience=0)
    history = fit(
        model,
        options.pop("loss", cross_entropy),
        optimizer,
        data,
        epochs=epochs,
        validation=moons(50, seed=1),
        metrics={"acc": accuracy},
        callbacks=[*callbacks, *extra, plateau],
        progress=options.pop("progress", False),
    )
    arrays = [*model.state_dict().values(), *optimizer.state_dict().values()]
    columns = {name: history[name] for name in history if name != "seconds"}
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest(), columns


class InterruptAt:
    """A loss that presses Ctrl-C in its n-th call."""

    def __init__(self, n):
        self.left = n

    def __call__(self, predictions, labels):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGINT)
        return cross_entropy(predictions, labels)


@pytest.mark.case("H160")
@pytest.mark.parametrize("shared", [False, True], ids=["own generators", "one generator for all"])
@pytest.mark.parametrize("step", [1, 7, 10, 11, 20, 33])
def test_ctrl_c_at_any_step_and_on_again_gives_the_same_bits(tmp_path, step, shared):
    path = tmp_path / "run.safetensors"
    _, partial = train(path, shared=shared, loss=InterruptAt(step))
    whole = train(shared=shared)
    for name, column in partial.items():
        assert column == whole[1][name][: len(column)]
    assert train(path, shared=shared) == whole


@pytest.mark.case("H160")
def test_an_interrupt_in_the_middle_of_a_step_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    calls = []

    def interrupted(predictions, labels):
        calls.append(1)
        if len(calls) == 18:
            raise KeyboardInterrupt
        return cross_entropy(predictions, labels)

    train(path, every=4, loss=interrupted)
    assert train(path, every=4) == train()


@pytest.mark.parametrize("every", [1, 3, None])
def test_an_error_and_on_again_gives_the_same_bits(tmp_path, every):
    path = tmp_path / "run.safetensors"

    def fail(run):
        if run.epoch == 4:
            raise RuntimeError("the disk of the user's own logger is full")

    with pytest.raises(RuntimeError, match="logger"):
        train(path, every=every, callbacks=[fail])
    assert train(path, every=every) == train()


def test_training_longer_later_is_training_long_at_once(tmp_path):
    path = tmp_path / "run.safetensors"
    train(path, epochs=2)
    assert train(path, epochs=6) == train(epochs=6)
    assert train(path, epochs=6) == train(epochs=6)


def test_early_stopping_remembers_across_a_resumption(tmp_path):
    path = tmp_path / "run.safetensors"
    stopping = lambda: [EarlyStopping("val_acc", patience=3)]
    whole = train(epochs=40, callbacks=stopping())
    assert len(whole[1]["loss"]) < 40
    for epochs in (3, 5, 40, 40):
        resumed = train(path, epochs=epochs, callbacks=stopping())
    assert resumed == whole


@pytest.mark.parametrize("kind", [list, lambda batches: Reading(batches)], ids=["a list", "an own class"])
@pytest.mark.parametrize("step", [1, 3, 4, 5, 7])
def test_batches_without_a_state_of_their_own_go_on_in_the_middle_of_an_epoch(tmp_path, step, kind):
    def run(path, loss=cross_entropy):
        model = nn.Dense(2, 2, rng=0)
        seen = []
        data = kind([(X[k : k + 50], Y[k : k + 50]) for k in range(0, 200, 50)])
        fit(
            lambda x: seen.append(float(x[0, 0])) or model(x),
            loss,
            optim.SGD(model.parameters(), lr=0.5),
            data,
            epochs=2,
            callbacks=[Checkpoint(path, model=model)] if path else [],
            progress=False,
        )
        return seen, [a.tolist() for a in model.state_dict().values()]

    path = tmp_path / "run.safetensors"
    before, _ = run(path, InterruptAt(step))
    after, resumed = run(path)
    assert (before + after, resumed) == run(None)


class Reading:
    """Batches that can be iterated over again, and have neither a length nor a state."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_a_checkpoint_that_serves_two_trainings_counts_the_steps_of_each(tmp_path):
    saves = []
    saving = Checkpoint(tmp_path / "run.safetensors", every=3)
    saving._save = lambda run: saves.append((run.epoch, run.batch))
    for _ in range(2):
        model = nn.Dense(2, 2, rng=0)
        data = [(X[:50], Y[:50])] * 4
        fit(
            model,
            cross_entropy,
            optim.SGD(model.parameters(), lr=0.5),
            data,
            callbacks=[saving],
            progress=False,
        )
    assert saves == [(0, 3), (1, 0)] * 2


def test_endless_batches_resume_too(tmp_path):
    def run(path, epochs):
        model = nn.Dense(2, 2, rng=0)
        data = batches_forever(X, Y, size=30, rng=2)
        optimizer = optim.SGD(model.parameters(), lr=optim.schedules.cosine(0.5, 40))
        callbacks = [Checkpoint(path)] if path else []
        fit(
            model, cross_entropy, optimizer, data, epochs=epochs, steps=7, callbacks=callbacks, progress=False
        )
        return [a.tolist() for a in model.state_dict().values()]

    run(tmp_path / "run.safetensors", 2)
    assert run(tmp_path / "run.safetensors", 5) == run(None, 5)


class Best(Callback):
    """Begins with infinity, as one does."""

    def __init__(self):
        self.least = float("inf")

    def on_epoch(self, run):
        self.least = min(self.least, run.history["loss"][-1])

    def state_dict(self):
        return {"least": self.least}

    def load_state_dict(self, state):
        self.least = state["least"]


def test_measurements_that_are_not_finite_do_not_keep_a_run_from_going_on_but_weights_do(tmp_path):
    path = tmp_path / "run.safetensors"

    def run(epochs):
        model = nn.Dense(2, 2, rng=0)
        fit(
            model,
            cross_entropy,
            optim.SGD(model.parameters(), lr=0.1),
            batches(X, Y, size=50, rng=0),
            epochs=epochs,
            metrics={"undefined": lambda predictions, labels: float("nan")},
            callbacks=[Best(), EarlyStopping("loss"), ReduceOnPlateau("loss"), Checkpoint(path, every=1)],
            progress=False,
        )
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "on_epoch", lambda *_: None)
        run(1)  # the last file is of the middle of the first epoch, where nothing is best yet
    model = run(2)
    model.weight.data[0, 0] = np.nan
    parts = {"model": model}
    tn.save(path, **parts)
    with pytest.raises(CheckpointError, match=r"NaN or infinities in model\.weight"):
        run(3)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Run", lambda run: run.state_dict() | {"epoch": "2"}),
        ("Run", lambda run: run.state_dict() | {"batch": -1}),
        ("Run", lambda run: run.state_dict() | {"stopping": 3}),
        ("Run", lambda run: run.state_dict() | {"seconds": None}),
        ("Run", lambda run: []),
        ("History", lambda run: run.state_dict() | {"history": {"history": {"loss": ["a"]}}}),
        ("History", lambda run: run.state_dict() | {"history": {"history": {"loss": [1.0], "acc": []}}}),
        ("Means", lambda run: run.state_dict() | {"means": {"rows": -1, "totals": {}}}),
        ("Means", lambda run: run.state_dict() | {"means": {"rows": 1, "totals": {"loss": "a"}}}),
    ],
)
def test_a_run_refuses_a_state_that_is_none_and_stays_as_it_was(name, change):
    seen = []

    def look(run):
        before = run.state_dict()
        with pytest.raises(CheckpointError, match=f"the state does not fit this {name}"):
            run.load_state_dict(change(run))
        assert {**run.state_dict(), "seconds": 0} == {**before, "seconds": 0}
        seen.append(run.epoch)

    train(epochs=2, callbacks=[look])
    assert seen == [1, 2]


@pytest.mark.parametrize("callback", [EarlyStopping(), ReduceOnPlateau()], ids=lambda c: type(c).__name__)
def test_callbacks_refuse_a_state_that_is_none(callback):
    before = callback.state_dict()
    for name in before:
        for value in ("a", None, -1 if name == "waited" else True, {"a": 3}):
            with pytest.raises(CheckpointError, match=f"this {type(callback).__name__}(.|\n)*wrong +{name}"):
                callback.load_state_dict(before | {name: value})
    assert callback.state_dict() == before


def test_more_parts_may_be_saved_along(tmp_path):
    rng = np.random.default_rng(0)
    model = nn.Dense(2, 2, rng=0)
    data = batches(X, Y, size=50, rng=0)
    path = tmp_path / "run.safetensors"
    fit(
        model,
        cross_entropy,
        optim.SGD(model.parameters(), lr=0.1),
        data,
        callbacks=[Checkpoint(path, rng=rng)],
        progress=False,
    )
    expected = rng.random()
    tn.load(path, rng=rng, model=model)
    assert rng.random() == expected


def test_a_resumed_run_says_so(tmp_path):
    import io

    path = tmp_path / "run.safetensors"
    train(path, epochs=2)
    out = io.StringIO()
    train(path, epochs=3, progress=out)
    first, second = out.getvalue().splitlines()
    assert first == f"resumed from {path} after epoch 2, batch 0"
    assert second.startswith("epoch 3/3  loss ")


def test_a_checkpoint_of_another_model_stops_before_training(tmp_path):
    path = tmp_path / "run.safetensors"
    tn.save(path, model=nn.Dense(5, 5))
    with pytest.raises(CheckpointError, match="no optimizer, data, run, ReduceOnPlateau0"):
        train(path)


@pytest.mark.case("H158")
@needs.fork
def test_killed_a_hundred_times_in_training_ends_in_the_same_bits(tmp_path):
    path, done = tmp_path / "run.safetensors", tmp_path / "done"
    rng = np.random.default_rng(0)
    kills, epochs = 0, 60
    while not done.exists():
        child = os.fork()
        if not child:
            try:
                done.with_name("writing").write_text(repr(train(path, epochs=epochs, every=1)))
                done.with_name("writing").rename(done)
            finally:
                os._exit(0)
        if kills < 100:
            time.sleep(rng.uniform(0.002, 0.03))
            os.kill(child, signal.SIGKILL)
            kills += 1
        os.waitpid(child, 0)
        if path.exists():
            tn.load(path, model=network())
        if kills < 100 and done.exists():
            done.unlink()  # it was quick; train on, a while longer
            epochs += 60
    assert kills == 100
    assert done.read_text() == repr(train(epochs=epochs))
    assert {p.name for p in tmp_path.iterdir()} == {"run.safetensors", "done"}
