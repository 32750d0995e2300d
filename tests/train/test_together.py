"""`fit(comm=)`: several ranks do what one process does with all rows, and fail together."""

import contextlib
import sys

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.training import X, Y, network, weights
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches, batches_forever, shard
from tinygrad_nn.errors import ArgumentError, CheckpointError, NonFinite, RankError
from tinygrad_nn.nn.losses import cross_entropy, mse
from tinygrad_nn.parallel import threads
from tinygrad_nn.train import EMA, Callback, Checkpoint, EarlyStopping, accuracy, evaluate, fit, predict


@pytest.fixture(autouse=True)
def replays_by_numpy(monkeypatch):
    """Compiled steps without loops to compile for each case; tests/optim/test_distributed.py has those of Numba."""
    monkeypatch.setattr("tinygrad_nn.compiler.compiled._chosen", lambda backend: "numpy")


RARE = np.where(Y == 1, 3.0, 1.0)


def wide():
    """Return a network for the moons whose rounding does not hide what is wrong."""
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Dense(2, 16, rng=rng, dtype=np.float64), nn.Tanh(), nn.Dense(16, 2, rng=rng, dtype=np.float64)
    )


def trained(comm=None, *, make=wide, data=None, loss=cross_entropy, epochs=2, optimizer=None, **options):
    """Train; return the model and its history."""
    model = make()
    options = {"validation": (X, Y), "metrics": {"acc": accuracy}} | options
    if comm is not None and comm.rank and "progress" not in options:
        options["progress"] = _Silent()
    history = fit(
        model,
        loss,
        optimizer(model) if optimizer else optim.Adam(model.parameters(), lr=0.03),
        batches(X, Y, size=32, rng=1) if data is None else data(),
        epochs=epochs,
        comm=comm,
        **({"progress": False} | options),
    )
    return model, history


def fitted(model, comm, data=None, **options):
    """Train a model by plain steps; return the history."""
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    data = batches(X, Y, size=32, rng=1) if data is None else data
    return fit(model, cross_entropy, optimizer, data, comm=comm, progress=False, **options)


class _Silent:
    def write(self, text):
        raise AssertionError("only the first rank writes")


def together(size, **options):
    """Train with so many ranks; return the first's model and history, when all have the same ones."""
    found = threads(size, lambda comm: trained(comm, **options), timeout=20)
    (model, history), *others = found
    for other, its_history in others:
        assert weights(other) == weights(model)
        assert its_history.history == history.history
        assert its_history.stopped == history.stopped
    return model, history


def assert_close(one, other, tolerance=1e-11):
    """The weights of two models and all columns of their histories but the time are the same."""
    (model, history), (other_model, other_history) = one, other
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(other_model.state_dict()[name], array, rtol=0, atol=tolerance)
    assert list(history) == list(other_history)
    for name in history:
        if name != "seconds":
            np.testing.assert_allclose(other_history[name], history[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_ranks_end_where_one_process_does_with_the_same_history(size, compiled):
    assert_close(trained(), together(size, compile=compiled))


@pytest.mark.parametrize("compiled", [False, True])
def test_float32_ends_as_close_as_its_digits_allow(compiled):
    assert_close(trained(make=network), together(3, make=network, compile=compiled), 1e-5)


def own_weighted_mean(p, y, *, sample_weight=None):
    """Return a mean of which the library does not know the divisor."""
    w = np.ones(len(y)) if sample_weight is None else sample_weight
    return (((p - tn.one_hot(y, 2)) ** 2).sum(axis=1) * w).sum() / w.sum()


WEIGHED = {"data": lambda: batches(X, Y, RARE, size=32, rng=1)}
SOME = {
    "data": lambda: batches(X, Y, np.where(np.arange(200) < 199, 0.0, 1.0), size=200, rng=1),
    "validation": None,
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"loss": lambda p, y: cross_entropy(p, y, reduction="sum")},
        {"loss": lambda p, y: cross_entropy(p, y, weight=np.array([1.0, 5.0]))},
        {"loss": lambda p, y: cross_entropy(p, y, ignore_index=1)},
        {"loss": lambda p, y: ((p - tn.one_hot(y, 2)) ** 2).mean(), "metrics": None},
        {"loss": lambda p, y: cross_entropy(p, y) + mse(p, np.zeros(p.shape))},
        WEIGHED,
        WEIGHED | {"loss": own_weighted_mean},
        SOME,
        {"data": lambda: batches(X, Y, size=199, rng=1)},
        {"data": lambda: batches_forever(X, Y, size=30, rng=1), "steps": 5},
        {"data": lambda: [(X[k : k + 30], Y[k : k + 30]) for k in range(0, 200, 30)]},
        {"validation": 0.2},
        {"validation": (X, Y, RARE)},
        {
            "optimizer": lambda model: optim.SGD(
                model.parameters(), lr=optim.schedules.cosine(0.5, 20), momentum=0.9
            )
        },
    ],
    ids=[
        *(
            "sum",
            "weighted classes",
            "ignored labels",
            "own mean",
            "two means",
            "weighted rows",
            "own weighted mean",
        ),
        *(
            "one row that counts",
            "batches of one row",
            "stream",
            "list",
            "share",
            "weighted validation",
            "schedule",
        ),
    ],
)
def test_losses_and_data_of_every_kind_do_what_they_do_in_one_process(options, compiled):
    assert_close(trained(**options), together(3, compile=compiled, **options))


