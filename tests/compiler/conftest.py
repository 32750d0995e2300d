import pytest


@pytest.fixture(params=["numpy", "numba"])
def backend(request):
    """Each backend in turn; Numba where it is installed."""
    if request.param == "numba":
        pytest.importorskip("numba")
    return request.param
