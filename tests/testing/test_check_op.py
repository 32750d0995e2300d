"""check_op: what a user is told of an op of his own, and which checks an op of each kind goes through."""

import numpy as np
import pytest

import tinygrad_nn as tn
from tinygrad_nn.errors import CheckFailed
from tinygrad_nn.primitives.record import REGISTRY
from tinygrad_nn.testing.battery import CHECKS
from tinygrad_nn.testing.check_op import OpReport, check_op, find_record, kind_of
from tinygrad_nn.testing.verdict import spell

KINDS = {
    "relu": ("differentiable", {"jacobian", "second_order"}),
    "exp": ("differentiable", {"jacobian", "out_argument", "layouts"}),
    "hypot": ("differentiable", {"jacobian", "shared_operand"}),
    "clip": ("differentiable", {"jacobian", "only_where_asked"}),
    "sign": ("zero gradient", {"jacobian", "second_order"}),
    "floor_divide": ("zero gradient", {"jacobian"}),
    "isfinite": ("constant", {"value"}),
    "rnn_back": ("made of others", {"value"}),
    "empty_like": ("constant", {"value"}),
    "argmax": ("constant", {"value"}),
    "astype": ("differentiable", {"jacobian", "layouts"}),
    "norm": ("differentiable", {"value", "jacobian", "second_order", "dtype"}),
    "split": ("differentiable", {"value", "jacobian"}),
    "sgd_update": ("update", set()),
}


@pytest.mark.parametrize("name", KINDS)
def test_an_op_of_each_kind_goes_through_the_checks_that_are_for_it(name):
    kind, checks = KINDS[name]
    report = check_op(name, max_examples=12)
    assert report.kind == kind
    assert checks <= set(report.checks)
    assert (report.examples == 0) is (kind == "update")
    assert (report.nonzero > 0) is (kind == "differentiable")


def test_every_record_is_of_a_kind_that_is_checked():
    assert {kind_of(record) for record in RECORDS} == {kind for kind, _ in KINDS.values()}


def test_every_check_applies_to_some_op():
    applied = set()
    for name in ("multiply", "matmul", "exp", "log", "logsumexp"):
        applied |= set(check_op(name, max_examples=20).checks)
    assert applied == {check.__name__ for check in CHECKS}


def cube(x):
    return x * x * x


def test_an_op_of_the_user_is_checked_in_one_line():
    op = tn.op(cube, lambda g, x: g * (3 * x * x), reference=lambda x: x**3, method=False)
    assert tn.testing.check_op(op, max_examples=20).nonzero >= 20


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda g, x: g * (3.001 * x * x), "cube, first order: the gradient is wrong"),
        (lambda g, x: g * g * (3 * x * x), "cube: cotangents: the gradient is not linear in the cotangent"),
        (lambda g, x: g * (3 * x * x) + 1e-3, "cube, first order: the gradient is wrong"),
        (lambda g, x: g * np.float64(3) * x * x, "cube: dtype: the rules return float64"),
        (lambda g, x: np.multiply(g, 3 * x * x, out=g), "cube: untouched: "),
    ],
    ids=["scaled", "not linear", "offset", "float64", "writes into the cotangent"],
)
def test_a_wrong_rule_of_the_user_is_found(rule, message):
    op = tn.op(cube, rule, reference=lambda x: x**3, method=False)
    with pytest.raises(tn.errors.CheckFailed, match=message) as failure:
        tn.testing.check_op(op, max_examples=20)
    script = str(failure.value).partition("  reproduce\n")[2]
    assert 1 <= len(script.splitlines()) <= 10


NARROW = {
    "log": (np.log, lambda g, x: g / x),
    "sqrt": (np.sqrt, lambda g, x: g / (2 * np.sqrt(x))),
    "arcsin": (np.arcsin, lambda g, x: g / np.sqrt(1 - x * x)),
    "log1p": (np.log1p, lambda g, x: g / (1 + x)),
    "a power": (lambda x: x**1.5, lambda g, x: g * (1.5 * x**0.5)),
}


