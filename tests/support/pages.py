"""README and docs as programs: the Python of a page is run in order, in one namespace."""

import io
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from textwrap import dedent
from types import ModuleType

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "README.md", ROOT / "README.ja.md", *sorted(ROOT.glob("docs/**/*.md"))]
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}
TUTORIALS = ("docs/from_numpy_in_five_steps.md", "docs/ja/first_hour.md")
"""One page in English and in Japanese."""

PART = re.compile(r"^ *```(python|text)\n(.*?)^ *```|^!\[.*?\]\((.*?)\)", re.DOTALL | re.MULTILINE)


def run(page):
    """Run the Python of a page; yield each part: its kind, its text, what the code before it printed, and the names.

    The text of a picture is where it is kept.
    """
    # Classes of a page can be pickled, as those of a script can.
    sys.modules["page"] = ModuleType("page")
    names, printed = vars(sys.modules["page"]), ""
    for part in PART.finditer(PAGES[page]):
        kind, text = part[1] or "picture", part[3] or dedent(part[2])
        if kind == "python":
            line = PAGES[page][: part.start(2)].count("\n")
            with redirect_stdout(io.StringIO()) as out:
                exec(compile("\n" * line + text, page, "exec"), names)
            printed = out.getvalue()
        yield kind, text, printed, names
