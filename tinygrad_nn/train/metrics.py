"""Metrics: functions of predictions and targets, plain arrays both, that return one number for the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_nn.errors import ShapeError

Metric = Callable[[Any, Any], float]


def accuracy(predictions: Any, labels: Any) -> float:
    """Return the share of rows whose largest score stands at the label.

    Args:
        predictions: logits or probabilities, of shape (N, C).
        labels: N integers, or (N, C) rows whose largest entry marks the class (one-hot).

    Raises:
        ShapeError: other shapes, which would broadcast silently.

    Example:
        >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
        0.5
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.ndim != 2 or labels.shape not in (predictions.shape[:1], predictions.shape):
        raise ShapeError(
            f"accuracy: predictions {predictions.shape} and labels {labels.shape}, expected (N, C) and (N,)"
        )
    if labels.ndim == 2:
        labels = labels.argmax(axis=1)
    return float(np.mean(predictions.argmax(axis=1) == labels))
