"""Calls as NumPy writes them: by position or by name, with lists beside tensors, and what is refused in which words."""

import contextlib
import inspect

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import ArgumentError, NoGradientRule, TinygradError
from tinygrad_nn.primitives.signature import _OF_C, Signature

TABLE = np.array([[1.0, 2.0, 4.0], [3.0, 5.0, 7.0]], np.float32)


ROW = np.array([3.0, 1.0, 2.0], np.float32)


TWICE = {
    "sum": lambda t: t.sum(0, axis=1),
    "cumsum": lambda t: t.cumsum(0, axis=1),
    "take": lambda t: t.take([0], 0, axis=1),
    "a kernel": lambda t: tn.softmax(t, 0, axis=1),
    "a composite": lambda t: t.median(0, axis=1),
    "clip by two names": lambda t: np.clip(t, 1, 3, min=2),
    "clip by two names, one of them None": lambda t: np.clip(t, 1, None, max=2),
}


@pytest.mark.parametrize("name", TWICE)
def test_an_argument_given_twice_is_refused(name):
    with pytest.raises(ArgumentError, match="given twice"):
        TWICE[name](tn.tensor(TABLE))


AT_DEFAULTS = {
    "median": lambda t: np.median(t, 0, None, False, True),
    "average": lambda t: np.average(t, 0, None, False),
    "ptp": lambda t: np.ptp(t, 0, None),
    "quantile": lambda t: np.quantile(t, 0.5, 0, None, False, "".join(["lin", "ear"])),
    "dot": lambda t: np.dot(t, TABLE.T, None),
    "trace": lambda t: np.trace(t, 0, 0, 1, None, None),
    "sort": lambda t: np.sort(t, -1, None, None),
    "clip": lambda t: np.clip(t, 2, 3, None),
    "clip of one bound": lambda t: np.clip(t, None, 3),
    "concatenate": lambda t: np.concatenate([t, t], 0, None),
    "where": lambda t: np.where(TABLE > 2, t, 0),
}


@pytest.mark.parametrize("name", AT_DEFAULTS)
def test_positions_are_numpys_and_their_defaults_change_nothing(name):
    t = tn.tensor(TABLE, requires_grad=True)
    y, expected = AT_DEFAULTS[name](t), AT_DEFAULTS[name](TABLE)
    np.testing.assert_allclose(y.data, expected, rtol=1e-6)
    assert y.requires_grad
    assert y.shape == expected.shape


SURPLUS = {
    "exp": lambda t: t.exp(1),
    "tanh": lambda t: t.tanh(2, 3),
    "sqrt": lambda t: t.sqrt(0),
    "absolute": lambda t: t.absolute(None),
    "sign": lambda t: t.sign(3),
    "an op called by its record": lambda t: tn.REGISTRY[np.multiply](t, t, t),
    "a comparison called by its record": lambda t: tn.REGISTRY[np.greater](t, t, t),
}


@pytest.mark.parametrize("name", SURPLUS)
def test_arguments_that_a_ufunc_has_no_place_for_are_refused(name):
    with pytest.raises(
        ArgumentError, match=r"at most [12] arguments go by position, got [23]\n  takes  x1?, "
    ):
        SURPLUS[name](tn.tensor(TABLE, requires_grad=True))


def test_the_arguments_of_ufuncs_are_those_that_numpy_tells():
    ufuncs = [f for f in vars(np).values() if isinstance(f, np.ufunc)]
    for function in ufuncs:
        names = Signature(function, function).names
        try:
            told = inspect.signature(function).parameters
        except ValueError:  # before NumPy 2.4
            told = names
        assert sorted(names) == sorted(told)
    assert len(ufuncs) > 80
    assert np.exp(tn.tensor([0.0]), where=True, casting="same_kind").data == [1]


def test_the_arguments_of_functions_in_c_are_those_that_numpy_tells():
    for function, told in _OF_C:
        names = Signature(function, function).names
        assert names == tuple(inspect.signature(told).parameters)
        with contextlib.suppress(ValueError):  # before NumPy 2.4
            assert names == tuple(inspect.signature(function).parameters)


WRONG = {
    "too many for a composite": (lambda t: t.median(0, None, False, False, 1), "median: at most 5"),
    "too many for clip": (lambda t: t.clip(1, 3, None, None), "clip: at most 4 arguments"),
    "too few for a composite": (lambda t: t.dot(), "dot: needs a, b; there is no b"),
}


@pytest.mark.parametrize("name", WRONG)
def test_arguments_that_no_parameter_takes_are_refused_in_numpys_words(name):
    call, text = WRONG[name]
    with pytest.raises(ArgumentError, match=text):
        call(tn.tensor(TABLE))


WITHOUT_RULE = {
    "weights of quantile": lambda t: np.quantile(t, 0.5, 1, weights=[1, 2, 3], method="inverted_cdf"),
    "dtype of cov": lambda t: np.cov(t, dtype=np.float64),
    "sum of weights": lambda t: np.average(t, returned=True),
    "period of interp": lambda t: np.interp(t, [0.0, 1.0], [0.0, 2.0], period=3),
    "shape of full_like": lambda t: np.full_like(t, 1.0, shape=(2,)),
    "mode of pad": lambda t: np.pad(t, 1, mode="mean"),
}


