"""The checks of a single call, each on an op that breaks just that duty: what they say when they fail."""

import inspect
import re
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import CheckFailed, GradientMismatch, NoGradientRule, ShapeError
from tinygrad_nn.primitives.declare import composite
from tinygrad_nn.primitives.record import REGISTRY
from tinygrad_nn.testing import check_op
from tinygrad_nn.testing.battery import CHECKS, derivatives, duties, formulas
from tinygrad_nn.testing.battery.calls import OpCall
from tinygrad_nn.testing.battery.failing import reproduction_of

X = np.array([[1.5, -2.25, 0.75], [3.0, -0.5, 1.25]])
Y = np.array([[0.25, 1.75, -3.5], [2.5, 0.125, -1.0]])


def planted(function, *rules, **options):
    options.setdefault("reference", function)
    return tn.kernel(*rules, name="planted", **options)(function)


def fails(check, op, operands, message):
    call = OpCall(op, operands, {}, seed=3)
    with pytest.raises(CheckFailed, match=f"{op.name}: {message}") as failure:
        check(call)
    assert "  reproduce\n" in str(failure.value)


def changing(values):
    """Return a function of x that does something else each time it is called."""
    steps = iter(values)
    return lambda x: next(steps)(x)


TWICE = lambda x: 2 * x


CHANGING = {
    r"requires_grad is False, without recording False": [TWICE, lambda x: x.astype(int), TWICE],
    r"on tensors float32 \(2, 3\), on arrays float64 \(2, 3\)": [TWICE, lambda x: 2 * x.astype("f4"), TWICE],
    r"on tensors array\(.*\n.*, on arrays array": [TWICE, lambda x: 2 * x + 1e-9, TWICE],
}


@pytest.mark.parametrize("message", CHANGING)
def test_a_function_that_changes_is_found(message):
    op = planted(changing(CHANGING[message]), lambda g: 2 * g)
    fails(derivatives.value, op, (X,), f"value: {message}")


def test_a_function_that_is_not_its_reference_is_found():
    op = planted(TWICE, lambda g: 2 * g, reference=lambda x: 2 * x + 1e-6)
    fails(derivatives.value, op, (X,), "value: the op gives .*")


def widening(x):
    return 2.0 * x.astype(np.float64)


def widening_at_integers(a, b):
    return (a * b).astype(np.float64 if np.all(b == np.ceil(b)) else a.dtype)


def widening_at_scalars(a, b):
    return (a * b).astype(np.float64 if np.ndim(b) == 0 else a.dtype)


def shifted_if_narrow(x):
    return x * x + (1e-2 if x.dtype == np.float32 else 0.0)


PRODUCT = (lambda g, b: g * b, lambda g, a: g * a)


SQUARE = lambda g, x: 2 * x * g


@pytest.mark.parametrize(
    ("check", "function", "rules", "message"),
    [
        (
            duties.dtype,
            widening,
            (lambda g: 2 * g,),
            "dtype: float32 operands give a result of dtype float64",
        ),
        (duties.dtype, TWICE, (lambda g: np.float64(2) * g,), "dtype: the rules return float64 for float32"),
        (
            duties.dtype,
            widening_at_integers,
            PRODUCT,
            "dtype: an integer array as operand 1 makes float32 into float64",
        ),
        (duties.dtype, widening_at_scalars, PRODUCT, "dtype: a NumPy scalar as operand 1 widens float32"),
        (derivatives.single_precision, shifted_if_narrow, (SQUARE,), "single precision: float32 gives"),
    ],
)
def test_an_op_that_minds_the_dtype_is_found(check, function, rules, message):
    fails(check, planted(function, *rules), (X, Y)[: len(rules)], message)


def test_an_op_that_refuses_float32_is_told_so():
    def wide_only(x):
        if x.dtype == np.float32:
            raise ShapeError("wide_only: float64, please")
        return 2 * x

    call = OpCall(planted(wide_only, lambda g: 2 * g), (X,), {})
    with pytest.raises(ShapeError, match="wide_only: float64, please"):
        duties.dtype(call)


def writes_for_a_while(g, x):
    x += 1.0
    r = 2 * (x - 1.0) * g
    x -= 1.0
    return r


def test_rules_that_write_into_what_they_are_given_are_found():
    op = planted(np.square, lambda g, x: np.multiply(2 * x, g, out=g))
    fails(
        duties.untouched,
        op,
        (X,),
        "untouched: going back has changed an operand, the cotangent or a saved array",
    )
    other = tn.kernel(writes_for_a_while, name="for_a_while", reference=np.square)(lambda x: x * x)
    fails(duties.untouched, other, (X,), "untouched: read-only arrays are refused")


def committing(change):
    """Return a commit that leaves in `.grad` what `change` makes of the gradient that was there and the new one."""

    def commit(gradients, sums=None):
        for leaf, g in gradients.items():
            leaf.grad = change(leaf.grad, g)

    return commit


COUNT = iter(range(100))


