"""What tests of pictures share: no figure is left to another test."""

import pytest


@pytest.fixture(autouse=True)
def _close():
    # Files skip themselves without it.
    from matplotlib import pyplot as plt

    plt.close("all")
    yield
    plt.close("all")
