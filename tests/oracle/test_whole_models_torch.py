"""Whole models beside PyTorch: weights made there and carried over, trained alike on the same batches, and back."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.interop import load_torch, torch_state

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinygrad_nn[oracle]'")
T, F = torch.nn, torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore")  # what the oracle warns of is its own affair

TOLERANCE = 1e-8
STEPS, CLASSES, CHARACTERS, WIDTH, HEADS = 30, 7, 11, 8, 2
DOUBLE = {"dtype": np.float64}


def lenet():
    theirs = T.Sequential(
        *(T.Conv2d(1, 6, 5, padding=2), T.ReLU(), T.MaxPool2d(2)),
        *(T.Conv2d(6, 16, 5), T.ReLU(), T.MaxPool2d(2), T.Flatten()),
        *(T.Linear(144, 120), T.ReLU(), T.Linear(120, 84), T.ReLU(), T.Linear(84, CLASSES)),
    )
    ours = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2, **DOUBLE), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5, **DOUBLE), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Dense(144, 120, **DOUBLE), nn.ReLU(), nn.Dense(120, 84, **DOUBLE), nn.ReLU()),
        nn.Dense(84, CLASSES, **DOUBLE),
    )
    return ours, theirs, lambda rng: (rng.normal(size=(8, 20, 20, 1)), rng.integers(0, CLASSES, 8))


class TheirBlock(T.Module):
    """x + module(x)."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return x + self.module(x)


def residual():
    theirs = T.Sequential(
        *(T.Conv2d(3, 6, 3, padding=1, bias=False), T.BatchNorm2d(6), T.ReLU()),
        TheirBlock(
            T.Sequential(
                *(T.Conv2d(6, 6, 3, padding=1, bias=False), T.BatchNorm2d(6), T.ReLU()),
                *(T.Conv2d(6, 6, 3, padding=1, bias=False), T.BatchNorm2d(6)),
            )
        ),
        *(T.ReLU(), T.AvgPool2d(2), T.Flatten(), T.Linear(54, CLASSES)),
    )
    options = {"padding": 1, "bias": False, **DOUBLE}
    ours = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, **options), nn.BatchNorm(6, **DOUBLE), nn.ReLU()),
        nn.Residual(
            nn.Sequential(
                *(nn.Conv2d(6, 6, 3, **options), nn.BatchNorm(6, **DOUBLE), nn.ReLU()),
                *(nn.Conv2d(6, 6, 3, **options), nn.BatchNorm(6, **DOUBLE)),
            )
        ),
        *(nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Dense(54, CLASSES, **DOUBLE)),
    )
    return ours, theirs, lambda rng: (rng.normal(size=(6, 6, 6, 3)), rng.integers(0, CLASSES, 6))


class TheirReader(T.Module):
    """Classes from the last outputs of a recurrent network."""

    def __init__(self, kind):
        super().__init__()
        self.layer = getattr(T, kind)(5, 16, 2, bidirectional=True, batch_first=True)
        self.head = T.Linear(32, CLASSES)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


class Reader(nn.Module):
    """The same here."""

    def __init__(self, kind):
        self.layer = getattr(nn, kind)(5, 16, 2, True, **DOUBLE)
        self.head = nn.Dense(32, CLASSES, **DOUBLE)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


def recurrent(kind):
    return (
        Reader(kind),
        TheirReader(kind),
        lambda rng: (rng.normal(size=(8, 12, 5)), rng.integers(0, CLASSES, 8)),
    )


class TheirLayer(T.Module):
    """Attention to what was before, and two products around a GELU."""

    def __init__(self):
        super().__init__()
        self.norms = T.ModuleList([T.LayerNorm(WIDTH), T.RMSNorm(WIDTH)])
        self.attend = T.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.wide, self.narrow = T.Linear(WIDTH, 2 * WIDTH), T.Linear(2 * WIDTH, WIDTH)

    def forward(self, x):
        y = self.norms[0](x)
        later = T.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        x = x + self.attend(y, y, y, attn_mask=later, is_causal=True, need_weights=False)[0]
        return x + self.narrow(F.gelu(self.wide(self.norms[1](x)), approximate="tanh"))


class Layer(nn.Module):
    """The same here."""

    def __init__(self):
        self.norms = [nn.LayerNorm(WIDTH, **DOUBLE), nn.RMSNorm(WIDTH, **DOUBLE)]
        self.attend = nn.MultiheadAttention(WIDTH, HEADS, **DOUBLE)
        self.wide, self.narrow = nn.Dense(WIDTH, 2 * WIDTH, **DOUBLE), nn.Dense(2 * WIDTH, WIDTH, **DOUBLE)

    def forward(self, x):
        x = x + self.attend(self.norms[0](x), causal=True)
        return x + self.narrow(tn.gelu(self.wide(self.norms[1](x)), approximate="tanh"))


