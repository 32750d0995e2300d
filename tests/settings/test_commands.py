"""What programs for a command line share: options, and how they end."""

import argparse
import subprocess
import sys

import pytest

from tinygrad_nn.settings.commands import count, positive, run, seed


def parsed(kind, text):
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--x", type=kind)
    return parser.parse_args([f"--x={text}"]).x


@pytest.mark.parametrize(
    ("kind", "good", "wrong"),
    [
        (count, {"1": 1, "12": 12}, ["0", "-1", "1.5", "many", ""]),
        (seed, {"0": 0, "12": 12}, ["-1", "1.5", "x"]),
        (positive, {"0.1": 0.1, "1e-3": 0.001, "5": 5.0}, ["0", "-1", "nan", "inf", "x"]),
    ],
)
def test_an_option_is_a_number_that_makes_sense_or_refused(kind, good, wrong):
    for text, number in good.items():
        assert parsed(kind, text) == number
    for text in wrong:
        with pytest.raises(argparse.ArgumentError, match="argument --x"):
            parsed(kind, text)


def raising(error):
    def main():
        raise error

    return main


def test_a_program_ends_with_its_status_and_an_interrupted_one_without_a_traceback(capsys):
    for main, status in ((lambda: None, None), (lambda: 3, 3), (raising(KeyboardInterrupt()), 130)):
        with pytest.raises(SystemExit) as ended:
            run(main)
        assert ended.value.code == status
    assert capsys.readouterr().err == "\ninterrupted\n"
    with pytest.raises(ZeroDivisionError):
        run(raising(ZeroDivisionError()))


def test_a_program_that_nobody_reads_any_longer_ends_quietly():
    lines = "[print('line', k) for k in range(100_000)]"
    code = f"from tinygrad_nn.settings.commands import run\nrun(lambda: {lines} and None)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "line 0\n"
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode == 0
