"""Reverse-mode automatic differentiation on NumPy."""
