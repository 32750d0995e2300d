"""MultiheadAttention: its parameters, its heads, masks of each rank, other sequences, and what is refused."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.steps import assert_twins, pair, training_step
from tinygrad_nn import nn
from tinygrad_nn.errors import DtypeError, ShapeError

X = np.random.default_rng(0).normal(size=(2, 5, 6))
OTHER = np.random.default_rng(1).normal(size=(2, 3, 6))


def layer(**options):
    return nn.MultiheadAttention(6, 2, rng=0, dtype=np.float64, **options)


def by_hand(layer, query, key, value, mask=True):
    q, k, v = (
        x @ w + b
        for x, w, b in zip(
            (query, key, value),
            np.split(layer.in_proj_weight.data, 3, axis=1),
            np.split(layer.in_proj_bias.data, 3),
            strict=True,
        )
    )
    heads = []
    for columns in (slice(0, 3), slice(3, 6)):
        scores = q[..., columns] @ k[..., columns].swapaxes(-1, -2) / np.sqrt(3)
        weights = np.exp(scores) * mask
        heads.append(weights / weights.sum(axis=-1, keepdims=True) @ v[..., columns])
    return np.concatenate(heads, axis=-1) @ layer.out_proj.weight.data + layer.out_proj.bias.data


def test_heads_are_slices_of_the_features():
    attend = layer()
    for parameter in attend.parameters():
        parameter.data[...] = np.random.default_rng(parameter.size).normal(size=parameter.shape)
    np.testing.assert_allclose(attend(X).data, by_hand(attend, X, X, X))
    np.testing.assert_allclose(attend(X, OTHER).data, by_hand(attend, X, OTHER, OTHER))
    np.testing.assert_allclose(attend(X, OTHER, 2 * OTHER).data, by_hand(attend, X, OTHER, 2 * OTHER))
    np.testing.assert_allclose(attend(X, causal=True).data, by_hand(attend, X, X, X, np.tri(5)))


def test_masks_are_for_all_samples_for_each_or_for_each_head():
    attend, seen = layer(), np.random.default_rng(2).random((2, 2, 5, 5)) < 0.7
    seen |= np.eye(5, dtype=bool)
    each = attend(X, mask=seen[:, 0]).data
    np.testing.assert_array_equal(each, attend(X, mask=seen[:, :1]).data)
    np.testing.assert_array_equal(attend(X[1:], mask=seen[1, 0]).data, each[1:])
    np.testing.assert_allclose(each, by_hand(attend, X, X, X, seen[:, 0]))
    padded = np.array([[True] * 5, [True] * 3 + [False] * 2])
    np.testing.assert_allclose(
        attend(X, mask=padded[:, None, :]).data[1, :3], attend(X[1:, :3]).data[0], rtol=1e-10
    )
    np.testing.assert_array_equal(
        attend(X, mask=tn.tensor(seen[:, 0])).data, attend(X, mask=seen[:, 0].tolist()).data
    )


def test_a_sequence_may_come_without_a_batch():
    np.testing.assert_allclose(layer()(X[0]).data, layer()(X).data[0])


def test_parameters_are_those_of_pytorch_by_name():
    shapes = {name: p.shape for name, p in layer().named_parameters()}
    assert shapes == {
        "in_proj_weight": (6, 18),
        "in_proj_bias": (18,),
        "out_proj.weight": (6, 6),
        "out_proj.bias": (6,),
    }
    assert list(dict(layer(bias=False).named_parameters())) == ["in_proj_weight", "out_proj.weight"]
    assert not layer(init=nn.init.zeros()).in_proj_weight.data.any()
    assert nn.MultiheadAttention(6, 2)(X).dtype == np.float32


def test_what_does_not_fit_the_layer_is_refused():
    with pytest.raises(ValueError, match="embed_dim=6 features are not shared out evenly among num_heads=4"):
        nn.MultiheadAttention(6, 4)
    for sizes in ((0, 1), (6, 0), (6, 2.0)):
        with pytest.raises(ValueError, match="MultiheadAttention: .* is a positive integer"):
            nn.MultiheadAttention(*sizes)
    with pytest.raises(ShapeError, match=r"takes \(N, T, 6\), the key has shape \(2, 5, 4\)"):
        layer()(X, X[..., :4])
    with pytest.raises(ShapeError, match=r"takes \(N, T, 6\), the query has shape \(6,\)"):
        layer()(X[0, 0])
    with pytest.raises(ShapeError, match=r"shape \(2, 5\)\n  hint   nn\.Embedding\(symbols, 6\) before it"):
        layer()(np.zeros((2, 5), int))
    with pytest.raises(ShapeError, match=r"hint   features are on the last axis: np\.moveaxis\(x, 1, -1\)"):
        layer()(np.zeros((2, 6, 5)))
    with pytest.raises(ShapeError, match=r"a mask of shape \(2, 5\) .*\n  hint   mask\[:, None, :\]"):
        layer()(X, mask=np.ones((2, 5), bool))
    with pytest.raises(DtypeError, match=r"mask.astype\(bool\)"):
        layer()(X, mask=np.ones((5, 5), int))


class _Reader(nn.Module):
    """Ids (N, T) to logits (N * T, characters), with one table at both ends."""

    def __init__(self):
        options = {"rng": np.random.default_rng(0), "dtype": np.float64}
        self.table = nn.Embedding(7, 4, **options)
        self.norms = [nn.LayerNorm(4, dtype=np.float64), nn.RMSNorm(4, dtype=np.float64)]
        self.attend = nn.MultiheadAttention(4, 2, **options)
        self.gelu = nn.GELU(approximate="tanh")

    def forward(self, ids):
        x = self.table(ids)
        x = x + self.gelu(self.attend(self.norms[0](x), causal=True))
        return (self.norms[1](x) @ self.table.weight.T).reshape(-1, 7)


def test_a_training_step_of_a_model_that_attends_is_replayed(backend):
    def make():
        model = _Reader()
        optimizer = tn.optim.SGD(model.parameters(), lr=0.1)
        return model, optimizer, training_step(model, optimizer)

    (model, _, step), (twin, _, compiled) = pair(make, backend)
    rng = np.random.default_rng(3)
    for _ in range(4):
        ids, following = rng.integers(7, size=(2, 3, 5))
        expected = step(ids, following.reshape(-1))
        found = compiled(ids, following.reshape(-1))
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-10)
    assert_twins(model, twin, rtol=1e-9)
