"""The page "from NumPy in five steps": every block runs, and prints what stands under it."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "from_numpy_in_five_steps.md"


def run_page(each_picture):
    """Execute the blocks in order; hand over each picture where the page shows it."""
    names, printed = {}, None
    for kind, block in re.findall(
        r"```(python|text)\n(.*?)```|(?=!\[)", PAGE.read_text(encoding="utf-8"), re.DOTALL
    ):
        if kind == "python":
            assert not printed, f"nothing stands under a block that prints {printed!r}"
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile(block, str(PAGE), "exec"), names)
            printed = out.getvalue()
        elif kind == "text":
            assert printed == block
            printed = None
        else:
            each_picture(names["picture"])
    assert not printed


def test_every_block_runs_and_prints_what_stands_under_it():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    pictures = []
    run_page(pictures.append)
    assert len(pictures) == len(set(map(id, pictures))) == 5
    pytest.importorskip("matplotlib.pyplot").close("all")


def test_every_picture_of_the_page_is_there():
    for name in re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / name).stat().st_size > 1000