def test_without_rows_that_count_on_any_rank_the_loss_is_not_finite():
    nothing = {"data": lambda: batches(X, Y, np.zeros(200), size=100, rng=1)}
    with pytest.raises(NonFinite, match="no row of this batch counts for anything on any rank"):
        together(2, **nothing)


@pytest.mark.parametrize(
    ("loss", "problem"),
    [
        (lambda p, y: ((p - tn.one_hot(y, 2)) ** 2).sum(), "those of its halves make.*\n.*hint"),
        # What is divided by rows, and then done something else with.
        (lambda p, y: cross_entropy(p, y) * len(y), "no mean over rows"),
        (lambda p, y: cross_entropy(p @ p.T, np.arange(len(y))), "no mean over rows"),
        (lambda p, y: cross_entropy(p, y, weight=[1.0, 3.0]) * len(y), "no mean over rows"),
        (lambda p, y: ((p - tn.one_hot(y, 2)) ** 2).mean() ** 0.5 * (1 + y.mean()), "no mean over rows"),
        (lambda p, y: cross_entropy(p, y) + mse(p, p.detach(), reduction="sum"), "terms of one kind"),
    ],
)
def test_a_loss_that_is_no_mean_over_rows_is_refused(loss, problem):
    with pytest.raises((ArgumentError, RankError), match=f"(?s){problem}"):
        together(2, loss=loss, metrics=None, validation=None)


@pytest.mark.parametrize(
    "loss", [lambda p, y: -(p.log_softmax(axis=1) * tn.one_hot(y, 2)).sum(axis=1).mean(), cross_entropy]
)
def test_a_loss_that_is_a_mean_over_rows_may_use_methods_and_half_precision(loss):
    make = lambda: nn.Sequential(nn.Dense(2, 2, rng=0, dtype=np.float16))
    data = lambda: batches(X.astype(np.float16), Y, size=50, rng=1)
    plain = lambda model: optim.SGD(model.parameters(), lr=0.1)
    _, history = together(2, make=make, data=data, loss=loss, optimizer=plain, validation=None)
    assert np.isfinite(history["loss"]).all()


def test_everything_begins_as_on_rank_0():
    def work(comm):
        model = nn.Sequential(nn.Dense(2, 4, rng=comm.rank), nn.BatchNorm(4), nn.Dropout(0.1), nn.Dense(4, 2))
        model[1].running_mean[...] = comm.rank
        optimizer = optim.Adam(model.parameters(), lr=0.1 / (1 + comm.rank))
        seen = []

        class Begin(Callback):
            def on_start(self, run):
                seen.append((weights(model), run.optimizer.lr, run.rank, run.size))

        history = fit(
            model,
            cross_entropy,
            optimizer,
            batches(X, Y, size=50),
            comm=comm,
            callbacks=[Begin()],
            progress=False,
        )
        return seen, weights(model), history["loss"]

    (first, *ended), (second, *other_ended) = threads(2, work, timeout=20)
    assert first[0][:2] == second[0][:2]
    assert [first[0][2:], second[0][2:]] == [(0, 2), (1, 2)]
    assert ended == other_ended


