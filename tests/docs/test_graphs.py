"""The pictures and texts in the documentation are what the code draws today."""

import io
import re
import runpy
from contextlib import redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = runpy.run_path(str(ROOT / "examples" / "graphs.py"))


@pytest.mark.parametrize("draw", EXAMPLE["ALL"], ids=lambda draw: draw.__name__)
def test_the_pictures_in_docs_are_what_is_drawn_today(draw):
    kept = (EXAMPLE["PICTURES"] / f"{draw.__name__}.dot").read_text()
    assert draw().dot + "\n" == kept, "run: python examples/graphs.py"
    assert (EXAMPLE["PICTURES"] / f"{draw.__name__}.svg").exists()


def test_the_blocks_of_the_page_on_graphs_run_and_print_what_it_shows():
    text = (ROOT / "docs" / "graphs.md").read_text()
    blocks = re.findall(r"```(python|text)\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    printed = io.StringIO()
    with redirect_stdout(printed):
        for kind, block in blocks:
            if kind == "python":
                exec(block, names)
    shown = [block for kind, block in blocks if kind == "text" and block.startswith(("%1", "forward"))]
    assert len(shown) == 2
    for block in shown:
        assert block in printed.getvalue()
