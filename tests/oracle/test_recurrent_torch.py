"""Recurrent layers against PyTorch, in float64: values, first and second derivatives."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinygrad_nn[oracle]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # what the oracle warns of is its own affair

TOLERANCE = 1e-10
SETTINGS = 480
KINDS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}


def draw(seed):
    """Return a kind, options and sizes of a layer, and lengths or None."""
    rng = np.random.default_rng(seed)
    kind = list(KINDS)[seed % 3]
    n, t, c, h = rng.integers(1, 5), rng.integers(1, 8), rng.integers(1, 5), rng.integers(1, 6)
    options = {
        "num_layers": int(rng.integers(1, 4)),
        "bidirectional": bool(rng.integers(2)),
        "bias": bool(rng.integers(4)),
    }
    # PyTorch packs no sequence of length zero.
    lengths = rng.integers(1, t + 1, n) if rng.integers(2) else None
    if lengths is not None:
        lengths[rng.integers(n)] = t
    return rng, kind, tuple(map(int, (n, t, c, h))), options, lengths


def twins(rng, kind, c, h, options):
    """Return our layer and PyTorch's with the same weights."""
    ours = KINDS[kind](c, h, **options, rng=0, dtype=np.float64)
    theirs = getattr(torch.nn, kind)(c, h, **options, batch_first=True, dtype=torch.float64)
    state = {name: rng.normal(size=a.shape) for name, a in ours.state_dict().items()}
    ours.load_state_dict(state)
    theirs.load_state_dict({name: torch.from_numpy(a.T.copy()) for name, a in state.items()})
    return ours, theirs


def flat(result):
    outputs, state = result
    return [outputs, *(state if isinstance(state, tuple) else (state,))]


def of_torch(layer, x, state, lengths):
    if lengths is None:
        return flat(layer(x, state))
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs, last = layer(packed, state)
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
    return flat((outputs, last))


def agree(found, expected, what):
    size = max(1.0, max((np.abs(e).max(initial=0.0) for e in expected), default=0.0))
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * size, err_msg=what)


@pytest.mark.parametrize("seed", range(SETTINGS))
def test_values_and_derivatives_to_second_order_are_those_of_pytorch(seed):
    rng, kind, (n, t, c, h), options, lengths = draw(seed)
    ours, theirs = twins(rng, kind, c, h, options)
    shape = (options["num_layers"] * (1 + options["bidirectional"]), n, h)
    states = 2 if kind == "LSTM" else 1
    arrays = [rng.normal(size=(n, t, c)), *(rng.normal(size=shape) for _ in range(states))]

    x, *first = leaves = [tn.tensor(a, requires_grad=True) for a in arrays]
    values = flat(ours(x, tuple(first) if states == 2 else first[0], lengths))
    cotangents = [rng.normal(size=v.shape) for v in values]
    total = sum(
        ((v * v * g).sum() for v, g in zip(values, cotangents, strict=True)), tn.tensor(0.0, dtype=float)
    )
    wanted = [*leaves, *ours.parameters()]
    first_order = tn.gradients(total, wanted, create_graph=True)
    directions = [rng.normal(size=g.shape) for g in first_order]
    along = sum(
        ((g * v).sum() for g, v in zip(first_order, directions, strict=True)), tn.tensor(0.0, dtype=float)
    )
    second_order = tn.gradients(along, wanted)

    tx, *tfirst = tleaves = [torch.from_numpy(a).requires_grad_() for a in arrays]
    tvalues = of_torch(theirs, tx, tuple(tfirst) if states == 2 else tfirst[0], lengths)
    ttotal = sum((v * v * torch.from_numpy(g)).sum() for v, g in zip(tvalues, cotangents, strict=True))
    twanted = [*tleaves, *theirs.parameters()]
    tfirst_order = torch.autograd.grad(ttotal, twanted, create_graph=True)
    # Their weights are ours transposed.
    turned = [v if k < len(leaves) else v.T for k, v in enumerate(directions)]
    talong = sum((g * torch.from_numpy(v.copy())).sum() for g, v in zip(tfirst_order, turned, strict=True))
    tsecond_order = torch.autograd.grad(talong, twanted)

    what = f"{kind} {(n, t, c, h)} {options} lengths={lengths}"
    agree([v.data for v in values], [v.detach().numpy() for v in tvalues], f"values of {what}")
    for order, found, expected in ((1, first_order, tfirst_order), (2, second_order, tsecond_order)):
        expected = [g.detach().numpy() for g in expected]
        expected = [g if k < len(leaves) else g.T for k, g in enumerate(expected)]
        agree([g.data for g in found], expected, f"derivatives of order {order} of {what}")