def test_callbacks_see_the_same_numbers_on_every_rank():
    def work(comm):
        steps = []

        class Watch(Callback):
            def on_step(self, run):
                steps.append((run.batch, run.means()))

        _, history = trained(
            comm, callbacks=[Watch(), EarlyStopping("loss", patience=0, min_delta=10.0)], epochs=9
        )
        return steps, history.history, history.stopped

    first, second = threads(2, work, timeout=20)
    assert first == second
    assert "has not improved" in first[2]
    alone = []

    class Watch(Callback):
        def on_step(self, run):
            alone.append((run.batch, run.means()))

    trained(callbacks=[Watch()])
    for (batch, means), (expected_batch, expected) in zip(first[0], alone, strict=True):
        assert batch == expected_batch
        assert means == pytest.approx(expected, rel=1e-12)


def test_one_rank_that_wants_to_stop_stops_all():
    def work(comm):
        stop = lambda run: run.stop("enough") if run.rank == 1 and run.epoch == 2 else None
        return trained(comm, callbacks=[stop], epochs=9)[1]

    for history in threads(2, work, timeout=20):
        assert (len(history), history.stopped) == (2, "enough")


def test_averages_of_weights_are_the_same_everywhere():
    def work(comm):
        model = wide()
        ema = EMA(model, decay=0.9)
        fitted(model, comm, callbacks=[ema])
        with ema.averaged():
            return weights(model)

    first, second = threads(2, work, timeout=20)
    assert first == second


def test_the_running_statistics_of_a_batch_norm_are_averaged():
    def work(comm, epochs=1):
        model = nn.Sequential(nn.BatchNorm(2, momentum=1.0), nn.Dense(2, 2, rng=0))
        fitted(model, comm, batches(X, Y, size=200, shuffle=False))
        return model[0].running_mean, model[0].running_var

    (mean, var), (other_mean, other_var) = threads(2, work, timeout=20)
    assert (mean == other_mean).all()
    assert (var == other_var).all()
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        var, (X[:100].var(axis=0, ddof=1) + X[100:].var(axis=0, ddof=1)) / 2, rtol=1e-5
    )


def forgetful(seed=3, shared=None):
    rng = shared or np.random.default_rng(seed)
    return nn.Sequential(
        nn.Dense(2, 16, rng=0), nn.BatchNorm(16), nn.Dropout(0.5, rng=rng), nn.Dense(16, 2, rng=1)
    )


@pytest.mark.parametrize("compiled", [False, True])
def test_each_rank_drops_others_and_the_order_stays_the_same(compiled):
    def work(comm):
        # One generator for all: what dropout draws on one rank must not move the order of the batches.
        rng = np.random.default_rng(5)
        model, seen = forgetful(shared=rng), []
        first = model[0].forward

        def watched(x):
            seen.append(np.array(x.data if isinstance(x, tn.Tensor) else x))
            return first(x)

        if not compiled:
            model[0].forward = watched
        fitted(model, comm, batches(X, Y, size=50, rng=rng), compile=compiled, epochs=2)
        with contextlib.suppress(AttributeError):
            del model[0].forward
        return weights(model), rng.bit_generator.state, seen

    first, second, third = threads(3, work, timeout=20)
    assert first[0] == second[0] == third[0]
    assert first[1] == second[1] == third[1]
    if not compiled:
        rows = [
            np.concatenate(epoch)
            for epoch in zip(*(found[2] for found in (first, second, third)), strict=True)
        ]
        for epoch in (rows[:4], rows[4:]):
            assert sorted(map(tuple, np.concatenate(epoch))) == sorted(map(tuple, X))


def test_masks_of_ranks_differ():
    def work(comm):
        model, drawn = nn.Sequential(nn.Dropout(0.5, rng=0), nn.Dense(2, 2, rng=0)), []
        model[1].forward = lambda x, plain=model[1].forward: (drawn.append(x.data == 0), plain(x))[1]
        fitted(model, comm, batches(X, Y, size=200, rng=0))
        return drawn[0]

    first, second = threads(2, work, timeout=20)
    assert (first != second).any()


