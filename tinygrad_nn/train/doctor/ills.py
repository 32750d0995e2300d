"""The ills that the doctor knows: one row each, most important first, with the threshold and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tinygrad_nn.train.doctor import dynamics, material, wiring
from tinygrad_nn.train.doctor.evidence import Evidence
from tinygrad_nn.train.doctor.found import Found


class Ill(NamedTuple):
    """One row.

    Attributes:
        name: what the finding is called.
        find: looks at the evidence, with the threshold.
        threshold: from where on it is one.
        source: of the threshold, or of the measure.
        follows: ills that explain this one, which then is none of its own.
    """

    name: str
    find: Callable[[Evidence, float], Found | None]
    threshold: float
    source: str
    follows: frozenset[str] = frozenset()


_WIRING = frozenset(["wrong-target-shape", "optimizer-of-another-model", "no-gradient", "softmax-twice"])
_START = _WIRING | {"wrong-mode", "constant-labels", "identical-weights"}
_DATA = _START | {"inputs-not-scaled", "not-shuffled"}
_FLOW = _DATA | {"saturated", "exploding", "vanishing", "dead-units"}

ILLS = (
    Ill("wrong-target-shape", wiring.wrong_target_shape, 0, "(N, 1) - (N,) broadcasts to (N, N): NumPy"),
    Ill(
        "optimizer-of-another-model",
        wiring.optimizer_of_another_model,
        0,
        "which tensors the loss depends on",
    ),
    Ill("softmax-twice", wiring.softmax_twice, 0, "the op that made what the loss takes for logits"),
    Ill("wrong-mode", wiring.wrong_mode, 0, "the mode of each layer in a step"),
    Ill("constant-labels", material.constant_labels, 16, "rows from which on all alike is no accident"),
    Ill("identical-weights", wiring.identical_weights, 0, "Goodfellow, Bengio, Courville, 2016, section 8.4"),
    Ill("inputs-not-scaled", material.inputs_not_scaled, 10, "LeCun et al., 1998, Efficient BackProp, 4.3"),
    Ill(
        "not-shuffled", material.not_shuffled, 0.5, "Hays, 1963: omega squared; Bengio, 2012, arXiv:1206.5533"
    ),
    Ill(
        "rate-too-high",
        dynamics.rate_too_high,
        1.0,
        "update over weight, 0.001 is usual: Karpathy, 2015; Cockpit (Schneider et al., 2021)",
        _START | {"not-shuffled"},
    ),
    Ill(
        "saturated",
        dynamics.saturated,
        0.5,
        "Glorot and Bengio, 2010; Rakitianskaia and Engelbrecht, 2015",
        _START,
    ),
    Ill(
        "dead-units",
        dynamics.dead_units,
        0.7,
        "AutoTrainer (Zhang et al., 2021): gamma = 0.7",
        frozenset(["identical-weights"]),
    ),
    Ill(
        "no-gradient",
        wiring.no_gradient,
        0,
        "which tensors the loss depends on",
        frozenset(["identical-weights", "dead-units", "optimizer-of-another-model"]),
    ),
    Ill(
        "exploding",
        dynamics.exploding,
        70,
        "AutoTrainer: beta_3 = 70; the loss at the start: Karpathy, 2019",
        _WIRING | {"constant-labels"},
    ),
    Ill("vanishing", dynamics.vanishing, 1e-3, "AutoTrainer: beta_1 = 0.001; He et al., 2015", _START),
    Ill("rate-too-low", dynamics.rate_too_low, 1e-4, "update over weight: Karpathy, 2015", _FLOW),
    Ill("imbalanced", material.imbalanced, 0.85, "He and Garcia, 2009", frozenset(["not-shuffled"])),
    Ill("overfitting", dynamics.overfitting, 0.2, "Prechelt, 1998: generalization loss", _DATA),
    Ill(
        "chance-level",
        dynamics.chance_level,
        0.95,
        "the best constant prediction; Ojala and Garriga, 2010: permutation tests",
        (_FLOW - {"dead-units"}) | {"rate-too-high", "rate-too-low", "imbalanced"},
    ),
)

NAMES = tuple(ill.name for ill in ILLS)
"""Names of findings, most important first."""


def found_in(evidence: Evidence) -> list[tuple[str, Found]]:
    """Return what is wrong, most important first."""
    found: dict[str, Found] = {}
    for ill in ILLS:
        if ill.follows.isdisjoint(found):
            here = ill.find(evidence, ill.threshold)
            if here is not None:
                found[ill.name] = here
    return list(found.items())
