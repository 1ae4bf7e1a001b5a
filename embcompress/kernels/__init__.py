"""Numba functions on plain arrays; jit.py alone sets compiler flags."""
