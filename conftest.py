"""What tests and doctests share."""

import pytest


@pytest.fixture(autouse=True)
def _ops_of_a_test_are_gone_after_it():
    """Ops that a test, a page or an example declares leave the registry and Tensor as they were."""
    # Not above: tests/conftest.py says something to NumPy before anything imports it.
    from tinygrad_nn.engine.operators import FROM_REGISTRY, Tensor
    from tinygrad_nn.primitives.record import REGISTRY

    records, methods = dict(REGISTRY), set(vars(Tensor))
    yield
    for name in set(vars(Tensor)) - methods:
        delattr(Tensor, name)
        FROM_REGISTRY.discard(name)
    REGISTRY.clear()
    REGISTRY.update(records)
