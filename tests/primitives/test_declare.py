"""A new op is one statement: dispatch, method, table and checks pick it up, and a wrong statement is refused."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.leaves import vector
from tinygrad_nn.errors import BadRule
from tinygrad_nn.ops import trigonometric
from tinygrad_nn.primitives.record import REGISTRY

STATEMENT = """
tn.op(np.unwrap, lambda g: g, analytic=False, samples=lambda rng: [((rng.normal(size=3),), {})])
"""


def test_one_statement_is_enough():
    code = f"""
import numpy as np
import tinygrad_nn as tn
from tinygrad_nn.testing.ops_table import ops_table
{STATEMENT}
x = tn.tensor([0.5], requires_grad=True, dtype=float)
(3 * np.unwrap(x)).backward()
assert x.grad == 3, x.grad
assert x.unwrap().data == 0.5
assert "| unwrap | `np.unwrap(x)`, `t.unwrap()` |" in ops_table(vars(tn))
tn.testing.check_op(tn.REGISTRY[np.unwrap], max_examples=5)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (lambda x, g: g, "first parameter of a rule is g"),
        (lambda g, z: g, "the rule asks for z; known here are g, x, y"),
        (lambda *args: 0, r"\*args and \*\*kwargs are not allowed"),
    ],
)
def test_a_rule_that_cannot_be_called_is_refused_when_declared(rule, complaint):
    with pytest.raises(tn.errors.BadRule, match=complaint):
        tn.op(np.unwrap, rule)
    assert np.unwrap not in tn.REGISTRY


def test_a_second_declaration_is_refused():
    with pytest.raises(tn.errors.BadRule, match="registered already"):
        tn.op(np.tanh, lambda g, y: g)


def test_a_name_that_means_something_in_rules_is_no_operand():
    with pytest.raises(tn.errors.BadRule, match="gain: g, i has a meaning in rules; rename the operand"):
        tn.kernel(lambda g: g, None, name="gain")(lambda g, i: g)
    assert "gain" not in REGISTRY


@pytest.fixture
def blend():
    return tn.kernel(
        lambda g, *, weight=0.5: g * weight, lambda g, *, weight=0.5: g * (1 - weight), name="blend"
    )(lambda a, b, weight=0.5: a * weight + b * (1 - weight))


def test_operands_and_parameters_are_given_as_to_the_function_itself(blend):
    a, b = tn.tensor([1.0], requires_grad=True), tn.tensor([3.0], requires_grad=True)
    for y in (
        blend(a, b, 0.25),
        blend(a, b, weight=0.25),
        blend(a, b=b, weight=0.25),
        blend(b=b, a=a, weight=0.25),
    ):
        assert y.item() == 2.5
        assert [g.item() for g in tn.gradients(y, [a, b])] == [0.25, 0.75]
    assert blend(a, b).item() == blend(a, b, 0.5).item() == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, x: f(x), "blend: needs the operands a, b; got 1 of 2"),
        (lambda f, x: f(x, weight=0.1), "blend: needs the operands a, b; got 1 of 2"),
        (lambda f, x: f(x, x, 0.1, 7), "blend: at most 3 arguments go by position, got 4"),
    ],
)
def test_a_call_with_too_few_or_too_many_arguments_says_so(blend, call, message):
    for x in (np.ones(2), tn.tensor([1.0])):
        with pytest.raises(TypeError, match=message):
            call(blend, x)


def test_a_function_without_a_signature_takes_its_operands_by_position():
    class Hypot:
        """As functions written in C are, where Python cannot say how they are called."""

        __name__ = "hypotenuse"
        __signature__ = "not known"

        def __call__(self, *args):
            return math.hypot(*args)

    f = tn.op(Hypot(), lambda g, y, a: g * a / y, lambda g, y, b: g * b / y)
    x = tn.tensor(3.0, requires_grad=True)
    y = f(x, 4.0)
    y.backward()
    assert y.item() == 5
    assert x.grad == np.float32(0.6)
    with pytest.raises(TypeError, match="hypotenuse: needs the operands a, b; got 1 of 2"):
        f(x)


def test_an_operand_without_a_rule_does_not_lose_its_gradient_silently():
    f = tn.kernel(lambda g, b: g * b, None, name="scaled_by")(lambda a, b: a * b)
    a, b = tn.tensor([2.0], requires_grad=True), tn.tensor([3.0], requires_grad=True)
    with pytest.raises(
        tn.errors.NoGradientRule, match=r"scaled_by: operand 1 \(b\) has no .*\n  hint .*detach"
    ):
        f(a, b)
    assert tn.gradients(f(a, b.detach()), a).item() == 3


