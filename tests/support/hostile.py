"""Checkpoints that somebody has tampered with, their digest made right again: `python -m tests.support.hostile 20000`.

A few hundred run with the tests; by hand as many as one likes.
"""

import collections
import copy
import hashlib
import json
import random
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.data import batches, batches_forever
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.train import EarlyStopping, ReduceOnPlateau, accuracy, fit

BLANK = b"0" * 64


class Noise(nn.Module):
    """Has every kind of random generator, and a buffer."""

    def __init__(self):
        self.sources = [np.random.default_rng(0), {"old": np.random.RandomState(1)}, random.Random(2)]
        self.bits = (np.random.Philox(3), np.random.MT19937(4), np.random.SFC64(5))
        self.count = np.zeros((), np.int64)

    def forward(self, x):
        return x


def parts():
    """Return one of everything that has a state, after some training."""
    model = nn.Sequential(nn.Dense(2, 3, rng=0), nn.Tanh(), nn.Dense(3, 2, rng=1), Noise())
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    data = batches(np.eye(6, 2), np.arange(6) % 2, size=2, rng=3)
    stopping, plateau = EarlyStopping("loss"), ReduceOnPlateau("loss")
    kept = {}

    def keep(run):
        kept.update(run.parts())

    fit(
        model,
        nn.losses.cross_entropy,
        optimizer,
        data,
        epochs=2,
        metrics={"acc": accuracy},
        callbacks=[stopping, plateau, keep],
        progress=False,
    )
    stream = batches_forever(np.arange(7), size=3, rng=4)
    next(stream)
    next(iter(data))
    return {**kept, "stream": stream, "rng": np.random.default_rng(5)}


def exactly(value):
    """Return a state as something that compares exactly, NaN and dtypes included."""
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [exactly(item) for item in value]
    return (value.dtype, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)


def state_of(everything):
    """Return the states of all parts."""
    return {name: exactly(tn.checkpoint._state(part)) for name, part in everything.items()}


ODD = [
    None, True, False, 0, -1, 1, 2, 3, 625, 2**31, 2**63, 2**64, 2**130, -(2**70), 0.0, -0.5, 1e999, -1e999,
    float("nan"), 1e-320, "", "a", "nan", "PCG64", "MT19937", "\ud800", "\0", [], {}, [[]], [None], [1, 2],
    {"$array": 3},
    {"$array": []}, {"$array": "nowhere"}, {"$array": "model.0.weight"}, {"": {}}, "x" * 1000,
]  # fmt: skip


def deep(rng):
    """Return a list or dict that is nested deeply."""
    value = rng.choice(ODD)
    for _ in range(rng.choice([10, 300, 450, 490, 700, 900])):
        value = [value] if rng.random() < 0.7 else {"a": value}
    return value


def places(root):
    """Return the path of every value in nested lists and dicts."""
    found, stack = [], [((), root)]
    while stack:
        path, value = stack.pop()
        found.append(path)
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        stack += [((*path, key), item) for key, item in items]
    return found


def changed(rng, root):
    """Change one value of nested lists and dicts, in one of many ways; return the whole."""
    path = rng.choice(places(root))
    if not path:
        return rng.choice([*ODD, deep(rng)]) if rng.random() < 0.1 else root
    *above, key = path
    owner = root
    for step in above:
        owner = owner[step]
    how = rng.randrange(8)
    if how == 0:
        del owner[key]
    elif how == 1:
        owner[key] = deep(rng)
    elif how == 2 and isinstance(owner, dict):
        owner[rng.choice(["", "a", "$array", "model", "lr", "steps", "restored", "random generators"])] = (
            owner[key]
        )
    elif how == 3 and isinstance(owner, list):
        owner.insert(rng.randrange(len(owner) + 1), rng.choice([owner[key], *copy.deepcopy(ODD)]))
    elif how == 4 and type(owner[key]) in (int, float):
        owner[key] = rng.choice(
            [-owner[key], owner[key] + 1, owner[key] * 1e6, float(owner[key]), str(owner[key])]
        )
    elif how == 5 and isinstance(owner, dict):
        other = rng.choice(list(owner))
        owner[key], owner[other] = owner[other], owner[key]
    else:
        owner[key] = copy.deepcopy(rng.choice(ODD))
    return root


def dumped(value):
    """Return JSON, which deep values make impossible now and then."""
    try:
        return json.dumps(value)
    except RecursionError:
        return "[" * 5000


def opened(blob):
    """Return the header of a checkpoint, its version, its plain data, and its arrays."""
    size = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + size])
    version, _, content = header["__metadata__"]["tinygrad_nn"].split(" ", 2)
    return header, version, json.loads(content), bytearray(blob[8 + size :])


