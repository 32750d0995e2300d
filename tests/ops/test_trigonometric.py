"""Trigonometric functions at the ends of their domains."""

import math

import numpy as np

from tests.support.derive import check

INF = math.inf


def test_H040_tanh_far_out():
    check(np.tanh, [[1e3, -1e3]], [1, -1], [0, 0])


def test_H041_arcsin_at_its_ends():
    check(np.arcsin, [[1.0, -1.0]], [math.pi / 2, -math.pi / 2], [INF, INF])
