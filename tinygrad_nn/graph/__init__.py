"""Graphs as data: capture, text, pictures. What is drawn is loaded when something is drawn."""

from __future__ import annotations

from typing import Any

from tinygrad_nn.nn.module import Module
from tinygrad_nn.tensor import Tensor


def graph(self: Any, *inputs: Any, **options: Any) -> Any:
    """Return the picture of how this tensor was computed, or of this model on example inputs; see `viz.draw`.

    Example:
        >>> import tinygrad_nn as tn
        >>> x = tn.tensor([1.0, 2.0], requires_grad=True, name="x")
        >>> print(x.tanh().sum().graph())
        %1 = tanh(x)   (2,)
        %2 = sum(%1)   ()
    """
    from tinygrad_nn.viz import draw

    return draw(self, *inputs, **options)


def explain(self: Tensor) -> str:
    """Return how this tensor was computed, and how its gradient flows back, with numbers and shapes.

    Example:
        >>> import tinygrad_nn as tn
        >>> x = tn.tensor(3.0, requires_grad=True, name="x")
        >>> print((x * x).explain())
        forward
          x                     ()   3
          %1 = multiply(x, x)   ()   9
        backward, from the gradient 1 of %1
          %1   multiply: the gradient reaches x as g * b, and x as g * a
              x (): 3
              x (): 3  +  3  =  6
    """
    from tinygrad_nn.viz import draw

    return draw(self).explain()


for owner, name, method in ((Tensor, "graph", graph), (Module, "graph", graph), (Tensor, "explain", explain)):
    setattr(owner, name, method)
