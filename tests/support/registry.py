"""A plugin of pytest: ops that a test, a page or an example declares are gone after it."""

import pytest

from tinygrad_nn.engine.operators import FROM_REGISTRY, Tensor
from tinygrad_nn.primitives.record import REGISTRY


@pytest.fixture(autouse=True)
def _ops_of_a_test_are_gone_after_it():
    """The registry and Tensor are left as they were."""
    records, methods = dict(REGISTRY), set(vars(Tensor))
    yield
    for name in set(vars(Tensor)) - methods:
        delattr(Tensor, name)
        FROM_REGISTRY.discard(name)
    REGISTRY.clear()
    REGISTRY.update(records)