def ranks_of(size, path, epochs, **options):
    def work(comm):
        callbacks = [
            *options.get("callbacks", lambda rank: [])(comm.rank),
            Checkpoint(path, every=options.get("every")),
        ]
        return trained(
            comm, make=forgetful, epochs=epochs, callbacks=callbacks, loss=options.get("loss", cross_entropy)
        )

    found = threads(size, work, timeout=20)
    assert len({weights(model) for model, _ in found}) == 1
    model, history = found[0]
    return weights(model), {name: history[name] for name in history if name != "seconds"}, history.stopped


@pytest.mark.parametrize("every", [None, 3])
def test_a_training_that_goes_on_with_as_many_ranks_ends_in_the_same_bits(tmp_path, every):
    path = tmp_path / "run.safetensors"
    ranks_of(2, path, 2, every=every)
    assert ranks_of(2, path, 4, every=every) == ranks_of(2, tmp_path / "whole.safetensors", 4, every=every)


@pytest.mark.parametrize("size", [None, 1, 3])
def test_a_training_can_go_on_with_another_number_of_ranks(tmp_path, size):
    path = tmp_path / "run.safetensors"
    _, before, _ = ranks_of(2, path, 2)
    if size is None:
        _, history = trained(make=forgetful, epochs=4, callbacks=[Checkpoint(path)])
    else:
        history = ranks_of(size, path, 4)[1]
    assert history["loss"][:2] == before["loss"]
    assert len(history["loss"]) == 4


def test_what_one_process_saved_many_go_on_from(tmp_path):
    path = tmp_path / "run.safetensors"
    trained(epochs=2, callbacks=[Checkpoint(path)])
    model = trained(epochs=4, callbacks=[Checkpoint(tmp_path / "whole.safetensors")])
    found = threads(2, lambda comm: trained(comm, epochs=4, callbacks=[Checkpoint(path)]), timeout=20)
    assert_close(model, found[0])


def test_a_damaged_checkpoint_is_refused_by_all(tmp_path):
    path = tmp_path / "run.safetensors"
    path.write_bytes(b"damaged" * 100)
    errors = failures(2, lambda comm: trained(comm, callbacks=[Checkpoint(path)]))
    assert type(errors[0]) is CheckpointError
    assert type(errors[1]) is RankError
    assert "not a checkpoint" in str(errors[1])


def failures(size, work):
    """Return what each rank raised."""

    def rank(comm):
        try:
            return work(comm)
        except BaseException as error:
            return error

    return threads(size, rank, timeout=20)


class At(Callback):
    """Does something at an event of one rank."""

    def __init__(self, event, rank, action, count=1):
        self.count = count
        if rank is not None:
            setattr(self, event, self._act)
        self._action, self._rank = action, rank

    def _act(self, run):
        self.count -= 1
        if run.rank == self._rank and self.count == 0:
            self._action()


def fail():
    raise OSError("the disk is full")


def leave():
    sys.exit(3)


EVENTS = ["on_start", "on_batch", "on_step", "on_epoch", "on_end"]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("action", [fail, leave])
def test_a_failure_of_one_rank_at_any_event_ends_all(tmp_path, event, action, rank, count):
    path = tmp_path / "run.safetensors"

    def work(comm):
        return trained(comm, callbacks=[At(event, rank, action, count), Checkpoint(path, every=2)], epochs=2)

    found = failures(2, work)
    if count == 2 and event in ("on_start", "on_end"):
        assert all(isinstance(result, tuple) for result in found)
        return
    assert isinstance(found[rank], OSError if action is fail else SystemExit)
    assert type(found[1 - rank]) is RankError
    assert f"rank {rank} of 2: Traceback" in str(found[1 - rank])
    if path.exists():
        tn.load(path, model=wide())


