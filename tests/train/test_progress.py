"""What a person sees of training: progress lines, the history, Ctrl-C."""

import io
import os
import re
import signal
import threading

import numpy as np
import pytest

from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches, moons
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import History, accuracy, fit

X, Y = moons(200)
VALUE = r"\d+\.\d{4}"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def train(stream, epochs=10, size=50, **options):
    model = nn.Sequential(nn.Dense(2, 8, rng=0), nn.Tanh(), nn.Dense(8, 2, rng=1))
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    options.setdefault("progress", stream)
    data = batches(X, Y, size=size, rng=0)
    return fit(model, cross_entropy, optimizer, data, epochs=epochs, metrics={"acc": accuracy}, **options)


def test_a_file_gets_one_plain_line_per_epoch():
    out = io.StringIO()
    history = train(out, validation=(X, Y))
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    pattern = rf"epoch (\d\d| \d)/10  loss {VALUE}  acc {VALUE}  val_loss {VALUE}  val_acc {VALUE}  \d+\.\ds"
    assert all(re.fullmatch(pattern, line) for line in lines)
    assert lines[2].startswith(f"epoch  3/10  loss {history['loss'][2]:.4f}  acc {history['acc'][2]:.4f}")
    assert re.search(r"[^\x20-\x7e\n]", out.getvalue()) is None


def test_a_terminal_gets_one_line_that_is_rewritten(monkeypatch):
    now = iter(np.arange(0, 1000, 0.03))
    monkeypatch.setattr("tinygrad_nn.train.progress.time.monotonic", lambda: next(now))
    monkeypatch.setenv("COLUMNS", "200")
    out = Terminal()
    train(out, epochs=2, size=10)
    first, second, rest = out.getvalue().split("\n")
    assert rest == ""
    assert "\x1b" not in out.getvalue()
    for epoch, line in enumerate((first, second), 1):
        states = line.split("\r")[1:]
        assert len(states) == 5 + 1  # at most ten a second, and the line of the epoch
        assert re.fullmatch(
            rf"epoch {epoch}/2  loss {VALUE}  acc {VALUE}  \d+/20  \d+ steps/s  \d+:\d\d left *", states[0]
        )
        assert re.fullmatch(rf"epoch {epoch}/2  loss {VALUE}  acc {VALUE}  \d+\.\ds *", states[-1])


def test_a_narrow_terminal_is_never_made_to_wrap(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    out = Terminal()
    train(out, epochs=1)
    assert all(len(state) < 30 for state in re.split(r"[\r\n]", out.getvalue()))


def test_numbers_too_small_for_four_decimals_get_an_exponent():
    out = io.StringIO()
    model = nn.Dense(2, 2, rng=0)
    tiny = lambda predictions, labels: cross_entropy(predictions, labels) * 1e-6
    data = batches(X, Y, size=200, rng=0)
    fit(model, tiny, optim.SGD(model.parameters(), lr=0.1), data, progress=out)
    assert re.match(r"epoch 1/1  loss \d\.\d{3}e-0\d  \d", out.getvalue())


def test_silence():
    train(False)


def test_ctrl_c_returns_the_history_so_far():
    out = io.StringIO()

    def press(run):
        if run.epoch == 3:
            os.kill(os.getpid(), signal.SIGINT)

    history = train(out, callbacks=[press])
    assert len(history) == 3
    assert history.stopped == "interrupted after batch 0 of epoch 4"
    assert out.getvalue().endswith("stopped: interrupted after batch 0 of epoch 4\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_on_a_terminal_ends_the_line_that_was_being_rewritten(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out, steps = Terminal(), []

    def press(predictions, labels):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return cross_entropy(predictions, labels)

    model = nn.Dense(2, 2, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    fit(model, press, optimizer, batches(X, Y, size=20, rng=0), progress=out)
    line, stopped, rest = out.getvalue().split("\n")
    assert line.startswith("\repoch 1/1  loss")
    assert (stopped, rest) == ("stopped: interrupted after batch 2 of epoch 1", "")


def test_ctrl_c_waits_for_the_step_in_hand():
    taken = []

    def press(predictions, labels):
        taken.append(int(optimizer.steps))
        if len(taken) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return cross_entropy(predictions, labels)

    model = nn.Dense(2, 2, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, press, optimizer, batches(X, Y, size=20, rng=0), progress=False)
    assert int(optimizer.steps) == 3
    assert history.stopped == "interrupted after batch 3 of epoch 1"


def test_a_second_ctrl_c_does_not_wait():
    def impatient(predictions, labels):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second one should have interrupted here")

    model = nn.Dense(2, 2, rng=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, impatient, optimizer, batches(X, Y, size=20, rng=0), progress=False)
    assert int(optimizer.steps) == 0
    assert len(history) == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_in_another_thread_leaves_signals_alone():
    results = []
    thread = threading.Thread(target=lambda: results.append(train(False, epochs=2)))
    thread.start()
    thread.join()
    assert len(results[0]) == 2


def test_a_program_with_its_own_handler_keeps_it():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        history = train(False, epochs=2, callbacks=[lambda run: os.kill(os.getpid(), signal.SIGINT)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [True, True]
    assert len(history) == 2


def test_history_columns_best_and_table():
    history = History({"loss": [0.5, 0.25, 0.25], "val_acc": [0.1, float("nan"), 0.3]})
    assert history["loss"] == [0.5, 0.25, 0.25]
    assert "loss" in history
    assert "acc" not in history
    assert history.best("loss") == (2, 0.25)
    assert history.best("val_acc") == (3, 0.3)
    assert history.best("val_acc", "min") == (1, 0.1)
    assert repr(history).splitlines()[:2] == ["epoch    loss  val_acc", "    1  0.5000   0.1000"]
    assert "<td>0.2500</td>" in history._repr_html_()
    with pytest.raises(KeyError, match="no column 'val_los'; there are loss, val_acc"):
        history["val_los"]
    with pytest.raises(ValueError, match="columns loss does not fit a history of loss, val_acc"):
        history.append({"loss": 1.0})


def test_history_goes_to_csv_exactly(tmp_path):
    history = train(False, epochs=2)
    text = history.to_csv(tmp_path / "history.csv")
    header, *rows = (tmp_path / "history.csv").read_text().splitlines()
    assert text.splitlines() == [header, *rows]
    assert header == "epoch,loss,acc,seconds"
    assert [float(row.split(",")[1]) for row in rows] == history["loss"]


def test_an_empty_history_says_so():
    history = History()
    assert repr(history) == "History(no epochs)"
    assert history._repr_html_().startswith("<table>")
    assert history.to_csv() == "epoch\n"
    with pytest.raises(ValueError, match="holds no number"):
        History({"loss": [float("nan")]}).best("loss")
