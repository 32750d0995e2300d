"""The examples, run as a person runs them: in a process of their own, their output in a pipe."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support import mpi, needs

ROOT = Path(__file__).parents[2]


def run(name, *args, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )


def last_percentage(done):
    assert done.returncode == 0, done.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", done.stdout), "control characters in a pipe"
    return float(re.fullmatch(r".*accuracy (\d+\.\d\d)%", done.stdout.splitlines()[-1])[1])


def test_moons_are_told_apart():
    assert last_percentage(run("moons.py")) >= 97


@needs.mnist
def test_mnist_is_learned_in_one_epoch_to_95_percent():
    assert last_percentage(run("mnist.py", "--epochs", "1", "--hidden", "64")) >= 95


@needs.mpi
@needs.mnist
def test_two_ranks_print_what_one_process_does():
    quickly = ("--epochs", "1", "--hidden", "32", "--batch", "500")
    alone = run("mnist.py", *quickly)
    done = mpi.run(2, ROOT / "examples" / "mnist.py", *quickly, "--parallel")
    assert done.code == 0, done.err
    numbers = [
        [float(n) for n in re.findall(r"(?:loss|acc|accuracy) ([\d.]+)", out)]
        for out in (alone.stdout, done.out)
    ]
    assert len(numbers[0]) == 5
    # An image that lies between two digits may be either.
    np.testing.assert_allclose(numbers[1], numbers[0], atol=1e-3, rtol=1e-3)


@needs.mnist
def test_a_convolutional_network_has_learned_much_after_six_thousand_images():
    assert last_percentage(run("mnist_cnn.py", "--epochs", "1", "--images", "6000", "--batch", "64")) >= 88


def test_without_mnist_the_small_digits_are_learned(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn brings the small digits")
    (tmp_path / "empty").mkdir()
    done = run("mnist.py", "--epochs", "20", "--lr", "0.05", TINYGRAD_NN_DATA=str(tmp_path / "empty"))
    assert last_percentage(done) >= 88
    assert "8x8" in done.stdout


def test_names_are_learned_and_new_ones_invented():
    done = run("names.py", "--epochs", "15")
    assert done.returncode == 0, done.stderr
    *_, bits, invented = done.stdout.splitlines()
    assert 1.0 < float(re.search(r"(\d\.\d\d) bits a letter", bits)[1]) < 3.0
    assert re.fullmatch(r"NumPy lacks \w{6,}(, \w{6,}){8,}", invented)


QUICKLY = ["--steps", "100", "--layers", "1", "--heads", "2", "--width", "32", "--context", "16"]


@needs.shakespeare
def test_plays_are_learned():
    done = run("shakespeare.py", *QUICKLY)
    assert last_loss(done) < 3.2
    assert "NumPy" not in done.stdout


def test_without_shakespeare_the_docstrings_of_numpy_are_learned(tmp_path):
    done = run("shakespeare.py", *QUICKLY, TINYGRAD_NN_DATA=str(tmp_path))
    assert last_loss(done) < 3.6
    assert "reading NumPy's docstrings instead" in done.stdout


def last_loss(done):
    assert done.returncode == 0, done.stderr
    return float(re.fullmatch(r"validation loss (\d\.\d\d)", done.stdout.splitlines()[-1])[1])


EXAMPLES = ["moons.py", "mnist.py", "mnist_cnn.py", "names.py", "shakespeare.py", "graphs.py"]


@pytest.mark.parametrize("name", [*EXAMPLES, "reproduce.py"])
def test_the_help_of_an_example_names_defaults_and_writes_nothing(name, tmp_path):
    pictures = ROOT / "docs" / "pictures"
    before = {path: path.stat().st_mtime_ns for path in pictures.iterdir()}
    done = run(name, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "usage:" in done.stdout
    assert "default" in done.stdout or name == "reproduce.py"
    assert {path: path.stat().st_mtime_ns for path in pictures.iterdir()} == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("mnist.py", "--epochs", "0"),
        ("mnist.py", "--lr", "-1"),
        ("mnist_cnn.py", "--images", "-5"),
        ("names.py", "--hidden", "0"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_anything_runs(name, option, value):
    done = run(name, option, value)
    assert done.returncode == 2
    assert re.search(
        rf"error: argument {option}: ({value} is no |invalid count value: '{value}')", done.stderr
    )
    assert "Traceback" not in done.stderr


def started(name, *args):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / name), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )


@needs.signals
def test_an_example_that_is_interrupted_shows_no_traceback():
    with started("moons.py", "--steps", "20000") as child:
        assert child.stdout.readline().startswith("step ")
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert errors == "\ninterrupted\n"


def test_an_example_whose_reader_has_seen_enough_ends_quietly():
    with started("moons.py", "--steps", "2000") as child:
        assert child.stdout.readline().startswith("step ")
        child.stdout.close()
        errors = child.stderr.read()
    assert child.returncode == 0
    assert errors == ""