@pytest.mark.parametrize("analytic", [True, False])
@pytest.mark.parametrize("name", NARROW)
def test_a_right_rule_without_its_domain_is_not_called_wrong(name, analytic):
    function, rule = NARROW[name]
    inside = {"domain": (0.1, 0.9), "analytic": analytic}
    op = tn.kernel(rule, name="narrow", reference=function, method=False, **inside)(lambda x: function(x))
    tn.testing.check_op(op, max_examples=5)
    op.domain = None
    with pytest.raises(
        CheckFailed, match=r"^narrow: jacobian: there is no derivative where the values are .*nan.*domain="
    ):
        tn.testing.check_op(op, max_examples=20)


@pytest.mark.parametrize(
    ("rule", "right"),
    [
        (lambda g, x: g[..., None, None] * x, True),
        (lambda g, x: g[..., None, None] * np.tril(2 * x - x * np.eye(2, dtype=x.dtype)), False),
        (lambda g, x: g[..., None, None] * 2 * x, False),
    ],
    ids=["both triangles", "one triangle", "twice"],
)
def test_a_function_of_symmetric_matrices_is_checked_along_them(rule, right):
    def energy(x):
        return np.sum(np.tril(x) ** 2 - np.eye(2, dtype=x.dtype) * x**2 / 2, axis=(-2, -1))

    samples = lambda rng: [((np.array([[1.0, 2.0], [2.0, 5.0]]),), {})]
    options = {"samples": samples, "symmetric": True, "broadcasts": False, "method": False}
    op = tn.kernel(rule, name="energy", reference=energy, **options)(energy)
    if right:
        assert tn.testing.check_op(op, max_examples=5).nonzero
    else:
        with pytest.raises(CheckFailed, match="energy"):
            tn.testing.check_op(op, max_examples=5)


def test_a_composite_without_its_domain_is_not_called_wrong():
    op = tn.primitives.Composite(lambda x: np.log(x) * 2, "narrow_too", reference=lambda x: 2 * np.log(x))
    with pytest.raises(CheckFailed, match=r"^narrow_too: there is no derivative where .*nan.*domain="):
        tn.testing.check_op(op, max_examples=20)


def test_the_script_of_a_failure_reproduces_it():
    op = tn.op(cube, lambda g, x: g * (3.1 * x * x), reference=lambda x: x**3, method=False)
    with pytest.raises(tn.errors.GradientMismatch) as failure:
        tn.testing.check_op(op, max_examples=5)
    script = str(failure.value).partition("  reproduce\n")[2]
    code = compile("\n".join(line.strip() for line in script.splitlines()), "script", "exec")
    with pytest.raises(tn.errors.GradientMismatch):
        exec(code, {})


def power_of(x, *, n):
    return x**n


@pytest.mark.parametrize(
    ("function", "rule", "text"),
    [
        (
            power_of,
            lambda g, x, *, n: g * n * x ** (n - 1),
            'samples=lambda rng: [((rng.normal(size=(2, 3)),), {"n": ...})],',
        ),
        (cube, None, "differentiable=False,"),
    ],
    ids=["samples", "rule"],
)
def test_missing_data_gives_the_text_to_paste(function, rule, text):
    op = tn.op(function, rule, method=False)
    with pytest.raises(tn.errors.CheckFailed) as failure:
        tn.testing.check_op(op)
    assert text in str(failure.value)


def declared(function, *rules, **options):
    """Declare a function of the user's, who has not said more than the rules."""
    return tn.kernel(*rules, name="of_mine", method=False, **options)(function)


