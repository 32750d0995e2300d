"""PyTorch as an oracle: values and gradients of every op that it has, in float64."""

from functools import partial

import numpy as np
import pytest

from tests.oracle.compare import OURS_ALONE, RECORDS, TOLERANCE, compare, floats, replace, results
from tinygrad_nn.ops.indexing import _filled

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'tinygrad_nn[oracle]'")
F = torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore")  # what the oracle warns of is its own affair

BY_JAX = """
select meshgrid fftshift ifftshift append block polyval gradient rollaxis rot90 cross linalg.cross linalg.tensordot
set_at atleast_3d unstack cumulative_sum cumulative_prod max_of_some min_of_some sum_of_some prod_of_some
mean_of_some var_of_some std_of_some nanmedian nanquantile nanpercentile nanprod nanvar nanstd nanmax nanmin
nancumsum nancumprod
"""
NOT_IN_TORCH = {
    "cbrt": "PyTorch has no cbrt",
    "fabs": "the same op as absolute here",
    "conjugate": "the identity on real numbers",
    "heaviside": "PyTorch has no derivative of it",
    "floor_divide": "PyTorch has no derivative of it",
    "ptp": "PyTorch has no ptp",
    "astype": "a cast between float64 and float64 is the identity",
    "ravel": "reshape is compared",
    "matrix_transpose": "swapaxes is compared",
    "roll": "with several axes and with the flattened array JAX is compared",
    "array_split": "JAX is compared",
    "pad": "PyTorch pads from the last axis, and not all modes in all ranks; JAX is compared",
    "average": "PyTorch has no weighted mean; JAX is compared",
    "vander": "PyTorch overwrites what its own backward needs; JAX is compared",
    "interp": "PyTorch has no interp; JAX is compared",
    **dict.fromkeys(BY_JAX.split(), "JAX is compared"),
    "median": "of two elements in the middle PyTorch takes the lower",
}


def _dims(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)


def _reduction(function):
    return lambda x, axis=None, keepdims=False: (
        function(x, dim=_dims(x, axis), keepdim=keepdims) if x.ndim else x * 1
    )


def _prod(x, axis=None, keepdims=False):
    for k in sorted((k % x.ndim for k in _dims(x, axis)), reverse=True) if x.ndim else ():
        x = torch.prod(x, dim=k, keepdim=keepdims)
    return x


def _spread(function):
    return lambda x, axis=None, ddof=0, keepdims=False: function(
        x, dim=_dims(x, axis), correction=ddof, keepdim=keepdims
    )


def _norm(x, ord=2, axis=None, keepdims=False):
    return torch.linalg.vector_norm(x, ord=ord, dim=None if axis is None else axis, keepdim=keepdims)


def _derived(function, x, order):
    y = function(x)
    for _ in range(order):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return y


def _running(function):
    return lambda x, axis=None: function(x.reshape(-1), 0) if axis is None else function(x, axis)


def _flat(function):
    return lambda a, b: function(a.reshape(-1), b.reshape(-1))


def _general_norm(x, ord=None, axis=None, keepdims=False):
    if ord is None:
        return _norm(x, 2, axis, keepdims)
    return torch.linalg.norm(x, ord, axis, keepdims)


def _reshape(x, shape, order="C"):
    if order == "C":
        return x.reshape(shape)
    return x.permute(*range(x.ndim)[::-1]).reshape(tuple(shape)[::-1]).permute(*range(len(shape))[::-1])


def _flip(x, axis=None):
    return torch.flip(x, _dims(x, axis))


def _expand(x, axis):
    for k in sorted(k % (x.ndim + len(_dims(x, axis))) for k in _dims(x, axis)):
        x = x.unsqueeze(k)
    return x


def _softmax(function):
    def call(x, axis=-1):
        if not isinstance(axis, tuple):
            return function(x, dim=axis)
        moved = torch.movedim(x, axis, tuple(range(-len(axis), 0)))
        flat = function(moved.reshape(*moved.shape[: -len(axis)], -1), dim=-1)
        return torch.movedim(flat.reshape(moved.shape), tuple(range(-len(axis), 0)), axis)

    return call


def _take(x, indices, axis=None):
    indices = torch.as_tensor(np.asarray(indices))
    return x.reshape(-1)[indices] if axis is None else x[(slice(None),) * (axis % x.ndim) + (indices,)]


def _getitem(x, *arrays, index):
    places = np.arange(x.numel()).reshape(tuple(x.shape))[_filled(index, arrays)]
    return x.reshape(-1)[torch.as_tensor(np.array(places))]  # negative steps are not for PyTorch


