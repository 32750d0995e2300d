"""README and docs: each page is run once, in order, and what stands under code is what the code prints."""

import re

import pytest

from tests.support.pages import PAGES, PART, ROOT, TUTORIALS, run

PRINTS = {"docs/speed.md": "def replay("}
"""What code without a text under it prints, at least."""
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
FILE = re.compile(r"`((?:docs|examples|tests|tinygrad_nn)/[\w/]+\.\w+)`")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in PAGES[page] and page not in TUTORIALS]
)
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


@pytest.mark.parametrize("page", TUTORIALS)
def test_the_tutorial_shows_all_that_it_prints_and_each_picture_that_it_draws(page):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.close("all")
    pyplot.switch_backend("Agg")
    owed, pictures = "", []
    for kind, text, printed, names in run(page):
        if kind == "python":
            assert not owed, f"nothing stands under a block that prints {owed!r}"
            owed = printed
        elif kind == "text":
            assert owed == text
            owed = ""
        else:
            assert (ROOT / page).parent.joinpath(text).stat().st_size > 1000
            pictures.append(names["picture"])
    assert not owed
    assert len(set(map(id, pictures))) == len(pictures) == 5
    pyplot.close("all")


def test_the_tutorial_is_the_same_program_in_every_language():
    first, *others = ([part[2] for part in PART.finditer(PAGES[page])] for page in TUTORIALS)
    assert all(other == first for other in others)


@pytest.mark.parametrize("page", [page for page in PAGES if LINK.search(PAGES[page])])
def test_links_to_files_lead_somewhere(page):
    for target in LINK.findall(PAGES[page]):
        assert "://" in target or (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", [page for page in PAGES if FILE.search(PAGES[page])])
def test_files_that_a_page_names_are_there(page):
    assert [name for name in FILE.findall(PAGES[page]) if not (ROOT / name).exists()] == []
