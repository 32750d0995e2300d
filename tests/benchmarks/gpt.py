"""Race an eager training step of a small GPT against PyTorch's: `python -m tests.benchmarks.gpt`.

The model is that of examples/shakespeare.py (4 layers, 4 heads, width 128, context 64, 65 characters, tanh-GELU, one
table at both ends) with Adam. One thread each, taking turns in one process; processor time; the median over the
rounds of the ratio within a round. Both begin with the same weights, and their first losses have to be the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

# Before NumPy is imported.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np

import tinygrad_nn as tn
from examples.shakespeare import GPT
from tests.benchmarks.peers import Step, machine, race, ratio

CHARACTERS, LAYERS, HEADS, WIDTH, CONTEXT = 65, 4, 4, 128, 64
OURS, THEIRS = "tinygrad_nn", "PyTorch"


def our_step(model: GPT, ids: Any, following: Any) -> Step:
    optimizer = tn.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> float:
        optimizer.zero_grad()
        loss = model.loss(ids, following)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def torch_step(model: GPT, ids: Any, following: Any) -> Step:
    """Return the same step with PyTorch's layers, beginning with the weights of our model."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(1)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
            self.in_proj, self.out_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            parts = self.in_proj(self.norms[0](x)).split(WIDTH, dim=2)
            q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in parts)
            seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out_proj(seen.transpose(1, 2).flatten(2))
            return x + self.narrow(functional.gelu(self.wide(self.norms[1](x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.places = nn.Embedding(CHARACTERS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.blocks = nn.ModuleList([*[Block() for _ in range(LAYERS)], nn.LayerNorm(WIDTH)])

        def forward(self, ids: Any) -> Any:
            x = self.table(ids) + self.places.weight
            for block in self.blocks:
                x = block(x)
            return x @ self.table.weight.T

    theirs = Model()
    names = {"attention.in_proj_": "in_proj.", "attention.out_proj": "out_proj"}
    for name, p in model.named_parameters():
        for ours, word in names.items():
            name = name.replace(ours, word)
        turned = (
            p.data.T if "proj.weight" in name or "wide.weight" in name or "narrow.weight" in name else p.data
        )
        with torch.no_grad():
            theirs.get_parameter(name).copy_(torch.from_numpy(turned.copy()))
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    ids, following = torch.from_numpy(ids), torch.from_numpy(following).reshape(-1)

    def step() -> float:
        optimizer.zero_grad()
        loss = functional.cross_entropy(theirs(ids).reshape(-1, CHARACTERS), following)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def main() -> None:
    """Run the race for two sizes of a batch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.2, help="how long one turn takes")
    parser.add_argument("--batches", type=int, nargs="*", default=[12, 32])
    arguments = parser.parse_args()
    for batch in arguments.batches:
        rng = np.random.default_rng(batch)
        ids, following = rng.integers(CHARACTERS, size=(2, batch, CONTEXT))
        model = GPT(CHARACTERS, LAYERS, HEADS, WIDTH, CONTEXT, rng)
        theirs = torch_step(model, ids, following)
        steps = {OURS: our_step(model, ids, following), THEIRS: theirs}
        losses = [[step() for _ in range(3)] for step in steps.values()]
        np.testing.assert_allclose(*losses, rtol=1e-4)
        times = race(steps, arguments.rounds, arguments.seconds, time.process_time)
        figures = ", ".join(f"{name} {statistics.median(times[name]) / 1e3:.1f} ms" for name in steps)
        print(f"batch {batch}: {ratio(times, OURS, THEIRS):.2f} of PyTorch ({figures})", flush=True)
    print(machine())


if __name__ == "__main__":
    main()
