"""Dtypes: float32 in, float32 out and float32 gradients, for every op, whatever stands around."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import vector
from tests.support.op_calls import calls_of
from tinygrad_nn.engine.tensor import Tensor, apply
from tinygrad_nn.errors import DtypeError, TinygradError
from tinygrad_nn.primitives.composite import Composite
from tinygrad_nn.primitives.record import REGISTRY

RECORDS = [
    record
    for record in dict.fromkeys(REGISTRY.values())
    if record.differentiable and not getattr(record, "writes", ())
]


def has_no_half_precision(record, operands, params):
    """Tell whether NumPy's linear algebra refuses these arrays in float16."""
    try:
        with np.errstate(all="ignore"):
            (record.key if isinstance(record, Composite) else record.function)(
                *[_cast(x, np.float16, leaf=False) for x in operands], **params
            )
    except TypeError as error:
        return "unsupported in linalg" in str(error)
    return False


CHOSEN = {"astype"}  # its purpose is another dtype


def _cast(x, dtype, leaf):
    """Return x with its arrays in `dtype`, as leaves where `leaf` says so."""
    if isinstance(x, (list, tuple)):
        return type(x)(_cast(part, dtype, leaf) for part in x)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f":
        return tn.tensor(x.astype(dtype), requires_grad=True) if leaf else x.astype(dtype)
    return x


def _leaves(x):
    if isinstance(x, (list, tuple)):
        return [leaf for part in x for leaf in _leaves(part)]
    return [x] if isinstance(x, Tensor) else []


def _call(record, operands, params):
    with np.errstate(all="ignore"):
        y = (
            record.function(*operands, **params)
            if record.made_of_others
            else apply(record, tuple(operands), params)
        )
    return _leaves(y)


def _operands(record, operands, dtype):
    """Return operands as leaves in `dtype`, plain arrays where there is no rule."""
    rules = getattr(record, "rules", None)
    return [
        _cast(x, dtype, record.made_of_others or record.variadic or rules[k] is not None)
        for k, x in enumerate(operands)
    ]


@pytest.mark.case("H132")
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    "record", [r for r in RECORDS if r.name not in CHOSEN], ids=lambda record: record.name
)
def test_every_op_keeps_the_dtype_of_values_and_gradients(record, dtype):
    for operands, params in calls_of(record, np.random.default_rng(0)):
        given = _operands(record, operands, dtype)
        if dtype is np.float16 and has_no_half_precision(record, operands, params):
            with pytest.raises(TinygradError, match="float16"):
                _call(record, given, params)
            continue
        for y in _call(record, given, params):
            assert y.dtype == dtype
            assert y.requires_grad
            leaves = _leaves(given)
            with np.errstate(all="ignore"):
                gradients = tn.gradients(y, leaves, cotangent=np.ones(y.shape, dtype), retain_graph=True)
            assert [g.dtype for g in gradients] == [dtype] * len(leaves)


BINARY = [
    record
    for record in RECORDS
    if not isinstance(record, Composite)
    and len(record.rules) == 2
    and all(record.rules)
    and record.samples is None
]


AROUND = {
    "a Python float": 0.5,
    "a Python integer": 2,
    "np.float64": np.float64(0.5),
    "np.int64": np.int64(2),
    "a 0-d float64 array": np.array(0.5),
    "an integer array": np.array([1, 2, 1]),
}


@pytest.mark.case("H130")
@pytest.mark.parametrize("what", AROUND)
@pytest.mark.parametrize("record", BINARY, ids=lambda record: record.name)
def test_scalars_and_integers_around_do_not_widen_a_float32_tensor(record, what):
    other = AROUND[what]
    for dtype in (np.float32, np.float16):
        for left in (True, False):
            x = tn.tensor(np.array([0.5, 1.5, 2.5], dtype), requires_grad=True)
            with np.errstate(all="ignore"):
                y = record(x, other) if left else record(other, x)
                assert y.dtype == dtype
                y.sum().backward()
            assert x.grad.dtype == dtype


@pytest.mark.case("H134")
def test_small_integers_compute_as_in_numpy():
    image = tn.tensor(np.zeros(2, np.uint8))
    np.testing.assert_array_equal((image - 1).data, [255, 255])
    with pytest.raises(OverflowError):
        image + 300
    assert (image / np.float32(2)).dtype == np.float32


@pytest.mark.case("H136")
def test_complex_numbers_are_refused_not_cut():
    with pytest.raises(DtypeError, match="complex"):
        tn.tensor([1 + 2j])
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    for other in (1j, np.array([1j, 2j]), np.complex64(1j)):
        with pytest.raises(DtypeError, match="complex"):
            x * other
        with pytest.raises(DtypeError, match="complex"):
            np.where(np.array([True, False]), x, other)


def test_the_last_of_several_operands_does_not_decide_the_dtype():
    f = tn.kernel(lambda g, b: g * b, lambda g, a: g * a, lambda g: g, name="fma")(lambda a, b, c: a * b + c)
    assert f(tn.tensor([1.0], requires_grad=True), np.arange(1), 1.0).dtype == np.float32


@pytest.mark.case("H130")
@pytest.mark.parametrize("other", [0.5, 2, np.float64(0.5), np.array(0.5), np.arange(2), True, [0.1, 0.2]])
@pytest.mark.parametrize("swap", [False, True])
def test_scalars_and_integers_never_widen_a_float_tensor(other, swap):
    t = vector(1, 2, dtype=np.float32)
    y = other * t if swap else t * other
    assert isinstance(y, tn.Tensor)
    assert y.dtype == np.float32
    y.sum().backward()
    assert t.grad.dtype == np.float32


def test_arrays_with_dimensions_promote_as_in_numpy():
    assert (vector(1, 2, dtype=np.float32) * np.ones(2)).dtype == np.float64
    assert (tn.tensor([1, 2]) * 0.5).dtype == np.float64
