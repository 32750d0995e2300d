"""The small GPT of examples/shakespeare.py: 65 characters, tanh-GELU, one table at both ends, no dropout."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from examples.shakespeare import GPT
from tests.benchmarks.convolutions import jax_cross_entropy
from tests.benchmarks.network import Network

CHARACTERS, HEADS, WIDTH, EPS = 65, 4, 128, 1e-5


def model(layers: int, context: int) -> GPT:
    return GPT(CHARACTERS, layers, HEADS, WIDTH, context, np.random.default_rng(0))


def torch_model(layers: int, context: int) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.in_proj_weight = nn.Parameter(torch.empty(3 * WIDTH, WIDTH))
            self.in_proj_bias = nn.Parameter(torch.empty(3 * WIDTH))
            self.out_proj = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            parts = functional.linear(x, self.in_proj_weight, self.in_proj_bias).split(WIDTH, dim=2)
            q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in parts)
            seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out_proj(seen.transpose(1, 2).flatten(2))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
            self.attention = Attention()
            self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norms[0](x))
            return x + self.narrow(functional.gelu(self.wide(self.norms[1](x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.places = nn.Embedding(CHARACTERS, WIDTH), nn.Embedding(context, WIDTH)
            self.blocks = nn.ModuleList([*[Block() for _ in range(layers)], nn.LayerNorm(WIDTH)])

        def forward(self, ids: Any) -> Any:
            x = self.table(ids) + self.places.weight
            for block in self.blocks:
                x = block(x)
            return x @ self.table.weight.T

    return Model()


def jax_loss(layers: int, weights: Any, state: Any, ids: Any, following: Any) -> Any:
    import jax
    from jax import numpy as jnp

    def norm(name: str, x: Any) -> Any:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + EPS) * weights[f"{name}.weight"] + weights[
            f"{name}.bias"
        ]

    def dense(name: str, x: Any) -> Any:
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def attention(name: str, x: Any) -> Any:
        joined = x @ weights[f"{name}.in_proj_weight"] + weights[f"{name}.in_proj_bias"]
        q, k, v = (part.reshape(*x.shape[:2], HEADS, -1) for part in jnp.split(joined, 3, axis=-1))
        seen = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        return dense(f"{name}.out_proj", seen.reshape(x.shape))

    x = weights["table.weight"][ids] + weights["places.weight"]
    for k in range(layers):
        block = f"blocks.{k}"
        x = x + attention(f"{block}.attention", norm(f"{block}.norms.0", x))
        wide = jax.nn.gelu(dense(f"{block}.wide", norm(f"{block}.norms.1", x)), approximate=True)
        x = x + dense(f"{block}.narrow", wide)
    logits = norm(f"blocks.{layers}", x) @ weights["table.weight"].T
    return jax_cross_entropy(logits.reshape(-1, CHARACTERS), following.reshape(-1)), state


def text(context: int, batch: int) -> tuple[Any, Any]:
    """Return characters, and those that follow."""
    ids, following = np.random.default_rng(batch).integers(CHARACTERS, size=(2, batch, context))
    return ids, following


def network(layers: int = 4, context: int = 64, batch: int = 32) -> Network:
    """Return a GPT of so many layers that sees so many characters, trained by Adam."""

    def torch_loss(module: Any, ids: Any, following: Any) -> Any:
        import torch

        return torch.nn.functional.cross_entropy(module(ids).reshape(-1, CHARACTERS), following.reshape(-1))

    # Products of a token: four of attention's, eight of the wide layers', and its scores and averages over all others.
    token = 2 * layers * (12 * WIDTH * WIDTH + 2 * context * WIDTH) + 2 * WIDTH * CHARACTERS
    return Network(
        f"GPT {layers} x {WIDTH}, context {context}, batch {batch}",
        partial(model, layers, context),
        partial(text, context, batch),
        GPT.loss,
        partial(torch_model, layers, context),
        torch_loss,
        partial(jax_loss, layers),
        3 * batch * context * token,
        optimizer="adam",
        rate=1e-3,
    )


NETWORKS = (network(),)
