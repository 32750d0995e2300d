import pytest

from tests.support.browser import DESK


@pytest.fixture
def opened(window, tmp_path):
    """Return what writes the page of a picture and opens it in a window of a size."""

    def at(picture, size=DESK):
        picture.html(tmp_path / "page.html")
        window.resize(*size)
        window.show_as("screen")
        window.open(tmp_path / "page.html")
        return window

    return at
