"""PyTorch as an oracle for what sequences need: norms, embeddings and attention, in random settings to second order."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinygrad_nn[oracle]'")
F = torch.nn.functional
TOLERANCE = 1e-10
SETTINGS = range(100)


@pytest.fixture(autouse=True)
def plain_attention():
    """The one of PyTorch's kernels that has second derivatives."""
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        yield


def assert_close(found, expected, what):
    expected = expected.detach().numpy()
    assert found.shape == expected.shape, what
    size = max(1.0, np.abs(expected).max(initial=0))
    assert np.abs(found.data - expected).max(initial=0) <= TOLERANCE * size, what


def compare(ours, theirs, arrays, rng):
    """Compare a function's value, its gradients in all arrays, and those of a sum of these, weighted at random."""
    xs = [tn.tensor(x, requires_grad=True) for x in arrays]
    ts = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, z = ours(*xs), theirs(*ts)
    assert_close(y, z, "value")
    g = rng.normal(size=y.shape)
    first = tn.gradients(y, xs, cotangent=g, create_graph=True)
    expected = torch.autograd.grad(z, ts, torch.as_tensor(g), create_graph=True)
    for k, (a, b) in enumerate(zip(first, expected, strict=True)):
        assert_close(a, b, f"gradient {k}")
    weights = [rng.normal(size=x.shape) for x in arrays]
    total = sum(((a * w).sum() for a, w in zip(first, weights, strict=True)), tn.tensor(np.zeros(())))
    other = sum((b * torch.as_tensor(w)).sum() for b, w in zip(expected, weights, strict=True))
    if not other.requires_grad:
        assert not total.requires_grad or not any(g.data.any() for g in tn.gradients(total, xs))
        return
    second = tn.gradients(total, xs)
    expected = torch.autograd.grad(other, ts, allow_unused=True, materialize_grads=True)
    for k, (a, b) in enumerate(zip(second, expected, strict=True)):
        assert_close(a, b, f"second derivative {k}")


def drawn_shape(rng, axes, high=5):
    return tuple(int(n) for n in rng.integers(1, high, axes))


@pytest.mark.parametrize("seed", SETTINGS)
def test_layer_norm_is_that_of_pytorch(seed):
    rng = np.random.default_rng(seed)
    shape = (*drawn_shape(rng, rng.integers(0, 3)), int(rng.integers(2, 9)))
    if seed % 20 == 3:
        shape = (0, *shape[-1:])
    x = rng.normal(rng.choice([0, 5]), rng.choice([0.1, 1, 10]), shape)
    affine = [rng.normal(size=shape[-1:]) for _ in range(rng.integers(0, 3))]
    eps = float(rng.choice([1e-5, 1e-2]))
    compare(
        lambda x, *affine: tn.layer_norm(x, *affine, eps=eps),
        lambda x, *affine: F.layer_norm(x, shape[-1:], *affine, eps=eps),
        [x, *affine],
        rng,
    )


@pytest.mark.parametrize("seed", SETTINGS)
def test_rms_norm_is_that_of_pytorch(seed):
    rng = np.random.default_rng(seed)
    shape = (*drawn_shape(rng, rng.integers(0, 3)), int(rng.integers(2, 9)))
    x = rng.normal(0, rng.choice([0.1, 1, 10]), shape)
    weight = [rng.normal(size=shape[-1:])] * int(rng.integers(0, 2))
    eps = None if seed % 2 else 1e-3
    compare(
        lambda x, *weight: tn.rms_norm(x, *weight, eps=eps),
        lambda x, *weight: F.rms_norm(x, shape[-1:], *weight, eps=eps),
        [x, *weight],
        rng,
    )


@pytest.mark.parametrize("seed", SETTINGS)
def test_embedding_is_that_of_pytorch(seed):
    rng = np.random.default_rng(seed)
    rows, features = drawn_shape(rng, 2, 8)
    ids = rng.integers(0, rows, drawn_shape(rng, rng.integers(0, 4)))
    compare(
        lambda weight: tn.embedding(weight, ids) ** 2,
        lambda weight: F.embedding(torch.as_tensor(ids), weight) ** 2,
        [rng.normal(size=(rows, features))],
        rng,
    )
    np.testing.assert_array_equal(tn.one_hot(ids, rows), F.one_hot(torch.as_tensor(ids), rows).numpy())


