"""The five systems that `reproduce.py` rebuilds."""
