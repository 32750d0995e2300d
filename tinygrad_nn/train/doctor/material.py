"""Checks of what a training is given: inputs, targets, and their order."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_nn.train.doctor.chance import is_weighted
from tinygrad_nn.train.doctor.evidence import Evidence
from tinygrad_nn.train.doctor.found import Found


def inputs_not_scaled(evidence: Evidence, limit: float) -> Found | None:
    """Find data that enter a layer with numbers much larger, or much smaller, than 1."""
    sizes: dict[str, list[float]] = {}
    for probe in evidence.good():
        for layer in probe.layers:
            if layer.data and math.isfinite(layer.fed):
                sizes.setdefault(layer.path, []).append(layer.fed)
    for path, fed in sizes.items():
        size = float(np.median(fed))
        if size > limit:
            return Found(
                {"rms": size, "limit": limit}, module=path, kind="large", words={"scale": _round(size)}
            )
        if 0 < size < 0.03 / limit:
            words = {"scale": _round(size)}
            return Found({"rms": size, "limit": 0.03 / limit}, module=path, kind="small", words=words)
    return None


def _round(x: float) -> str:
    return f"{float(f'{x:.0e}'):g}"


def constant_labels(evidence: Evidence, rows: float) -> Found | None:
    """Find targets that are all the same."""
    labels = evidence.labels
    if labels.rows < rows or not labels.constant():
        return None
    value = labels.most if labels.kind == "numbers" else float(np.argmax(labels.counts()))
    return Found({"rows": labels.rows, "value": value})


def imbalanced(evidence: Evidence, limit: float) -> Found | None:
    """Find one class that nearly all rows have, in a loss that counts all rows alike."""
    labels = evidence.labels
    if labels.kind != "classes" or not labels.one_each or labels.rows < 40 or labels.constant():
        return None
    counts = labels.counts()
    share = float(counts.max() / counts.sum())
    good = evidence.good()
    if share < limit or (good and any(is_weighted(evidence, probe) for probe in good[-5:])):
        return None
    present = np.maximum(counts, 1)
    weights = counts.sum() / (np.count_nonzero(counts) * present)
    words = {
        "weights": ", ".join(f"{w:.3g}" for w in weights),
        "ratio": f"{present.max() / present.min():.3g}",
    }
    predicted = good[-1].predicted if good else None
    one_logit = predicted is not None and (len(predicted) == 1 or predicted[-1] == 1)
    numbers = {"share": share, "rows": labels.rows, "class": float(np.argmax(counts))}
    return Found(numbers, kind="binary" if one_logit else "", words=words)


def not_shuffled(evidence: Evidence, limit: float) -> Found | None:
    """Find batches of which each has targets of its own."""
    between, groups = evidence.labels.explained()
    if between < limit or groups < 2:
        return None
    return Found({"between": between, "batches": groups})
