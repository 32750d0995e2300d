"""What pages promise, they still say, and what shows it is there."""

import ast
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

import tinygrad_nn as tn
from tests.support.pages import PAGES, ROOT
from tests.support.wards import WARDS
from tinygrad_nn.compiler.catalogue import Row
from tinygrad_nn.testing.diagnosis import DIAGNOSES
from tinygrad_nn.testing.mutants import MUTATORS
from tinygrad_nn.viz import whatif

PAGE = "docs/promises.md"
ROWS = re.findall(r"^\| (.+) \| (?:\[.+\]\(|`)([\w.]+\.md)[)`] \| (.+) \|$", PAGES[PAGE], re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
COMMAND = re.compile(r"(?:python(?: -m)?|pytest) ([\w./]+)")


def plain(text):
    """Return a text without links, stress and ends of lines."""
    return " ".join(re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text).replace("**", "").split())


@cache
def names_of_tests(path):
    return {
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def is_there(shown):
    """Is this test, or the program of this command, in the project?"""
    path, two_colons, name = shown.partition("::")
    if two_colons:
        return name in names_of_tests(ROOT / path)
    program = ROOT / COMMAND.match(shown)[1]
    places = [program, Path(f"{ROOT / program.name.replace('.', '/')}.py")]
    places.append(places[1].with_suffix("") / "__main__.py")
    return any(place.is_file() for place in places)


def test_all_rows_of_the_table_are_looked_at():
    assert len(ROWS) == PAGES[PAGE].count("\n| ") - 1 >= 50


@pytest.mark.parametrize(("promise", "page", "shown"), ROWS, ids=[row[0][:60] for row in ROWS])
def test_a_promise_stands_on_its_page_word_for_word_and_what_shows_it_is_there(promise, page, shown):
    # The site has no pages of what stands beside the docs, to which a link could lead.
    (path,) = (folder / page for folder in (ROOT, ROOT / "docs") if (folder / page).is_file())
    text = path.read_text(encoding="utf-8")
    assert plain(promise) in plain(text)
    names = CODE.findall(shown)
    assert names
    assert [name for name in names if not is_there(name)] == []


def test_what_is_not_there_is_found():
    assert not is_there("tests/docs/test_promises.py::test_that_nobody_has_written")
    assert not is_there("python -m tests.benchmarks.nothing")


def first_column(page, heading):
    """Return the names in backticks in the first column of the table under this heading."""
    table = PAGES[page].partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [name for line in table.splitlines()[2:] for name in CODE.findall(line.split("|")[1])]


def test_names_in_tables_are_those_of_the_code():
    assert first_column("docs/training.md", "name") == list(tn.train.doctor.NAMES)
    marks = first_column("docs/checking_your_gradients.md", "`finding.name`")
    assert len(marks) == 17
    assert set(marks) == {diagnosis.name for diagnosis in DIAGNOSES}
    parts = PAGES["docs/compiler.md"].partition("each stage reads its part")[2].partition("; `Row`")[0]
    assert set(CODE.findall(parts)) == {field.name for field in fields(Row)}


def test_numbers_on_pages_are_those_of_the_code():
    words = len(whatif.MAPS | whatif.FOLDS | whatif.ROWS | whatif.PICKS)
    assert words == pytest.approx(80, abs=5), "docs/graphs.md: some eighty words"
    assert len(MUTATORS) == pytest.approx(30, abs=3), "docs/checking_your_gradients.md: some thirty ways"
    said = re.search(r"(\d+) seeded trainings, (\d+)\s+of them", PAGES["docs/training.md"])
    assert [*map(int, said.groups())] == [len(WARDS), sum(bool(ward.ill) for ward in WARDS)]


def test_the_way_through_the_source_is_as_long_as_the_page_says():
    files = set(re.findall(r"\(\.\./tinygrad_nn/([\w/]+\.py)\)", PAGES["docs/how_it_works.md"]))
    assert len(files) == 9
