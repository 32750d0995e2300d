"""Every registered op goes through the whole battery: a new op needs no new test, only data in its record."""

import numpy as np
import pytest
from hypothesis import settings

from tests.support.op_calls import calls_of
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY
from tinygrad_nn.testing.check_op import check_op

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