def _along_axis(x, indices, axis):
    return torch.take_along_dim(x, torch.as_tensor(indices % x.shape[axis]), axis)


def _matrix(function):
    return lambda x, **params: function(x, params.get("k", 0))


def _det(x):
    return torch.linalg.det(x)


def _solve(a, b):
    return torch.linalg.solve(a, b[..., None])[..., 0] if b.ndim == 1 else torch.linalg.solve(a, b)


def _lstsq(a, b):
    x = torch.linalg.lstsq(a, b[..., None] if b.ndim == 1 else b).solution
    x = x[..., 0] if b.ndim == 1 else x
    rest = ((a @ x - b) ** 2).reshape(len(b), -1).sum(0)
    return x, rest if a.shape[0] > a.shape[1] else rest[:0], a.shape[1], torch.linalg.svdvals(a)


def _solve_triangular(a, b, lower=False):
    return torch.linalg.solve_triangular(a, b, upper=not lower)


def _clip(a, low, high):
    low, high = (torch.as_tensor(x, dtype=torch.float64) for x in (low, high))
    return torch.clamp(a, low, high)


def _cross_entropy(logits, labels, reduction="mean"):
    return F.cross_entropy(logits, torch.as_tensor(labels), reduction=reduction)


def _dot(a, b):
    if not a.ndim or not b.ndim:
        return a * b
    return a @ b if b.ndim < 3 else torch.tensordot(a, b, dims=([-1], [-2]))


def _tensordot(a, b, axes=2):
    if not isinstance(axes, int):
        axes = [[k] if isinstance(k, int) else list(k) for k in axes]
    return torch.tensordot(a, b, dims=axes)


def _split(x, sections, axis=0):
    return torch.tensor_split(x, sections, dim=axis)


def _repeat(x, repeats, axis=None):
    repeats = torch.as_tensor(repeats) if isinstance(repeats, np.ndarray) else repeats
    return torch.repeat_interleave(x, repeats, dim=axis)


def _quantile(scale):
    def call(x, q, axis=None, keepdims=False):
        axes = _dims(x, axis)
        rows = torch.movedim(x, axes, tuple(range(-len(axes), 0)))
        rows = rows.reshape(*rows.shape[: x.ndim - len(axes)], -1)
        y = torch.quantile(rows, torch.as_tensor(q, dtype=torch.float64) / scale, dim=-1)
        for k in sorted(k % x.ndim for k in axes) if keepdims else ():
            y = y.unsqueeze(k + np.ndim(q))
        return y

    return call


def _covariances(function):
    def call(x, y=None, rowvar=True, bias=False, ddof=None):
        x = x if rowvar else x.T
        x = x if y is None else torch.cat([x, y[None]])
        params = (
            {} if function is torch.corrcoef else {"correction": ddof if ddof is not None else int(not bias)}
        )
        return function(x, **params)

    return call


