"""README and docs: each page is run once, in order, and what stands under code is what the code prints."""

import re

import pytest

from tests.support.pages import PAGES, ROOT, TUTORIAL, run

PRINTS = {"docs/speed.md": "def replay("}
"""What code without a text under it prints, at least."""
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
FILE = re.compile(r"`((?:docs|examples|tests|tinygrad_nn)/[\w/]+\.\w+)`")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in PAGES[page] and page != TUTORIAL])
def test_the_python_of_a_page_runs_and_prints_the_text_under_it(page):
    everything, blocks = "", 0
    for kind, text, printed, _ in run(page):
        if kind == "python":
            everything += printed
            blocks += 1
        if kind == "text":
            assert printed == text
    assert PRINTS.get(page, "") in everything
    assert blocks == PAGES[page].count("```python")


def test_the_tutorial_shows_all_that_it_prints_and_each_picture_that_it_draws():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    owed, pictures = "", []
    for kind, text, printed, names in run(TUTORIAL):
        if kind == "python":
            assert not owed, f"nothing stands under a block that prints {owed!r}"
            owed = printed
        elif kind == "text":
            assert owed == text
            owed = ""
        else:
            assert (ROOT / "docs" / text).stat().st_size > 1000
            pictures.append(names["picture"])
    assert not owed
    assert len(set(map(id, pictures))) == len(pictures) == 5
    pyplot.close("all")


@pytest.mark.parametrize("page", [page for page in PAGES if LINK.search(PAGES[page])])
def test_links_to_files_lead_somewhere(page):
    for target in LINK.findall(PAGES[page]):
        assert "://" in target or (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", [page for page in PAGES if FILE.search(PAGES[page])])
def test_files_that_a_page_names_are_there(page):
    assert [name for name in FILE.findall(PAGES[page]) if not (ROOT / name).exists()] == []
