"""The operators and methods of Tensor that operators.py makes from the registry; methods.pyi tells type checkers."""


class Methods:
    """Nothing by itself: Tensor gets what stands in the stub while the package is imported."""

    __slots__ = ()