def sealed(header, version, note, data):
    """Return a checkpoint with a digest that is right."""
    if isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["tinygrad_nn"] = f"{version} {BLANK.decode()} {note}"
    text = dumped(header).replace(": {", ":{", 1).replace('nn": "', 'nn":"', 1).encode()
    blob = struct.pack("<Q", len(text)) + text + bytes(data)
    return blob.replace(BLANK, hashlib.sha256(blob).hexdigest().encode(), 1)


def tampered(rng, blob):
    """Return a checkpoint with something changed in its header, its plain data or its arrays, its digest right."""
    header, version, content, data = opened(blob)
    kind = rng.random()
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        if kind < 0.65:
            content = changed(rng, content)
        elif kind < 0.8 and isinstance(header, dict):
            header = changed(rng, header)
        elif kind < 0.95:
            k = rng.randrange(len(data))
            data[k : k + rng.choice([1, 4, 8])] = rng.choice(
                [b"\xff" * 8, bytes(8), b"\0\0\xc0\x7f", rng.randbytes(4)]
            )
    note = dumped(content)
    if kind >= 0.95:
        note = list(note)
        for _ in range(rng.randrange(1, 5)):
            note[rng.randrange(len(note))] = rng.choice('[]{}",:0-9eE.\\ua NIt\0')
        note = "".join(note)
    return sealed(header, version, note, data)


def attack(count, seed=0):
    """Load so many hostile files; return how many were loaded, refused, and what else they did."""
    rng = random.Random(seed)
    everything = parts()
    outcomes = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.safetensors")
        tn.save(path, **everything, note={"losses": [0.5, 1.0], "name": "run"}, table=np.arange(3.0))
        blob = path.read_bytes()
        for k in range(count):
            before = state_of(everything)
            path.write_bytes(tampered(rng, blob))
            chosen = dict(rng.sample(list(everything.items()), rng.randrange(len(everything) + 1)))
            try:
                tn.load(path, allow_nonfinite=rng.random() < 0.3, **(chosen if k % 3 else everything))
            except CheckpointError:
                outcomes["refused"] += 1
                changed_state = state_of(everything) != before
            except Exception as error:
                outcomes[f"leaked {type(error).__name__}"] += 1
                changed_state = state_of(everything) != before
            else:
                outcomes["loaded"] += 1
                changed_state = False
                works(everything)
                path.write_bytes(blob)
                tn.load(path, **everything)
            outcomes["changed by a refused file"] += changed_state
    return outcomes


def layers():
    """Return a model with layers of every kind of argument."""
    inner = nn.Sequential(nn.Dense(4, 4, rng=0), nn.LayerNorm(4, eps=0.1), nn.Dropout(0.5, rng=1))
    convolution = nn.Conv2d(1, 4, (2, 1), padding=((1, 0), 0), groups=1, rng=2)
    head = [nn.GlobalAvgPool(), nn.Residual(inner), inner[0], nn.BatchNorm(4), nn.Softmax(axis=-1)]
    return nn.Sequential(convolution, nn.MaxPool2d(2), *head)


def attack_models(count, seed=0):
    """Build models of so many hostile files; return how many were built, refused, and what else they did."""
    rng = random.Random(seed)
    outcomes = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        tn.save(path, model=layers())
        header, version, content, data = opened(path.read_bytes())
        for k in range(count):
            told = copy.deepcopy(content)
            for _ in range(rng.choice([1, 1, 2, 3])):
                told["model"]["architecture"] = changed(rng, told["model"]["architecture"])
            path.write_bytes(
                tampered(rng, sealed(header, version, dumped(content), data))
                if k % 4 == 0
                else sealed(header, version, dumped(told), data)
            )
            try:
                model = tn.load_model(path, allow_nonfinite=rng.random() < 0.3)
            except CheckpointError:
                outcomes["refused"] += 1
            except Exception as error:
                outcomes[f"leaked {type(error).__name__}"] += 1
            else:
                outcomes["built"] += 1
                kinds = {type(module) for _, module in model.named_modules()}
                outcomes["of other classes"] += not all(
                    kind.__module__.startswith("tinygrad_nn.nn.") for kind in kinds
                )
    return outcomes


def works(everything):
    """Use what a hostile file has been loaded into: whatever its numbers are, it does not fall to pieces."""
    model, optimizer = everything["model"], everything["optimizer"]
    with np.errstate(all="ignore"):
        optimizer.zero_grad()
        model(np.ones((2, 2))).sum().backward()
        optimizer.step()
    next(everything["stream"])
    next(iter(everything["data"]))
    repr(everything["run"].history)
    everything["run"].history.to_csv()
    noise = model[3]
    noise.sources[0].random(), noise.sources[1]["old"].normal(), noise.sources[2].random()
    for bits in noise.bits:
        np.random.Generator(bits).integers(9, size=9)


if __name__ == "__main__":
    for several in (attack, attack_models):
        print(dict(several(int(sys.argv[1]), *map(int, sys.argv[2:3]))))
