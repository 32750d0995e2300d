"""Ops that write into a given array, by subject, with NumPy alone: what `into=` in the catalogue names."""