def transformer():
    theirs = T.Sequential(
        *(T.Embedding(CHARACTERS, WIDTH), TheirLayer(), TheirLayer(), T.LayerNorm(WIDTH)),
        T.Linear(WIDTH, CHARACTERS),
    )
    ours = nn.Sequential(
        *(nn.Embedding(CHARACTERS, WIDTH, **DOUBLE), Layer(), Layer(), nn.LayerNorm(WIDTH, **DOUBLE)),
        nn.Dense(WIDTH, CHARACTERS, **DOUBLE),
    )

    def batch(rng):
        ids = rng.integers(0, CHARACTERS, (4, 8))
        return ids[:, :-1], ids[:, 1:].copy()

    return ours, theirs, batch


MODELS = {
    "LeNet": lenet,
    "a residual block with batch norm": residual,
    "RNN": lambda: recurrent("RNN"),
    "LSTM": lambda: recurrent("LSTM"),
    "GRU": lambda: recurrent("GRU"),
    "a transformer of two layers": transformer,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", MODELS)
def test_thirty_updates_by_adam_are_those_of_pytorch(name, seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    ours, theirs, batch = MODELS[name]()
    theirs = theirs.double()
    load_torch(ours, theirs)
    optimizer, other = (
        optim.Adam(ours.parameters(), lr=1e-2),
        torch.optim.Adam(theirs.parameters(), lr=1e-2),
    )
    losses = []
    for _ in range(STEPS):
        x, labels = batch(rng)
        optimizer.zero_grad()
        loss = nn.losses.cross_entropy(ours(x), labels)
        loss.backward()
        optimizer.step()
        other.zero_grad()
        given = torch.from_numpy(np.moveaxis(x, -1, 1).copy() if x.ndim == 4 else x)
        logits = theirs(given)
        their_loss = F.cross_entropy(logits.flatten(0, -2), torch.from_numpy(labels).flatten())
        their_loss.backward()
        other.step()
        losses.append((loss.item(), their_loss.item()))
    np.testing.assert_allclose(*np.array(losses).T, rtol=TOLERANCE)
    found, expected = torch_state(ours), theirs.state_dict()
    assert found.keys() == expected.keys()
    for key, a in expected.items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_allclose(found[key], a.numpy(), rtol=0, atol=TOLERANCE, err_msg=key)
    theirs.load_state_dict({key: torch.from_numpy(a) for key, a in found.items()})
    np.testing.assert_allclose(
        ours.eval()(x).data,
        (z := theirs.eval()(given).detach().numpy()),
        rtol=0,
        atol=TOLERANCE * np.abs(z).max(),
    )


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_kernels_in_groups_give_what_they_give_in_pytorch(kind, rank, groups):
    kernel = (2, 3, 4)[:rank]
    theirs = getattr(T, f"{kind}{rank}d")(6, 12, kernel, groups=groups, stride=2, dtype=torch.float64)
    ours = getattr(nn, f"{kind}{rank}d")(6, 12, kernel, groups=groups, stride=2, **DOUBLE)
    load_torch(ours, theirs)
    x = np.random.default_rng(groups).normal(size=(2, *(7, 6, 5)[:rank], 6))
    expected = theirs(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).detach().numpy()
    np.testing.assert_allclose(ours(x).data, np.moveaxis(expected, 1, -1), rtol=1e-12, atol=1e-13)
    theirs.load_state_dict({name: torch.from_numpy(a) for name, a in torch_state(ours).items()})


FLATTENED = {
    "two axes": ((6, 6, 2), lambda T: [T.Conv2d(2, 3, 3), T.ReLU(), T.MaxPool2d(2)], 12),
    "one axis": ((6, 2), lambda T: [T.Conv1d(2, 3, 3), T.Tanh()], 12),
    "no convolution": ((2, 2, 3), lambda T: [], 12),
}


@pytest.mark.parametrize("name", FLATTENED)
def test_flattened_images_give_what_they_give_in_pytorch(name):
    shape, layers, features = FLATTENED[name]
    theirs = T.Sequential(
        *layers(T), T.Flatten(), T.BatchNorm1d(features), T.Linear(features, features), T.Linear(features, 3)
    )
    ours = nn.Sequential(
        *layers(nn),
        *(nn.Flatten(), nn.BatchNorm(features), nn.Dense(features, features), nn.Dense(features, 3)),
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for a in (*theirs.parameters(), *theirs.buffers()):
            if a.is_floating_point():
                a.uniform_(0.5, 1.5)
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    expected = theirs.eval()(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).detach().numpy()
    for example in (x, None)[: 1 + (name != "no convolution")]:
        load_torch(ours, theirs.state_dict(), example=example)
        np.testing.assert_allclose(ours.eval()(x).data, expected, rtol=1e-4)


def test_tensors_of_pytorch_in_half_precision_and_files_of_it_are_taken(tmp_path):
    theirs, ours = TheirReader("GRU"), Reader("GRU")
    expected = theirs.head.weight.detach().numpy().T.copy()
    for kind in (torch.float32, torch.float16, torch.bfloat16):
        load_torch(ours, theirs.to(kind))
        np.testing.assert_allclose(ours.head.weight.data, expected, rtol=1e-2)
    torch.save(theirs.state_dict(), tmp_path / "model.pt")
    with pytest.raises(tn.errors.CheckpointError, match="model.pt is a pickle"):
        load_torch(ours, tmp_path / "model.pt")
