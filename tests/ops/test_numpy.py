"""NumPy's own functions and calls on tensors: which are there, how they are called, which are refused."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.errors import ArgumentError, MatrixError, NoGradientRule, SettingError, ShapeError
from tinygrad_nn.primitives.record import REGISTRY

NOT_THERE = {
    "divmod": "two results; // and % have them one by one",
    "modf": "two results",
    "frexp": "two results",
    "isnat": "dates",
    "nextafter": "the neighbour of a number has no derivative that means anything",
    "matvec": "not in NumPy 2.0; matmul",
    "vecmat": "not in NumPy 2.0; matmul",
}


def test_every_ufunc_is_registered_or_named_with_a_reason():
    ufuncs = {name for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
    missing = {name for name in ufuncs if getattr(np, name) not in REGISTRY}
    assert missing <= set(NOT_THERE)


METHODS = {
    "all": (), "any": (), "argmax": (), "argmin": (), "argsort": (), "astype": (np.float32,), "clip": (0.2, 0.8),
    "copy": (), "cumprod": (), "cumsum": (), "diagonal": (), "dot": (np.ones(3),), "flatten": (), "max": (),
    "mean": (), "min": (), "prod": (), "ravel": (), "repeat": (2,), "reshape": (3, 2), "round": (1,), "squeeze": (),
    "std": (), "sum": (), "swapaxes": (0, 1), "take": (np.array([0, 3]),), "trace": (), "transpose": (), "var": (),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_arrays_are_methods_of_tensors(name):
    x = np.random.default_rng(0).uniform(size=(2, 3))
    expected = getattr(x, name)(*METHODS[name])
    np.testing.assert_allclose(getattr(tn.tensor(x), name)(*METHODS[name]).data, expected, rtol=1e-14)


@pytest.mark.parametrize(
    "name", ["relu", "softplus", "log_sigmoid", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu"]
)
def test_activations_are_functions_and_methods(name):
    x = np.linspace(-2, 2, 5)
    on_array = getattr(tn, name)(x)
    assert type(on_array) is np.ndarray
    np.testing.assert_array_equal(getattr(tn, name)(tn.tensor(x)).data, on_array)
    np.testing.assert_array_equal(getattr(tn.tensor(x), name)().data, on_array)


REFUSED = {
    "dtype of a ufunc": lambda x: np.exp(x, dtype=np.float64),
    "where of sum": lambda x: np.sum(x, where=np.array([True, False])),
    "initial": lambda x: np.max(x, initial=0.0),
    "dtype of sum": lambda x: np.sum(x, dtype=np.float64),
    "dtype of var": lambda x: np.var(x, dtype=np.float64),
    "mean of var": lambda x: np.var(x, mean=np.array([0.0])),
    "ufunc method": lambda x: np.add.reduce(x),
    "accumulate": lambda x: np.multiply.accumulate(x),
    "mode of take": lambda x: np.take(x, [0], mode="wrap"),
    "order of sort": lambda x: np.sort(x, order="a"),
    "out of median": lambda x: np.median(x, out=np.zeros(())),
    "dtype of einsum": lambda x: np.einsum("i->", x, dtype=np.float64),
    "unknown function": lambda x: np.fft.fft(x),
    "unknown linalg function": lambda x: np.linalg.svd(x[None]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_keywords_without_a_rule_are_refused(name):
    with pytest.raises(NoGradientRule):
        REFUSED[name](tn.tensor([0.5, 0.25], requires_grad=True))


def test_keywords_at_their_defaults_are_taken():
    x = tn.tensor([2.0, 1.0], requires_grad=True)
    assert np.median(x, out=None, overwrite_input=False).item() == 1.5
    assert np.clip(x, 0, 1, out=None).tolist() == [1, 1]
    assert np.sum(x, dtype=None, out=None).item() == 3


@pytest.mark.parametrize("mode", ["linear_ramp", "maximum", "mean", "median", "minimum", "empty"])
def test_padding_modes_without_a_rule_are_refused(mode):
    with pytest.raises(
        NoGradientRule, match=r"modes with a derivative: constant, edge, reflect, symmetric, wrap"
    ):
        np.pad(tn.tensor([1.0, 2.0], requires_grad=True), 1, mode=mode)


@pytest.mark.parametrize("width", [1, (1, 2), ((1, 2),), ((0, 1), (2, 0))])
def test_padding_widths_are_read_as_numpy_reads_them(width):
    x = np.arange(6.0).reshape(2, 3)
    padded = np.pad(x, width, constant_values=5)
    check(lambda t: np.pad(t, width, constant_values=5), [x], padded, np.ones((2, 3)))


@pytest.mark.parametrize("order", [2, -2, "nuc"])
def test_matrix_norms_without_a_rule_are_refused(order):
    with pytest.raises(NoGradientRule, match="'fro', 1, -1, inf, -inf"):
        np.linalg.norm(tn.tensor(np.eye(2), requires_grad=True), order)


def test_std_of_equal_elements_has_no_gradient():
    check(np.std, [[2.0, 2.0, 2.0]], 0, [0, 0, 0])


def test_hypot_and_arctan2_at_the_origin():
    check(np.hypot, [0.0, 0.0], 0, 0, 0)
    check(np.arctan2, [0.0, 0.0], 0, 0, 0)


def test_arctan2_and_arcsinh_do_not_overflow():
    check(np.arctan2, [1e200, 1e200], math.pi / 4, 5e-201, -5e-201)
    check(np.arcsinh, [1e200], np.arcsinh(1e200), 1e-200)


def test_clip_passes_at_its_bounds():
    check(lambda x: np.clip(x, 0, 1), [[-1.0, 0.0, 0.5, 1.0, 2.0]], [0, 0, 0.5, 1, 1], [0, 1, 1, 1, 0])
    x, low, high = np.array([-1.0, 0.5, 2.0]), np.zeros(3), np.ones(3)
    check(np.clip, [x, low, high], [0, 0.5, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1])
    assert np.clip(tn.tensor([1, 5]), 2, None).tolist() == [2, 5]
    assert tn.tensor([1.0, 5.0]).clip(max=2).tolist() == [1, 2]


def test_clip_gives_the_gradient_of_bounds_that_meet_or_cross_to_the_upper_one():
    check(np.clip, [0.0, 0.0, 0.0], 0, 0, 0, 1)
    check(np.clip, [0.0, 1.0, -1.0], -1, 0, 0, 1)


def test_det_of_a_singular_matrix_has_a_gradient():
    singular = np.array([[1.0, 2.0], [2.0, 4.0]])
    _, (g,) = derive(np.linalg.det, singular)
    np.testing.assert_allclose(g, [[4, -2], [-2, 1]], rtol=1e-12)
    _, (g,) = derive(np.linalg.det, np.zeros((3, 3)))
    np.testing.assert_array_equal(g, np.zeros((3, 3)))


EINSUM = {
    "implicit output": ("ij,jk", (2, 3), (3, 4)),
    "implicit trace": ("ii", (3, 3)),
    "implicit order": ("ba", (2, 3)),
    "ellipsis": ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    "implicit ellipsis": ("...i,i", (2, 3), (3,)),
    "ellipsis that broadcasts": ("...i,...i->...", (4, 1, 3), (2, 3)),
    "spaces": (" i j , j -> i ", (2, 3), (3,)),
    "diagonal of a batch": ("...ii->...i", (2, 3, 3)),
    "length one": ("ij,ij->", (1, 3), (2, 3)),
}


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("name", EINSUM)
def test_einsum_of_every_kind(name, optimize):
    subscripts, *shapes = EINSUM[name]
    rng = np.random.default_rng(1)
    xs = [rng.normal(size=shape) for shape in shapes]
    expected = np.einsum(subscripts, *xs)
    g = rng.normal(size=expected.shape)
    y, gradients = derive(lambda *ts: np.einsum(subscripts, *ts, optimize=optimize), *xs, cotangent=g)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    for k, x in enumerate(xs):
        v = rng.normal(size=x.shape)  # einsum is linear in each operand
        moved = np.einsum(subscripts, *[v if i == k else other for i, other in enumerate(xs)])
        assert np.sum(gradients[k] * v) == pytest.approx(np.sum(g * moved), rel=1e-10)


def test_einsum_with_lists_of_axes():
    a, b = np.ones((2, 3)), np.ones((3, 4))
    check(
        lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [0, 2]),
        [a, b],
        np.full((2, 4), 3),
        np.full((2, 3), 4),
        np.full((3, 4), 2),
    )


def test_einsum_says_which_operand_does_not_fit():
    with pytest.raises(ShapeError, match="3 axes, the operand has 2"):
        np.einsum("ijk->i", tn.tensor(np.ones((2, 3)), requires_grad=True))
    with pytest.raises(ShapeError, match="2 operands, got 1"):
        np.einsum("ij,jk->ik", tn.tensor(np.ones((2, 3)), requires_grad=True))


def test_recurrence_is_cumsum_and_cumprod():
    x = np.array([2.0, 3.0, 5.0])
    recurrence = REGISTRY["recurrence"]
    np.testing.assert_array_equal(recurrence(x, np.ones(3), axis=0), np.cumsum(x))
    np.testing.assert_array_equal(recurrence(np.array([2.0, 0, 0]), x, axis=0), np.cumprod(x))


@pytest.mark.parametrize(
    "axes", [([0, 1], [1, 2]), ([2, 0], [0, 1]), ([27, 1], [1, 3]), ([51, 30], [30, 26])]
)
def test_einsum_with_lists_of_axes_and_no_output_orders_them_as_numpy_does(axes):
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    if axes[0][1] != axes[1][0]:
        a, b = b, a
    expected = np.einsum(a, axes[0], b, axes[1])
    y = np.einsum(tn.tensor(a), axes[0], tn.tensor(b), axes[1])
    np.testing.assert_array_equal(y.data, expected)


@pytest.mark.parametrize("width", [{0: 1}, {-1: (1, 2)}, {0: np.int64(2), 1: (0, 1)}])
def test_padding_widths_by_axis_leave_the_other_axes_alone(width):
    x = np.arange(6.0).reshape(2, 3)
    pairs = [(0, 0), (0, 0)]
    for axis, pair in width.items():
        pairs[axis] = pair if isinstance(pair, tuple) else (pair, pair)
    padded = np.pad(x, pairs, constant_values=5)
    y, (g,) = derive(lambda t: np.pad(t, width, constant_values=5), x)
    np.testing.assert_array_equal(y, padded)
    np.testing.assert_array_equal(g, np.ones((2, 3)))


def test_einsum_takes_out_none():
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    np.einsum("i->", x, out=None).backward()
    np.testing.assert_array_equal(x.grad, [1, 1])
    with pytest.raises(NoGradientRule, match="out"):
        np.einsum("i->", x, out=np.zeros(()))


@pytest.mark.parametrize("split", [np.split, np.array_split])
@pytest.mark.parametrize("parts", [0, -2])
def test_splitting_into_no_parts_is_refused(split, parts):
    with pytest.raises(ValueError, match=f"the number of sections is positive, got {parts}"):
        split(tn.tensor([1.0, 2.0]), parts)


def test_tensordot_names_the_axes_that_differ():
    a, b = tn.tensor(np.ones((2, 3))), np.ones((2, 3))
    with pytest.raises(
        ShapeError, match=r"tensordot: axes \(1,\) of \(2, 3\) and \(0,\) of \(2, 3\) have different lengths"
    ):
        np.tensordot(a, b, 1)


def test_norms_of_an_order_need_an_axis_beyond_matrices():
    x = tn.tensor(np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match=r"ord=1 is for vectors and matrices; shape \(2, 3, 4\) needs axis="):
        np.linalg.norm(x, 1)
    assert np.linalg.norm(x).item() == pytest.approx(np.sqrt(24))


def test_det_of_a_nearly_singular_matrix_has_the_gradient_of_its_cofactors():
    a = np.array([[1.0, 2.0], [2.0, 4.0 + 1e-9]])
    _, (g,) = derive(np.linalg.det, a)
    np.testing.assert_allclose(g, [[a[1, 1], -2], [-2, 1]], rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 31, 32, 100])
def test_cross_entropy_of_few_and_of_many_classes(classes):
    rng = np.random.default_rng(classes)
    logits, labels = 100 * rng.normal(size=(5, classes)), rng.integers(classes, size=5)
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    expected = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(5), labels]
    y, (g,) = derive(lambda x: tn.nn.losses.cross_entropy(x, labels), logits)
    np.testing.assert_allclose(y, expected.mean(), rtol=1e-13)
    np.testing.assert_allclose(g, (p - np.eye(classes)[labels]) / 5, rtol=1e-10, atol=1e-16)


def test_erf_is_right_to_two_and_a_half_units_in_the_last_place():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-7, 7, 40_001), 10.0 ** rng.uniform(-320, 0, 2000), [5e-324, 1e308]])
    small = np.concatenate(
        [x[np.abs(x) < 10], 10 ** rng.uniform(-38, 1, 20_000), [0.00039731877, 0.0034469895]]
    )
    for values in (x, small.astype(np.float32)):
        exact = np.array([math.erf(float(value)) for value in values])
        y = tn.erf(values)
        assert y.dtype == values.dtype
        units = np.abs(y.astype(float) - exact) / np.spacing(np.abs(exact).astype(values.dtype)).astype(float)
        assert units.max() <= 2.5
        np.testing.assert_array_equal(tn.erf(-values), -y)


def test_erf_at_zero_infinity_and_nan_and_of_other_types():
    y = tn.erf(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 6.0]))
    np.testing.assert_array_equal(y, [0, 0, 1, -1, np.nan, 1])
    assert np.signbit(y).tolist() == [False, True, False, True, False, False]
    assert tn.erf(np.float16([0.5])).dtype == np.float16
    assert tn.erf(2.0) == tn.erf(np.array([0, 2]))[1] == math.erf(2)
    assert tn.erf(np.zeros((0, 2))).shape == (0, 2)
    x = tn.tensor(0.5, dtype=float, requires_grad=True)
    assert tn.erf(x).item() == math.erf(0.5)


def test_missing_values_have_the_gradient_zero():
    x = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 5.0]])
    check(np.nansum, [x], 9, [[1, 0, 1], [0, 0, 1]])
    check(np.nanmean, [x], 3, np.array([[1, 0, 1], [0, 0, 1]]) / 3)


def test_quantiles_keep_float32_and_refuse_shares_outside_of_0_to_1():
    x = tn.tensor([3.0, 1.0, 2.0], requires_grad=True)
    assert np.quantile(x, [0.25, 0.5]).dtype == np.float32
    assert np.isnan(np.quantile(tn.tensor([1.0, np.nan]), 0.5).item())
    with pytest.raises(SettingError, match="quantile: shares from 0 to 1 .*q=1.5"):
        np.quantile(tn.tensor([1.0, 2.0]), 1.5)
    with pytest.raises(SettingError, match="percentile: shares from 0 to 100 .*q=150"):
        np.percentile(tn.tensor([1.0, 2.0]), 150)


def test_the_determinant_of_a_large_matrix_has_a_logarithm():
    a = tn.tensor(np.eye(400) * 10.0, requires_grad=True)
    sign, logarithm = np.linalg.slogdet(a)
    assert (sign.item(), logarithm.item()) == (1.0, pytest.approx(400 * math.log(10)))
    logarithm.backward()
    np.testing.assert_allclose(a.grad, np.eye(400) / 10, atol=1e-15)
    assert np.linalg.slogdet(a).sign.item() == 1


def test_full_like_has_the_dtype_and_shape_of_its_model():
    x = tn.tensor(np.zeros((2, 3), np.float32), requires_grad=True)
    for fill in (np.float64(0.5), -0.0, np.inf, tn.tensor([1.0, 2.0, 3.0])):
        y = np.full_like(x, fill)
        expected = np.full_like(x.data, getattr(fill, "data", fill))
        assert (type(y), y.dtype) == (tn.Tensor, np.float32)
        np.testing.assert_array_equal(y.data, expected)
        np.testing.assert_array_equal(np.signbit(y.data), np.signbit(expected))
    assert np.full_like(tn.tensor([1, 2]), 2.7).tolist() == [2, 2]


def test_interpolation_and_convolution_refuse_what_has_no_meaning():
    t = tn.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ShapeError, match="one or more points"):
        np.interp(t, [], [])
    with pytest.raises(ShapeError, match="vectors"):
        np.convolve(t, np.ones((2, 2)))
    with pytest.raises(ShapeError, match="its axes 0"):
        np.average(tn.tensor(np.ones((2, 3))), axis=0, weights=np.ones(3))


def test_one_variable_correlates_with_itself():
    y, (g,) = derive(np.corrcoef, [1.0, 4.0, 2.0])
    assert y == 1
    np.testing.assert_allclose(g, np.zeros(3), atol=1e-15)


def test_the_median_of_nothing_is_nan_with_numpys_warning():
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        assert np.isnan(np.median(tn.tensor(np.zeros(0))).item())


def test_convolve_knows_numpys_three_modes():
    with pytest.raises(SettingError, match="convolve: mode is full, same or valid, got 'wrap'"):
        np.convolve(tn.tensor([1.0, 2.0]), np.ones(2), mode="wrap")


def test_interpolation_is_exact_at_its_points():
    rng = np.random.default_rng(3)
    xp, fp = np.sort(rng.normal(size=200)), rng.normal(size=200)
    np.testing.assert_array_equal(np.interp(tn.tensor(xp), xp, fp).data, fp)
    check(lambda x: np.interp(x, [1.0], [5.0]), [[0.0, 1.0, 2.0]], [5, 5, 5], [0, 0, 0])


KNOTS = {
    "repeated": ([0.0, 1.0, 1.0, 2.0], [0.0, 1.0, 3.0, 4.0]),
    "repeated at the end": ([0.0, 1.0, 2.0, 2.0], [0.0, 1.0, 3.0, 4.0]),
    "repeated at the start": ([0.0, 0.0, 1.0, 2.0], [0.0, 1.0, 3.0, 4.0]),
    "all the same": ([1.0, 1.0], [2.0, 3.0]),
    "an infinite end": ([0.0, 1.0, 2.0], [0.0, 1.0, np.inf]),
    "an infinite start": ([0.0, 1.0, 2.0], [-np.inf, 1.0, 2.0]),
    "infinite in the middle": ([0.0, 0.5, 2.0], [1.0, np.inf, 2.0]),
}


@pytest.mark.parametrize("name", KNOTS)
def test_interpolation_is_finite_where_numpys_is(name):
    xp, fp = map(np.array, KNOTS[name])
    x = np.array([-np.inf, -1.0, 0.0, 0.25, 0.5, 1.0, 1.25, 2.0, 3.0, np.inf, np.nan])
    expected = np.interp(x, xp, fp)
    y, gradients = derive(np.interp, x, xp, fp, cotangent=np.where(np.isfinite(expected), 1.0, 0.0))
    np.testing.assert_allclose(y, expected, rtol=1e-14)
    assert not any(np.isnan(g).any() for g in gradients)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolution_keeps_a_missing_value_where_it_is(mode):
    a, v = np.array([1.0, np.nan, 3.0, 4.0, 5.0, 6.0]), np.array([1.0, 2.0])
    np.testing.assert_array_equal(np.convolve(tn.tensor(a), v, mode).data, np.convolve(a, v, mode))


def test_convolution_takes_scalars_and_long_operands():
    check(lambda a: np.convolve(a, 2.0), [[1.0, 2.0]], [2, 4], [2, 2])
    check(np.convolve, [3.0, [1.0, 2.0]], [3, 6], 3, [3, 3])
    a, v = np.ones(20_000), np.ones(10_000)  # as many products, but not as much memory
    _, (g, _) = derive(lambda a, v: np.convolve(a, v, "valid")[:1], a, v)
    np.testing.assert_array_equal(g, np.arange(20_000) < 10_000)


def test_a_singular_matrix_without_a_cotangent_leaves_the_gradients_of_the_others():
    a = np.stack([np.eye(2) * 2, np.zeros((2, 2))])
    _, (g,) = derive(lambda t: np.linalg.slogdet(t).logabsdet[0], a)
    np.testing.assert_array_equal(g, [np.eye(2) / 2, np.zeros((2, 2))])
    with pytest.raises(MatrixError, match="slogdet: .* no gradient where a matrix is singular\n  hint"):
        derive(lambda t: np.linalg.slogdet(t)[1], a)
    with pytest.raises(
        MatrixError, match=r"slogdet: determinants are of square matrices, got shape \(2, 3\)"
    ):
        np.linalg.slogdet(tn.tensor(np.ones((2, 3))))


def test_vander_refuses_what_numpy_refuses():
    x = tn.tensor([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"vander: x is a vector, got shape \(2, 1\)"):
        np.vander(x[:, None])
    with pytest.raises(SettingError, match="N=-1"):
        np.vander(x, -1)
    with pytest.raises(ArgumentError, match=r"N=2\.0"):
        np.vander(x, 2.0)
    assert np.vander(x, np.int64(3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("mode", "keyword"), [("constant", "foo"), ("edge", "constant_values"), ("wrap", "reflect_type")]
)
def test_padding_refuses_the_keywords_of_other_modes(mode, keyword):
    with pytest.raises(ArgumentError, match=f"pad: mode='{mode}' takes no keyword {keyword}=3"):
        np.pad(tn.tensor([1.0, 2.0]), 1, mode, **{keyword: 3})


def test_interpolation_between_constants_can_be_compiled():
    x = np.array([0.5, 1.5], np.float32)
    step = tn.compile(lambda t: np.interp(t, [0.0, 1.0, 2.0], [0.0, 2.0, 3.0]), backend="numpy")
    for k in range(3):
        np.testing.assert_allclose(np.asarray(step(x - k / 4)), np.interp(x - k / 4, [0, 1, 2], [0, 2, 3]))
