"""A network that is raced: what everybody trains, and its training step by this library, PyTorch and JAX.

All begin with the weights of our model, on the same batch. Each step trains once and returns the loss, as its library
has it. Every contestant is written as its own documentation recommends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import tinygrad_nn as tn
from tests.benchmarks.contestants import jax_training, torch_training
from tinygrad_nn import nn
from tinygrad_nn.interop import torch_state

Step = Callable[[], Any]
LAST = "PyTorch, channels last"


@dataclass(frozen=True)
class Network:
    """What is trained, on what, by which optimizer.

    Attributes:
        model: makes our model.
        batch: makes the arrays of a batch; labels come last.
        loss: of our model on a batch.
        torch_model: makes the same module in PyTorch, whose state has the names of ours.
        torch_loss: of that module on a batch of PyTorch's tensors.
        jax_loss: `(parameters by name, state, *batch) -> (loss, state)`.
        jax_state: makes what a step in JAX changes besides parameters: running statistics, the key of random numbers.
        products: floating point operations of the products of one step, forward and backward.
        images: batches begin with images, which PyTorch has with channels first or last.
        random: numbers are drawn, so that losses cannot be compared.
    """

    name: str
    model: Callable[[], nn.Module]
    batch: Callable[[], tuple[Any, ...]]
    loss: Callable[..., Any]
    torch_model: Callable[[], Any]
    torch_loss: Callable[..., Any]
    jax_loss: Callable[..., tuple[Any, Any]]
    products: float
    optimizer: str = "sgd"
    rate: float = 0.01
    jax_state: Callable[[], Any] = lambda: None
    images: bool = False
    random: bool = False


def our_step(network: Network) -> Callable[..., Any]:
    """Return our training step, which takes a batch."""
    model = network.model()
    kind = {"sgd": tn.optim.SGD, "adam": tn.optim.Adam}[network.optimizer]
    optimizer = kind(model.parameters(), lr=network.rate)

    def step(*batch: Any) -> Any:
        optimizer.zero_grad()
        loss = network.loss(model, *batch)
        loss.backward()
        optimizer.step()
        return loss

    return step


def eager(network: Network) -> Step:
    return _on(network.batch(), our_step(network))


def compiled(network: Network) -> Step:
    return _on(network.batch(), tn.compile(our_step(network)))


def compiled_numpy(network: Network) -> Step:
    return _on(network.batch(), tn.compile(our_step(network), backend="numpy"))


def pytorch(network: Network) -> Step:
    return _pytorch(network, lambda thing: thing, lambda function: function)


def pytorch_channels_last(network: Network) -> Step:
    import torch

    return _pytorch(network, lambda x: x.to(memory_format=torch.channels_last), lambda function: function)


def torch_compile(network: Network) -> Step:
    import torch

    return _pytorch(network, lambda thing: thing, torch.compile)


def _pytorch(network: Network, laid_out: Callable[[Any], Any], made: Callable[[Any], Any]) -> Step:
    import torch

    theirs = network.torch_model()
    state = {name: torch.from_numpy(np.array(a)) for name, a in torch_state(network.model()).items()}
    left = theirs.load_state_dict(state, strict=False)
    # Counts of batches are PyTorch's alone.
    assert all(name.endswith("num_batches_tracked") for name in left.missing_keys + left.unexpected_keys)
    theirs = laid_out(theirs)
    first, *others = network.batch()
    if network.images:
        first = np.moveaxis(first, -1, 1).copy()
    tensors = [torch.from_numpy(array) for array in (first, *others)]
    if network.images:
        tensors[0] = laid_out(tensors[0])
    loss_of = made(lambda *batch: network.torch_loss(theirs, *batch))
    return _on(tuple(tensors), torch_training(loss_of, theirs.parameters(), network.optimizer, network.rate))


def jax_jit(network: Network) -> Step:
    import jax

    arrays = {name: jax.numpy.array(p.data) for name, p in network.model().named_parameters()}
    state = network.jax_state()
    step = jax_training(network.jax_loss, arrays, state, network.optimizer, network.rate)
    return _on(tuple(map(jax.numpy.asarray, network.batch())), step)


def _on(batch: tuple[Any, ...], step: Callable[..., Any]) -> Step:
    return lambda: step(*batch)


CONTESTANTS: dict[str, Callable[[Network], Step]] = {
    "tinygrad_nn": eager,
    "tinygrad_nn compiled": compiled,
    "tinygrad_nn compiled, NumPy": compiled_numpy,
    "jax.jit": jax_jit,
    "PyTorch": pytorch,
    LAST: pytorch_channels_last,
    "torch.compile": torch_compile,
}


def contestants(network: Network) -> dict[str, Callable[[], Step]]:
    """Return what makes the step of each contestant; without images there are no channels to be laid out."""
    return {
        name: partial(make, network) for name, make in CONTESTANTS.items() if name != LAST or network.images
    }
