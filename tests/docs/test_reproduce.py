"""The five systems as a user runs them: the program, its table, its figures, its exit status."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import needs

EXAMPLES = Path(__file__).parents[2] / "examples"
pytest.importorskip("matplotlib")


def reproduce(folder, *arguments):
    environment = os.environ | {
        "PYTHONPATH": str(EXAMPLES.parent),
        "MPLBACKEND": "Agg",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-W",
        "error",
        # Where warnings are asked for it looks for slips in the grammars of its users; Matplotlib 3.8 has one.
        "-W",
        "ignore:::pyparsing",
        str(EXAMPLES / "reproduce.py"),
        *arguments,
        "--figures",
        str(folder),
    ]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture
def report(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from systems.report import Report

    return Report("name", "title", tmp_path)


@pytest.fixture(scope="module")
def moons(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    return reproduce(folder, "moons", "--quick"), folder


def test_moons_is_the_tutorial_to_the_last_bit(moons):
    done, folder = moons
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for line in (
        r"h = 3, objective after step 0 +0\.432387 +0\.432387 +all digits +ok",
        r"h = 3, objective after step 1000 +0\.068947 +0\.068947 +all digits +ok",
        r"sum of all coordinates +148\.958066829 +148\.958066829 +all digits +ok",
    ):
        assert re.search(line, done.stdout)
    assert len(re.findall(r"weights and NumPy's by hand +same +same bits +ok", done.stdout)) == 7
    assert {path.name for path in folder.iterdir()} == {
        f"moons-{name}.png" for name in ("points", "linear", "boundary", "sweep")
    }


def test_a_pipe_gets_no_control_characters(moons):
    assert re.search(r"[^\x20-\x7e\n]", moons[0].stdout) is None


@needs.mnist
@pytest.mark.parametrize("name", ["mnist-mse", "mnist-numerical", "mnist-adam", "mnist-hidden"])
def test_the_mnist_systems_run_and_draw(tmp_path, name):
    done = reproduce(tmp_path, name, "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert f"{name}: " in done.stdout
    assert list(tmp_path.glob(f"{name}-*.png"))


def test_what_does_not_fit_is_refused(tmp_path):
    assert "for mnist-mse" in reproduce(tmp_path, "moons", "--faithful").stderr
    assert "not allowed with" in reproduce(tmp_path, "mnist-mse", "--faithful", "--correct").stderr
    assert reproduce(tmp_path, "mnist").returncode == 2


def test_values_outside_of_their_band_are_found(report):
    report.value("inside", 0.5, 0.4, band=(0.4, 0.6))
    report.value("free", 7.0, 0.4)
    report.exact("digits", 0.1234, 0.12341, digits=4)
    assert report.outside() == []
    report.value("low", 0.39, 0.4, band=(0.4, 0.6))
    report.value("nan", float("nan"), 0.4, band=(0.4, 0.6))
    report.exact("last digit", 0.1235, 0.1234, digits=4)
    report.check("false", False, "no", "yes")
    assert report.outside() == ["low", "nan", "last digit", "false"]
    assert re.search(r"low +0\.4000 +0\.3900 +0\.4000 to 0\.6000  OUTSIDE", str(report))


@pytest.mark.parametrize(("measured", "status"), [(0.0, 1), (1.5, 0)])
def test_the_exit_status_says_whether_a_band_was_missed(tmp_path, measured, status):
    # in a process of its own: the systems declare ops, which every check of ops here would find
    program = (
        "import reproduce\n"
        f"reproduce.moons.run = lambda report: report.value('low', {measured}, band=(1, 2))\n"
        f"raise SystemExit(reproduce.main(['moons', '--figures', {str(tmp_path)!r}]))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(EXAMPLES), str(EXAMPLES.parent)])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    assert ("outside of their bands: moons: low" in done.stdout) == (status == 1)


def test_the_short_cut_is_the_numerical_gradient_of_every_parameter(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import numpy as np
    from systems import mnist_numerical as system

    from tinygrad_nn import nn, testing

    rng = np.random.default_rng(0)
    images = rng.random((6, 5)) * (rng.random((6, 5)) < 0.5)
    labels = rng.integers(3, size=6)
    options = {"init": nn.init.normal(1.0), "rng": rng, "dtype": np.float64}
    model = nn.Sequential(nn.Dense(5, 4, **options), nn.Sigmoid(), nn.Dense(4, 3, **options))
    found = system.by_differences(model, images, labels)
    places = [(k, place) for k, g in enumerate(found) for place in range(g.size)]
    whole = system.by_whole_passes(model, images, labels, places)
    np.testing.assert_allclose(np.concatenate([g.ravel() for g in found]), whole, atol=1e-10)
    for g, wanted in zip(found, system.by_autodiff(model, images, labels), strict=True):
        np.testing.assert_allclose(g, wanted, atol=1e-7)
    testing.gradcheck(lambda z: system.loss_of(z, labels), rng.normal(size=(6, 3)))
