"""A small GPT that learns to write plays, character by character: a validation loss below 1.88 in two minutes.

Run it:  python examples/shakespeare.py      (--steps 200 --layers 2 --width 64 for a quick look)
Without tiny Shakespeare (in the folder that TINYGRAD_NN_DATA names, else downloaded) NumPy's docstrings serve.
"""

import argparse

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.settings.commands import count, run, seed


class Block(nn.Module):
    def __init__(self, width, heads, rng):
        self.norms = [nn.LayerNorm(width), nn.LayerNorm(width)]
        self.attention = nn.MultiheadAttention(width, heads, rng=rng)
        self.wide, self.narrow = nn.Dense(width, 4 * width, rng=rng), nn.Dense(4 * width, width, rng=rng)

    def forward(self, x):
        # Each character looks at those before it, then thinks about what it has seen.
        x = x + self.attention(self.norms[0](x), causal=True)
        return x + self.narrow(tn.gelu(self.wide(self.norms[1](x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, characters, layers, heads, width, context, rng):
        sizes, small = (characters, context), nn.init.normal(0.02)
        self.table, self.places = (nn.Embedding(size, width, init=small, rng=rng) for size in sizes)
        self.blocks = nn.Sequential(*[Block(width, heads, rng) for _ in range(layers)], nn.LayerNorm(width))

    def forward(self, ids):
        x = self.table(ids) + self.places(np.arange(ids.shape[-1]))
        return self.blocks(x) @ self.table.weight.T

    def loss(self, ids, following):
        return nn.losses.cross_entropy(self(ids), following)


def main():
    parser = argparse.ArgumentParser(description="Train a small GPT on plays, and let it write.")
    usual = {"steps": 2000, "layers": 4, "heads": 4, "width": 128, "context": 64, "batch": 12, "seed": 0}
    for name, value in usual.items():
        parser.add_argument(
            f"--{name}", type=seed if name == "seed" else count, default=value, help=f"default: {value}"
        )
    args = parser.parse_args()
    text, rng = plays(), np.random.default_rng(args.seed)
    model = GPT(len(text.vocabulary), args.layers, args.heads, args.width, args.context, rng)
    rate = optim.schedules.warmup(optim.schedules.cosine(3e-3, args.steps, last=1e-4), 100)
    optimizer = optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.1)
    draw = tn.data.batches_with_replacement
    batches = draw(*tn.data.sequences(text.train, args.context), size=args.batch, rng=rng)
    held_out = draw(*tn.data.sequences(text.validation, args.context), size=args.batch, rng=0)

    @tn.compile
    def train(ids, following):
        optimizer.zero_grad()
        loss = model.loss(ids, following)
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        return loss

    for step in range(1, args.steps + 1):
        loss = train(*next(batches))
        if step % 100 == 0:
            print(f"step {step:5d}  loss {loss.item():.2f}", flush=True)
    with tn.no_grad():
        ids = text.encode("\n")
        for _ in range(400):
            p = tn.softmax(model(ids[-args.context :])[-1].astype(float)).data
            ids = np.append(ids, rng.choice(len(p), p=p))
        losses = [model.loss(*next(held_out)).item() for _ in range(40)]
    print(text.decode(ids), f"validation loss {np.mean(losses):.2f}", sep="\n")


def plays():
    try:
        return tn.data.shakespeare()
    except tn.errors.DatasetError as error:
        print(f"Shakespeare is not to be had: {error}\nreading NumPy's docstrings instead\n")
    return tn.data.Text("\n".join(str(getattr(np, name).__doc__) for name in sorted(np.__all__)))


if __name__ == "__main__":
    run(main)