def _convolve(a, v, mode="full"):
    if len(a) < len(v):
        a, v = v, a
    y = F.conv1d(a[None, None], v.flip(0)[None, None], padding=len(v) - 1)[0, 0]
    start, length = {
        "full": (0, len(y)),
        "same": ((len(v) - 1) // 2, len(a)),
        "valid": (len(v) - 1, len(a) - len(v) + 1),
    }[mode]
    return y[start : start + length]


def _trapezoid(y, x=None, dx=1.0, axis=-1):
    y = y.movedim(axis, -1)
    if x is None:
        return torch.trapezoid(y, dx=dx)
    return torch.trapezoid(y, x if x.ndim == 1 else x.movedim(axis, -1))


def _diagonal(x, offset=0, axis1=0, axis2=1):
    return torch.diagonal(x, offset, axis1, axis2)


def _reduced(function):
    return lambda x, axis=0, **params: function(x, axis=axis, **params)


def _attention(q, k, v, mask=None, causal=False):
    mask = mask if mask is None else torch.as_tensor(mask)
    if mask is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    if causal:
        # PyTorch takes one or the other.
        seen = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
        mask = mask & seen if mask.dtype == torch.bool else mask.masked_fill(~seen, -torch.inf)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


RENAMED = {
    "erfcx": lambda x, order=0: _derived(torch.special.erfcx, x, order),
    "erfinv": torch.special.erfinv,
    "logit": torch.special.logit,
    "ndtr": torch.special.ndtr,
    "log_ndtr": torch.special.log_ndtr,
    "gammaln": torch.special.gammaln,
    "polygamma": lambda x, order: torch.special.polygamma(order, x),
    "i1": torch.special.i1,
    "diagflat": lambda x, k=0: torch.diagflat(x, k),
    "linalg.diagonal": lambda x, offset=0: torch.linalg.diagonal(x, offset=offset),
    "linalg.trace": lambda x, offset=0: torch.linalg.diagonal(x, offset=offset).sum(-1),
    "linalg.outer": torch.outer,
    "linalg.vecdot": lambda a, b, axis=-1: torch.linalg.vecdot(*torch.broadcast_tensors(a, b), dim=axis),
    "broadcast_arrays": torch.broadcast_tensors,
    "add.reduce": _reduced(_reduction(torch.sum)),
    "multiply.reduce": _reduced(_prod),
    "maximum.reduce": _reduced(_reduction(torch.amax)),
    "minimum.reduce": _reduced(_reduction(torch.amin)),
    "logaddexp.reduce": _reduced(_reduction(torch.logsumexp)),
    "add.accumulate": lambda x, axis=0: torch.cumsum(x, axis),
    "multiply.accumulate": lambda x, axis=0: torch.cumprod(x, axis),
    "cumsum_in_dtype": _running(torch.cumsum),
    "cumprod_in_dtype": _running(torch.cumprod),
    "nansum": _reduction(torch.nansum),
    "nanmean": _reduction(torch.nanmean),
    "quantile": _quantile(1),
    "percentile": _quantile(100),
    "cov": _covariances(torch.cov),
    "corrcoef": _covariances(torch.corrcoef),
    "convolve": _convolve,
    "trapezoid": _trapezoid,
    "full_like": lambda x, fill: fill.broadcast_to(x.shape) * 1,
    "cholesky": torch.linalg.cholesky,
    "slogdet": lambda x: torch.linalg.slogdet(x),
    "absolute": torch.abs,
    "rint": torch.round,
    "degrees": torch.rad2deg,
    "radians": torch.deg2rad,
    "power": torch.pow,
    "sum": _reduction(torch.sum),
    "mean": _reduction(torch.mean),
    "max": _reduction(torch.amax),
    "min": _reduction(torch.amin),
    "logsumexp": _reduction(torch.logsumexp),
    "prod": _prod,
    "var": _spread(torch.var),
    "std": _spread(torch.std),
    "euclidean_norm": _norm,
    "p_norm": _norm,
    "vector_norm": _norm,
    "matrix_norm": lambda x, keepdims=False, ord="fro": torch.linalg.matrix_norm(x, ord, keepdim=keepdims),
    "norm": _general_norm,
    "cumsum": _running(torch.cumsum),
    "cumprod": _running(torch.cumprod),
    "diff": lambda x, n=1, axis=-1: torch.diff(x, n=n, dim=axis),
    "sort": lambda x, axis=-1: (
        torch.sort(x.reshape(-1) if axis is None else x, dim=axis or 0).values
        if axis is None
        else torch.sort(x, dim=axis).values
    ),
    "softplus": lambda x: F.softplus(x, threshold=1e9),
    "log_sigmoid": F.logsigmoid,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_exact": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "softmax": _softmax(torch.softmax),
    "log_softmax": _softmax(torch.log_softmax),
    "round": lambda x, decimals=0: torch.round(x, decimals=decimals),
    "copysign": torch.copysign,
    "ldexp": lambda x, n: torch.ldexp(x, torch.as_tensor(n)),
    "clip": _clip,
    "where": lambda mask, a, b: torch.where(torch.as_tensor(mask), a, b),
    "getitem": _getitem,
    "take": _take,
    "take_along_axis": _along_axis,
    "concatenate": lambda *xs, axis=0: torch.cat(xs, dim=axis),
    "stack": lambda *xs, axis=0: torch.stack(xs, dim=axis),
    "einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
    "reshape": _reshape,
    "transpose": lambda x, axes=None: x.permute(tuple(axes or range(x.ndim)[::-1])),
    "expand_dims": _expand,
    "squeeze": lambda x, axis=None: (
        torch.squeeze(x, _dims(x, axis)) if axis is not None else torch.squeeze(x)
    ),
    "swapaxes": lambda x, axis1, axis2: torch.swapaxes(x, axis1, axis2),
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape if isinstance(shape, tuple) else (shape,)),
    "flip": _flip,
    "tril": _matrix(torch.tril),
    "triu": _matrix(torch.triu),
    "diagonal": _diagonal,
    "trace": lambda x, **params: _diagonal(x, **params).sum(-1),
    "diag": lambda x, k=0: torch.diag(x, k),
    "inv": torch.linalg.inv,
    "solve": _solve,
    "solve_triangular": _solve_triangular,
    "multi_dot": torch.linalg.multi_dot,
    "qr": lambda x, mode="reduced": torch.linalg.qr(x) if mode == "reduced" else torch.linalg.qr(x).R,
    "eigh": lambda x, UPLO="L": torch.linalg.eigh(x, UPLO=UPLO),
    "eigvalsh": lambda x, UPLO="L": torch.linalg.eigvalsh(x, UPLO=UPLO),
    "svd": torch.linalg.svd,
    "svdvals": torch.linalg.svdvals,
    "pinv": torch.linalg.pinv,
    "lstsq": _lstsq,
    "cond": torch.linalg.cond,
    "det": _det,
    "vecdot": lambda a, b: torch.linalg.vecdot(*torch.broadcast_tensors(a, b)),
    "dot": _dot,
    "vdot": _flat(torch.dot),
    "outer": _flat(torch.outer),
    "tensordot": _tensordot,
    "split": _split,
    "tile": lambda x, reps: torch.tile(x, reps if isinstance(reps, tuple) else (reps,)),
    "repeat": _repeat,
    "moveaxis": lambda x, source, destination: torch.movedim(x, source, destination),
    "layer_norm": lambda x, *affine, eps=1e-5: F.layer_norm(x, x.shape[-1:], *affine, eps=eps),
    "rms_norm": lambda x, *weight, eps=None: F.rms_norm(x, x.shape[-1:], *weight, eps=eps),
    "attention": _attention,
    "embedding": lambda weight, ids: weight[torch.as_tensor(ids)],
    "cross_entropy": _cross_entropy,
    "nll": lambda scores, labels: F.nll_loss(scores, torch.as_tensor(labels), reduction="none"),
    "binary_cross_entropy_elements": lambda z, t: F.binary_cross_entropy_with_logits(
        *torch.broadcast_tensors(z, t), reduction="none"
    ),
    "huber_elements": lambda d, delta: F.huber_loss(d, torch.zeros_like(d), reduction="none", delta=delta),
}
NOT_TAKEN = {  # calls that NumPy takes and PyTorch refuses, or reads otherwise
    "sum mean max min prod logsumexp var std": lambda operands, params: params.get("axis") != (),
    "tril triu": lambda operands, params: floats(operands)[0].ndim > 1,
    "p_norm vector_norm norm euclidean_norm": lambda operands, params: operands[0].ndim > 0,
    "quantile percentile": lambda operands, params: "method" not in params,
    "diff": lambda operands, params: len(operands) == 1 and "prepend" not in params,
    "cov": lambda operands, params: len(operands) <= 2 and "fweights" not in params,
    # PyTorch overwrites what its own backward needs of the others.
    "cond": lambda operands, params: params["p"] in (None, 2, -2),
}
DISAGREES = {
    "digamma": "PyTorch's derivative is exact to nine digits",
    "polygamma": "PyTorch's is exact to nine digits",
    "ldexp": "PyTorch's gradient is 0 for negative integer exponents",
}
TAKES = {name: takes for names, takes in NOT_TAKEN.items() for name in names.split()}


