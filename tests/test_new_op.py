"""A new op is one statement: dispatch, method, table and checks pick it up by themselves."""

import subprocess
import sys

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.testing.ops_table import ops_table

STATEMENT = """
tn.op(np.sinc, lambda g, x: np.where(x == 0, 0, g * (np.cos(np.pi * x) - np.sinc(x)) / np.where(x == 0, 1, x)))
"""


def test_one_statement_is_enough():
    code = f"""
import numpy as np
import tinygrad_nn as tn
from tinygrad_nn.testing.ops_table import ops_table
{STATEMENT}
x = tn.tensor([0.5], requires_grad=True, dtype=float)
np.sinc(x).backward()
assert np.isclose(x.grad, -4 / np.pi), x.grad
assert x.sinc().data == np.sinc(0.5)
assert "| sinc | `np.sinc(x)`, `t.sinc()` |" in ops_table()
tn.testing.check_op(tn.primitive.REGISTRY[np.sinc], max_examples=5)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_table_in_the_docs_is_the_registry(request):
    page = request.config.rootpath / "docs" / "ops.md"
    assert page.read_text(encoding="utf-8") == ops_table(), (
        "python -m tinygrad_nn.testing.ops_table > docs/ops.md"
    )


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (lambda x, g: g, "first parameter of a rule is g"),
        (lambda g, z: g, "the rule asks for z; known here are g, x, y"),
        (lambda *args: 0, r"\*args and \*\*kwargs are not allowed"),
    ],
)
def test_a_rule_that_cannot_be_called_is_refused_when_declared(rule, complaint):
    with pytest.raises(tn.errors.BadRule, match=complaint):
        tn.op(np.i0, rule)
    assert np.i0 not in tn.primitive.REGISTRY


def test_a_second_declaration_is_refused():
    with pytest.raises(tn.errors.BadRule, match="registered already"):
        tn.op(np.tanh, lambda g, y: g)
