"""Tensors have the array API standard's namespace: NumPy's results, with gradients."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import errors

STANDARD = """
__array_namespace_info__ abs acos acosh add all any arange argmax argmin argsort asarray asin asinh astype atan
atan2 atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor
broadcast_arrays broadcast_to can_cast ceil clip concat copysign cos cosh count_nonzero cumulative_prod
cumulative_sum diff divide empty empty_like equal exp expand_dims expm1 eye finfo flip floor floor_divide
from_dlpack full full_like greater greater_equal hypot iinfo isdtype isfinite isinf isnan less less_equal linspace
log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor matmul matrix_transpose max maximum
mean meshgrid min minimum moveaxis multiply negative nextafter nonzero not_equal ones ones_like permute_dims
positive pow prod reciprocal remainder repeat reshape result_type roll round searchsorted sign signbit sin sinh
sort sqrt square squeeze stack std subtract sum take take_along_axis tan tanh tensordot tile tril triu trunc
unique_all unique_counts unique_inverse unique_values unstack var vecdot where zeros zeros_like bool int8 int16
int32 int64 uint8 uint16 uint32 uint64 float32 float64 e inf nan newaxis pi
"""
"""Functions, dtypes and constants of version 2024.12, without those of complex numbers: conj, imag, real, complex64
and complex128."""

LINALG = """
cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank matrix_transpose outer
pinv qr slogdet solve svd svdvals tensordot trace vecdot vector_norm
"""

xp = tn.tensor([1.0]).__array_namespace__()
X = np.array([[4.0, 1.0], [0.5, 3.0]])
T = tn.as_tensor(X)
N = tn.as_tensor(np.array([3, 1, 2, 1]))
V = tn.as_tensor(np.array([1.0, 2.0, 3.0]))

SIMPLE = "exp sum mean max sort argsort flip tril unique_values abs"

CALLS = {
    **{name: (lambda f: f(T)) for name in SIMPLE.split()},
    "concat": lambda f: f([T, T], axis=1),
    "permute_dims": lambda f: f(T, (1, 0)),
    "matmul": lambda f: f(T, T),
    "pow": lambda f: f(T, 2),
    "where": lambda f: f(T > 1, T, 0.0),
    "take": lambda f: f(V, N[1:] - 1),
    "repeat": lambda f: f(V, 2),
    "cumulative_sum": lambda f: f(V),
    "searchsorted": lambda f: f(V, V),
    "nonzero": lambda f: f(T),
    "unstack": lambda f: f(T, axis=0),
    "meshgrid": lambda f: f(V, V),
    "linspace": lambda f: f(0.0, 1.0, 5),
    "arange": lambda f: f(3),
    "eye": lambda f: f(3),
    "zeros_like": lambda f: f(T),
}


def plain(x):
    if isinstance(x, (list, tuple)):
        return [plain(item) for item in x]
    assert isinstance(x, tn.Tensor)
    return np.asarray(x)


@pytest.mark.parametrize("name", STANDARD.split())
def test_a_name_of_the_standard_is_there(name):
    assert hasattr(xp, name) or not hasattr(np, name)
    if callable(getattr(xp, name, None)) and not isinstance(getattr(xp, name), type):
        assert getattr(xp, name).__name__


@pytest.mark.parametrize("name", LINALG.split())
def test_a_name_of_linear_algebra_is_there(name):
    assert callable(getattr(xp.linalg, name))


@pytest.mark.parametrize("name", [name for name in CALLS if hasattr(np, name)])
def test_a_function_gives_tensors_of_what_numpy_gives(name):
    call = CALLS[name]
    mine = plain(call(getattr(xp, name)))

    def on_arrays(*args, **params):
        return getattr(np, name)(*[a.data if isinstance(a, tn.Tensor) else a for a in args], **params)

    theirs = np.concat([X, X], axis=1) if name == "concat" else call(on_arrays)
    if isinstance(mine, list):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_array_equal(mine, theirs)


def test_gradients_go_through_the_namespace():
    x = tn.tensor(X, requires_grad=True)
    xp.linalg.det(xp.matmul(x, xp.matrix_transpose(x))).backward()
    assert tn.interop.xp is xp
    np.testing.assert_allclose(x.grad, 2 * np.linalg.det(X) ** 2 * np.linalg.inv(X).T)


def test_elements_in_falling_order_keep_the_order_of_equal_ones():
    np.testing.assert_array_equal(xp.argsort(N, descending=True).data, [0, 2, 1, 3])
    np.testing.assert_array_equal(xp.sort(N, descending=True).data, [3, 2, 1, 1])


def test_spread_takes_a_correction():
    np.testing.assert_allclose(xp.var(V, correction=1).data, np.var(V.data, ddof=1))
    np.testing.assert_allclose(xp.std(V, correction=1).data, np.std(V.data, ddof=1))


def test_dtypes_are_told_of_tensors_and_of_names():
    assert xp.result_type(V, xp.float32) == np.float64
    assert xp.finfo(V).bits == 64
    assert xp.iinfo(N).bits == 64
    assert xp.isdtype(V.dtype, "real floating")
    assert xp.can_cast(N, xp.float64)
    assert xp.astype(V, xp.float64, copy=False) is V
    assert xp.astype(V, xp.float32).dtype == np.float32
    assert xp.isin(N, [1]).data.tolist() == [False, True, False, True]
    assert xp.broadcast_shapes((2, 1), (3,)) == (2, 3)


def test_arrays_become_tensors_with_or_without_a_copy():
    assert xp.asarray(V) is V
    assert xp.asarray(V, copy=True) is not V
    assert xp.asarray([1.0, 2.0]).dtype == np.float64
    shared = xp.asarray(X, copy=False)
    assert np.shares_memory(shared.data, X)
    with pytest.raises(errors.ArgumentError, match="list becomes an array by a copy"):
        xp.asarray([1.0], copy=False)
    with pytest.raises(errors.ArgumentError, match="float64 becomes float32 by a copy"):
        xp.asarray(V, dtype=xp.float32, copy=False)
    with pytest.raises(errors.SettingError, match="there is one device, 'cpu', got 'gpu'"):
        xp.ones(3, device="gpu")


def test_other_versions_of_the_standard_are_refused():
    assert V.__array_namespace__(api_version="2024.12") is xp
    with pytest.raises(errors.SettingError, match="version 2024.12 of the array API, got '1999.01'"):
        V.__array_namespace__(api_version="1999.01")


def test_tensors_are_handed_over_without_a_copy():
    t = tn.as_tensor(np.array([1.0, 2.0]))
    assert t.__dlpack_device__() == (1, 0)
    assert np.shares_memory(np.from_dlpack(t), t.data)
    back = xp.from_dlpack(t)
    assert np.shares_memory(back.data, t.data)


def test_a_tensor_that_requires_grad_is_not_handed_over():
    t = tn.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(BufferError, match="would lose its gradient"):
        np.from_dlpack(t)
    np.from_dlpack(t.detach())
