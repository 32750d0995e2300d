import gc
import os
import sys

# Before NumPy is imported: with a BLAS thread for every core each, processes get in each other's way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tinygrad_nn import context

pytest.register_assert_rewrite("tests.support", "tests.oracle.compare")

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("dev", max_examples=25, **_COMMON)
settings.register_profile("ci", max_examples=200, derandomize=True, **_COMMON)
settings.register_profile("thorough", max_examples=2000, **_COMMON)
settings.load_profile("ci" if os.environ.get("CI") == "true" else os.environ.get("HYPOTHESIS_PROFILE", "dev"))


# Python, pytest and the package are there for good: neither the collector nor a capture, which looks for leaves,
# has to go through them again and again. The modules of tests, which may have leaves, come later.
gc.collect()
gc.freeze()


def pytest_configure(config):
    """Let examples in the package have what tests have, which stand elsewhere."""
    # Later than what is above, which has assertions rewritten.
    from tests.support import registry

    config.pluginmanager.register(registry)


@pytest.fixture(autouse=True)
def _state_is_restored():
    """A test that leaves recording off, a watcher installed, a module scope open or NumPy's options changed fails."""
    before = np.get_printoptions(), np.geterr()
    yield
    after = np.get_printoptions(), np.geterr()
    if after != before:
        np.set_printoptions(**before[0])
        np.seterr(**before[1])
    state = context.current()
    left = (state.recording, state.watchers, context.SCOPE.get())
    context.STATE.set(context.DEFAULT)
    context.SCOPE.set(None)
    assert left == (True, (), None), f"the test has left recording, watchers, scope = {left}"
    assert after == before, "the test has left other options of NumPy"


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """A window of a real browser, for the tests of a module."""
    # Later than what is above, which has assertions rewritten.
    from tests.support.browser import browser

    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def without_coverage():
    """Thousands of examples run the same lines over and over: tracing them triples the time and shows nothing new."""
    trace = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(trace)


@pytest.fixture(params=["numpy", "numba"])
def backend(request):
    """Each backend in turn; Numba where it is installed."""
    if request.param == "numba":
        pytest.importorskip("numba")
    return request.param
