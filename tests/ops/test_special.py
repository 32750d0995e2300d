"""The error function and its relatives: exact to the last places, at their ends and in every dtype."""

import math

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.derive import check, derive
from tinygrad_nn.ops.special import erfcx
from tinygrad_nn.testing import gradcheck

INF, NAN = math.inf, math.nan


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


@pytest.mark.parametrize(
    "name",
    [
        "erf",
        "erfc",
        "erfcx",
        "erfinv",
        "ndtr",
        "log_ndtr",
        "logit",
        "gammaln",
        "digamma",
        "i1",
        "sigmoid",
        "relu",
        "leaky_relu",
        "elu",
        "gelu",
        "silu",
        "softplus",
    ],
)
def test_of_a_number_there_is_a_scalar_as_of_numpys_ufuncs(name):
    for x in (0.5, np.float32(0.5), np.array(0.5)):
        assert isinstance(getattr(tn, name)(x), np.floating), type(x)


def test_erf_at_zero_infinity_and_nan_and_of_other_types():
    y = tn.erf(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 6.0]))
    np.testing.assert_array_equal(y, [0, 0, 1, -1, np.nan, 1])
    assert np.signbit(y).tolist() == [False, True, False, True, False, False]
    assert tn.erf(np.float16([0.5])).dtype == np.float16
    assert tn.erf(2.0) == tn.erf(np.array([0, 2]))[1] == math.erf(2)
    assert tn.erf(np.zeros((0, 2))).shape == (0, 2)
    x = tn.tensor(0.5, dtype=float, requires_grad=True)
    assert tn.erf(x).item() == math.erf(0.5)


EXACT = {
    "erfcx": {
        -20.5: 6.50557990548002e182,
        -3.25: 77315.13640375607,
        -0.1: 1.1236433541992095,
        0.3: 0.7345993345676551,
        2.1: 0.24511912334517233,
        7.9: 0.07085747736739713,
        8.1: 0.06913392017734316,
        25.0: 0.02254957243264136,
        100000.0: 5.6418958351954685e-06,
    },
    "erfc": {
        -2.5: 1.999593047982555,
        0.45: 0.5245182802130763,
        0.55: 0.436676633674891,
        3.3: 3.0577097964381654e-06,
        9.7: 7.936107563214511e-43,
        21.26: 1.341720726875358e-198,
        26.1: 3.081217493314593e-298,
    },
    "erfinv": {
        1e-200: 8.86226925452758e-201,
        0.05: 0.044340387910005497,
        0.3: 0.2724627147267543,
        -0.49: -0.46586860023505733,
        0.51: 0.4881220505159588,
        0.95: 1.3859038243496777,
        0.999999: 3.458910737275499,
        -0.9999999999999: -5.261483331372676,
    },
    "ndtr": {
        -37.0: 5.725571222524577e-300,
        -7.6: 1.4806537490048088e-14,
        -0.71: 0.23885206808998674,
        -0.69: 0.24509709367430949,
        0.2: 0.579259709439103,
        3.0: 0.9986501019683699,
    },
    "log_ndtr": {
        -10000.0: -50000010.12927891,
        -30.0: -454.3212439563432,
        -1.1: -1.997558846986297,
        -0.9: -1.6924928065613383,
        1.6: -0.0563579843039837,
        6.0: -9.865876455243758e-10,
    },
    "logit": {
        1e-300: -690.7755278982137,
        0.2: -1.3862943611198906,
        0.26: -1.0459685551826876,
        0.5000001: 3.99999999789463e-07,
        0.74: 1.0459685551826876,
        0.9999999: 16.11809555148467,
    },
}
"""Computed with 50 digits by mpmath."""
UNITS = {"erfcx": 4, "erfc": 4, "erfinv": 2, "ndtr": 4, "log_ndtr": 5, "logit": 2}