@pytest.mark.parametrize("before", [KeyboardInterrupt, OSError])
def test_ranks_of_an_optimizer_that_have_failed_together_are_told_of_the_next_failure_too(before):
    def work(comm):
        model = wide()
        optimizer = optim.Distributed(optim.SGD(model.parameters(), lr=0.1), comm)
        for error in (before, KeyError):

            def stumble(error=error):
                raise error

            callbacks = [At("on_step", 1, stumble, 2)]
            with contextlib.suppress(*([OSError, RankError] if error is before else [])):
                trained(make=lambda: model, optimizer=lambda _: optimizer, callbacks=callbacks)

    first, second = failures(2, work)
    assert isinstance(second, KeyError)
    assert "rank 1 of 2: Traceback" in str(first)


@pytest.mark.parametrize("fails", ["before", "inside"])
def test_a_failure_around_an_evaluation_by_a_callback_ends_all(fails):
    def work(comm):
        def metric(p, y):
            if comm.rank and fails == "inside":
                raise OSError("gone")
            return accuracy(p, y)

        def evaluating(run):
            if comm.rank and fails == "before":
                raise OSError("gone")
            evaluate(run.model, cross_entropy, (X, Y), metrics={"m": metric}, comm=comm)

        return fitted(wide(), comm, epochs=2, callbacks=[evaluating])

    first, second = failures(2, work)
    assert type(first) is RankError
    assert isinstance(second, OSError)


@pytest.mark.parametrize("where", ["model", "loss", "data", "metric", "validation"])
def test_a_failure_of_one_rank_in_anything_that_is_called_ends_all(where):
    class Failing(list):
        def __iter__(self):
            yield from list.__iter__(self)
            raise OSError("gone")

    def work(comm):
        if comm.rank == 0:
            return trained(comm, data=lambda: [(X, Y)] * 3)
        model = wide()
        forward = model.forward
        calls = []

        def failing(*args):
            calls.append(1)
            # The model is called for three batches, then for the validation.
            if len(calls) == {"model": 2, "validation": 4}.get(where):
                raise OSError("gone")
            return forward(*args)

        def loss(p, y):
            if where == "loss":
                raise OSError("gone")
            return cross_entropy(p, y)

        def metric(p, y):
            if where == "metric":
                raise OSError("gone")
            return accuracy(p, y)

        model.forward = failing
        data = [(X, Y)] * 3
        return fit(
            model,
            loss,
            optim.Adam(model.parameters()),
            Failing(data) if where == "data" else data,
            epochs=2,
            metrics={"acc": metric},
            validation=(X, Y),
            comm=comm,
            progress=False,
        )

    first, second = failures(2, work)
    assert isinstance(second, OSError)
    assert type(first) is RankError
    assert "OSError: gone" in str(first)


@pytest.mark.parametrize("compiled", [False, True])
def test_nan_on_one_rank_stops_all_at_the_same_step_before_it_is_taken(compiled):
    bad = X.copy()
    bad[190] = np.nan

    def work(comm):
        model = wide()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        try:
            fit(
                model,
                cross_entropy,
                optimizer,
                batches(bad, Y, size=50, shuffle=False),
                comm=comm,
                compile=compiled,
                progress=False,
            )
        except NonFinite as error:
            return str(error), int(optimizer.steps), weights(model), len(error.history)

    first, second = threads(2, work, timeout=20)
    assert first[1:] == second[1:]
    assert first[1] == 3
    assert "the loss is nan in epoch 1, batch 4" in second[0]
    assert first[0] == f"rank 1 of 2: {second[0]}"


def press(comm, rank, count, event):
    """Train, while Ctrl-C is pressed on one rank; the handler of signals sees the main thread alone."""
    steps = []

    class Press(Callback):
        def on_step(self, run):
            if event == "on_step" and run.rank == rank and int(run.optimizer.steps) == count:
                run.company.interrupts._pending = True

        def on_epoch(self, run):
            if event == "on_epoch" and run.rank == rank and run.epoch == count:
                run.company.interrupts._pending = True

    _, history = trained(comm, callbacks=[Press()], epochs=3)
    return history.stopped, len(history), steps


