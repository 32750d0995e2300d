"""Draw the pictures of docs/from_numpy_in_five_steps.md by running the page: python docs/pictures/draw.py."""

import sys
from pathlib import Path

import matplotlib

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.pages import ROOT, TUTORIALS, run

matplotlib.use("Agg")
for kind, place, _, names in run(TUTORIALS[0]):
    if kind == "picture":
        names["picture"].figure.savefig(ROOT / "docs" / place, dpi=90)