@pytest.mark.parametrize("name", EXACT)
def test_relatives_of_erf_are_right_to_the_last_places(name):
    for dtype, units in ((np.float64, UNITS[name]), (np.float32, 0.6)):
        x = np.array([*EXACT[name]]).astype(dtype)
        # What is not exact in single precision is another place.
        same = x == [*EXACT[name]]
        y, exact = getattr(tn, name)(x), np.array([*EXACT[name].values()])
        assert y.dtype == dtype
        with np.errstate(over="ignore"):
            allowed = units * np.spacing(np.abs(exact).astype(dtype)).astype(float)
        assert (np.abs(y.astype(float) - exact) <= allowed)[same & np.isfinite(y)].all()
        assert y.shape == getattr(tn, name)(x.reshape(1, -1))[0].shape


ENDS = {
    "erfcx": ([0.0, INF, -INF, -30.0, NAN], [1, 0, INF, INF, NAN]),
    "erfc": ([0.0, INF, -INF, 30.0, NAN], [1, 0, 2, 0, NAN]),
    "erfinv": ([0.0, -0.0, 1.0, -1.0, 1.5, NAN], [0, -0.0, INF, -INF, NAN, NAN]),
    "ndtr": ([0.0, INF, -INF, -40.0, NAN], [0.5, 1, 0, 0, NAN]),
    "log_ndtr": ([0.0, INF, -INF, NAN], [-math.log(2), -0.0, -INF, NAN]),
    "logit": ([0.0, 0.5, 1.0, -1.0, 2.0, NAN], [-INF, 0, INF, NAN, NAN, NAN]),
}


@pytest.mark.parametrize("name", ENDS)
def test_relatives_of_erf_at_their_ends_are_silent_limits(name):
    x, expected = ENDS[name]
    y = getattr(tn, name)(np.array(x))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y[y == 0]), np.signbit(np.array(expected)[y == 0]))


def test_what_has_no_cotangent_has_no_gradient_where_slopes_are_infinite():
    for name in ("erfinv", "logit"):
        function = getattr(tn, name)
        check(lambda x, f=function: np.where(x < 1, f(np.where(x < 1, x, 0.5)), 0) + 0 * x, [1.0], 0, 0)
        _, (g,) = derive(lambda x, f=function: np.where(x < 1, f(x), 0), 1.0)
        assert g == 0


def test_the_slope_of_the_log_probability_is_linear_far_out_and_so_smooth_that_it_has_many_derivatives():
    x = np.array([-1e6, -50.0, -5.0, 0.0, 50.0])
    _, (g,) = derive(tn.log_ndtr, x)
    # The ratio of density and probability, by its asymptotic series where that is exact.
    np.testing.assert_allclose(g[:2], -x[:2] - 1 / x[:2] + 2 / x[:2] ** 3, rtol=1e-6)
    assert g[4] == 0
    assert gradcheck(tn.log_ndtr, np.array([-6.0, -1.5, 0.5, 4.0]), order=3).nonzero
    second = tn.hessian(lambda t: tn.log_ndtr(t).sum())(np.array([-20.0]))
    assert abs(second.item() + 1 - 1 / 400) < 1e-4


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_erfcx_of_every_order_meet_where_its_series_do(order):
    low, high = np.nextafter(8, 0), np.nextafter(8, 9)
    a, b = erfcx(np.array([low, high]), order=order)
    assert a == pytest.approx(b, rel=1e-16 * 130.0**order + 1e-14)
    assert np.sign(a) == (-1) ** order


SCIPYS = "erf erfc erfcx erfinv expit gammaln digamma i0 i1 log_expit log_ndtr logit ndtr"


def test_scipys_functions_of_the_same_names_take_tensors():
    special = pytest.importorskip("scipy.special")
    x = np.array([0.25, 0.5])
    for name in SCIPYS.split():
        function = getattr(special, name)
        y, (g,) = derive(function, x)
        np.testing.assert_allclose(y, function(x), rtol=1e-14)
        assert g.all()
    check(special.xlogy, [[0.0, 2.0], [0.0, 1.0]], [0, 0], [0, 0], [0, 2])
    with pytest.raises(tn.errors.NoGradientRule, match=r"tn\.logsumexp\(t\)"):
        special.logsumexp(tn.tensor(x, requires_grad=True))
    assert special.gamma(tn.tensor(x)).tolist() == special.gamma(x).tolist()


def test_names_of_scipys_functions_that_are_others_here_are_told():
    with pytest.raises(AttributeError, match="tn.sigmoid"):
        _ = tn.expit
