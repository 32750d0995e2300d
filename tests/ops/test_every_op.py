"""Every registered op goes through the whole battery: a new op needs no new test, only data in its record."""

import numpy as np
import pytest
from hypothesis import settings

from tests.support.op_calls import calls_of
from tinygrad_nn.engine.autodiff import gradients
from tinygrad_nn.engine.tensor import apply, as_tensor
from tinygrad_nn.errors import MatrixError
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY
from tinygrad_nn.testing.battery.calls import renewed
from tinygrad_nn.testing.check_op import check_op

RECORDS = list(dict.fromkeys(REGISTRY.values()))


def derived(report):
    """How many examples had to be compared with numerical derivatives."""
    return report.examples if report.kind in ("differentiable", "zero gradient") else 0


def least_nonzero(report):
    """How many gradients other than zero there have to be, to say something."""
    wanted = max(settings.default.max_examples, (report.examples - report.empty) / 2)
    return wanted if report.kind == "differentiable" else 0


@pytest.mark.usefixtures("without_coverage")
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_op_passes_every_check(record):
    report = check_op(record)
    assert report.examples >= (0 if report.kind == "update" else settings.default.max_examples)
    assert report.checks["value"] == report.examples
    assert report.checks["jacobian"] == derived(report)
    assert report.nonzero >= least_nonzero(report)
    assert report.unchecked == []


@pytest.mark.parametrize("record", [r for r in RECORDS if r.reference is not None], ids=lambda r: r.name)
def test_the_reference_of_an_op_says_the_same_on_the_calls_of_its_record(record):
    calls = calls_of(record, np.random.default_rng(7))
    assert calls
    for operands, params in calls:
        with np.errstate(all="ignore"):
            expected = record.reference(*operands, **renewed(params))
            function = record if isinstance(record, Primitive) else record.function
            result = function(*operands, **renewed(params))
        several = isinstance(expected, (list, tuple))
        for a, b in zip(result, expected, strict=True) if several else [(result, expected)]:
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


PLAIN_PRODUCTS = {"multiply", "matmul", "einsum", "convolve", "recurrence", "cumprod"}
PLAIN_PRODUCTS |= {"lstm_states", "gru_states", "rnn_states"}
PLAIN_PRODUCTS |= {"column_moments", "scaled_columns", "column_products", "cumlogsumexp"}
PLAIN_PRODUCTS |= {"convolution", "biased_convolution", "transposed_convolution", "weights_of_convolution"}
"""Sums of products, whose rules multiply as plainly as they do: see docs/deviations.md."""
BOUNDED = {"log_sigmoid", "sigmoid", "softplus", "tanh"}
"""Their slopes are finite where the operand is no NaN, and every training step pays for them: they multiply plainly."""


def specials(x, op):
    """Yield the array with infinities, zeros and NaN: each everywhere, and all of them at every other place."""
    special = [np.inf, -np.inf, 0.0, *([] if op.name in BOUNDED else [np.nan])]
    for value in special:
        yield np.full(x.shape, value)
    mixed = x.copy()
    mixed.flat[::2] = np.resize(special, mixed.flat[::2].size)
    yield mixed


def places_with_a_rule(op, operands):
    """Return the places of the operands that have a gradient."""
    return [
        k
        for k, x in enumerate(operands)
        if op.rules[0 if op.variadic else k] is not None and np.asarray(x).dtype.kind == "f"
    ]


def special_calls(op):
    """Yield calls of an op: its own, with the special values in one operand and in all of them."""
    for operands, params in calls_of(op, np.random.default_rng(1)):
        real = places_with_a_rule(op, operands)
        choices = [list(specials(np.array(operands[k]), op)) for k in real]
        for which in [*([k] for k in range(len(real))), range(len(real))]:
            for n in range(len(choices[0]) if choices else 0):
                xs = [choices[j][n] if j in which else np.array(operands[k]) for j, k in enumerate(real)]
                yield operands, dict(zip(real, xs, strict=True)), params


@pytest.mark.parametrize(
    "op",
    [r for r in RECORDS if isinstance(r, Primitive) and any(r.rules) and r.name not in PLAIN_PRODUCTS],
    ids=lambda op: op.name,
)
def test_a_zero_cotangent_stays_zero_whatever_the_operands(op):
    looked_at = 0
    for operands, places, params in special_calls(op):
        leaves = {k: as_tensor(x, requires_grad=True) for k, x in places.items()}
        with np.errstate(all="ignore"):
            try:
                y = apply(op, tuple(leaves.get(k, x) for k, x in enumerate(operands)), params)
            except MatrixError:
                continue
            if not y.requires_grad:
                continue
            for g in gradients(y, list(leaves.values()), cotangent=np.zeros(y.shape)):
                np.testing.assert_array_equal(g.data, np.zeros(g.shape))
                looked_at += 1
    assert looked_at


def test_only_sums_of_products_make_nan_of_a_zero_cotangent():
    for name in PLAIN_PRODUCTS:
        found = []
        for operands, places, params in special_calls(REGISTRY[name]):
            leaves = {k: as_tensor(x, requires_grad=True) for k, x in places.items()}
            with np.errstate(all="ignore"):
                y = apply(REGISTRY[name], tuple(leaves.get(k, x) for k, x in enumerate(operands)), params)
                found += gradients(y, list(leaves.values()), cotangent=np.zeros(y.shape))
        assert any(np.isnan(g.data).any() for g in found), f"{name} is no exception any more"


@pytest.mark.parametrize(
    "op",
    [r for r in RECORDS if isinstance(r, Primitive) and r.differentiable and not r.made_of_others],
    ids=lambda op: op.name,
)
def test_a_pull_back_is_linear_at_a_zero_cotangent_too(op):
    rng = np.random.default_rng(3)
    for operands, params in calls_of(op, rng):
        leaves = {k: as_tensor(operands[k], requires_grad=True) for k in places_with_a_rule(op, operands)}
        y = apply(op, tuple(leaves.get(k, x) for k, x in enumerate(operands)), params)
        xs = list(leaves.values())
        directions = [rng.normal(size=x.shape) for x in xs]
        changes = []
        for c in (np.zeros(y.shape), rng.normal(size=y.shape)):
            cotangent = as_tensor(c, requires_grad=True)
            pulled = gradients(y, xs, cotangent=cotangent, create_graph=True)
            total = sum((g * v).sum() for g, v in zip(pulled, directions, strict=True))
            changes.append(gradients(total, cotangent).data if total.requires_grad else np.zeros(y.shape))
        np.testing.assert_allclose(*changes, rtol=1e-9, atol=1e-9)
