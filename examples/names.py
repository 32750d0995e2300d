"""A recurrent network reads the names of NumPy's functions, letter by letter, and invents some more.

Run it:  python examples/names.py            (--hidden 200 --epochs 60 --seed 1 to play)
"""

import argparse

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.settings.commands import count, run, seed

LETTERS, PADDING = ".abcdefghijklmnopqrstuvwxyz0123456789_", -1
"""A dot stands in front of each name, and behind it."""


class Speller(nn.Module):
    """The letter that follows each letter of a name, as logits."""

    def __init__(self, hidden, rng):
        self.memory = nn.GRU(len(LETTERS), hidden, rng=rng)
        self.letter = nn.Dense(hidden, len(LETTERS), rng=rng)

    def forward(self, letters, state=None, lengths=None):
        outputs, state = self.memory(np.eye(len(LETTERS), dtype=np.float32)[letters], state, lengths)
        return self.letter(outputs), state


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a network on NumPy's names, and let it invent some.")
    parser.add_argument("--hidden", type=count, default=128, help="size of the memory (default: 128)")
    parser.add_argument("--epochs", type=count, default=40, help="passes through all names (default: 40)")
    parser.add_argument("--seed", type=seed, default=0, help="seed of all chance (default: 0)")
    args = parser.parse_args()
    modules = (np, np.linalg, np.fft, np.ma, np.random, np.char)
    names = sorted({name.lower() for module in modules for name in dir(module) if not name.startswith("_")})
    rng = np.random.default_rng(args.seed)
    model = Speller(args.hidden, rng)
    optimizer, data = (
        optim.Adam(model.parameters(), lr=0.003),
        tn.data.batches(*padded(names), size=32, rng=rng),
    )
    print(f"{len(names)} names, {sum(p.size for p in model.parameters()):,} parameters")
    for epoch in range(1, args.epochs + 1):
        losses = []
        for letters, following, lengths in data:
            optimizer.zero_grad()
            logits = model(letters, lengths=lengths)[0].reshape(-1, len(LETTERS))
            loss = nn.losses.cross_entropy(logits, following.reshape(-1), ignore_index=PADDING)
            loss.backward()
            optimizer.step()
            losses.append(loss.item() / np.log(2))
        if epoch % (args.epochs // 5 or 1) == 0:
            print(f"epoch {epoch:3d}  {np.mean(losses):.2f} bits a letter  {invent(model, rng)}")
    new = {name for name in (invent(model, rng) for _ in range(200)) if len(name) > 5} - {*names}
    print("NumPy lacks", ", ".join(sorted(new)[:: len(new) // 12 or 1]))


def padded(names):
    """Return letters, the letters that follow, and lengths: every name begins with a dot, and ends with one."""
    letters = np.zeros((len(names), max(map(len, names)) + 1), int)
    following = np.full_like(letters, PADDING)
    for row, name in enumerate(names):
        letters[row, 1 : len(name) + 1] = [LETTERS.index(letter) for letter in name]
        following[row, : len(name) + 1] = [LETTERS.index(letter) for letter in f"{name}."]
    return letters, following, np.array([len(name) + 1 for name in names])


def invent(model, rng):
    """Draw letter after letter; the state remembers the ones before."""
    name, state = ".", None
    with tn.no_grad():
        while "." not in name[1:] and len(name) < 20:
            logits, state = model(np.array([[LETTERS.index(name[-1])]]), state)
            name += rng.choice(list(LETTERS), p=tn.softmax(1.5 * logits.data[0, 0].astype(float)))
    return name.strip(".")


if __name__ == "__main__":
    run(main)
