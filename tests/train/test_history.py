"""The history: its columns, its best epoch, its table and its file."""

import pytest

from tests.support.training import shown
from tinygrad_nn.train import History
from tinygrad_nn.train.history import number


def test_a_history_gives_columns_the_best_epoch_and_a_table():
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
    history = shown(False, epochs=2)
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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-3, "0.0010"),
        (9.994e-4, "9.994e-04"),
        (999999.5, "999999.5000"),
        (1e6, "1.000e+06"),
        (-1e6, "-1.000e+06"),
        (-0.5, "-0.5000"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (0, "0.0000"),
    ],
)
def test_a_number_has_four_decimals_or_an_exponent_where_these_would_not_show_it(value, text):
    assert number(value) == text
