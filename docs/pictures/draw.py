"""Draw the pictures of docs/from_numpy_in_five_steps.md by running the page: python docs/pictures/draw.py."""

import re
import sys
from pathlib import Path

import matplotlib

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "tests"), str(HERE.parents[1])]

from test_docs_five_steps import PAGE, run_page  # noqa: E402

matplotlib.use("Agg")
names = iter(re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text(encoding="utf-8")))
run_page(lambda picture: picture.figure.savefig(PAGE.parent / next(names), dpi=90))
