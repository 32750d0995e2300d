"""Compiled loops, which need Numba (extra `jit`): the backend, what it fuses, and what ops have of their own."""
