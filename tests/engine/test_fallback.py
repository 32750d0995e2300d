"""NumPy functions without a rule: they run where no gradient is lost, and are refused by name where one is."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import vector
from tinygrad_nn.errors import NoGradientRule


def test_an_unknown_numpy_function_names_itself_and_two_ways_out():
    with pytest.raises(NoGradientRule, match=r"np.unwrap has no derivative rule\n.*detach.*tn.op\(np.unwrap"):
        np.unwrap(vector(1))
    assert np.unwrap(tn.tensor([0.5])) == 0.5


def test_ufunc_methods_out_and_unknown_keywords_are_refused():
    t = vector(1, 2)
    with pytest.raises(NoGradientRule, match="add.reduceat"):
        np.add.reduceat(t, [0])
    with pytest.raises(NoGradientRule, match="y = y [+] t"):
        np.add(t, 1, out=np.zeros(2))
    with pytest.raises(NoGradientRule, match="dtype"):
        np.exp(t, dtype=np.float64)
    total = np.zeros(2)
    with pytest.raises(NoGradientRule):
        total += t
    assert np.array_equal(total, [0, 0])


def test_functions_we_know_nothing_of_run_on_the_arrays_in_lists_and_keywords_too():
    a, w = tn.tensor([3.0, 1.0]), vector(1.0, 2.0)
    assert np.bincount(np.array([0, 1]), weights=a).tolist() == [3, 1]
    assert np.compress([True, False], [a, a], axis=0).tolist() == [[3, 1]]
    with pytest.raises(NoGradientRule, match="np.bincount has no derivative rule"):
        np.bincount(np.array([0, 1]), weights=w)
    assert np.shape(w) == (2,)
    assert np.result_type(w, np.float32) == np.float64


def test_places_are_found_in_a_tensor_that_requires_grad():
    t = tn.tensor([0.0, 2.0, 1.0], requires_grad=True)
    assert np.array_equal(np.nonzero(t)[0], [1, 2])
    assert np.array_equal(np.searchsorted([0.5, 1.5], t), [0, 2, 1])
    assert np.isin(t, [2.0]).tolist() == [False, True, False]


NO_GRADIENT_TO_LOSE = {
    "isreal": np.isreal,
    "iscomplex": np.iscomplex,
    "array_equiv": lambda x: np.array_equiv(x, x),
    "nanargmax": np.nanargmax,
    "nanargmin": lambda x: np.nanargmin(x, axis=1),
    "histogram": lambda x: np.histogram(x, bins=3),
    "histogram with weights": lambda x: np.histogram([0.5, 1.5], bins=2, weights=x[0]),
    "histogram2d": lambda x: np.histogram2d(x[0], x[1], bins=2),
    "histogramdd": lambda x: np.histogramdd(x, bins=2),
    "matrix_rank": np.linalg.matrix_rank,
    "einsum_path": lambda x: np.einsum_path("ij,jk,kl->il", x, x, x),
    "common_type": lambda x: np.common_type(x).__name__,
    "shares_memory": lambda x: np.shares_memory(x, x),
    "may_share_memory": lambda x: np.may_share_memory(x, np.zeros(2)),
    "diag_indices_from": np.diag_indices_from,
    "tril_indices_from": np.tril_indices_from,
    "triu_indices_from": np.triu_indices_from,
    "array_str": np.array_str,
}


@pytest.mark.parametrize("name", NO_GRADIENT_TO_LOSE)
def test_functions_with_no_gradient_to_lose_give_what_they_give_on_arrays(name):
    x = np.array([[3.0, 1.0], [0.5, 2.0]])
    expected = NO_GRADIENT_TO_LOSE[name](x)
    for requires_grad in (False, True):
        result = NO_GRADIENT_TO_LOSE[name](tn.tensor(x, requires_grad=requires_grad))
        assert type(result) is type(expected)
        assert str(result) == str(expected)


@pytest.mark.parametrize("function", [np.isreal, np.linalg.matrix_rank, lambda t: np.histogram(t)[0]])
def test_values_that_leave_a_captured_step_are_refused(function):
    step = tn.compile(lambda t: t * (1.0 + np.sum(function(t))))
    with pytest.raises(tn.TinygradError, match="isreal|matrix_rank|histogram"):
        step(tn.tensor([[1.0, 2.0]]))


def test_a_function_without_a_rule_is_named_as_code_calls_it():
    t = vector(1.0, 2.0)
    for call, text in (
        (np.roots, r"np\.roots has no (.|\n)*tn\.op\(np\.roots, "),
        (np.unwrap, r"np\.unwrap has no (.|\n)*tn\.op\(np\.unwrap, "),
        (np.subtract.reduce, r"np\.subtract\.reduce has no (.|\n)*reduce of np\.add"),
        (np.spacing.at, r"np.spacing.at writes .*\n.*set\(np.spacing\(t\[index\]\)\)"),
    ):
        with pytest.raises(NoGradientRule, match=text):
            call(t, 0) if call.__name__ == "at" else call(t)


def test_a_transform_into_complex_numbers_is_two_real_products():
    n, t = 5, vector(1.0, 2.0, 4.0, 0.5, 3.0)
    with pytest.raises(NoGradientRule, match="complex numbers stay out") as failure:
        np.fft.fft(t)
    line = str(failure.value).splitlines()[-1]
    first, second = line.split("; ")
    assert first.strip() == "k = 2 * np.pi / n * np.outer(np.arange(n), np.arange(n))"
    assert second == "t @ np.cos(k), -(t @ np.sin(k))"
    k = 2 * np.pi / n * np.outer(np.arange(n), np.arange(n))
    real, imaginary = t @ np.cos(k), -(t @ np.sin(k))
    z = np.fft.fft(t.detach())
    np.testing.assert_allclose(real.data, z.real, atol=1e-14)
    np.testing.assert_allclose(imaginary.data, z.imag, atol=1e-14)


def test_loops_of_numpy_say_what_to_write_instead():
    w = vector(1.0, 2.0)
    with pytest.raises(NoGradientRule, match=r"np\.stack\(\[f\(row\) for row in t\]\)"):
        np.apply_along_axis(np.sum, 0, w)
    with pytest.raises(
        NoGradientRule, match=r"np\.stack\(\[f\(x\) for x in t\]\)(.|\n)*np\.vectorize\(f\)\(t\)"
    ):
        np.vectorize(lambda x: x * x)(w)
    for parts in ([w, w], [w[0], w[1]], (w[0], 1.0)):
        with pytest.raises(
            NoGradientRule, match=r"np\.stack\(\[t1, t2\]\) instead of np\.array\(\[t1, t2\]\)"
        ):
            np.array(parts)


def test_a_ufunc_without_rule_is_called_by_its_name_and_runs_without_gradient():
    t = tn.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(NoGradientRule, match=r"^np\.nextafter has no derivative rule"):
        np.nextafter(t, 3.0)
    assert np.nextafter(t.detach(), np.float32(3)).tolist() == np.nextafter(t.data, np.float32(3)).tolist()


def test_a_ufunc_of_scipy_without_rule_is_called_by_its_own_name():
    special = pytest.importorskip("scipy.special", reason="pip install scipy")
    with pytest.raises(
        NoGradientRule, match=r"scipy\.special\.j0 has no derivative rule(.|\n)*tn\.op\(scipy\.special\.j0"
    ):
        special.j0(vector(1.0))
    np.testing.assert_array_equal(special.j0(tn.tensor([1.0])).astype(float), special.j0(np.float32([1.0])))
    assert special.expit(vector(0.0)).item() == 0.5
    assert special.expit(vector(0.0)).requires_grad
