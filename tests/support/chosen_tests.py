"""A plugin of pytest for runs with a mutant: the tests that are named in a file, in its order, each with a time limit.

CHOSEN_TESTS is the file, `{test: seconds}` as JSON; without it all tests run. TEST_TIMES is where to write how long
each test took, if it passed.
"""

import faulthandler
import importlib
import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

MEMORY = 6 << 30
"""Bytes that a process may have: a mutant may ask for all there are."""

CHOSEN = json.loads(Path(os.environ["CHOSEN_TESTS"]).read_text()) if "CHOSEN_TESTS" in os.environ else None
times, failed = Counter(), set()


def pytest_sessionstart():
    # Windows has none.
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, resource.RLIM_INFINITY))
    # As a whole, before doctests import a file of it.
    importlib.import_module("tinygrad_nn")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    if CHOSEN is not None:
        order = {name: k for k, name in enumerate(CHOSEN)}
        items[:] = sorted((x for x in items if x.nodeid in order), key=lambda x: order[x.nodeid])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    seconds = 20 + 10 * CHOSEN[item.nodeid] if CHOSEN is not None else 600
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def pytest_runtest_logreport(report):
    times[report.nodeid] += report.duration
    if not report.passed:
        failed.add(report.nodeid)


def pytest_sessionfinish():
    if "TEST_TIMES" in os.environ:
        passed = {name: round(seconds, 3) for name, seconds in times.items() if name not in failed}
        Path(os.environ["TEST_TIMES"]).write_text(json.dumps(passed))
