"""Pictures of computations: `draw` takes a tensor, a model with example inputs, a function, an error, or times.

viz.draw(loss)                          what a tensor was computed from
viz.draw(model, x)                      a model on an example batch
viz.draw(tn.value_and_grad(f), x)       a function, here with its whole backward pass
viz.draw(error)                         the way to the op that failed
viz.neurons(model, x, target, loss)     layers of neurons, as circles and lines, with the numbers of each
viz.draw(tn.profile(step, x).times())   where the time of a step goes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinygrad_nn.engine.failures import users_frame
from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.errors import GraphError
from tinygrad_nn.graph.builder import captured, from_error
from tinygrad_nn.graph.generators import put_back
from tinygrad_nn.graph.recorder import Recorder, record, tensors
from tinygrad_nn.hints.lookups import face
from tinygrad_nn.nn.inputs import cast_input
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives.operands import as_array

__all__ = ["DrawOptions", "NeuronOptions", "Neurons", "Picture", "draw", "neurons"]

if TYPE_CHECKING:
    from typing import Unpack

    from tinygrad_nn.graph.times import Times
    from tinygrad_nn.viz.network.options import NeuronOptions
    from tinygrad_nn.viz.network.view import Neurons
    from tinygrad_nn.viz.options import DrawOptions
    from tinygrad_nn.viz.picture import Picture


def draw(
    target: Tensor | Callable[..., object] | BaseException | Times,
    *inputs: object,
    **options: Unpack[DrawOptions],
) -> Picture:
    """Return the picture of a computation; gradients, optimizers and random generators stay as they are.

    Args:
        target: a tensor; a module or function, with `inputs` to call it with; an error that an op raised; or the times
            of a profile, which are shown instead of values: the share of each box, of the rules of what is in it, and
            of each frame.
        inputs: arrays, Tensors and numbers.
        options: see `Picture`.

    Raises:
        GraphError: a function without inputs, a tensor with inputs, a function that returns no tensor.
        GraphFreed: a backward pass has released the graph.

    Example:
        >>> print(draw(lambda x: x * x + 3, 2.0))
        %1 = multiply(x, x)   ()
        %2 = add(%1, 3)       ()
    """
    from tinygrad_nn.graph.times import Times
    from tinygrad_nn.viz.naming import name_values
    from tinygrad_nn.viz.options import settings
    from tinygrad_nn.viz.picture import Picture

    chosen = settings(options)
    if isinstance(target, Tensor):
        if inputs:
            raise GraphError(
                "draw: a tensor has been computed already, so it takes no inputs\n  hint   draw(t)"
            )
        builder = captured(target, names=chosen.names)
        name_values(builder, users_frame()[0])
        return Picture(builder.graph, chosen, builder.nodes, target._node)
    if isinstance(target, BaseException):
        return Picture(from_error(target), chosen, {}, None)
    if isinstance(target, Times):
        return Picture(target.graph, chosen, {}, None, target)
    if not callable(target):
        raise GraphError(
            f"draw: {type(target).__name__} is neither a tensor, a function, a module, an error nor times\n"
            "  hint   viz.draw(model, x), or what was computed: loss.graph()"
        )
    name = type(target).__name__ if isinstance(target, Module) else getattr(target, "__name__", "function")
    if not inputs:
        raise GraphError(
            f"draw: {name} needs example inputs\n"
            f"  hint   viz.draw({name}, x); a result is drawn alone: loss.graph()"
        )
    with put_back(target, inputs):
        recorder = Recorder()
        result = record(recorder, target, *_examples(target, inputs))
        results = tensors(result)
        if not results:
            raise GraphError(f"draw: {name} returned {type(result).__name__}, and no tensor to draw")
        recorder.rename(chosen.names or {})
        name_values(recorder, users_frame()[0])
        root = results[0]._node if len(results) == 1 else None
        return Picture(recorder.graph, chosen, recorder.nodes, root)


def neurons(
    model: Callable[..., Tensor],
    x: Operand,
    target: Operand | None = None,
    loss: Callable[..., Tensor] | None = None,
    **options: Unpack[NeuronOptions],
) -> Neurons:
    """Return a network as neurons and the lines between them, with the numbers of each, forward and back.

    A product of rows with a matrix, a bias and functions of each element are a layer of neurons, whether modules or
    plain functions compute them; all else that a row goes through (convolutions, normalisation, recurrence) is a box.
    Gradients, optimizers and random generators stay as they are.

    Args:
        model: a module or function that takes rows of numbers, one for each example, and returns a tensor.
        x: a batch of shape (N, features), or images that the model makes into rows.
        target: what the loss compares with what the model returns; None where the loss knows it.
        loss: for the way back: `loss(model(x), target)` is one number.
        options: see `Neurons`.

    Raises:
        GraphError: the model has no layer of neurons, or returns no tensor.
        SettingError: an option that does not exist or makes no sense; a target without a loss.
        ShapeError: the loss is not one number.

    Example:
        >>> from tinygrad_nn import nn
        >>> model = nn.Sequential(nn.Dense(2, 3, rng=0), nn.Tanh(), nn.Dense(3, 1, rng=1))
        >>> print(neurons(model, [[0.0, 1.0]]))
        x          2 inputs
        0: Dense   a = tanh(z), 3 neurons
        2: Dense   1 neuron
    """
    from tinygrad_nn.viz.network.options import choices
    from tinygrad_nn.viz.network.view import Neurons
    from tinygrad_nn.viz.network.walk import walk

    chosen = choices(options)
    return Neurons(walk(model, x, target, loss), chosen)


def _examples(target: Callable[..., object], inputs: Sequence[object]) -> list[object]:
    """Return inputs as a module or function computes with them: in the dtype of its parameters, or as arrays."""
    if not isinstance(target, Module):
        return [as_array(x) if isinstance(x, float) else x for x in inputs]
    dtype = next((parameter.dtype for parameter in target.parameters()), None)
    if dtype is None:
        return list(inputs)
    return [cast_input(x, dtype) if isinstance(x, np.ndarray) else x for x in inputs]


def graph(self: Tensor | Module, *inputs: object, **options: Unpack[DrawOptions]) -> Picture:
    """Return the picture of how this tensor was computed, or of this model on example inputs; see `viz.draw`.

    Example:
        >>> import tinygrad_nn as tn
        >>> x = tn.tensor([1.0, 2.0], requires_grad=True, name="x")
        >>> print(x.tanh().sum().graph())
        %1 = tanh(x)   (2,)
        %2 = sum(%1)   ()
    """
    return draw(self, *inputs, **options)


def explain(self: Tensor, lang: str = "en") -> str:
    """Return how this tensor was computed, and how its gradient flows back, with numbers and shapes.

    Args:
        lang: "en" or "ja".

    Example:
        >>> import tinygrad_nn as tn
        >>> x = tn.tensor(3.0, requires_grad=True, name="x")
        >>> print((x * x).explain())
        forward
          x                     ()   3
          %1 = multiply(x, x)   ()   9
        backward, from the gradient 1 of %1; g is the gradient of an op's own result y
          %1   multiply: x gets g · x = 1 · 3 = 3, and x gets g · x = 1 · 3 = 3
              x (): 3
              x (): 3  +  3  =  6
    """
    return draw(self).explain(lang)


for owner, name, method in ((Tensor, "graph", graph), (Module, "graph", graph), (Tensor, "explain", explain)):
    setattr(owner, name, method)

if not TYPE_CHECKING:
    # Most programs never draw.
    _LATER = {
        "Picture": "tinygrad_nn.viz.picture",
        "DrawOptions": "tinygrad_nn.viz.options",
        "Neurons": "tinygrad_nn.viz.network.view",
        "NeuronOptions": "tinygrad_nn.viz.network.options",
    }
    __getattr__, __dir__ = face(globals(), later=_LATER)
