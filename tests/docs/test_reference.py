"""Every public name is on a page of the reference, and names on pages are names of something."""

import re
from importlib import import_module
from operator import attrgetter

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.inventories import FILE, text
from tests.support.pages import PAGES

REFERENCE = {page: body for page, body in PAGES.items() if page.startswith("docs/reference/")}
MODULES = re.compile(r"automodule:: tinygrad_nn\.([\w.]+)")
FUNCTIONS = re.compile(r"auto(?:function|class):: tinygrad_nn\.(\w+)|py:data:: tinygrad_nn\.(\w+)")
NAME = re.compile(r"`((?:tn|nn|optim|viz|np)(?:\.[a-zA-Z]\w+)+)")
SPACE = {"tn": tn, "nn": tn.nn, "optim": tn.optim, "viz": tn.viz, "np": np}


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


@pytest.mark.parametrize("page", [page for page in PAGES if NAME.search(PAGES[page])])
def test_names_of_code_on_a_page_are_names_of_something(page):
    unknown = []
    for name in sorted(set(NAME.findall(PAGES[page]))):
        root, _, rest = name.partition(".")
        try:
            attrgetter(rest)(SPACE[root])
        except AttributeError:
            unknown.append(name)
    assert unknown == []


def test_links_to_numpy_are_those_of_the_version_that_is_here_or_of_a_later_one():
    kept = FILE.read_bytes()
    assert kept[:30] == text()[:30]
