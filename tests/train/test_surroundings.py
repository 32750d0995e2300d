"""Training where people run it: a real terminal, and a notebook kernel."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import tinygrad_nn as tn
from tinygrad_nn import nn, optim

X, y = tn.data.moons(200)
model = nn.Sequential(nn.Dense(2, 8, rng=0), nn.Tanh(), nn.Dense(8, 2, rng=1))
batches = tn.data.batches(X, y, size=20, rng=0)
optimizer = optim.Adam(model.parameters(), lr=0.05)
metrics = {"acc": tn.train.accuracy}
history = tn.train.fit(model, nn.losses.cross_entropy, optimizer, batches, epochs=3, metrics=metrics)
"""
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "OPENBLAS_NUM_THREADS": "1"}
LINE = r"epoch \d/3  loss \d\.\d{4}  acc \d\.\d{4}  \d+\.\ds"


def test_a_pipe_gets_plain_lines():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert re.fullmatch(rf"({LINE}\n){{3}}", done.stdout)
    assert done.stderr == ""


def test_a_terminal_gets_one_line_per_epoch_that_is_rewritten():
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], env=ENVIRONMENT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert child.wait() == 0
    *lines, rest = shown.decode().split("\r\n")
    assert rest == ""
    assert len(lines) == 3
    for line in lines:
        states = line.split("\r")
        assert states[0] == ""
        assert re.fullmatch(rf"{LINE} *", states[-1])
        assert all(len(state) < 100 and state.isprintable() for state in states)


@pytest.mark.filterwarnings("ignore")  # what Jupyter's own packages warn of
def test_a_notebook_kernel_shows_lines_and_tables():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cells = [SCRIPT, "history", "model.summary((2,))", "%matplotlib inline\naxes = history.plot()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute(env=ENVIRONMENT)
    training, history, summary, plot = (cell["outputs"] for cell in notebook.cells)
    text = "".join(output["text"] for output in training)
    assert re.fullmatch(rf"({LINE}\n){{3}}", text)
    assert "<th>loss</th>" in history[0]["data"]["text/html"]
    assert "<td>Dense(2 -&gt; 8)</td>" in summary[0]["data"]["text/html"]
    assert "image/png" in plot[0]["data"]