def _function(name):
    return RENAMED.get(name) or getattr(torch, name)


def _by_torch(name, operands, params, cotangents):
    xs = [torch.tensor(x, requires_grad=True) for x in floats(operands)]
    y = results(name, _function(name)(*replace(operands, iter(xs)), **params))
    gradients = torch.autograd.grad(
        y, xs, [torch.as_tensor(g) for g in cotangents], allow_unused=True, materialize_grads=True
    )
    return [part.detach().numpy() for part in y], [g.numpy() for g in gradients]


NAMES = [name for name in RECORDS if name not in {**OURS_ALONE, **NOT_IN_TORCH, **DISAGREES}]


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_those_of_pytorch(name):
    worst = compare(name, partial(_by_torch, name), TAKES.get(name, lambda *call: True))
    assert worst.calls > 0
    assert worst.relative <= TOLERANCE, worst


@pytest.mark.parametrize("name", DISAGREES)
def test_declared_disagreements_are_still_there(name):
    worst = compare(name, partial(_by_torch, name), TAKES.get(name, lambda *call: True))
    assert worst.relative > TOLERANCE, "PyTorch agrees now: remove the entry"


def test_every_op_is_compared_or_says_why_not():
    reasons = {**OURS_ALONE, **NOT_IN_TORCH, **DISAGREES}
    assert set(reasons) | set(TAKES) <= set(RECORDS)
    assert set(RENAMED) <= set(NAMES) | set(DISAGREES)
    assert all(reasons.values())
    assert len(NAMES) >= 125
