"""The mutation run: what it changes in a source text, what it leaves alone, and that its list of equivalents fits."""

import ast
import textwrap

import pytest

from tests.support import mutation
from tests.support.source_mutants import mutants


def changes(text):
    """Return the statements that the mutants of a text have in place of others."""
    source = textwrap.dedent(text).encode()
    found = mutants("file.py", source)
    for mutant in found:
        changed = mutant.applied(source)
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))
        assert changed.count(b"\n") == source.count(b"\n")
    return [mutant.after for mutant in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = a < b", ["x = (a <= b)", "x = (a >= b)"]),
        ("x = a is not None", ["x = (a is None)"]),
        ("x = a and not b", ["x = (a or not b)", "x = a and (b)"]),
        ("x = a + 1", ["x = (a - 1)", "x = a + (0)"]),
        ("x = -a", ["x = (a)"]),
        ("x = a[0], True, 7, 2.5", ["x = a[(1)], True, 7, 2.5", "x = a[0], (False), 7, 2.5",
                                    "x = a[0], True, (8), 2.5", "x = a[0], True, 7, (3.5)"]),
        ("x = a[b:]", ["x = a[:]"]),
        ("x = f(a, b)", ["x = (f(b, a))"]),
        ("x = a.copy()", ["x = (a)"]),
        ("a.x = b", ["pass"]),
        ("f(a)", ["pass"]),
        ("raise ValueError(a + 1)", ["pass"]),
        ("def f(a=b): return a", ["def f(a=(None))", "return (None)"]),
        ("if a: pass", ["if (True)", "if (False)"]),
        ("with lock: f", ["if True"]),
        ("for a in b: break", ["pass"]),
        ("a += b", ["pass", "a -= b"]),
    ],
)  # fmt: skip
def test_a_text_is_changed_in_one_place_at_a_time(text, expected):
    assert changes(text) == expected


def test_lines_stay_where_they_are():
    assert changes(
        """
        x = f(
            a,
            b,
        )
        y.z = (
            1
        )
        """
    ) == ["x = (f(b, a) )", "pass", "y.z = ( (0) )"]


@pytest.mark.parametrize(
    "text",
    [
        "x: Literal[1]",
        "def f(x: a[1]) -> b[2]: ...",
        "assert a < b",
        "if TYPE_CHECKING:\n    x = 1",
        "def __repr__(self):\n    return 1",
        "@overload\ndef f(x=1): return 1",
        "x = f'{a + 1}'",
        "raise NotImplementedError",
        "warn(text, stacklevel=3)",
        "from a import b",
        "__all__ = a + b",
        '"""Text."""',
    ],
)
def test_texts_types_and_checks_of_types_are_left_alone(text):
    assert [x for x in changes(text) if x != "pass"] == []


def test_a_sample_has_mutants_of_every_file_and_stays_when_another_file_changes():
    files = [file for file in mutation.sources() if mutants(file, (mutation.PACKAGE / file).read_bytes())]
    chosen = mutation.sample(files, 400, seed=0)
    assert len({mutant.id for mutant in chosen}) == 400
    assert {mutant.file for mutant in chosen} == set(files)
    assert chosen[:50] != mutation.sample(files, 50, seed=1)
    one = [mutant for mutant in chosen if mutant.file == files[0]]
    assert one == mutation.sample(files[:1], len(one), seed=0)


def test_each_equivalent_is_a_mutant_that_there_is():
    known = mutation.equivalents()
    there = {
        mutant.key
        for file in {key[0] for key in known}
        for mutant in mutants(file, (mutation.PACKAGE / file).read_bytes())
    }
    assert set(known) - there == set(), "the code has changed: look whether the mutant is equivalent still"
    assert all(known.values())