@pytest.mark.parametrize("rank", [0, 1])
def test_ctrl_c_on_one_rank_stops_all_after_the_same_step(rank):
    found = threads(2, lambda comm: press(comm, rank, 9, "on_step"), timeout=20)
    # The ranks learn of it with the sum of the step after that.
    assert found[0] == found[1] == ("interrupted after batch 3 of epoch 2", 1, [])
    found = threads(2, lambda comm: press(comm, rank, 2, "on_epoch"), timeout=20)
    assert found[0] == found[1] == ("interrupted after batch 0 of epoch 3", 2, [])
    found = threads(2, lambda comm: press(comm, rank, 14, "on_step"), timeout=20)
    assert found[0] == found[1] == ("interrupted after batch 0 of epoch 3", 2, [])


def test_after_ctrl_c_the_checkpoint_is_that_of_all_ranks(tmp_path):
    path = tmp_path / "run.safetensors"

    class Press(Callback):
        def on_step(self, run):
            if run.rank == 1 and int(run.optimizer.steps) == 9:
                run.company.interrupts._pending = True

    *_, stopped = ranks_of(2, path, 4, callbacks=lambda rank: [Press()])
    assert stopped == "interrupted after batch 3 of epoch 2"
    whole = ranks_of(2, tmp_path / "whole.safetensors", 4)
    assert ranks_of(2, path, 4) == whole


@pytest.mark.parametrize("event", ["on_start", "on_step", "on_epoch"])
def test_an_impatient_ctrl_c_in_the_middle_ends_all_with_their_history(event, tmp_path):
    def stop():
        raise KeyboardInterrupt

    def work(comm):
        calls = At(event, 1, stop, 2 if event == "on_step" else 1)
        return trained(comm, callbacks=[calls, Checkpoint(tmp_path / "run.safetensors")], epochs=3)[1]

    for history in threads(2, work, timeout=20):
        assert history.stopped.startswith("interrupted after batch")


def test_ranks_that_do_not_do_the_same_are_refused():
    def told(match, work):
        for error in failures(2, work):
            assert isinstance(error, RankError), error
            assert match in str(error)

    told("ranks differ in epochs: 1 on rank 0, 2 on rank 1", lambda comm: trained(comm, epochs=1 + comm.rank))
    told(
        "ranks differ in callbacks: Checkpoint on rank 0, nothing on rank 1",
        lambda comm: trained(comm, callbacks=[Checkpoint("x")][comm.rank :]),
    )
    told(
        "ranks differ in metrics: accuracy on rank 0, nothing on rank 1",
        lambda comm: trained(comm, metrics=["accuracy"][comm.rank :]),
    )
    told(
        "ranks differ in model: 0.weight float64 (2, 16) on rank 0, 0.weight float32 (2, 16) on rank 1",
        lambda comm: trained(comm, make=[wide, network][comm.rank]),
    )
    told(
        "ranks differ in generators: nothing on rank 0, Generator on rank 1",
        lambda comm: trained(comm, make=lambda: nn.Sequential(forgetful(), *([nn.Dropout()] * comm.rank))),
    )
    told(
        "ranks differ in trained: 0.weight on rank 0, a parameter of none of its layers on rank 1",
        lambda comm: trained(
            comm, optimizer=lambda model: optim.SGD([model, wide()][comm.rank].parameters(), lr=0.1)
        ),
    )
    told(
        "different numbers of batches: 1, 2",
        lambda comm: trained(comm, data=lambda: [(X, Y)] * (1 + comm.rank)),
    )
    told("do not have the same batches", lambda comm: trained(comm, data=lambda: [(X + comm.rank, Y)]))
    told("numbers of batches differ", lambda comm: trained(comm, data=lambda: Loader(1 + comm.rank)))


class Loader:
    """Batches that do not say how many they are, and an iterator that is new for each epoch."""

    def __init__(self, count):
        self._count = count

    def __len__(self):
        return 5

    def __iter__(self):
        return iter([(X, Y)] * self._count)


def test_ranks_whose_weights_differ_are_told_in_which_epoch():
    def work(comm):
        model = wide()

        def disturb(run):
            if run.rank == 1 and run.epoch == 2:
                model[0].weight.data[0, 0] += 1e-9

        return fitted(model, comm, epochs=5, callbacks=[disturb])

    for error in failures(2, work):
        assert isinstance(error, RankError)
        assert "after epoch 3 the weights of rank 1 are not those of rank 0" in str(error)


