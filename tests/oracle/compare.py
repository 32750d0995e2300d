"""Value and gradients of an op, here and in another library, on the op's own samples."""

from dataclasses import dataclass

import numpy as np

import tinygrad_nn as tn
from tests.support.op_calls import calls_of
from tinygrad_nn.engine import trees
from tinygrad_nn.engine.tensor import apply
from tinygrad_nn.primitives.composite import Composite
from tinygrad_nn.primitives.record import REGISTRY

TOLERANCE = 1e-10
RECORDS = {
    record.name: record
    for record in dict.fromkeys(REGISTRY.values())
    if record.differentiable and not getattr(record, "writes", ())
}
NORMS = """
column_moments scaled_columns column_products normalising_columns batch_norm group_norm
maximum.accumulate minimum.accumulate logaddexp.accumulate cumlogsumexp resampled_axis spread_axis resize dropout
"""
OURS_ALONE = {
    "quotient": "division where a zero cotangent stays zero; np.divide is compared",
    "product": "multiplication where a zero cotangent stays zero; np.multiply is compared",
    "both": "multiplication where a zero on either side stays zero; np.multiply is compared",
    "part": "division where a length of zero has no slope; np.divide and norms are compared",
    "used": "matrices as they are, but infinite ones that nobody asked for; inv and solve are compared",
    "sum_to": "un-broadcasting, a duty of the engine that other libraries keep inside",
    "scatter": "the adjoint of getitem, whose gradient is compared",
    "add_along_axis": "the adjoint of take_along_axis, whose gradient is compared",
    "on_diagonal": "the adjoint of diagonal, whose gradient is compared",
    "recurrence": "the adjoint of cumprod, whose gradient is compared",
    "cofactors": "the gradient of det, which is compared",
    "cofactor_change": "the second derivative of det, which is compared",
    "sign_and_log_det": "a part of slogdet, which is compared",
    "q_and_r": "both results of qr, side by side",
    "values_and_vectors": "both results of eigh, side by side",
    "singular_values_and_vectors": "all results of svd, side by side",
    "over_differences": "a part of the gradients of eigh and svd",
    "sine_over_angle": "what sinc is made of",
    "get_written": "the adjoint of set_at, whose gradient is compared",
    "sinc_derivative": "the gradient of sinc, which is compared",
    "bessel_i": "the gradient of i0 and i1, which are compared",
    "real": "the identity on real numbers",
    "imag": "zero on real numbers",
    "angle": "constant on real numbers",
    "copy": "the identity",
    "piecewise": "its calls hold functions of NumPy",
    "standardized": "a part of layer_norm, which is compared",
    "in_unit_squares": "a part of rms_norm, which is compared",
    "softmax_of_some": "a part of attention, which is compared",
    **dict.fromkeys(
        ["lstm", "lstm_states", "gru", "gru_states", "rnn", "rnn_states"],
        "test_recurrent_torch.py compares them in many settings",
    ),
    **dict.fromkeys(
        ["lstm_gates", "lstm_back", "gru_gates", "gru_back", "rnn_back"],
        "a part of a recurrent network, which is compared",
    ),
    "minus_one_hot": "a part of the gradient of cross_entropy, which is compared",
    "gelu_tanh_slope": "the gradient of gelu_tanh, which is compared",
    "softmax_back": "the gradient of softmax, which is compared",
    "standardized_back": "the gradient of layer_norm, which is compared",
    "means_of_rows": "a mean over two axes, which is compared",
    **dict.fromkeys(NORMS.split(), "test_norms_torch.py compares it, or what is made of it"),
    **dict.fromkeys(
        [
            *("conv", "conv_transpose", "convolution", "transposed_convolution", "weights_of_convolution"),
            *("sliding_window_view", "overlap_add", "max_pool", "avg_pool", "largest", "taken_at", "put_at"),
            *("averages", "spread", "biased_convolution"),
        ],
        "compared in test_convolution_torch.py, on settings of its own",
    ),
}


@dataclass
class Disagreement:
    """The largest difference, absolute and relative to the largest entry, of one op from another library."""

    absolute: float = 0.0
    relative: float = 0.0
    calls: int = 0

    def add(self, found, expected, what):
        """Take in one array; NaN and infinities have to be the same."""
        assert found.shape == expected.shape, f"{what}: shape {found.shape}, the oracle has {expected.shape}"
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.where(finite, 0, found), np.where(finite, 0, expected), err_msg=what)
        if finite.any():
            difference = float(np.abs(found[finite] - expected[finite]).max())
            self.absolute = max(self.absolute, difference)
            self.relative = max(self.relative, difference / max(1.0, float(np.abs(expected[finite]).max())))


