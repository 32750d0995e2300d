"""What a compiled function takes, tells apart and refuses, and which backend it gets."""

import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn import errors


@pytest.mark.parametrize("bad", [{1, 2}, [{3}], {"a": bytearray(1)}])
def test_an_argument_that_may_change_unseen_is_refused(bad):
    with pytest.raises(
        errors.CaptureError, match=r"argument of type (set|bytearray) may .*\n  hint .*frozenset"
    ):
        tn.compile(lambda x, other: x)(np.ones(3), bad)
    both = tn.compile(lambda x, factors: x * sum(factors), "numpy")
    assert both(np.ones(1), frozenset({1, 2})).item() == 3
    assert both(np.ones(1), frozenset({4})).item() == 4


def test_numbers_that_are_equal_but_not_the_same_are_told_apart():
    scaled = tn.compile(lambda x, factor: x * factor, "numpy")
    assert not np.signbit(scaled(np.ones(1), 0.0).data[0])
    assert np.signbit(scaled(np.ones(1), -0.0).data[0])
    assert scaled(np.ones(1, int), 1).dtype == np.int64
    assert scaled(np.ones(1, int), 1.0).dtype == np.float64
    before = len(scaled.programs)
    for _ in range(3):
        assert np.isnan(scaled(np.ones(1), float("nan")).item())
    assert len(scaled.programs) == before + 1


def test_numpy_scalars_are_arrays_given_anew():
    double = tn.compile(lambda x: x * 2, "numpy")
    assert double(np.float32(3)).item() == 6
    assert double(np.float32(4)).item() == 8
    assert double(np.float32(4)).dtype == np.float32
    assert len(double.programs) == 1


def test_a_compiled_function_says_what_it_is():
    def step(x):
        """Twice x."""
        return x * 2

    compiled = tn.compile(step, "numpy")
    assert repr(compiled) == "<compiled step, backend numpy, 0 captured>"
    compiled(np.ones(2))
    assert repr(compiled) == "<compiled step, backend numpy, 1 captured>"
    assert compiled.__doc__ == "Twice x."


def test_without_numba_auto_takes_numpy_and_numba_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(
        ImportError, match=r'needs the package numba\n  hint   pip install "tinygrad_nn\[jit\]"'
    ):
        tn.compile(lambda x: x, "numba")
    compiled = tn.compile(lambda x: x * 2)
    assert compiled(np.ones(1)).item() == 2
    assert "segment" not in compiled.programs[0].text
    assert "loops" not in compiled.programs[0].text


def test_gradients_are_returned_as_arrays_and_what_numpy_made_of_them_is_refused():
    w = tn.tensor([2.0, 3.0], requires_grad=True)

    def step(x):
        w.grad = None
        (w * x).sum().backward()
        return w.grad

    compiled = tn.compile(step, "numpy")
    for k in (1.0, 2.0):
        g = compiled(np.full(2, k, np.float32))
        assert type(g) is np.ndarray
        np.testing.assert_array_equal(g, [k, k])
    with pytest.raises(
        errors.CaptureError, match=r"a returned array of shape \(2,\) was computed with plain NumPy"
    ):
        tn.compile(lambda x: np.clip(step(x), 0, 1), "numpy")(np.ones(2, np.float32))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            lambda x, k: np.sin(x) if k % 2 else np.cos(x),
            r"was <op \w+> \(2, 2\) in one run, <op \w+> \(2, 2\) in ano",
        ),
        (
            lambda x, k: x.sum(axis=k % 2),
            r"parameters of %1 differed between two runs: sum {'axis': \d}, {'axis': \d}",
        ),
        (lambda x, k: x.sum(axis=(0, None)[k % 2], keepdims=True).sum(), r"differed|in one run"),
        (lambda x, k: (x * 2, k), "what the step left behind or returned differed between two runs"),
        (lambda x, k: (x * 2, "text" if k % 2 else None), "left behind or returned differed"),
        (lambda x, k: x * 2 if k % 2 else x * 2 * 2, r"did \d ops in one run and \d in another"),
    ],
)
def test_a_step_that_does_something_else_each_time_is_refused(step, message):
    calls = iter(range(100))
    with pytest.raises(errors.CaptureError, match=message):
        tn.compile(lambda x: step(x, next(calls)), "numpy")(np.ones((2, 2)))


class Batch(NamedTuple):
    x: Any
    scale: Any = 2.0


