"""The public strategies draw what they say, the table prints, and Hypothesis stays optional."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_nn as tn
from tinygrad_nn.testing import report, strategies
from tinygrad_nn.testing.__main__ import main


@given(strategies.broadcastable(3))
def test_broadcastable_arrays_broadcast_in_the_engine(arrays):
    leaves = [tn.tensor(a, requires_grad=True) for a in arrays]
    y = leaves[0] + leaves[1] * leaves[2]
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(y.data, arrays[0] + arrays[1] * arrays[2])
    assert [t.grad.shape for t in leaves] == [a.shape for a in arrays]


@given(strategies.matmul_operands())
def test_matmul_operands_multiply_in_the_engine(pair):
    a, b = (tn.tensor(x, requires_grad=True) for x in pair)
    y = a @ b
    y.backward(np.ones(y.shape))
    assert (a.grad.shape, b.grad.shape) == (a.shape, b.shape)


@given(st.data())
def test_axes_indices_reshapes_and_layouts_fit_their_array(data):
    x = data.draw(strategies.arrays())
    t = tn.tensor(x, requires_grad=True)
    axis = data.draw(strategies.axes(x.ndim))
    np.testing.assert_allclose(np.sum(t, axis=axis).data, np.sum(x, axis=axis))
    index = data.draw(strategies.indices(x.shape))
    y = t[index]
    np.testing.assert_array_equal(y.data, x[index])
    y.backward(np.ones(y.shape))
    expected = np.zeros(x.shape)
    np.add.at(expected, index, 1.0)
    np.testing.assert_array_equal(t.grad, expected)
    assert t.reshape(data.draw(strategies.reshapes(x.shape))).size == x.size
    np.testing.assert_array_equal(tn.tensor(data.draw(strategies.layouts(x))).data, x)


@given(strategies.labels(5, 3))
def test_labels_are_taken_by_the_loss(labels):
    assert labels.shape == (5,)
    assert np.isfinite(tn.nn.losses.cross_entropy(np.zeros((5, 3)), labels).item())


def test_the_table_has_a_row_for_every_op_and_a_column_for_every_check():
    text = str(report(["exp", "add", "greater"], max_examples=5))
    rows = text.splitlines()
    assert [row.split()[0] for row in rows] == ["op", "exp", "add", "greater", "3"]
    assert "second_order" in rows[0]
    assert "-" in rows[3]


def test_the_command_prints_the_table_and_the_mutants(capsys):
    assert main(["tanh", "--examples", "5", "--mutants"]) == 0
    out = capsys.readouterr().out
    assert "tanh" in out
    assert "0 survived" in out


@pytest.mark.usefixtures("broken_tanh")
def test_the_command_fails_when_an_op_fails(capsys):
    assert main(["tanh", "--examples", "5"]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "reproduce" in out


@pytest.fixture
def broken_tanh(monkeypatch):
    rule = tn.REGISTRY["tanh"].rules[0]
    monkeypatch.setattr(rule, "function", lambda g, y: g * (1 - y))


def test_gradcheck_needs_no_hypothesis():
    script = (
        "import sys, numpy as np; sys.modules['hypothesis'] = None\n"
        "import tinygrad_nn as tn\n"
        "print(tn.testing.gradcheck(np.tanh, np.ones(3)).entries)\n"
        "try: tn.testing.check_op('tanh')\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["9", 'this check needs Hypothesis: pip install "tinygrad_nn[test]"']
