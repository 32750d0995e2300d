"""Checks of how a network computes and learns: activations, gradients, steps, losses."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_nn.train.doctor.chance import LOOKS, level, look_level
from tinygrad_nn.train.doctor.evidence import POOLED, Evidence
from tinygrad_nn.train.doctor.found import Found
from tinygrad_nn.train.doctor.probe import Probe, Squashed

SILENT = 9.0
"""Standard deviations by which gradients of true targets of 256 rows differ from those of shuffled ones, at least."""


def dead_units(evidence: Evidence, limit: float) -> Found | None:
    """Find layers most of whose relu units are 0 for every row that was looked at."""
    good = evidence.good()
    worst: Found | None = None
    for some in (good[:3], good[-3:]):
        rows = sum(probe.rows for probe in some)
        for uses in zip(*[_with_units(probe) for probe in some], strict=False):
            units = [use.on for use in uses if use.on is not None]
            if not units or len({len(on) for on in units}) > 1 or rows < 8:
                continue
            on = np.logical_or.reduce(units)
            dead = 1 - float(on.mean())
            # Of few units, most may be off by chance; of few rows, all may be.
            needed = limit if on.size >= 8 and rows >= 32 else 1.0
            if dead >= needed and (worst is None or dead > worst.numbers["share"]):
                numbers = {"share": dead, "units": on.size, "dead": int((~on).sum()), "rows": rows}
                worst = Found(numbers, module=uses[0].path)
    return worst


def _with_units(probe: Probe) -> list[Squashed]:
    return [use for use in probe.squashed if use.on is not None]


def saturated(evidence: Evidence, limit: float) -> Found | None:
    """Find sigmoid and tanh layers that lie where they are flat, at the start, or later while nothing is learned."""
    good = evidence.good()
    if not good:
        return None
    start = _flattest([good[0]])
    if start is not None and start.numbers["share"] >= limit:
        return start
    late = _flattest(good[-3:]) if len(good) > 3 else None
    if late is not None and late.numbers["share"] >= 0.9 and learned(evidence) > 0.9:
        return late
    return None


def _flattest(probes: list[Probe]) -> Found | None:
    """Return the use that is flat in the largest share of its elements, in all of some looks."""
    found: Found | None = None
    for uses in zip(*[[u for u in probe.squashed if u.on is None] for probe in probes], strict=False):
        flat = min(use.flat for use in uses)
        if found is None or flat > found.numbers["share"]:
            found = Found({"share": flat}, module=uses[0].path, words={"op": uses[0].op})
    return found


def vanishing(evidence: Evidence, limit: float) -> Found | None:
    """Find gradients that are much smaller in the first layer than in the last at the start."""
    first = evidence.first()
    ends = None if first is None else _ends(first)
    # Exactly nothing has other reasons; and a last layer that begins near 0 makes all others small alike.
    if first is None or ends is None or not 0 < ends[0] < limit or _ends(first, 2) is None:
        return None
    ratio, layers, path = ends
    if (_ends(first, 2) or ends)[0] > 10 * limit:
        return None
    return Found({"ratio": ratio, "layers": layers, "limit": limit}, module=path)


def _ends(probe: Probe, last: int = 1) -> tuple[float, int, str] | None:
    """Return the gradient in the first layer over that in the last, or one before it, their number, and where."""
    layers = [layer for layer in probe.layers if math.isfinite(layer.gradient) and layer.units]
    if len(layers) < 3 or not layers[-last].gradient:
        return None
    return layers[0].gradient / layers[-last].gradient, len(layers), layers[0].path


def exploding(evidence: Evidence, limit: float) -> Found | None:
    """Find gradients or outputs that grow from layer to layer at the start, and losses that end in infinity."""
    first = evidence.first()
    if first is None:
        return None
    if not math.isfinite(first.loss) or not all(map(math.isfinite, first.gradients.values())):
        return Found({"loss": first.loss}, kind="infinite")
    ends = _ends(first)
    if ends is not None and ends[0] > limit:
        return Found({"ratio": ends[0], "layers": ends[1], "limit": limit}, module=ends[2])
    for name, gradient in first.gradients.items():
        # How much of the loss a change of the parameter by its own size would make.
        effect = gradient * first.sizes[name] / max(abs(first.loss), 1e-12)
        if effect > 1000 and evidence.parameters[name].ndim > 1:
            numbers = {"effect": effect, "gradient": gradient}
            return Found(numbers, module=name.rpartition(".")[0], kind="sensitive")
    guess = look_level(evidence)
    # Of many rows with the same class a batch may have them alone.
    even = math.log(max(len(evidence.labels.counts()), 2)) if evidence.labels.kind == "classes" else math.inf
    if guess > 0 and first.loss > 10 * max(guess, even):
        return Found({"loss": first.loss, "chance": guess}, kind="outputs")
    last = evidence.good()[-1]
    if not math.isfinite(last.loss) and rate_too_high(evidence, 1.0) is None:
        return Found({"loss": last.loss, "step": last.step}, kind="infinite")
    return None


def rate_too_high(evidence: Evidence, limit: float) -> Found | None:
    """Find steps that change the weights by more than their size, or that make the loss of their own batch worse."""
    measured = [probe for probe in evidence.good() if not math.isnan(probe.update)]
    if not measured:
        return None
    start = measured[0].loss
    ratio = max(probe.update for probe in measured)
    worse = [probe for probe in measured if _worse(probe, start)]
    broken = not math.isfinite(evidence.good()[-1].loss)
    numbers = {"ratio": ratio, "lr": _rate(evidence), "worse": len(worse), "looks": len(measured)}
    words = {"lr": _rate_text(evidence, 0.003 / max(ratio, 1e-12))}
    if ratio > limit:
        return Found(numbers, kind="far", words=words)
    harmed = broken or len(worse) >= max(3, len(measured) / 2) or _climbed(evidence)
    if ratio > limit / 10 and harmed:
        return Found(numbers, kind="worse" if worse else "climbed", words=words)
    return None


def _worse(probe: Probe, start: float) -> bool:
    """Tell whether a step has made the loss of its own rows much larger."""
    if math.isnan(probe.after) or math.isinf(probe.after):
        return True
    return probe.after > 1.5 * probe.loss and probe.after > 0.5 * start


def _climbed(evidence: Evidence) -> bool:
    """Tell whether the loss is higher in the end than it was, or than that of guessing."""
    curve = evidence.curve()
    if len(curve) < 32:
        return False
    parts = [float(np.median(part)) for part in np.array_split(curve, 4)]
    guess = level(evidence)
    known = math.isfinite(guess)
    if known and evidence.fit and parts[-1] > max(1.03 * guess, 0.8 * parts[0]):
        return True
    if known and parts[-1] > 0.9 * guess and max(parts) > 1.3 * max(curve[0], guess):
        return True
    risen = parts[-1] > 1.25 * min(parts) or parts[-1] > 1.5 * curve[0]
    return risen and not (known and parts[-1] < 0.5 * guess)


def _rate(evidence: Evidence) -> float:
    optimizer = getattr(evidence.optimizer, "optimizer", evidence.optimizer)
    rate = getattr(optimizer, "lr", math.nan)
    return float(rate) if isinstance(rate, (int, float)) else math.nan


def _rate_text(evidence: Evidence, factor: float) -> str:
    rate = _rate(evidence) * factor
    return f"optimizer.lr = {10.0 ** round(math.log10(rate)):g}" if rate > 0 else "optimizer.lr = 0.001"


def rate_too_low(evidence: Evidence, limit: float) -> Found | None:
    """Find steps that hardly change the weights while the loss stays where it was."""
    measured = [probe for probe in evidence.good() if math.isfinite(probe.update)]
    if len(measured) < 2 or (callable(getattr(evidence.optimizer, "lr", None)) and not evidence.fit):
        return None
    ratio = max(probe.update for probe in measured)
    curve = evidence.curve()
    part = max(len(curve) // 5, 1)
    begin, end = float(np.mean(curve[:part])), float(np.mean(curve[-part:]))
    guess = level(evidence)
    # Who has learned already takes small steps.
    if ratio > limit or (math.isfinite(guess) and begin < 0.5 * guess):
        return None
    # Batches differ more than small steps change; what a step does to its own batch does not depend on that.
    if ratio > 0.3 * limit and _gain(evidence) > 0.1:
        return None
    numbers = {"ratio": ratio, "lr": _rate(evidence), "first": begin, "last": end}
    return Found(numbers, words={"lr": _rate_text(evidence, 0.001 / max(ratio, 1e-12))})


def overfitting(evidence: Evidence, limit: float) -> Found | None:
    """Find a validation loss that rises, or never falls, while that of training falls."""
    history = evidence.history
    if history is None or "val_loss" not in history or len(history) < 4 or evidence.stops_early:
        return None
    losses, held = np.array(history["loss"]), np.array(history["val_loss"])
    if not (np.isfinite(losses).all() and np.isfinite(held).all()):
        return None
    best = int(held.argmin())
    now, before = float(np.median(held[-3:])), float(held[best])
    known = level(evidence)
    guess = known if math.isfinite(known) else float(held[0])
    numbers = {"epoch": best + 1, "best": before, "val_loss": now, "loss": float(losses[-1])}
    rises = best <= len(held) - 3 and now > (1 + limit) * before and now - before > 0.2 * guess
    if rises and losses[-1] < losses[best] and losses[-1] < 0.5 * now:
        return Found(numbers)
    if now > 0.6 * guess and losses[-1] < 0.2 * now:
        return Found(numbers, kind="gap")
    return None


def chance_level(evidence: Evidence, limit: float) -> Found | None:
    """Find a loss that stays at that of the best constant prediction, and targets that say nothing about their rows."""
    curve = evidence.curve()
    taken = evidence.steps if evidence.fit else int(getattr(evidence.optimizer, "steps", 0))
    ratio = learned(evidence)
    loss = float(np.mean(curve[-max(len(curve) // 4, 1) :])) if len(curve) else math.nan
    numbers = {"loss": loss, "chance": level(evidence), "steps": taken}
    half = curve[len(curve) // 2 :]
    falling = (
        np.mean(half[len(half) // 2 :]) / np.mean(half[: len(half) // 2])
        if taken >= 30 and len(half) > 1
        else 1.0
    )
    if taken >= 30 and evidence.signal < SILENT * min(evidence.rows_kept / POOLED, 1):
        held = [] if evidence.history is None or not evidence.validated else evidence.history["val_loss"]
        never = bool(held) and min(held) > limit * numbers["chance"]
        if never or (ratio > 0.925 and falling > 0.95):
            return Found({"signal": evidence.signal, **numbers}, kind="labels")
    # Who falls has begun to learn; who has hardly moved has not tried.
    moved = not evidence.fit or (falling > 0.97 and _way(evidence) > 1)
    return Found(numbers) if taken >= 60 and ratio > limit and moved else None


def _gain(evidence: Evidence) -> float:
    """Return by what share all steps together have made the losses of their own batches smaller."""
    measured = [probe for probe in evidence.good() if math.isfinite(probe.after) and probe.loss > 0]
    gains = [max(1 - probe.after / probe.loss, 0) for probe in measured]
    return float(np.dot(gains, _until_the_next(measured, evidence.steps)))


def _way(evidence: Evidence) -> float:
    """Return how far the weights went in all, in units of their size, as the steps looked at tell."""
    measured = [probe for probe in evidence.good() if math.isfinite(probe.update)]
    return float(np.dot([probe.update for probe in measured], _until_the_next(measured, evidence.steps)))


def _until_the_next(probes: list[Probe], steps: int) -> list[int]:
    """Return for how many steps each look stands."""
    return np.diff([*[probe.step for probe in probes], steps]).tolist() if probes else []


def learned(evidence: Evidence, looks: int = LOOKS) -> float:
    """Return the last losses over those of constant predictions: 1 where nothing was learned; NaN if nobody knows."""
    curve = evidence.curve()
    if evidence.fit and len(curve):
        last, guess = float(np.mean(curve[-max(len(curve) // 4, 1) :])), level(evidence, looks)
        return last / guess if guess > 0 else math.nan
    guess = look_level(evidence, looks)
    if not guess > 0:
        return math.nan
    return float(np.nanmean([probe.loss for probe in evidence.good()[-looks:]]) / guess)
