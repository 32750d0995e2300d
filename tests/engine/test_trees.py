"""Walks over containers: what is taken apart, what is a leaf, and how the parts are called."""

import collections
from typing import NamedTuple

import pytest

from tinygrad_nn.engine import trees


class Point(NamedTuple):
    x: object
    y: object


class Pair(tuple):
    __slots__ = ()


class Rows(list):
    pass


def test_containers_are_made_again_of_other_leaves():
    tree = [1, (2, Point(3, {"a": 4, 0: [5]})), ()]
    assert trees.mapped(lambda x: -x, tree) == [-1, (-2, Point(-3, {"a": -4, 0: [-5]})), ()]
    assert type(trees.mapped(lambda x: x, Point(1, 2))) is Point
    assert list(trees.leaves(tree)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "thing", [Pair((1, 2)), Rows([1]), collections.OrderedDict(a=1), {1}, "ab", None], ids=repr
)
def test_what_cannot_be_made_again_is_a_leaf(thing):
    seen = []
    assert trees.mapped(seen.append, [thing, thing]) == [None, None]
    assert trees.mapped_by_name(lambda x, name: name, (thing,), "t") == ("t[0]",)
    assert all(x is thing for x in seen)
    assert len(seen) == 2
    assert not trees.is_sequence(thing)


@pytest.mark.parametrize("thing", [Pair((1, 2)), Rows([1, 2]), collections.OrderedDict(a=1, b=2)], ids=repr)
def test_reading_leaves_looks_into_subclasses_too(thing):
    assert list(trees.leaves([thing])) == [1, 2]


def test_a_part_is_called_as_python_reaches_it():
    tree = {"a": [1, Point(2, 3)], 0: ()}
    assert trees.mapped_by_name(lambda x, name: name, tree, "t") == {
        "a": ["t['a'][0]", Point("t['a'][1][0]", "t['a'][1][1]")],
        0: (),
    }
