"""How much there is of each part of the package, against what it may be: growth is a decision."""

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


def test_every_room_has_a_budget():
    assert [path for path in budget.PACKAGE.rglob("*.py") if budget.part_of(path) is None] == [
        budget.PACKAGE / "__init__.py"
    ]
