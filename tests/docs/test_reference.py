"""Every public name is on a page of the reference, with an example, and names on pages are names of something."""

import re
import sys
from doctest import NORMALIZE_WHITESPACE, DocTestParser, DocTestRunner
from importlib import import_module
from operator import attrgetter
from types import ModuleType

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support import needs
from tests.support.inventories import FILE, text
from tests.support.pages import PAGES
from tinygrad_nn.primitives import REGISTRY, Primitive

REFERENCE = {page: body for page, body in PAGES.items() if page.startswith("docs/reference/")}
MODULES = re.compile(r"automodule:: tinygrad_nn\.([\w.]+)")
FUNCTIONS = re.compile(r"auto(?:function|class):: tinygrad_nn\.(\w+)|py:data:: tinygrad_nn\.(\w+)")
NAME = re.compile(r"`((?:tn|nn|optim|viz|np)(?:\.[a-zA-Z]\w+)+)")
SPACE = {"tn": tn, "nn": tn.nn, "optim": tn.optim, "viz": tn.viz, "np": np}

WITHOUT_EXAMPLE = {
    "data.mnist": "downloads files, and takes no others",
    "data.shakespeare": "downloads a file, and takes no other",
    "parallel.world": "starts MPI in the process that calls it",
    "plot.HistoryLike": "a protocol, for type checkers",
    "plot.RatesLike": "a protocol, for type checkers",
    "viz.DrawOptions": "keywords of other functions, for type checkers",
    "viz.NeuronOptions": "keywords of other functions, for type checkers",
}
EXAMPLES_OF_OPS = {
    record.name: record
    for record in REGISTRY.values()
    if isinstance(record, Primitive) and ">>>" in (record.__doc__ or "")
}
"""Doctest finds functions and classes alone, and an op is neither."""


def test_every_public_name_of_the_package_is_in_the_reference():
    listed = set()
    for body in REFERENCE.values():
        listed |= {a or b for a, b in FUNCTIONS.findall(body)} | set(MODULES.findall(body))
    assert {name for name in tn.__all__ if not name.startswith("_")} - listed <= {
        "TinygradError",
        "UsageWarning",
    }


@pytest.mark.parametrize("module", [name for body in REFERENCE.values() for name in MODULES.findall(body)])
def test_a_module_of_the_reference_says_what_is_public(module):
    assert import_module(f"tinygrad_nn.{module}").__all__


def _functions_and_classes():
    """Yield what the reference shows, by its name in the package; errors are raised, and seen where they are."""
    rooms = ["", *(name for body in REFERENCE.values() for name in MODULES.findall(body))]
    for room in rooms:
        module = import_module(f"tinygrad_nn.{room}".removesuffix("."))
        for name in module.__all__:
            value = getattr(module, name)
            error = isinstance(value, type) and issubclass(value, BaseException)
            if callable(value) and not isinstance(value, ModuleType) and not error:
                yield f"{room}.{name}".removeprefix("."), value


def test_every_public_function_and_class_has_an_example():
    shown = dict(_functions_and_classes())
    assert len(shown) > 150
    assert {name for name, value in shown.items() if ">>>" not in value.__doc__} == set(WITHOUT_EXAMPLE)


@pytest.mark.parametrize("name", EXAMPLES_OF_OPS)
def test_the_example_of_an_op_gives_what_it_says(name):
    op = EXAMPLES_OF_OPS[name]
    home = sys.modules[op.function.__module__]
    example = DocTestParser().get_doctest(op.__doc__, vars(home), name, home.__file__, 0)
    assert DocTestRunner(optionflags=NORMALIZE_WHITESPACE).run(example).failed == 0


@pytest.mark.parametrize("page", [page for page in PAGES if NAME.search(PAGES[page])])
def test_names_of_code_on_a_page_are_names_of_something(page):
    unknown = []
    for name in sorted(set(NAME.findall(PAGES[page]))):
        root, _, rest = name.partition(".")
        if root == "np" and rest in needs.NOT_IN_NUMPY_YET:
            continue
        try:
            attrgetter(rest)(SPACE[root])
        except AttributeError:
            unknown.append(name)
    assert unknown == []


def test_links_to_numpy_are_those_of_the_version_that_is_here_or_of_a_later_one():
    kept = FILE.read_bytes()
    assert kept[:30] == text()[:30]
