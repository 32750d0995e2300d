"""A model on a batch, forward and backward: its layers of neurons, the loss, and the derivatives of the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinygrad_nn.engine.backward import backward
from tinygrad_nn.engine.node import Node, Source
from tinygrad_nn.engine.tensor import Tensor, tensor
from tinygrad_nn.errors import GraphError, SettingError, ShapeError, printable
from tinygrad_nn.graph.generators import put_back
from tinygrad_nn.graph.recorder import Recorder, record
from tinygrad_nn.nn.inputs import cast_input
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives.operands import as_array
from tinygrad_nn.viz.network.layers import Chain, Column, chain

Model = Callable[..., Tensor]
Loss = Callable[..., Tensor]
Nodes = dict[int, Source]
"""What stands behind the values of a graph, by their places."""


@dataclass(slots=True)
class Walk:
    """What a batch went through; `loss` and `loss_name` are there where there is a loss."""

    chain: Chain
    loss: float | None = None
    loss_name: str = ""


def walk(model: Model, x: object, target: object, loss: Loss | None) -> Walk:
    """Run a model on a batch, and the loss of what it returns, and back; see `viz.neurons`."""
    name = _checked(model)
    elsewhere = f"viz.draw({name}, x) draws every model"
    if callable(target):
        raise SettingError(
            f"neurons: the target is a function\n  hint   viz.neurons({name}, x, target, loss)"
        )
    if loss is None and target is not None:
        whole = np.asarray(as_array(target)).dtype.kind in "iub"
        hint = "cross_entropy" if whole else "mse"
        raise SettingError(f"neurons: a target, and no loss\n  hint   loss=nn.losses.{hint}")
    given = _input(model, x)
    recorder = Recorder()

    def forward(x: Tensor) -> tuple[Tensor, ...]:
        y = model(x)
        if not isinstance(y, Tensor):
            raise GraphError(
                f"neurons: {name} returned {type(y).__name__}, and no tensor\n  hint   {elsewhere}"
            )
        if loss is None:
            return (y,)
        cost = loss(y) if target is None else loss(y, target)
        if not isinstance(cost, Tensor) or cost.size != 1:
            what = f"shape {cost.shape}" if isinstance(cost, Tensor) else type(cost).__name__
            raise ShapeError(
                f"neurons: the loss returned {what}, and a loss is one number\n"
                '  hint   reduction="mean", or loss=lambda y, target: f(y, target).mean()'
            )
        return y, cost

    with put_back(model, (given, loss, target)):
        results = record(recorder, forward, given)
        graph = recorder.graph
        found = Walk(chain(graph, graph.evaluate(), graph.outputs[0]))
        if not any(column.weight is not None for column in found.chain.columns):
            raise GraphError(
                f"neurons: {name} has no layer of neurons: a product of rows, one for each example, with a matrix\n"
                f"  hint   {elsewhere}"
            )
        nodes = {index: node for node, index in recorder.nodes.items() if node.requires_grad}
        for column in found.chain.columns:
            _slopes(found.chain, column, nodes)
        if loss is not None:
            cost = results[1]
            found.loss = cost.item()
            written = printable(getattr(loss, "__name__", type(loss).__name__))
            found.loss_name = "loss" if written.startswith("<") else written
            if cost._node is not None:
                _gradients(found.chain, cost, nodes)
    return found


def _checked(model: object) -> str:
    """Return what a model is called; refuse what is none."""
    if isinstance(model, type):
        raise GraphError(f"neurons: {model.__name__} is a class\n  hint   {model.__name__}(...)")
    if not callable(model) or isinstance(model, Tensor):
        raise GraphError(f"neurons: {type(model).__name__} is neither a module nor a function")
    otherwise = type(model).__name__
    return printable(otherwise if isinstance(model, Module) else getattr(model, "__name__", otherwise))


def _input(model: Model, x: object) -> object:
    """Return the batch as the model takes it, and so that derivatives by it are known too."""
    array = x._data if isinstance(x, Tensor) else as_array(x)
    name = x.name if isinstance(x, Tensor) else None
    if not array.size:
        raise ShapeError(f"neurons: x has shape {array.shape}, and no numbers to show")
    if array.dtype.kind != "f":
        # Numbers of rows of an embedding stay integers; other layers cast them.
        return array
    parameters = model.parameters() if isinstance(model, Module) else ()
    dtype = next((parameter.dtype for parameter in parameters), array.dtype)
    return tensor(cast_input(array, dtype), requires_grad=True, name=name)


def _slopes(chain: Chain, column: Column, nodes: Nodes) -> None:
    """Find the derivative of each a by its z."""
    before, after = (nodes.get(k) for k in column.places)
    if column.formula and not column.of_rows and type(after) is Node and before is not None:
        ones = np.ones(after.shape, after.dtype)
        column.slope = chain.as_rows(backward(after, ones, wanted=[before], retain=True).get(before))


def _gradients(chain: Chain, cost: Tensor, nodes: Nodes) -> None:
    """Find the derivatives of the loss by z and a of every neuron; no `.grad` is touched."""
    root = cost._node
    assert root is not None
    places = {k for column in chain.columns for k in column.places}
    wanted = [nodes[k] for k in sorted(places) if k in nodes]
    found = backward(root, np.ones(cost.shape, cost.dtype), wanted=wanted, retain=True)
    for column in chain.columns:
        column.to_before, column.to_values = (
            chain.as_rows(found.get(nodes[k])) if k in nodes else None for k in column.places
        )
