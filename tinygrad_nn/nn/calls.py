"""Watching a model at work: which modules are called, in what order, with what result."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_nn.context import no_grad
from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.nn.module import Module


def calls(model: Module, *inputs: Any) -> list[tuple[str, Module, np.ndarray[Any, Any]]]:
    """Run a model once, in evaluation mode and without a graph; return path, module and output of every call.

    Modules are listed in the order in which they begin; one that is called twice is listed twice. Results
    other than one array are left out.
    """
    order: list[Any] = []
    paths = {id(module): (path, module) for path, module in model.named_modules()}
    before = [(module, dict(vars(module))) for _, module in paths.values()]
    for module, _ in before:
        vars(module)["forward"] = _recording(module, order)
    try:
        model.eval()
        with no_grad():
            model(*inputs)
    finally:
        for module, attributes in before:
            for name in ("forward", "training"):
                vars(module).pop(name, None)
                if name in attributes:
                    vars(module)[name] = attributes[name]
    arrays = [(module, x._data if isinstance(x, Tensor) else x) for module, x in order]
    return [(paths[id(module)][0], module, x) for module, x in arrays if isinstance(x, np.ndarray)]


def _recording(module: Module, order: list[Any]) -> Any:
    """Return a `forward` for one instance that writes down what its own returns."""
    own = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        entry = [module, None]
        order.append(entry)
        entry[1] = own(*args, **kwargs)
        return entry[1]

    return forward
