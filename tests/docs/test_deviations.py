"""The list of departures from other libraries stays true: every row names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    row
    for row in (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8").splitlines()
    if row.startswith("| ") and not row.startswith(("| here", "| call"))
]
TESTS = {
    node.name
    for path in (ROOT / "tests").rglob("test_*.py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef)
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:60])
def test_a_departure_names_tests_that_exist(row):
    names = re.findall(r"`([^`]+)`", row.split("|")[-2])
    assert len(ROWS) > 30
    assert names
    for name in names:
        assert name in TESTS or (ROOT / name).is_file(), f"there is no test {name}"
