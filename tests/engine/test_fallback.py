"""NumPy functions without a rule: they run where no gradient is lost, and are refused by name where one is."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import vector
from tinygrad_nn.errors import NoGradientRule


def test_an_unknown_numpy_function_names_itself_and_two_ways_out():
    with pytest.raises(NoGradientRule, match=r"np.i0 has no derivative rule\n.*detach.*tn.op\(np.i0"):
        np.i0(vector(1))
    assert np.isclose(np.i0(tn.tensor([0.0])), 1)


def test_ufunc_methods_out_and_unknown_keywords_are_refused():
    t = vector(1, 2)
    with pytest.raises(NoGradientRule, match="add.reduce"):
        np.add.reduce(t)
    with pytest.raises(NoGradientRule, match="y = y [+] t"):
        np.add(t, 1, out=np.zeros(2))
    with pytest.raises(NoGradientRule, match="where"):
        np.sum(t, where=np.array([True, False]))
    total = np.zeros(2)
    with pytest.raises(NoGradientRule):
        total += t
    assert np.array_equal(total, [0, 0])


def test_functions_we_know_nothing_of_run_on_the_arrays_in_lists_and_keywords_too():
    a, w = tn.tensor([3.0, 1.0]), vector(1.0, 2.0)
    assert np.block([a, a]).tolist() == [3, 1, 3, 1]
    assert np.piecewise(np.array([-1.0, 1.0]), [a > 5, a < 5], [0, 1]).tolist() == [1, 1]
    with pytest.raises(NoGradientRule, match="np.block has no derivative rule"):
        np.block([w, w])
    assert np.shape(w) == (2,)
    assert np.result_type(w, np.float32) == np.float64


def test_places_are_found_in_a_tensor_that_requires_grad():
    t = tn.tensor([0.0, 2.0, 1.0], requires_grad=True)
    assert np.array_equal(np.nonzero(t)[0], [1, 2])
    assert np.array_equal(np.searchsorted([0.5, 1.5], t), [0, 2, 1])
    assert np.isin(t, [2.0]).tolist() == [False, True, False]


def test_a_function_without_a_rule_is_named_as_code_calls_it():
    t = vector(1.0, 2.0)
    for call, text in (
        (np.fft.fft, r"np\.fft\.fft has no (.|\n)*tn\.op\(np\.fft\.fft, "),
        (np.unwrap, r"np\.unwrap has no (.|\n)*tn\.op\(np\.unwrap, "),
        (np.add.reduce, r"np\.add\.reduce has no (.|\n)*np\.sum"),
        (np.spacing.at, "np.spacing.at has no "),
    ):
        with pytest.raises(NoGradientRule, match=text):
            call(t, 0) if call.__name__ == "at" else call(t)


def test_a_ufunc_without_rule_is_called_by_its_name_and_runs_without_gradient():
    t = tn.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(NoGradientRule, match=r"^np\.nextafter has no derivative rule"):
        np.nextafter(t, 3.0)
    assert np.nextafter(t.detach(), np.float32(3)).tolist() == np.nextafter(t.data, np.float32(3)).tolist()