SHARED = np.zeros((4, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda old, g: g[None], r"\.grad is array(.|\n)*its leaf has shape \(2, 3\) and dtype float64"),
        (lambda old, g: g.astype(np.float32), r"\.grad is array(.|\n)*dtype float64"),
        (lambda old, g: np.add(g, 0, out=SHARED[:2]), r"\.grad shares its memory"),
        (lambda old, g: g.copy(), "two backward passes do not give twice the gradient"),
        (lambda old, g: g + next(COUNT) if old is None else 2 * old, "built again gives another gradient"),
    ],
)
def test_an_engine_that_hands_out_gradients_carelessly_is_found(monkeypatch, change, message):
    op = planted(np.square, SQUARE)
    monkeypatch.setattr(sys.modules["tinygrad_nn.engine.tensor"], "commit", committing(change))
    fails(duties.ownership, op, (X,), f"ownership: (.|\n)*{message}")


def test_a_gradient_that_depends_on_who_else_is_asked_is_found():
    calls = iter(range(1000))
    op = planted(lambda a, b: a * b, lambda g, b: g * b * (1 + next(calls)), lambda g, a: g * a)
    fails(duties.only_where_asked, op, (X, Y), "only where asked: operand 0 alone gets another gradient")


def test_rules_that_run_for_nobody_are_found():
    def busy(g, b):
        u = tn.tensor(b, requires_grad=True)
        return g * b + 0 * tn.gradients((3.0 * u).sum(), u).data

    op = planted(lambda a, b: a * b, busy, lambda g, a: g * a)
    fails(
        duties.only_where_asked,
        op,
        (X, Y),
        r"only where asked: operand 0 was asked for, rules of \{0, 1\} ran",
    )


def test_a_rule_that_takes_equal_operands_for_a_square_is_found():
    op = planted(lambda a, b: a * b, lambda g, a, b: 2 * g * b if a is b else g * b, lambda g, a: g * a)
    fails(duties.shared_operand, op, (X, Y), r"shared operand: f\(x, x\) has gradient")


def strided_alike(x):
    return x * (3 if 0 in x.strides else 2)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.ravel(order="K").reshape(x.shape) * 2, "(Fortran order|strided): value and gradients"),
        (
            lambda x: x * (2 if x.flags.writeable else 3),
            "(Fortran order|negative strides): value and gradients",
        ),
        (strided_alike, "a broadcast view gives another value or gradient than its copy"),
    ],
)
def test_a_function_that_minds_the_memory_of_its_operand_is_found(function, message):
    op = planted(function, lambda g: 2 * g)
    calls = [OpCall(op, (X,), {}, seed=seed) for seed in range(2)]  # each looks at half of the layouts
    failures = []
    for call in calls:
        try:
            duties.layouts(call)
        except CheckFailed as failure:
            failures.append(str(failure))
    assert any(re.search(f"planted: layouts: {message}", text) for text in failures), failures


def test_a_cast_to_integers_has_no_gradient_and_the_same_value_in_every_layout():
    call = OpCall(REGISTRY["astype"], (X,), {"dtype": np.dtype(np.int64)})
    assert not call.differentiable
    assert duties.layouts(call)


def test_a_kernel_whose_out_is_not_its_result_is_found():
    def doubled(x, out=None):
        if out is not None:
            np.multiply(x, 3, out=out)
        return 2 * x if out is None else out

    fails(duties.out_argument, planted(doubled, lambda g: 2 * g), (X,), "out: out= gives .*")
    returns_another = tn.kernel(lambda g: 2 * g, name="another", reference=TWICE)(lambda x, out=None: 2 * x)
    fails(duties.out_argument, returns_another, (X,), "out: out= gives")


def test_a_function_without_a_signature_is_taken_to_know_no_out():
    class Doubling:
        __name__ = "planted"
        __signature__ = "not known"

        def __call__(self, x):
            return 2 * x

    op = tn.op(Doubling(), lambda g: 2 * g, reference=TWICE)
    assert not duties.out_argument(OpCall(op, (X,), {}))


def test_wrong_calls_that_are_taken_or_badly_explained_are_found():
    def vague(x, **options):
        if options:
            raise NoGradientRule("something is wrong")
        return 2 * x

    fails(
        duties.wrong_call,
        planted(vague, lambda g: 2 * g),
        (X,),
        "wrong call: the message does not name the op: some",
    )
    open_ended = tn.kernel(lambda g: 2 * g, name="open_ended", reference=TWICE)(lambda x, **options: 2 * x)
    open_ended.check_keywords = lambda plan, params: None
    fails(duties.wrong_call, open_ended, (X,), "wrong call: the keyword no_such_keyword is accepted")