def test_a_residual_of_one_rule_is_not_asked_for_when_only_the_other_runs():
    f = tn.kernel(
        lambda g, e: g * e,
        lambda g, a, b: g * a * np.exp(b),
        residuals={"e": lambda b: np.exp(b)},
        name="times_exp",
    )(lambda a, b: (a * np.exp(b), np.exp(b)))
    a, b = tn.tensor(2.0, requires_grad=True), tn.tensor(0.5, requires_grad=True)
    second = lambda y, x: tn.gradients(tn.gradients(y, x, create_graph=True), x).item()
    assert second(f(2.0, b), b) == pytest.approx(2 * math.exp(0.5))
    mixed = tn.gradients(tn.gradients(f(a, b), a, create_graph=True), b).item()
    assert mixed == pytest.approx(math.exp(0.5))


def test_a_function_that_becomes_a_composite_can_still_be_called():
    assert trigonometric.sinc(np.array(0.5)) == pytest.approx(2 / math.pi)


def test_ops_are_pickled_by_name_and_say_who_they_are():
    assert pickle.loads(pickle.dumps(REGISTRY["exp"])) is REGISTRY["exp"]
    assert repr(REGISTRY["exp"]) == "<op exp>"
    assert repr(REGISTRY[np.linalg.norm]) == "<composite norm>"


def test_a_misspelt_option_of_a_kernel_is_refused():
    with pytest.raises(BadRule, match=r"kernel: there is no option refernce=\n  hint   reference="):
        tn.kernel(lambda g, x: 2 * x * g, refernce=lambda x: x * x, name="q")(lambda x: x * x)
    with pytest.raises(BadRule, match="needs a name"):
        tn.kernel(lambda g: g)(lambda x: x * 1)


def test_a_refused_declaration_registers_nothing():
    with pytest.raises(BadRule):
        tn.op(np.exp, lambda g, y: g * y, name="myexp")
    assert "myexp" not in REGISTRY


def test_a_cell_that_declares_a_kernel_can_run_twice():
    for factor in (2.0, 3.0):

        @tn.kernel(lambda g: g * factor, name="scaled")
        def scaled(x):
            return x * factor  # noqa: B023

    assert scaled(vector(1.0)).data == 3


def run(cell, name="__main__", **names):
    exec(compile(cell, "<cell>", "exec"), {"np": np, "tn": tn, "__name__": name} | names)


DECLARED = {
    "op": "tn.op(np.unwrap, lambda g: g * factor)",
    "op in a function": "def declare():\n    tn.op(np.unwrap, lambda g: g * factor)\ndeclare()",
    "op with its own code": "tn.op(np.unwrap, lambda g: g * factor, call=lambda x: np.unwrap(x))",
    "op under several names": "tn.op(np.unwrap, lambda g: g * factor, also=(np.sort_complex,))",
    "composite": "from tinygrad_nn.primitives.declare import composite\n"
    "@composite(np.unwrap, method=True)\ndef unwrap(p):\n    return p * factor",
}


@pytest.mark.parametrize("cell", DECLARED.values(), ids=DECLARED.keys())
def test_a_cell_that_declares_an_op_can_run_again_and_the_new_rule_counts(cell):
    for factor in (2.0, 3.0, 5.0):
        run(cell, factor=factor)
        x = vector(1.0)
        np.unwrap(x).sum().backward()
        assert x.grad == factor
        assert x.unwrap().shape == (1,)
    other = "another_module"
    with pytest.raises(BadRule, match="registered already"):
        run(cell, name=other, factor=7.0)


def test_a_declaration_that_is_replaced_leaves_no_names_and_no_method_behind():
    run("tn.op(np.unwrap, lambda g: g, also=(np.sort_complex,))")
    assert np.sort_complex in REGISTRY
    run("tn.op(np.unwrap, lambda g: g, method=False)")
    assert np.sort_complex not in REGISTRY
    assert not hasattr(tn.Tensor, "unwrap")
    with pytest.raises(BadRule, match="registered already"):
        run('tn.op(np.sort_complex, lambda g: g, name="unwrap")')
    assert np.sort_complex not in REGISTRY