@pytest.mark.parametrize("kind", [list, tuple, Batch._make, lambda items: {"a": items[0], "b": items[1]}])
def test_results_are_new_on_each_call_whatever_they_come_in(kind):
    compiled = tn.compile(lambda x: kind([x * 2, [x * 3, "text"]]), "numpy")
    for k in (1.0, 2.0, 3.0):
        eager, got = kind([k * 2, [k * 3, "text"]]), compiled(np.array(k))
        assert type(got) is type(eager)
        first, (second, text) = got.values() if isinstance(got, dict) else got
        assert (first.item(), second.item(), text) == (2 * k, 3 * k, "text")
    assert len(compiled.programs) == 1
    slogdet = tn.compile(lambda a: np.linalg.slogdet(a), "numpy")
    for k in (2.0, 3.0):
        np.testing.assert_allclose(slogdet(np.eye(2) * k).logabsdet.data, 2 * np.log(k))


def test_a_named_tuple_is_an_argument_of_arrays_given_anew():
    compiled = tn.compile(lambda batch: batch.x * batch.scale, "numpy")
    for k in (1.0, 2.0):
        assert compiled(Batch(np.array([k]), np.array([k]))).data == [k * k]
        assert compiled(Batch(tn.tensor([k]))).data == [2 * k]
    assert len(compiled.programs) == 2


@dataclass(slots=True)
class Outcome:
    value: Any


class Bag(dict):
    pass


@pytest.mark.parametrize(
    "kind", [Outcome, lambda t: {t}, lambda t: {t: 1}, lambda t: Bag(a=[t]), lambda t: iter([t])]
)
@pytest.mark.parametrize("result", [lambda x: x * 2, lambda x: (x * 2).sum(), lambda x: x])
def test_a_tensor_in_a_returned_object_of_another_kind_is_refused(kind, result):
    with pytest.raises(
        errors.CaptureError, match=r"returned a \w+ that holds .*\n  hint   return tensors in tuples"
    ):
        tn.compile(lambda x: (1, kind(result(x))), "numpy")(np.ones(2))


def test_an_object_that_the_step_did_not_compute_may_be_returned():
    model = tn.nn.Dense(2, 2, rng=0)
    y, returned, same = tn.compile(lambda x: (model(x), model, {"a", 1}), "numpy")(np.ones((1, 2)))
    assert returned is model
    assert same == {"a", 1}
    np.testing.assert_array_equal(y.data, model(np.ones((1, 2))).data)


@pytest.mark.parametrize("leave", [lambda w, x: w.backward(), lambda w, x: (w * x).backward()])
def test_a_step_that_makes_a_leaf_on_each_call_and_leaves_a_gradient_in_it_is_refused(leave):
    def step(x):
        w = tn.tensor(2.0, requires_grad=True)
        leave(w, x)
        return x * 2

    text = r"makes a tensor that requires grad, of shape \(\), on each call|computed with plain NumPy"
    with pytest.raises(errors.CaptureError, match=text + r"(.|\n)*hint"):
        tn.compile(step, "numpy")(np.array(3.0))
    made = tn.compile(lambda x: tn.gradients((w := tn.tensor(2.0, requires_grad=True)) * x, [w]), "numpy")
    assert [made(np.array(k))[0].item() for k in (3.0, 4.0)] == [3, 4]


def test_a_leaf_that_the_first_call_makes_is_seen_although_no_op_uses_it():
    made = []

    def step(x, leave):
        if not made:
            made.append(tn.tensor(2.0, requires_grad=True, dtype=np.float64))
        made[0].grad = None
        leave(made[0], x)
        return x * 2

    def named(w, x):
        made[0] = w = tn.tensor(2.0)
        w.name = "w"
        w.requires_grad = True
        w.backward()

    for leave in (lambda w, x: w.backward(), lambda w, x: setattr(w, "grad", np.ones(())), named):
        made.clear()
        with pytest.raises(errors.CaptureError, match="a gradient of shape .* was computed with plain NumPy"):
            tn.compile(lambda x, leave=leave: step(x, leave), "numpy")(np.array(3.0))
    made.clear()
    compiled = tn.compile(lambda x: step(x, lambda w, x: (w * x).backward()), "numpy")
    for k in (3.0, 4.0):
        compiled(np.array(k))
        assert made[0].grad == k


def test_an_error_of_the_step_comes_through_and_nothing_is_captured():
    def step(x):
        raise ZeroDivisionError("mine")

    compiled = tn.compile(step, "numpy")
    with pytest.raises(ZeroDivisionError, match="mine"):
        compiled(np.ones(2))
    assert compiled.programs == []