@pytest.mark.parametrize("name", WITHOUT_RULE)
def test_a_keyword_without_a_rule_gives_numpys_result_where_no_gradient_is_lost(name):
    call = WITHOUT_RULE[name]
    for found, expected in zip(
        np.atleast_1d(call(tn.tensor(TABLE))), np.atleast_1d(call(TABLE)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(NoGradientRule):
        call(tn.tensor(TABLE, requires_grad=True))


def test_a_method_without_a_rule_for_a_keyword_gives_numpys_result_too():
    assert tn.tensor(ROW).median(overwrite_input=True) == 2
    with pytest.raises(
        NoGradientRule, match="median: .*overwrite_input=True\n  hint   keywords .*: axis, keepdims"
    ):
        tn.tensor(ROW, requires_grad=True).median(overwrite_input=True)


LISTS = {
    "interp": lambda t: np.interp(t, [0.0, 4.0], [0.0, 2.0]),
    "convolve": lambda t: np.convolve(t, [1.0, 2.0]),
    "trapezoid": lambda t: np.trapezoid(t, [1.0, 2.0, 4.0]),
    "kron": lambda t: np.kron([1.0, 2.0], t),
    "cov": lambda t: np.cov(t, [1.0, 2.0, 4.0]),
    "outer": lambda t: np.outer(t, [[1.0, 2.0], [3, 4]]),
    "inner": lambda t: np.inner(t, [1.0, 2.0, 4.0]),
    "vdot": lambda t: np.vdot([1.0, 2.0, 4.0], t),
    "tensordot": lambda t: np.tensordot(t, [1.0, 2.0, 4.0], ([0], [0])),
    "weights of average": lambda t: np.average(t, weights=[1.0, 2.0, 4.0]),
    "rows of vstack": lambda t: np.vstack([t, [1.0, 2.0, 4.0]]),
    "shares of quantile": lambda t: np.quantile(t, [0.25, 0.3]),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_floats_do_not_widen_tensors(name):
    y = LISTS[name](tn.tensor(ROW, requires_grad=True))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.data, LISTS[name](ROW), rtol=1e-6)
    assert LISTS[name](tn.tensor(ROW.astype(float))).dtype == np.float64


UNRELATED = {
    "out of exp": lambda t: t.exp(1),
    "keepdims for dtype": lambda t: t.sum(0, True),
    "too many for relu": lambda t: tn.relu(t, 1),
    "too many for softmax": lambda t: tn.softmax(t, 1, 2),
}


@pytest.mark.parametrize("name", UNRELATED)
def test_only_several_axes_get_the_hint_about_several_axes(name):
    with pytest.raises(TinygradError) as failure:
        UNRELATED[name](tn.tensor(TABLE, requires_grad=True))
    assert "axis=(" not in str(failure.value)


@pytest.mark.parametrize(
    "call", [lambda t: t.sum(0, 1), lambda t: np.median(t, 0, 1), lambda t: t.max(0, np.int64(1))]
)
def test_axes_one_after_the_other_are_told_to_go_into_a_tuple(call):
    with pytest.raises(ArgumentError, match=r"one tuple: axis=\(0, (1|np.int64\(1\))\)"):
        call(tn.tensor(TABLE))


def test_parameters_of_kernels_go_by_position_too():
    for x in (TABLE, tn.tensor(TABLE)):
        np.testing.assert_array_equal(tn.softmax(x, 0), tn.softmax(x, axis=0))
        np.testing.assert_array_equal(tn.leaky_relu(-x, 0.2), tn.leaky_relu(-x, negative_slope=0.2))


WRONG_ARGUMENTS = {
    "PyTorch's word for axis": (lambda t: t.sum(dim=0), r"sum: .*dim=0\n  takes .*axis.*\n.*axis=0"),
    "PyTorch's word for keepdims": (lambda t: t.sum(0, keepdim=True), r"sum: (.|\n)*keepdims=True"),
    "of a kernel": (lambda t: tn.softmax(t, dim=1), r"softmax: .*dim=1\n  takes  x, axis\n.*axis=1"),
    "of a kernel of an array": (lambda t: tn.softmax(t.data, dim=1), "hint   axis=1"),
    "of a composite": (lambda t: t.median(dim=1), r"median: .*dim=1(.|\n)*axis=1"),
    "of a comparison": (lambda t: t.argmax(dim=1), r"argmax: .*dim=1(.|\n)*axis=1"),
    "a word that nobody has": (
        lambda t: t.sum(along=0),
        r"sum: there is no keyword along=0\n  takes  a, axis",
    ),
    "axes in a list": (lambda t: np.sum(t, axis=[0]), r"sum: (.|\n)*axis=\(0,\)"),
    "axes one after the other": (lambda t: t.mean(0, 1), r"mean: (.|\n)*one tuple: axis=\(0, 1\)"),
    "more axes than arguments": (
        lambda t: t.mean(0, 1, 2, 3, 4),
        r"mean: (.|\n)*tuple: axis=\(0, 1, 2, 3, 4\)",
    ),
    "more arguments than operands": (lambda t: t.relu(1, 2), r"relu: at most 1(.|\n)*takes  x"),
    "more arguments than clip has": (lambda t: t.clip(0, 1, 2, 3), "clip: at most 4"),
    "operands left out": (lambda t: tn.xlogy(t), r"xlogy: needs the operands a, b; got 1 of 2"),
    "where without choices": (lambda t: np.where(t > 0), r"where: (.|\n)*np.nonzero\(condition\)"),
}


@pytest.mark.parametrize("name", WRONG_ARGUMENTS)
def test_a_call_with_wrong_arguments_says_what_the_op_takes(name):
    call, text = WRONG_ARGUMENTS[name]
    with pytest.raises(ArgumentError, match=text):
        call(tn.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True))


REFUSED = {
    "dtype of a ufunc": lambda x: np.exp(x, dtype=np.float64),
    "out of sum": lambda x: np.sum(x, where=np.array([True, False]), out=np.zeros(())),
    "ufunc method": lambda x: np.subtract.reduce(x),
    "accumulate": lambda x: np.subtract.accumulate(x),
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
