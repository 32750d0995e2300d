"""Every registered op goes through the whole battery: a new op needs no new test, only data in its record."""

import numpy as np
import pytest
from hypothesis import settings

from tests.support.op_calls import calls_of
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY
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


@pytest.mark.parametrize("record", [r for r in RECORDS if r.reference is not None], ids=lambda r: r.name)
def test_the_reference_of_an_op_says_the_same_on_the_calls_of_its_record(record):
    calls = calls_of(record, np.random.default_rng(7))
    assert calls
    for operands, params in calls:
        with np.errstate(all="ignore"):
            expected = record.reference(*operands, **params)
            result = (record if isinstance(record, Primitive) else record.function)(*operands, **params)
        several = isinstance(expected, (list, tuple))
        for a, b in zip(result, expected, strict=True) if several else [(result, expected)]:
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
