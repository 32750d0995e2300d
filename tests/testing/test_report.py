"""The table of ops against checks, from Python and from the command."""

import os
import re
import subprocess
import sys

import pytest

import tinygrad_nn as tn
from tinygrad_nn.testing import check_op, report
from tinygrad_nn.testing.__main__ import main
from tinygrad_nn.testing.mutants import mutation_test


def test_the_table_has_a_row_for_every_op_and_a_column_for_every_check():
    text = str(report(["exp", "add", "greater"], max_examples=5))
    rows = text.splitlines()
    assert [row.split()[0] for row in rows] == ["op", "exp", "add", "greater", "3"]
    assert "second_order" in rows[0]
    assert "-" in rows[3]


def test_the_command_prints_one_line_an_op_with_a_tick_and_a_summary(capsys):
    assert main(["tanh", "add", "sgd_update", "--examples", "5"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [re.split(r"\s+", line, maxsplit=2)[:2] for line in lines] == [
        ["✓", "tanh"],
        ["✓", "add"],
        ["", "sgd_update"],
    ]
    assert max(map(len, lines)) <= 80
    assert re.fullmatch(r"2 ops, all passed, \d+ s", last)


def test_a_line_is_printed_before_the_next_op_is_checked(monkeypatch):
    told = []
    report(["exp", "add"], max_examples=5, tell=lambda table, row: told.append((row.name, len(table.rows))))
    assert told == [("exp", 1), ("add", 2)]


def test_the_command_prints_the_table_and_the_mutants(capsys):
    assert main(["tanh", "--examples", "5", "--table", "--mutants"]) == 0
    out = capsys.readouterr().out
    assert "second_order" in out
    assert "0 survived" in out
    assert "✓" not in out


def test_a_terminal_without_ticks_gets_words(tmp_path):
    command = [sys.executable, "-m", "tinygrad_nn.testing", "exp", "--examples", "5"]
    run = subprocess.run(
        command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=True
    )
    assert run.stdout.startswith(b"ok exp ")


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_the_command_refuses_counts_that_are_none(count, capsys):
    with pytest.raises(SystemExit):
        main(["exp", f"--examples={count}"])
    assert re.search(rf"--examples: .*{count}", capsys.readouterr().err)


@pytest.fixture
def broken_tanh(monkeypatch):
    rule = tn.REGISTRY["tanh"].rules[0]
    monkeypatch.setattr(rule, "function", lambda g, y: g * (1 - y))


@pytest.mark.usefixtures("broken_tanh")
def test_the_command_fails_when_an_op_fails(capsys):
    assert main(["tanh", "exp", "--examples", "5"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"✗ tanh +tanh, first order: the gradient is wrong in \d+ of \d+ entries", lines[0])
    assert any("reproduce" in line for line in lines)
    assert re.fullmatch(r"2 ops, 1 failed: tanh, \d+ s", lines[-1])
    assert main(["tanh", "--examples", "5", "--table"]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "reproduce" in out


def test_reports_say_in_one_line_what_was_looked_at():
    assert check_op("sgd_update").told() == "an update: check_optimizer is for these"
    assert re.fullmatch(r"differentiable, \d+ examples", check_op("tanh", 5).told())
    assert repr(mutation_test([])) == "0 mutants: 0 caught, 0 equivalent, 0 survived"
    assert repr(report(["tanh"], max_examples=5)).splitlines()[-1].startswith("1 op, all passed")
