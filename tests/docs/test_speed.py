"""The page on speed shows code that runs."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "speed.md"


def test_the_python_of_the_page_runs(capsys):
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(code, str(PAGE), "exec"), {})
    assert "def replay(" in capsys.readouterr().out