def test_what_is_no_part_of_it_is_refused():
    def work(comm):
        with pytest.raises(ArgumentError, match="they are taken already"):
            trained(comm, data=lambda: shard(batches(X, Y, size=10, rng=0), comm))
        with pytest.raises(ArgumentError, match="another communicator"):
            trained(
                comm, optimizer=lambda model: optim.Distributed(optim.Adam(model.parameters()), Other(comm))
            )
        for call in (
            lambda comm: fitted(wide(), comm),
            lambda comm: evaluate(wide(), cross_entropy, (X, Y), comm=comm),
            lambda comm: predict(wide(), X, comm=comm),
        ):
            with pytest.raises(ArgumentError, match="comm is a communicator"):
                call(4)

    threads(1, work)


class Other:
    def __init__(self, comm):
        self.rank, self.size = comm.rank, comm.size
        self.Allreduce, self.Bcast, self.allgather = comm.Allreduce, comm.Bcast, comm.allgather


@pytest.mark.parametrize("given", [False, True])
def test_a_distributed_optimizer_brings_its_ranks_and_clips(given):
    def work(comm):
        make = lambda model: optim.Distributed(optim.SGD(model.parameters(), lr=1.0), comm, clip=1e-3)
        model, _ = trained(comm if given else None, optimizer=make, epochs=1)
        return model.state_dict()

    first, second = threads(2, work, timeout=20)
    before = wide().state_dict()
    moved = np.sqrt(sum(np.sum((first[name] - before[name]) ** 2) for name in before))
    assert 0 < moved <= 7e-3
    assert all((first[name] == second[name]).all() for name in first)


def test_after_training_gradients_of_ones_own_can_be_clipped():
    def work(comm):
        model, seen = wide(), []
        # Who has the run has its optimizer.
        fitted(model, comm, callbacks=[seen.append])
        cross_entropy(model(X), Y).backward()
        return optim.clip_grad_norm(model.parameters(), 1.0)

    first, second = threads(2, work, timeout=20)
    assert first == second > 0


@pytest.mark.parametrize("size", [1, 2, 3])
def test_evaluate_and_predict_are_of_all_rows_on_every_rank(size):
    model = wide()
    data = {
        "arrays": (X, Y),
        "weights": (X, Y, RARE),
        "batches": [(X[:150], Y[:150]), (X[150:151], Y[150:151]), (X[151:], Y[151:])],
    }
    for kind, given in data.items():
        expected = evaluate(model, cross_entropy, given, metrics=["accuracy"])
        for found in threads(
            size,
            lambda comm, given=given: evaluate(wide(), cross_entropy, given, metrics=["accuracy"], comm=comm),
        ):
            assert found == pytest.approx(expected, rel=1e-12), kind
    for found in threads(size, lambda comm: predict(wide(), X, comm=comm)):
        np.testing.assert_allclose(found, predict(model, X), rtol=1e-12)


def test_predictions_of_fewer_rows_than_ranks_and_of_several_outputs():
    pair = lambda x: {"a": tn.as_tensor(x) * 2, "b": (tn.as_tensor(x)[:, 0],)}
    for found in threads(3, lambda comm: predict(pair, X[:2], comm=comm)):
        np.testing.assert_array_equal(found["a"], X[:2] * 2)
        np.testing.assert_array_equal(found["b"][0], X[:2, 0])


def test_no_rows_at_all_are_refused_by_all():
    for work in (
        lambda comm: evaluate(wide(), cross_entropy, (X[:0], Y[:0]), comm=comm),
        lambda comm: predict(wide(), X[:0], comm=comm),
    ):
        assert all("no rows" in str(error) for error in failures(2, work))


def test_a_failure_while_evaluating_ends_all():
    def metric(p, y):
        raise OSError("gone")

    for call in (
        lambda comm: evaluate(
            wide(), cross_entropy, (X, Y), metrics={"m": metric if comm.rank else accuracy}, comm=comm
        ),
        lambda comm: predict(fail if comm.rank else wide(), X, comm=comm),
    ):
        first, second = failures(2, call)
        assert type(first) is RankError
        assert type(second) in (OSError, TypeError)
