"""What viz gives to Module; drawing.pyi tells type checkers."""


class Drawing:
    """Nothing by itself: Module gets `graph` while the package is imported."""