def test_second_derivatives_that_are_wrong_or_should_be_zero_are_found():
    op = planted(np.square, lambda g, x: g * 2 * x if isinstance(g, np.ndarray) else g * 3 * x)
    fails(derivatives.second_order, op, (X,), "second order: the gradient differs when it is recorded itself")
    linear = tn.kernel(SQUARE, name="linear_square", reference=np.square, linear=True)(lambda x: x * x)
    message = "second order: the op is declared linear, and its gradient depends on the operands"
    fails(derivatives.second_order, linear, (X,), message)
    cut = tn.kernel(
        lambda g, x: 2 * x * getattr(g, "detach", lambda: g)(), name="cut", reference=np.square
    )(lambda x: x * x)  # fmt: skip
    fails(derivatives.second_order, cut, (X,), "second order: the derivative by the cotangent is")
    bent = tn.kernel(
        lambda g, x: 2 * x * g if isinstance(g, np.ndarray) else 2 * x * g + 0 * x * x * x + (x - x.detach()) * g,
        name="bent", reference=np.square,
    )(lambda x: x * x)  # fmt: skip
    call = OpCall(bent, (X,), {})
    with pytest.raises(GradientMismatch, match="bent, second order: the gradient is wrong"):
        derivatives.second_order(call)


def test_a_gradient_that_is_declared_zero_and_is_not_is_found():
    fails(
        derivatives.jacobian,
        planted(np.square, SQUARE, zero_gradient=True),
        (X,),
        "jacobian: .* declared to be zero",
    )


def test_gradients_that_are_not_linear_in_the_cotangent_are_found():
    fails(
        derivatives.cotangents,
        planted(np.square, lambda g, x: 2 * x * g * abs(g)),
        (X,),
        "cotangents: .* not linear",
    )


def test_the_complex_step_is_of_the_reference_where_the_function_has_none():
    def real_only(x):
        return np.float64(x.sum()) if x.dtype.kind == "f" else np.float64("none")

    op = planted(real_only, lambda g, x: g * np.ones(x.shape), reference=lambda x: x.sum())
    np.testing.assert_array_equal(OpCall(op, (X,), {}).exact, np.ones((1, 6)))
    for options in ({"reference": None}, {"reference": lambda x: np.abs(x).sum()}):
        name = f"no_complex_{len(options)}_{options['reference'] is None}"
        op = tn.kernel(lambda g, x: g * np.ones(x.shape), name=name, **options)(real_only)
        assert OpCall(op, (X,), {}).exact is None


def test_a_composite_without_samples_is_checked_on_arrays_for_its_operands():
    @composite(name="weighted_sum")
    def weighted_sum(a, b, scale=2.0):
        return (a * b).sum() * scale

    assert check_op("weighted_sum", max_examples=10).nonzero >= 10


class Pair(NamedTuple):
    a: Any
    b: Any


def test_a_composite_may_take_and_return_named_tuples():
    @composite(name="doubled", samples=lambda rng: [((Pair(X, Y),), {})], reference=lambda p: (p.a * 2, p.b))
    def doubled(pair):
        return Pair(pair.a * 2, pair.b * 1)

    assert check_op("doubled", max_examples=5).nonzero == 5


def test_a_composite_of_many_operands_asks_for_samples():
    @composite(name="of_four")
    def of_four(a, b, c, d):
        return a * b * c * d

    with pytest.raises(
        CheckFailed, match=r"of_four: .* no calls to check; paste and complete\n    samples=lambda"
    ):
        check_op("of_four")


@pytest.mark.parametrize(
    ("function", "reference", "message"),
    [
        (lambda x: x * 2, lambda x: x * 2 + 1e-8, "value array(.|\n)*the reference gives(.|\n)*tn.made"),
        (lambda x: x * 2, lambda x: (x * 2).ravel()[None, None], "the reference gives"),
        (lambda x: x * 2 * np.ones(x.shape), None, "float32 tensors that require grad give float64"),
        (lambda x: x.detach() * 2, None, "requires_grad=False"),
    ],
)
def test_a_composite_that_is_wrong_is_found(function, reference, message):
    composite(name="made", reference=reference, samples=lambda rng: [((X,), {})])(function)
    with pytest.raises(CheckFailed, match=f"made: (.|\n)*{message}"):
        check_op("made", max_examples=3)


def test_the_checks_stand_in_one_list_with_the_one_that_needs_writeable_arrays_first():
    public = {
        function
        for module in (derivatives, duties, formulas)
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and name[0] != "_"
    }
    assert set(CHECKS) == public - {duties.memory_layouts}
    assert len(set(CHECKS)) == len(CHECKS)
    assert CHECKS[0] is duties.untouched


def test_a_call_reproduces_with_its_parameters():
    call = OpCall(REGISTRY["astype"], (X,), {"dtype": np.dtype(np.float64)}, seed=5, scale=10.0)
    script = [line.strip() for line in reproduction_of(call)[1:]]
    namespace = {}
    exec("\n".join(script), namespace)
    again = namespace["call"]
    assert again.params == call.params
    np.testing.assert_array_equal(again.cotangent, call.cotangent)
    np.testing.assert_array_equal(again.result, call.result)
