"""How much there is of each part of the package, against what it may be: growth is a decision."""

import re

import pytest

from tests.support import budget


@pytest.fixture(scope="module")
def table():
    print("\n".join(["", *budget.rows()]))
    return budget.measure()


@pytest.mark.parametrize("part", budget.LINES)
def test_a_part_has_no_more_lines_than_it_may(table, part):
    assert 0 < table[part][0] <= budget.LINES[part], (
        "less, or a larger budget in this commit, with the reason beside it"
    )


def test_types_say_what_they_can(table):
    assert sum(uses for _, uses, _ in table.values()) <= budget.ANY


def test_few_lines_are_kept_from_the_type_checker(table):
    assert sum(ignored for _, _, ignored in table.values()) <= budget.IGNORES


def test_the_readme_says_how_much_there_is(table):
    said = re.search(
        r"what an op is take some ([\d,]+) lines of code, the whole package ([\d,]+)",
        (budget.PACKAGE.parent / "README.md").read_text(encoding="utf-8"),
    )
    lines = table["primitives engine"][0], sum(lines for lines, _, _ in table.values())
    assert lines == pytest.approx([int(number.replace(",", "")) for number in said.groups()], rel=0.05)


def test_every_room_has_a_budget():
    assert [path for path in budget.PACKAGE.rglob("*.py") if budget.part_of(path) is None] == [
        budget.PACKAGE / "__init__.py"
    ]