@pytest.mark.parametrize("seed", range(200))
def test_attention_is_that_of_pytorch(seed):
    rng = np.random.default_rng(seed)
    batch = drawn_shape(rng, rng.integers(0, 3))
    queries, keys, features, outputs = drawn_shape(rng, 4, 7)
    arrays = [
        rng.normal(size=(*batch, *shape))
        for shape in ((queries, features), (keys, features), (keys, outputs))
    ]
    kind = ("none", "causal", "boolean", "float", "infinite")[seed % 5]
    shape = [(queries, keys), (*batch, queries, keys), (keys,)][seed % 3]
    mask = None
    if kind in ("boolean", "infinite"):
        # Some rows have no key.
        mask = rng.random(shape) < 0.6
    if kind == "infinite":
        mask = np.where(mask, rng.normal(size=shape), -np.inf)
    if kind == "float":
        arrays.append(rng.normal(size=shape))
    compare(
        lambda q, k, v, *added: tn.attention(q, k, v, *(added or (mask,)), causal=kind == "causal"),
        lambda q, k, v, *added: F.scaled_dot_product_attention(
            q,
            k,
            v,
            *(added or (None if mask is None else torch.as_tensor(mask),)),
            is_causal=kind == "causal",
        ),
        arrays,
        rng,
    )


def torch_weights(layer):
    """Return the parameters of a MultiheadAttention as PyTorch has them."""
    return [torch.tensor(p.data.T.copy(), requires_grad=True) for p in layer.parameters()]


def torch_attention(query, key, value, parameters, heads, seen):
    """PyTorch's own function of multi-head attention; `seen` is True where a key takes part."""
    weight, bias, out_weight, out_bias = parameters
    y, _ = F.multi_head_attention_forward(
        *(x.swapaxes(0, 1) for x in (query, key, value)),
        query.shape[-1],
        heads,
        weight,
        bias,
        None,
        None,
        False,
        0.0,
        out_weight,
        out_bias,
        attn_mask=None if seen is None else ~seen,
        need_weights=False,
    )
    return y.swapaxes(0, 1)


@pytest.mark.parametrize("seed", SETTINGS)
def test_multihead_attention_is_that_of_pytorch(seed):
    rng = np.random.default_rng(seed)
    heads = int(rng.integers(1, 4))
    features = heads * int(rng.integers(1, 4))
    count, queries, keys = drawn_shape(rng, 3)
    layer = nn.MultiheadAttention(features, heads, rng=rng, dtype=np.float64)
    kind = ("self", "cross", "causal", "mask")[seed % 4]
    keys = queries if kind in ("self", "causal") else keys
    seen = None
    if kind == "causal":
        seen = np.tri(queries, keys, dtype=bool)
    if kind == "mask":
        seen = rng.random((queries, keys)) < 0.6
        seen[:, 0] = True
    lengths = (queries,) if kind in ("self", "causal") else (queries, keys, keys)
    arrays = [rng.normal(size=(count, n, features)) for n in lengths]
    parameters = [rng.normal(size=p.shape) for p in layer.parameters()]

    def ours(*xs):
        given, values = xs[: len(arrays)], xs[len(arrays) :]
        layer.in_proj_weight, layer.in_proj_bias, layer.out_proj.weight, layer.out_proj.bias = values
        return layer(*given, mask=seen if kind == "mask" else None, causal=kind == "causal")

    def theirs(*xs):
        given, values = xs[: len(arrays)], [p.T if p.ndim == 2 else p for p in xs[len(arrays) :]]
        given = given * 3 if len(given) == 1 else given
        return torch_attention(*given, values, heads, None if seen is None else torch.as_tensor(seen))

    compare(ours, theirs, arrays + parameters, rng)
