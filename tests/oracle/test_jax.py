"""JAX as an oracle: values and gradients of every op that it has, in float64."""

from functools import partial

import numpy as np
import pytest

from tests.oracle.compare import OURS_ALONE, RECORDS, TOLERANCE, compare, floats, replace, results
from tinygrad_nn.ops.indexing import _filled
from tinygrad_nn.primitives.composite import Composite

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install 'tinygrad_nn[oracle]'")
jax.config.update("jax_enable_x64", True)
jnp = jax.numpy
pytestmark = pytest.mark.filterwarnings("ignore")  # what the oracle warns of is its own affair

NOT_IN_JAX = {
    "binary_cross_entropy_elements": "JAX has no losses; PyTorch is compared",
    "huber_elements": "JAX has no losses; PyTorch is compared",
    "cross_entropy": "JAX has no losses; PyTorch is compared",
    **dict.fromkeys(("layer_norm", "rms_norm"), "JAX has no normalisation; PyTorch is compared"),
    "attention": "JAX takes (..., time, heads, features) alone; PyTorch is compared",
    "nll": "JAX has no losses; PyTorch is compared",
    "astype": "a cast between float64 and float64 is the identity",
    "erfcx": "JAX has no erfcx; PyTorch is compared",
    "repeat": "an array of repeats needs a static length in JAX; PyTorch is compared",
}
QUANTILES = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")
NOT_TAKEN = {  # calls that NumPy takes and JAX refuses
    "sum max min prod logsumexp": lambda operands, params: floats(operands)[0].ndim or "axis" not in params,
    "tril triu": lambda operands, params: floats(operands)[0].ndim > 1,
    "meshgrid": lambda operands, params: all(x.ndim == 1 for x in operands),
    "polyval": lambda operands, params: not isinstance(operands[0], list),
    "gradient": lambda operands, params: "edge_order" not in params,
    "quantile percentile nanquantile nanpercentile": lambda operands, params: (
        params.get("method", "linear") in QUANTILES
    ),
}
TAKES = {name: takes for names, takes in NOT_TAKEN.items() for name in names.split()}


def _lstsq(a, b):
    x, rest, rank, values = jnp.linalg.lstsq(a, b)
    # NumPy has no rest of a system that has an exact solution.
    return x, rest if a.shape[0] > a.shape[1] else rest[:0], rank, values


def _flat_norm(x, ord=2, axis=None, keepdims=False):
    return jnp.linalg.vector_norm(x, ord=ord, axis=axis, keepdims=keepdims)


SPECIAL = ("erf", "erfc", "erfinv", "logit", "ndtr", "log_ndtr", "gammaln", "digamma", "i0", "i1")
KERNELS = {
    "embedding": lambda weight, ids: weight[jnp.asarray(ids)],
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "softplus": jax.nn.softplus,
    "log_sigmoid": jax.nn.log_sigmoid,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "gelu": lambda x, approximate="none": jax.nn.gelu(x, approximate=approximate == "tanh"),
    "gelu_exact": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    **{name: getattr(jax.scipy.special, name) for name in SPECIAL},
    "polygamma": lambda x, order: jax.scipy.special.polygamma(order, x),
    "set_at": lambda x, v, *arrays, index: x.at[_filled(index, arrays)].set(v),
    "fftshift": jnp.fft.fftshift,
    "ifftshift": jnp.fft.ifftshift,
    "nanquantile": lambda x, q, **params: jnp.nanquantile(x, jnp.asarray(q), **params),
    "nanpercentile": lambda x, q, **params: jnp.nanpercentile(x, jnp.asarray(q), **params),
    "logaddexp.reduce": lambda x, axis=0, **params: jax.scipy.special.logsumexp(x, axis=axis, **params),
    **{f"{name}.reduce": getattr(jnp, name).reduce for name in ("add", "multiply", "maximum", "minimum")},
    **{f"{name}.accumulate": getattr(jnp, name).accumulate for name in ("add", "multiply")},
    "quantile": lambda x, q, **params: jnp.quantile(x, jnp.asarray(q), **params),
    "percentile": lambda x, q, **params: jnp.percentile(x, jnp.asarray(q), **params),
    "cholesky": jnp.linalg.cholesky,
    "solve_triangular": lambda a, b, lower=False: jnp.vectorize(
        partial(jax.scipy.linalg.solve_triangular, lower=lower), signature="(n,n),(n,k)->(n,k)"
    )(a, b),
    "lstsq": _lstsq,
    "xlogy": jax.scipy.special.xlogy,
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "logsumexp": jax.scipy.special.logsumexp,
    "euclidean_norm": _flat_norm,
    "p_norm": _flat_norm,
    "getitem": lambda x, *arrays, index: x[_filled(index, arrays)],
    "concatenate": lambda *xs, **params: jnp.concatenate(xs, **params),
    "stack": lambda *xs, **params: jnp.stack(xs, **params),
    "einsum": lambda *xs, subscripts: jnp.einsum(subscripts, *xs),
    "reshape": lambda x, shape, order="C": jnp.reshape(x, shape, order=order),
}


def _function(name):
    if name in KERNELS:
        return KERNELS[name]
    record = RECORDS[name]
    key = record.reference if isinstance(record, Composite) else record.key
    home = jnp.linalg if getattr(key, "__module__", "") == "numpy.linalg" else jnp
    return getattr(home, key.__name__)


def _by_jax(name, operands, params, cotangents):
    xs, function = floats(operands), _function(name)
    y, pull = jax.vjp(
        lambda *arrays: results(name, function(*replace(operands, iter(arrays)), **params)),
        *map(jnp.asarray, xs),
    )
    gradients = pull([jnp.asarray(g) for g in cotangents])
    return [np.asarray(part) for part in y], [np.asarray(g) for g in gradients]


NAMES = [name for name in RECORDS if name not in {**OURS_ALONE, **NOT_IN_JAX}]


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_those_of_jax(name):
    worst = compare(name, partial(_by_jax, name), TAKES.get(name, lambda *call: True))
    assert worst.calls > 0
    assert worst.relative <= TOLERANCE, worst


def test_every_op_is_compared_or_says_why_not():
    reasons = {**OURS_ALONE, **NOT_IN_JAX}
    assert set(reasons) | set(TAKES) <= set(RECORDS)
    assert set(KERNELS) <= set(NAMES)
    assert all(reasons.values())
    assert len(NAMES) >= 130
