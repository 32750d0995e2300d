"""A user's script under the type checkers: what they infer, and that they see what does not exist."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tensor_stub import STUB, stub

ROOT = Path(__file__).parents[1]
SCRIPTS = [ROOT / "tests" / "support" / name for name in ("typed_script.py", "typed_checks.py")]
CHECKERS = {
    "mypy": [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file="],
    "pyright": [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
}


def check(checker, *paths):
    """Return exit status and output of a type checker."""
    pytest.importorskip(checker, reason="pip install 'tinygrad_nn[dev]'")
    done = subprocess.run([*CHECKERS[checker], *map(str, paths)], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_stub_of_tensors_methods_is_the_registry():
    assert STUB.read_text(encoding="utf-8") == stub(), "python -m tests.support.tensor_stub"


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_users_script_is_typed(checker):
    status, output = check(checker, *SCRIPTS)
    assert status == 0, output


@pytest.mark.parametrize("checker", CHECKERS)
def test_what_does_not_exist_is_an_error(checker, tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import tinygrad_nn as tn\n"
        "t = tn.tensor([1.0])\n"
        "t.smu()\n"
        "t.sum(axes=0)\n"
        "t.grad = 'none'\n"
        "tn.op(abs, onnx='Abs')\n"
    )
    status, output = check(checker, wrong)
    assert status != 0
    for line in (3, 4, 5, 6):
        assert f"wrong.py:{line}:" in output, f"line {line} passes\n{output}"
