"""Progress: lines for a file, one line that is rewritten for a terminal."""

import io
import re

import numpy as np
import pytest

from tests.support.training import Terminal, X, Y, shown
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches
from tinygrad_nn.errors import ArgumentError
from tinygrad_nn.languages import width
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import accuracy, fit

VALUE = r"\d+\.\d{4}"


def test_a_file_gets_one_plain_line_per_epoch():
    out = io.StringIO()
    history = shown(out, validation=(X, Y))
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
    shown(out, epochs=2, size=10)
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
    shown(out, epochs=1)
    *states, last, rest = re.split(r"[\r\n]", out.getvalue())
    assert any(states)
    assert rest == ""
    assert all(len(state) < 30 for state in states)
    # What stays is whole, and nothing is written over it.
    assert re.fullmatch(rf"epoch 1/1  loss {VALUE}  acc {VALUE}  \d+\.\ds *", last)


def test_names_of_full_width_are_cut_by_the_columns_that_they_take(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("tinygrad_nn.train.progress.UPDATES_PER_SECOND", 1e9)
    out = Terminal()
    model = nn.Dense(2, 2, rng=0)
    fit(
        model,
        cross_entropy,
        optim.SGD(model.parameters(), lr=0.1),
        batches(X, Y, size=10, rng=0),
        validation=(X, Y),
        metrics={"正解率の平均": accuracy},
        progress=out,
    )
    *states, last, _ = re.split(r"[\r\n]", out.getvalue())
    assert max(map(width, states)) == 39
    assert re.search(rf"  val_正解率の平均 {VALUE}  .*s *$", last)


def test_numbers_too_small_for_four_decimals_get_an_exponent():
    out = io.StringIO()
    model = nn.Dense(2, 2, rng=0)
    tiny = lambda predictions, labels: cross_entropy(predictions, labels) * 1e-6
    data = batches(X, Y, size=200, rng=0)
    fit(model, tiny, optim.SGD(model.parameters(), lr=0.1), data, progress=out)
    assert re.match(r"epoch 1/1  loss \d\.\d{3}e-0\d  \d", out.getvalue())


def test_progress_can_be_switched_off(capfd):
    assert len(shown(False)) == 10
    assert capfd.readouterr() == ("", "")


class Written:
    """A stream that can be written to, and nothing else."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Empty(Written):
    def __len__(self):
        return 0


@pytest.mark.parametrize("kind", [Written, Empty])
def test_a_stream_needs_to_be_written_to_and_nothing_else(monkeypatch, kind):
    given, standard = kind(), kind()
    monkeypatch.setattr("sys.stdout", standard)
    shown(given, epochs=2)
    shown(True, epochs=2)
    for stream in (given, standard):
        assert re.fullmatch(rf"(epoch \d/2  loss {VALUE}  acc {VALUE}  \d+\.\ds\n){{2}}", stream.text)


def test_without_a_standard_output_training_is_silent(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert len(shown(True, epochs=2)) == 2


@pytest.mark.parametrize("progress", [3, "yes", None, object()])
def test_what_is_no_stream_is_refused_before_training(progress):
    seen = []
    with pytest.raises(ArgumentError, match="fit: progress is True, False or a stream to write to, got"):
        shown(progress, callbacks=[seen.append])
    assert seen == []


def test_true_is_standard_output(capsys):
    shown(True, epochs=2)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["epoch", "1/2"],
        ["epoch", "2/2"],
    ]