def _is_float_array(x):
    return getattr(x, "dtype", np.dtype(bool)).kind == "f"


def floats(x):
    """Return the floating arrays among nested operands."""
    return [np.asarray(part) for part in trees.leaves(x) if _is_float_array(part)]


def replace(x, arrays):
    """Return nested operands with their floating arrays replaced, in order, by those of an iterator."""
    return trees.mapped(lambda part: next(arrays) if _is_float_array(part) else part, x)


def _pairs(a, b):
    """Return all products of an element of a with one of b, column by column: a sign of both columns is not in them."""
    return a[..., :, None, :] * b[..., None, :, :]


def _turned(a):
    return a.swapaxes(-1, -2)


def _of_svd(*parts):
    # The values alone, or the vectors too, of which those outside of the matrix's own space are not unique.
    if len(parts) == 1:
        return parts
    u, s, vh = parts
    k = s.shape[-1]
    u, v = u[..., :k], _turned(vh)[..., :k]
    return [s, _pairs(u, u), _pairs(u, v), _pairs(v, v)]


def _of_qr(*parts):
    # The triangle alone, beside which PyTorch has a vector without elements, or both factors.
    q, columns = parts[0], _turned(parts[-1])
    if len(parts) == 1 or q.ndim < 2:
        return [_pairs(columns, columns)]
    return [_pairs(q, q), _pairs(q, columns)]


UNIQUE = {
    "eigh": lambda values, vectors: [values, _pairs(vectors, vectors)],
    "svd": _of_svd,
    "qr": _of_qr,
    "lstsq": lambda x, rest, rank, values: [x, rest, values],
}
"""What the results of an op have in common in all libraries: vectors have no sign, a rank has no gradient."""


def results(name, y):
    """Return a list of the results of an op, also of one, as far as they are unique."""
    parts = list(y) if isinstance(y, (list, tuple)) else [y]
    return UNIQUE[name](*parts) if name in UNIQUE else parts


def ours(record, operands, params, cotangents):
    """Return values and gradients as this library has them."""
    leaves = [tn.tensor(x, requires_grad=True) for x in floats(operands)]
    given = replace(tuple(operands), iter(leaves))
    with np.errstate(all="ignore"):
        y = (
            record.function(*given, **params)
            if isinstance(record, Composite)
            else apply(record, given, params)
        )
        parts = results(record.name, y)
        total = sum(
            ((part * g).sum() for part, g in zip(parts, cotangents(parts), strict=True)),
            tn.tensor(np.zeros(())),
        )
        gradients = tn.gradients(total, leaves)
    return [part.data for part in parts], [g.data for g in gradients]


def _as_constants(record, operands):
    """Return operands with those that have no derivative rule as plain numbers."""
    if isinstance(record, Composite) or record.variadic:
        return tuple(operands)
    return tuple(
        x.tolist() if rule is None and floats(x) else x
        for x, rule in zip(operands, record.rules, strict=True)
    )


def compare(name, oracle, takes=lambda operands, params: True):
    """Return how far an op is from `oracle(operands, params, cotangents) -> (values, gradients)`.

    Calls that the other library does not take are left out; `calls` counts those that remain.
    """
    record = RECORDS[name]
    rng = np.random.default_rng(7)
    worst = Disagreement()
    for operands, params in calls_of(record, rng):
        operands = _as_constants(record, operands)
        if not takes(operands, params):
            continue
        drawn = []

        def cotangents(parts, drawn=drawn):
            if not drawn:
                drawn.extend(rng.normal(size=np.shape(part)) for part in parts)
            return drawn

        values, gradients = ours(record, operands, params, cotangents)
        expected = oracle(operands, params, drawn)
        what = f"{name} {[x.shape for x in floats(operands)]} {params}"
        for kind, found, other in (("value", values, expected[0]), ("gradient", gradients, expected[1])):
            for a, b in zip(found, other, strict=True):
                worst.add(a, np.asarray(b), f"{kind} of {what}")
        worst.calls += 1
    return worst
