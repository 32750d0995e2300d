"""Every registered op goes through the whole battery: a new op needs no new test, only data in its record."""

import numpy as np
import pytest
from hypothesis import settings

import tinygrad_nn as tn
from tests.support.op_calls import calls_of
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY
from tinygrad_nn.testing.battery import CHECKS
from tinygrad_nn.testing.check_op import check_op, kind_of

RECORDS = list(dict.fromkeys(REGISTRY.values()))


@pytest.mark.usefixtures("without_coverage")
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_op_passes_every_check(record):
    report = check_op(record)
    if report.kind == "differentiable":
        assert report.checks["jacobian"] == report.examples
        assert 2 * report.nonzero >= report.examples - report.empty
        assert report.nonzero >= settings.default.max_examples
    elif report.kind == "zero gradient":
        assert report.checks["jacobian"] == report.examples


@pytest.mark.parametrize("record", [r for r in RECORDS if r.reference is not None], ids=lambda r: r.name)
def test_the_reference_of_an_op_says_the_same_on_the_calls_of_its_record(record):
    for operands, params in calls_of(record, np.random.default_rng(7)):
        with np.errstate(all="ignore"):
            expected = record.reference(*operands, **params)
            found = (record if isinstance(record, Primitive) else record.function)(*operands, **params)
        parts = (
            zip(found, expected, strict=True) if isinstance(expected, (list, tuple)) else [(found, expected)]
        )
        for a, b in parts:
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


KINDS = {
    "relu": ("differentiable", {"jacobian", "second_order"}),
    "exp": ("differentiable", {"jacobian", "out_argument", "layouts"}),
    "hypot": ("differentiable", {"jacobian", "shared_operand"}),
    "clip": ("differentiable", {"jacobian", "only_where_asked"}),
    "sign": ("zero gradient", {"jacobian", "second_order"}),
    "floor_divide": ("zero gradient", {"jacobian"}),
    "isfinite": ("constant", {"value"}),
    "empty_like": ("constant", {"value"}),
    "argmax": ("constant", {"value"}),
    "astype": ("differentiable", {"jacobian", "layouts"}),
    "norm": ("differentiable", {"value", "jacobian", "second_order", "dtype"}),
    "split": ("differentiable", {"value", "jacobian"}),
    "sgd_update": ("update", set()),
}


@pytest.mark.parametrize("name", KINDS)
def test_an_op_of_each_kind_goes_through_the_checks_that_are_for_it(name):
    kind, checks = KINDS[name]
    report = check_op(name, max_examples=12)
    assert report.kind == kind
    assert checks <= set(report.checks)
    assert (report.examples == 0) is (kind == "update")
    assert (report.nonzero > 0) is (kind == "differentiable")


def test_every_record_is_of_a_kind_that_is_checked():
    assert {kind_of(record) for record in RECORDS} <= {
        "differentiable",
        "zero gradient",
        "constant",
        "update",
    }


def test_every_check_applies_to_some_op():
    applied = set()
    for name in ("multiply", "matmul", "exp", "log", "logsumexp"):
        applied |= set(check_op(name, max_examples=20).checks)
    assert applied == set(CHECKS)


@pytest.fixture
def temporary_ops():
    before = dict(REGISTRY)
    yield
    for key in [key for key in REGISTRY if key not in before]:
        del REGISTRY[key]


def cube(x):
    return x * x * x


@pytest.mark.usefixtures("temporary_ops")
def test_an_op_of_the_user_is_checked_in_one_line():
    op = tn.op(cube, lambda g, x: g * (3 * x * x), reference=lambda x: x**3, method=False)
    assert tn.testing.check_op(op, max_examples=20).nonzero >= 20


@pytest.mark.usefixtures("temporary_ops")
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda g, x: g * (3.001 * x * x), "cube, first order: the gradient is wrong"),
        (lambda g, x: g * g * (3 * x * x), "cube"),
        (lambda g, x: g * (3 * x * x) + 1e-3, "cube"),
        (lambda g, x: g * np.float64(3) * x * x, "dtype"),
        (lambda g, x: np.multiply(g, 3 * x * x, out=g), "cube"),
    ],
    ids=["scaled", "not linear", "offset", "float64", "writes into the cotangent"],
)
def test_a_wrong_rule_of_the_user_is_found(rule, message):
    op = tn.op(cube, rule, reference=lambda x: x**3, method=False)
    with pytest.raises(tn.errors.CheckFailed, match=message) as failure:
        tn.testing.check_op(op, max_examples=20)
    assert "  reproduce" in str(failure.value)
    snippet = str(failure.value).partition("  reproduce\n")[2]
    assert 1 <= len(snippet.splitlines()) <= 10


@pytest.mark.usefixtures("temporary_ops")
def test_the_snippet_of_a_failure_reproduces_it():
    op = tn.op(cube, lambda g, x: g * (3.1 * x * x), reference=lambda x: x**3, method=False)
    with pytest.raises(tn.errors.GradientMismatch) as failure:
        tn.testing.check_op(op, max_examples=5)
    snippet = str(failure.value).partition("  reproduce\n")[2]
    with pytest.raises(tn.errors.GradientMismatch):
        exec("\n".join(line.strip() for line in snippet.splitlines()), {})


def power_of(x, *, n):
    return x**n


@pytest.mark.usefixtures("temporary_ops")
@pytest.mark.parametrize(
    ("function", "rule", "text"),
    [
        (cube, lambda g, x: g * (3 * x * x), "reference=lambda x: ..."),
        (
            power_of,
            lambda g, x, *, n: g * n * x ** (n - 1),
            'samples=lambda rng: [((rng.normal(size=(2, 3)),), {"n": ...})],',
        ),
        (cube, None, "differentiable=False,"),
    ],
    ids=["reference", "samples", "rule"],
)
def test_missing_data_gives_the_text_to_paste(function, rule, text):
    op = tn.op(function, rule, method=False)
    with pytest.raises(tn.errors.CheckFailed) as failure:
        tn.testing.check_op(op)
    assert text in str(failure.value)


@pytest.mark.usefixtures("temporary_ops")
def test_an_op_whose_gradient_is_always_zero_has_to_say_so():
    op = tn.op(cube, lambda g: 0 * g, reference=lambda x: 0 * x, call=lambda x: 0 * x, method=False)
    with pytest.raises(tn.errors.CheckFailed, match="zero_gradient=True"):
        tn.testing.check_op(op, max_examples=10)


def ramp(x):
    return np.maximum(x, 0)


@pytest.mark.usefixtures("temporary_ops")
@pytest.mark.parametrize(("at_zero", "right"), [(0.0, True), (0.5, False), (1.0, False)])
def test_the_slope_that_a_record_declares_at_a_kink_is_checked(at_zero, right):
    op = tn.op(
        ramp, lambda g, x: g * (x > 0), reference=lambda x: (x + abs(x)) / 2, analytic=False,
        kinks={0.0: at_zero}, method=False,
    )  # fmt: skip
    if right:
        assert tn.testing.check_op(op, max_examples=40).kinks > 0
    else:
        with pytest.raises(tn.errors.CheckFailed, match=f"the slope at 0.0 is declared to be {at_zero}, got"):
            tn.testing.check_op(op, max_examples=40)
