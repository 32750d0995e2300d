"""Checks of how model, loss and optimizer are put together."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import DtypeError, ShapeError
from tinygrad_nn.nn.activations import Sigmoid, Softmax
from tinygrad_nn.nn.containers import Sequential
from tinygrad_nn.train.doctor.evidence import Evidence
from tinygrad_nn.train.doctor.found import Found
from tinygrad_nn.train.doctor.probe import Probe


def wrong_target_shape(evidence: Evidence, _: float) -> Found | None:
    """Find targets that a loss refuses, or pairs with predictions in another way than row by row."""
    for probe in evidence.probes:
        if probe.predicted is None or probe.target is None:
            continue
        words = {"predictions": probe.predicted, "targets": probe.target, "fix": _fitting(probe)}
        numbers = {"predictions": math.prod(probe.predicted), "targets": math.prod(probe.target)}
        if probe.spread is not None:
            numbers["differences"] = math.prod(probe.spread)
            return Found(numbers, kind="spread", words=words | {"spread": probe.spread})
        part, error = probe.failed or ("", None)
        if part == "loss" and isinstance(error, (ShapeError, DtypeError)):
            return Found(numbers, kind="refused", words=words)
    return None


def _fitting(probe: Probe) -> str:
    """Return what makes targets fit predictions."""
    predicted, target = probe.predicted or (), probe.target or ()
    if len(target) == len(predicted) > 1 and target == predicted:
        return "y = y.argmax(axis=-1)"
    if predicted == (*target, 1):
        return "y = y[..., None]"
    if target == (*predicted, 1):
        return "y = y[..., 0]"
    if math.prod(predicted) == math.prod(target):
        return f"y = y.reshape({', '.join(['-1', *map(str, predicted[1:])])})"
    return "model(x).shape, y.shape"


def optimizer_of_another_model(evidence: Evidence, _: float) -> Found | None:
    """Find an optimizer with parameters that the loss does not depend on, while those of the model are not in it."""
    trained = evidence.trained()
    first = evidence.first()
    if not trained or (first is None and not evidence.own):
        return None
    reached = first.reached if first is not None else frozenset()
    strangers = [x for x in trained if id(x) not in evidence.own and x._node not in reached]
    inside = {id(x) for x in trained}
    missing = [
        name
        for name, x in evidence.parameters.items()
        if id(x) in evidence.own and x.requires_grad and id(x) not in inside
    ]
    if not strangers or not (missing or len(strangers) == len(trained)):
        return None
    return Found(
        {"strangers": len(strangers), "parameters": len(trained), "missing": len(missing)},
        module=_module(missing[0]) if missing and len(strangers) < len(trained) else "",
        words=_optimizer_words(evidence),
    )


def _optimizer_words(evidence: Evidence) -> dict[str, object]:
    optimizer = getattr(evidence.optimizer, "optimizer", evidence.optimizer)
    rate = getattr(optimizer, "lr", None)
    lr = f"{rate:g}" if isinstance(rate, (int, float)) else "..."
    return {"optimizer": type(optimizer).__name__, "lr": lr}


def no_gradient(evidence: Evidence, _: float) -> Found | None:
    """Find parameters that are to be trained, and that no gradient reaches."""
    good = evidence.good()
    if not good:
        return None
    inside = {id(x) for x in evidence.trained()}
    ours = {
        name: x
        for name, x in evidence.parameters.items()
        if id(x) in evidence.own and (evidence.optimizer is None or id(x) in inside)
    }
    lost = [
        name for name, x in ours.items() if x.requires_grad and not any(name in p.gradients for p in good)
    ]
    if lost:
        return Found(
            {"parameters": sum(ours[name].size for name in lost), "tensors": len(lost)},
            module=_module(lost[0]),
            kind="cut",
            words={"parameter": lost[0]},
        )
    zero = [
        name
        for name, x in ours.items()
        if x.ndim > 1 and len(good) > 2 and all(p.gradients.get(name) == 0 for p in good)
    ]
    if zero:
        numbers = {"parameters": sum(ours[name].size for name in zero), "tensors": len(zero)}
        return Found(numbers, module=_module(zero[0]), kind="zero", words={"parameter": zero[0]})
    return _frozen(evidence, ours)


def _frozen(evidence: Evidence, ours: dict[str, Tensor]) -> Found | None:
    """Find frozen layers that were never trained, or lie behind one that is trained.

    Those in front, with weights from elsewhere, are how one goes on with a trained model.
    """
    trained_before = False
    for name, x in ours.items():
        if x.requires_grad:
            trained_before = True
            continue
        module = _module(name)
        beside = [y for other, y in ours.items() if _module(other) == module and y.ndim < 2]
        fresh = bool(beside) and not any(np.any(y._data) for y in beside)
        if x.ndim > 1 and (trained_before or fresh):
            numbers = {"parameters": x.size, "tensors": 1}
            kind = "fresh" if fresh else "frozen"
            return Found(numbers, module=module, kind=kind, words={"parameter": name})
    return None


def softmax_twice(evidence: Evidence, _: float) -> Found | None:
    """Find probabilities that a loss takes for logits."""
    for probe in evidence.probes:
        if not probe.twice:
            continue
        classes = probe.predicted[-1] if probe.predicted and len(probe.predicted) > 1 else 1
        # All of a softmax of probabilities is between those of one 1 and zeros.
        least = math.log1p((classes - 1) / math.e) if classes > 1 else math.log1p(math.exp(-1))
        numbers = {"loss": probe.loss, "least": least}
        model = evidence.model
        if isinstance(model, Sequential) and isinstance(model[-1], (Softmax, Sigmoid)):
            return Found(numbers, module=str(len(model) - 1), kind="last", words={"loss_name": probe.twice})
        return Found(numbers, words={"loss_name": probe.twice})
    return None


def wrong_mode(evidence: Evidence, _: float) -> Found | None:
    """Find layers such as dropout that do not train in a step, or that do in an evaluation."""
    if evidence.resting:
        paths = list(dict.fromkeys(evidence.resting))
        return Found({"layers": len(paths)}, module=paths[0], kind="resting")
    if evidence.awake and evidence.validated:
        return Found({"layers": len(evidence.awake)}, module=evidence.awake[0], kind="awake")
    if evidence.moved is not None:
        return Found({"layers": 1}, module=evidence.moved, kind="moved")
    return None


def identical_weights(evidence: Evidence, _: float) -> Found | None:
    """Find hidden units that all have the same weights, and so will always be the same."""
    first = evidence.first()
    if first is None or first.step > 0 or not first.layers:
        return None
    order = [layer.name for layer in first.layers]
    for name, (value, same_gradients) in first.equal.items():
        if name == order[-1] or name not in order:
            continue
        follows = first.layers[order.index(name) + 1]
        if value or same_gradients or follows.alike:
            numbers = {"units": evidence.parameters[name].shape[-1], "weight": value}
            return Found(numbers, module=_module(name), words={"parameter": name})
    return None


def _module(name: str) -> str:
    """Return the path of the module that a parameter is in."""
    return name.rpartition(".")[0]
