"""The pictures in the documentation are what the code draws today."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "graphs.py"))


@pytest.mark.parametrize("draw", EXAMPLE["ALL"], ids=lambda draw: draw.__name__)
def test_the_pictures_in_docs_are_what_is_drawn_today(draw):
    kept = (EXAMPLE["PICTURES"] / f"{draw.__name__}.dot").read_text()
    assert draw().dot + "\n" == kept, "run: python examples/graphs.py"
    assert (EXAMPLE["PICTURES"] / f"{draw.__name__}.svg").exists()


def test_the_picture_of_neurons_is_what_is_drawn_today():
    kept = (EXAMPLE["PICTURES"] / "neurons.svg").read_text(encoding="utf-8")
    assert EXAMPLE["neurons"]().svg(EXAMPLE["STEP"]) == kept, "run: python examples/graphs.py"
