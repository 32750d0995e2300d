"""Where values leave the graph: numbers, lists, arrays, indices and texts."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import leaf, vector
from tinygrad_nn.errors import NoGradientRule, ShapeError


def test_plain_array_of_a_tensor_with_gradient_is_refused_and_of_others_given():
    with pytest.raises(NoGradientRule, match="np.stack"):
        np.asarray(vector(1))
    assert np.array_equal(np.asarray(tn.tensor([1.0])), [1.0])
    assert np.array_equal(vector(1, 2).detach().numpy(), [1, 2])


@pytest.mark.parametrize("make", [tn.tensor, tn.Tensor], ids=["tensor", "Tensor"])
def test_a_new_tensor_of_one_that_requires_grad_is_refused(make):
    x = vector(1, 2)
    for t in (x, x * 3, (x * 3)[0]):
        for options in ({}, {"requires_grad": True}, {"dtype": np.float64}, {"name": "copy"}):
            with pytest.raises(
                NoGradientRule, match=r"lose the gradient\n.*t.copy\(\)\n.*tn.tensor\(t.detach\(\)\)"
            ):
                make(t, **options)
        with pytest.raises(NoGradientRule):
            make([t, t])
        assert make(t.detach(), requires_grad=True).requires_grad
    with tn.no_grad():
        assert make(x * 3).tolist() == [3, 6]
    assert make(tn.tensor([1.0]), name="copy").name == "copy"


def test_a_copy_of_a_tensor_keeps_its_gradient():
    x = vector(1, 2)
    y = x.copy()
    assert y.data is not x.data
    (y * 3).sum().backward()
    np.testing.assert_array_equal(x.grad, [3, 3])


def test_a_tensor_is_a_sequence_and_a_number_as_an_array_is():
    t = vector(1, 2, 3)
    assert len(t) == 3
    assert [float(x) for x in t] == [1, 2, 3]
    assert bool(t[0])
    assert int(t[1]) == 2
    assert 3 in t
    assert f"{t[2]:.1f}" == "3.0"
    assert t.tolist() == [1, 2, 3]
    assert t.T.shape == (3,)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(t)
    with pytest.raises(ShapeError, match="one element"):
        t.item()
    with pytest.raises(TypeError, match=r"t.at\[index\].set"):
        t[0] = 1.0


def test_iterating_and_measuring_a_0_d_tensor_is_refused_at_once():
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(tn.tensor(1.0))
    with pytest.raises(TypeError, match="unsized"):
        len(tn.tensor(1.0))


def test_an_integer_tensor_is_an_index_and_a_float_is_none():
    assert [10, 20, 30][tn.tensor(1)] == 20
    assert list(range(tn.tensor(3))) == [0, 1, 2]
    with pytest.raises(TypeError, match="only integer"):
        [10, 20][tn.tensor(1.0)]


def test_a_format_is_for_the_number_and_otherwise_for_the_text():
    assert f"{tn.tensor([0.125]):.2f}" == "0.12"
    assert f"{tn.tensor([1.0, 2.0])}" == "Tensor([1., 2.])"
    assert f"{tn.tensor([1.0, 2.0]):>20}" == "    Tensor([1., 2.])"


@pytest.mark.case("H116")
def test_summing_losses_as_numbers_keeps_no_graph():
    x = leaf(2.0)
    total = 0.0
    for _ in range(3):
        total += float(x * x)
    assert total == 12.0
    assert isinstance(total, float)
    losses = x * 0
    for _ in range(3):
        losses += x * x
    losses.backward()  # a tensor keeps the graph, as documented
    assert x.grad == 12.0


@pytest.mark.parametrize("numbers", [np.mean, np.array, np.asarray, np.median])
def test_losses_that_numpy_is_given_are_numbers_to_be_asked_for(numbers):
    losses = [vector(1.0, 2.0).sum() for _ in range(3)]
    with pytest.raises(
        NoGradientRule, match=r"hint   a number: loss\.item\(\), as in losses\.append\(loss\.item"
    ):
        numbers(losses)
    assert numbers([loss.item() for loss in losses]) is not None


def test_losses_that_matplotlib_is_given_are_numbers_to_be_asked_for():
    plt = pytest.importorskip("matplotlib.pyplot", reason="pip install 'tinygrad_nn[plot]'")
    with pytest.raises(NoGradientRule, match=r"hint   a number: loss\.item\(\)"):
        plt.plot([vector(1.0, 2.0).sum() for _ in range(3)])
    plt.close("all")


def test_asking_a_result_for_its_gradient_says_why_there_is_none():
    w = vector(1.0, 2.0)
    (w * w).sum().backward()
    w = w - 0.1 * w.grad
    with pytest.warns(
        tn.UsageWarning, match=r"the result of subtract is None(.|\n)*with tn\.no_grad\(\): w -= "
    ):
        assert w.grad is None
    assert vector(1.0).grad is None
    assert tn.tensor(1.0).grad is None


def test_a_format_of_one_number_is_not_asked_of_several():
    with pytest.raises(
        ValueError, match=r"one number, and this tensor has shape \(2,\)\n  hint   .*\{t\.mean\(\):\.3f\}"
    ):
        format(tn.tensor([1.0, 2.0]), ".3f")
    assert format(tn.tensor([1.0, 2.0]), ">20") == "    Tensor([1., 2.])"