def test_without_a_reference_gradients_are_checked_and_values_are_said_not_to_be():
    report = tn.testing.check_op(declared(cube, lambda g, x: g * (3 * x * x)), max_examples=10)
    assert report.nonzero >= 10
    assert report.unchecked == [
        "values not compared: reference=lambda x: ... (plain NumPy, obviously right) is missing"
    ]
    assert report.unchecked[0] in repr(report)
    with pytest.raises(tn.errors.GradientMismatch, match="looks like 2/3 times the derivative"):
        tn.testing.check_op(declared(cube, lambda g, x: g * (2 * x * x)), max_examples=10)


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (np.abs, lambda g, x: g * np.sign(x)),
        (lambda x: np.maximum(x, 0), lambda g, x: g * (x > 0)),
        (lambda x: np.hypot(x, 1), lambda g, x: g * x / np.hypot(x, 1)),
        (
            lambda x: np.array([float(v) ** 2 for v in x.flat]).reshape(x.shape).astype(x.dtype),
            lambda g, x: g * 2 * x,
        ),
    ],
    ids=["abs", "relu", "hypot", "floats"],
)
def test_an_op_without_complex_numbers_falls_back_to_central_differences(function, rule):
    compared = {"reference": lambda x: np.asarray(function(x))}
    report = tn.testing.check_op(declared(lambda x: function(x), rule, **compared), max_examples=10)
    assert report.nonzero >= 10
    assert all(note.startswith("central differences alone") for note in report.unchecked)
    with pytest.raises(tn.errors.GradientMismatch, match="looks like -1 times the derivative"):
        tn.testing.check_op(
            declared(lambda x: function(x), lambda g, x: -rule(g, x), **compared), max_examples=10
        )


