"""The table of ops against checks, from Python and from the command."""

import pytest

import tinygrad_nn as tn
from tinygrad_nn.testing import report
from tinygrad_nn.testing.__main__ import main


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


@pytest.fixture
def broken_tanh(monkeypatch):
    rule = tn.REGISTRY["tanh"].rules[0]
    monkeypatch.setattr(rule, "function", lambda g, y: g * (1 - y))


@pytest.mark.usefixtures("broken_tanh")
def test_the_command_fails_when_an_op_fails(capsys):
    assert main(["tanh", "--examples", "5"]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "reproduce" in out
