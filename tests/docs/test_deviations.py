"""The list of departures from other libraries stays true: every row names a test that exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [
    row
    for row in (ROOT / "docs" / "deviations.md").read_text(encoding="utf-8").splitlines()
    if row.startswith("| ") and not row.startswith(("| here", "| call"))
]


def test_every_departure_names_tests_that_exist():
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    defined = re.findall(r"^def (test_\w+)", sources, re.MULTILINE)
    assert len(ROWS) > 30
    for row in ROWS:
        named = re.findall(r"`(test_\w+?)_?(?:…[^`]*)?`", row.rsplit("|", 2)[1])
        files = re.findall(r"`(tests/[\w/]+\.py)`", row)
        assert named or files, row
        assert all(any(name.startswith(prefix) for name in defined) for prefix in named), row
        assert all((ROOT / file).exists() for file in files), row