UNDEFINED = {
    "log": (np.log, lambda g, x: g / x, r"NaN for x < 0: say domain=\(0.1, 3\)"),
    "sqrt": (np.sqrt, lambda g, x: g / (2 * np.sqrt(x)), r"NaN for x < 0: say domain=\(0.05, 3\)"),
    "arcsin": (
        np.arcsin,
        lambda g, x: g / np.sqrt(1 - x * x),
        r"NaN for x < -1 and x > 1: say domain=\(-0.95, 0.95\)",
    ),
    "log1p": (np.log1p, lambda g, x: g / (1 + x), r"NaN for x < -1: say domain=\(-0.9, 3\)"),
    "of the other side": (
        lambda x: np.log(1 - x),
        lambda g, x: g / (x - 1),
        r"NaN for x > 1: say domain=\(-3, 0.9\)",
    ),
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_where_a_function_has_no_values_is_said_and_the_domain_to_declare(name):
    function, rule, message = UNDEFINED[name]
    with pytest.raises(CheckFailed, match=message) as failure:
        tn.testing.check_op(declared(lambda x: function(x), rule, reference=function), max_examples=30)
    domain = eval(str(failure.value).partition("domain=")[2].partition("), or")[0] + ")")
    op = declared(lambda x: function(x), rule, reference=lambda x: function(x), domain=domain)
    assert tn.testing.check_op(op, max_examples=10).nonzero >= 10


def test_a_function_that_has_values_hardly_anywhere_needs_a_domain():
    op = declared(
        lambda x: np.log(x - 2.99), lambda g, x: g / (x - 2.99), reference=lambda x: np.log(x - 2.99)
    )
    with pytest.raises(CheckFailed, match=r"a domain=\(low, high\) inside of which they are finite"):
        tn.testing.check_op(op, max_examples=10)


def overwriting(x):
    x *= 2
    return x * x


def test_a_function_that_writes_into_its_operand_is_named():
    op = declared(overwriting, lambda g, x: 8 * g * x, reference=lambda x: 4 * x * x)
    with pytest.raises(CheckFailed, match="untouched: the function writes into operand 0; x = x") as failure:
        tn.testing.check_op(op, max_examples=5)
    script = str(failure.value).partition("  reproduce\n")[2]
    code = compile("\n".join(line.strip() for line in script.splitlines()), "script", "exec")
    with pytest.raises(CheckFailed, match="writes into operand 0"):
        exec(code, {})


@pytest.mark.parametrize(
    ("function", "rules", "message"),
    [
        (lambda a, b: a * b, 1, "2 operands, 1 rule: .* for b paste"),
        (lambda a, b, c: a * b * c, 1, "3 operands, 1 rule: .* for b, c paste"),
        (lambda a, b, c: a * b * c, 2, "3 operands, 2 rules: .* for c paste"),
    ],
)
def test_operands_without_a_rule_are_counted(function, rules, message):
    op = declared(function, *[lambda g, a: g * a] * rules, reference=function)
    with pytest.raises(CheckFailed, match=f"of_mine: {message}"):
        tn.testing.check_op(op, max_examples=5)


def test_an_op_whose_gradient_is_always_zero_has_to_say_so():
    op = tn.op(cube, lambda g: 0 * g, reference=lambda x: 0 * x, call=lambda x: 0 * x, method=False)
    with pytest.raises(tn.errors.CheckFailed, match="zero_gradient=True"):
        tn.testing.check_op(op, max_examples=10)


def ramp(x):
    return np.maximum(x, 0)


@pytest.mark.parametrize(("at_zero", "right"), [(0.0, True), (0.5, False), (1.0, False)])
def test_the_slope_that_a_record_declares_at_a_kink_is_checked(at_zero, right):
    op = tn.op(
        ramp, lambda g, x: g * (x > 0), reference=lambda x: (x + abs(x)) / 2, analytic=False,
        kinks={0.0: at_zero}, method=False,
    )  # fmt: skip
    if right:
        assert tn.testing.check_op(op, max_examples=40).kinks > 0
    else:
        with pytest.raises(tn.errors.CheckFailed, match=f"the slope at 0.0 is declared to be {at_zero}, got"):
            tn.testing.check_op(op, max_examples=40)


RECORDS = list(dict.fromkeys(REGISTRY.values()))


def planted(function, *rules, **options):
    options.setdefault("reference", function)
    return tn.kernel(*rules, name="planted", **options)(function)


TWICE = lambda x: 2 * x


def test_too_many_uncertain_examples_are_no_proof():
    report = OpReport("made", "differentiable", examples=40, nonzero=40, inconclusive=2)
    assert report.conclude() is report
    report.inconclusive = 3
    with pytest.raises(
        CheckFailed, match="made: in 3 of 40 examples the numerical derivatives are too uncertain"
    ):
        report.conclude()


def test_a_record_is_found_by_op_by_function_by_alias_and_by_name():
    op = planted(TWICE, lambda g: 2 * g)
    assert {find_record(x) for x in (op, "planted", TWICE)} == {op}
    assert find_record(np.amax) is find_record(np.max) is find_record("max")
    norm = REGISTRY["norm"]
    assert find_record(norm.function) is find_record(norm.function.__wrapped__) is norm
    with pytest.raises(
        CheckFailed, match=r"check_op: <.* is not a registered op\n  hint   tn.op\(function, rule\)"
    ):
        check_op(lambda x: x)


def test_a_random_op_draws_the_same_in_each_run_of_a_check():
    generator = np.random.default_rng(5)
    state = generator.bit_generator.state

    @tn.kernel(
        lambda g, x, *, rng: g * (2 * x),
        samples=lambda rng: [((rng.normal(size=(2, 3)),), {"rng": generator})],
        reference=lambda x, rng: x**2 + rng.normal(size=x.shape),
        name="shaken_square_of_this_test",
    )
    def shaken(x, *, rng):
        return x * x + rng.normal(size=x.shape).astype(x.dtype)

    assert check_op(shaken, max_examples=5).nonzero
    assert generator.bit_generator.state == state


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.SFC64, np.random.MT19937, np.random.Philox])
def test_a_generator_is_spelled_as_it_stands(bits):
    generator = np.random.Generator(bits(5))
    generator.random(3)
    again = eval(spell({"rng": generator}))["rng"]
    assert again.random() == generator.random()