def test_a_place_that_declared_two_ops_cannot_give_one_the_name_of_the_other():
    run("tn.op(np.unwrap, lambda g: g)\ntn.op(np.sort_complex, lambda g: g)")
    with pytest.raises(BadRule, match="unwrap: 'unwrap' is registered already"):
        run('tn.kernel(lambda g: g, name="unwrap")(lambda x: x)')
    with pytest.raises(BadRule, match="registered already"):
        run("tn.op(np.unwrap, lambda g: g, also=(np.sort_complex,))")


def test_a_kernel_cannot_take_the_place_of_a_property():
    tn.kernel(lambda g: g, name="item")(lambda x: x * 1)
    assert tn.tensor(1.5).item() == 1.5


def test_a_kernel_without_its_rules_is_refused_where_it_is_declared():
    def square(x):
        return x * x

    with pytest.raises(BadRule, match=r"square is no rule(.|\n)*@tn.kernel\(lambda g, x: "):
        tn.kernel(square)
    with pytest.raises(BadRule, match="a rule for each operand"):
        tn.kernel()


def test_a_residual_is_computed_from_its_definition_only_where_the_rule_that_runs_asks_for_it():
    computed = []

    def definition(b):
        computed.append(b)
        return np.exp(b)

    scaled = tn.kernel(
        lambda g, e: g * e, lambda g, y: g * y, residuals={"e": definition}, name="scaled_by_exp"
    )(lambda a, b: (a * np.exp(b), np.exp(b)))
    a, b = (tn.tensor(np.array([x]), requires_grad=True) for x in (2.0, 0.5))
    for wanted, slope, times in ((b, 2 * np.exp(0.5), 0), (a, np.exp(0.5), 1)):
        computed.clear()
        plain = [x if x is wanted else x.data for x in (a, b)]
        (gradient,) = tn.gradients(scaled(*plain).sum(), [wanted], create_graph=True)
        np.testing.assert_allclose(gradient.data, slope)
        assert len(computed) == times


@pytest.mark.parametrize("returned", [lambda s: s, lambda s: (s,), lambda s: (s, s, s)])
def test_a_kernel_with_residuals_returns_them_too(returned):
    forgot = tn.kernel(lambda g, s: g * s, residuals={"s": tn.sigmoid}, name="forgot")(
        lambda x: returned(tn.sigmoid(x))
    )
    for x in (np.ones(3), tn.tensor([1.0, 2.0, 3.0], requires_grad=True)):
        with pytest.raises(tn.errors.BadRule, match=r"forgot: returns \(result, s\), because of residuals="):
            forgot(x)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"residuals": tn.sigmoid}, r"unwrap: residuals= .*\n  hint   residuals=\{"),
        ({"kinks": 0.0}, r"unwrap: kinks= .*\n  hint   kinks=\{0.0: slope\}"),
        ({"domain": 5}, r"unwrap: domain= .*\n  hint   domain=\(low, high\)"),
        ({"onnx": "I0"}, r"unwrap: there is no option onnx=\n  hint   nothing; each format has a table"),
        ({"internal": True}, r"unwrap: there is no option internal=\n  hint   method=False"),
        ({"signature": "(n)->()"}, r"unwrap: there is no option signature=\n  hint   broadcasts=False"),
        (
            {"s": lambda x: x},
            r"unwrap: there is no option s=\n  hint   a value to save besides: residuals=\{'s'",
        ),
        ({"unknow": 3}, r"unwrap: there is no option unknow=\n  hint   help\(tn.op\) has the list"),
        ({"kink": (0.0,)}, r"unwrap: there is no option kink=\n  hint   kinks="),
    ],
)
def test_options_that_are_none_or_of_another_form_say_what_to_write(options, complaint):
    with pytest.raises(tn.errors.BadRule, match=complaint):
        tn.op(np.unwrap, lambda g, x: g * x, **options)
    assert np.unwrap not in REGISTRY


def test_a_kernel_has_no_option_of_op():
    with pytest.raises(tn.errors.BadRule, match=r"no option call=\n  hint   a value to save besides"):
        tn.kernel(lambda g: g, call=np.abs)


def test_a_function_that_is_made_of_other_ops_may_be_given_a_rule_and_no_other_after_that():
    cell = "tn.op(np.rot90, lambda g: np.rot90(g, -1) * factor)"
    for factor in (2.0, 3.0):
        run(cell, factor=factor)
        x = tn.tensor(np.ones((2, 3)), requires_grad=True)
        np.rot90(x).sum().backward()
        np.testing.assert_array_equal(x.grad, np.full((2, 3), factor))
    with pytest.raises(BadRule, match="rot90: 'rot90' is registered already"):
        run(cell, name="another_module", factor=7.0)
