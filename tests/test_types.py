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
WRONG = """\
import tinygrad_nn as tn
t = tn.tensor([1.0])
t.smu()
t.sum(axes=0)
t.grad = 'none'
tn.op(abs, onnx='Abs')
"""


@pytest.fixture(scope="module", params=CHECKERS)
def complaints(request, tmp_path_factory):
    """What a type checker says of the user's scripts and of a wrong one, which it reads in one go."""
    pytest.importorskip(request.param, reason="pip install 'tinygrad_nn[dev]'")
    wrong = tmp_path_factory.mktemp("types") / "wrong.py"
    wrong.write_text(WRONG)
    command = [*CHECKERS[request.param], *map(str, SCRIPTS), str(wrong)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_the_stub_of_tensors_methods_is_the_registry():
    assert STUB.read_text(encoding="utf-8") == stub(), "python -m tests.support.tensor_stub"


def test_a_users_script_is_typed(complaints):
    assert not [script.name for script in SCRIPTS if script.name in complaints]


def test_what_does_not_exist_is_an_error(complaints):
    for line in (3, 4, 5, 6):
        assert f"wrong.py:{line}:" in complaints, f"line {line} passes\n{complaints}"
