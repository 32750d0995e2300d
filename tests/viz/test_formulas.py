"""What rules say as mathematics: declared formulas equal their rules, and no rule of ours is told as code."""

import re

import numpy as np
import pytest

import tinygrad_nn as tn
from tests.support.op_calls import calls_of
from tinygrad_nn.errors import BadRule, CheckFailed
from tinygrad_nn.languages import LANGUAGES
from tinygrad_nn.primitives.primitive import Primitive
from tinygrad_nn.primitives.record import REGISTRY
from tinygrad_nn.testing.tape import home
from tinygrad_nn.viz.captions import chosen
from tinygrad_nn.viz.entries import Numbers, Occasion
from tinygrad_nn.viz.mathematics import names
from tinygrad_nn.viz.notation import Notation

OPS = [op for op in dict.fromkeys(REGISTRY.values()) if isinstance(op, Primitive) and any(op.rules)]
OURS = [op for op in OPS if str(op.home[0]).startswith("tinygrad_nn.")]
DECLARED = [op for op in OURS if any(op.formulas)]


def occasions(op):
    """Yield every rule of an op at work on the calls of its record."""
    for operands, params in calls_of(op, np.random.default_rng(3)):
        operands = [np.asarray(x, float) if np.asarray(x).dtype.kind == "f" else x for x in operands]
        if not all(np.size(x) for x in operands):
            continue
        with np.errstate(all="ignore"):
            y = op.function(*operands, **params)
        y = np.asarray(op.split(y)[0] if op.residuals else y)
        g = np.random.default_rng(4).normal(size=y.shape)
        for place, x in enumerate(operands):
            if op.rules[0 if op.variadic else place] is not None and np.asarray(x).dtype.kind == "f":
                yield Occasion(op, place, operands, y, g, params)


def by_rule(occasion):
    """Return the gradient that the rule itself gives, in the shape of the operand."""
    op, place = occasion.op, occasion.place
    rule = op.rule(place)
    known = dict(occasion.values)
    known |= {name: op.residual(name, occasion.operands, occasion.params) for name in op.residuals}
    shapes = tuple([np.shape(operand) for operand in occasion.operands])
    keywords = rule.keywords_for(occasion.params, shapes, place)
    return home(rule.function(known["g"], *[known[name] for name in rule.values], **keywords), shapes[place])


def text(occasion, lang="en"):
    """Return the formula as it is shown, or what the docstring of the rule says."""
    if occasion.formula.words:
        return occasion.formula.text
    letters = {name: name for name in names(occasion.tree)}
    return Notation(letters, lang).write(occasion.tree)


@pytest.mark.parametrize("op", DECLARED, ids=lambda op: op.name)
def test_a_declared_formula_equals_its_rule_on_the_calls_of_the_record(op):
    compared = set()
    for occasion in occasions(op):
        if occasion.formula.declared:
            np.testing.assert_allclose(occasion.gradient(), by_rule(occasion), rtol=1e-9, atol=1e-9)
            compared.add(0 if op.variadic else occasion.place)
    assert compared == {k for k, formula in enumerate(op.formulas) if formula is not None}


CODE = re.compile(
    r"\b_\w|\blambda\b|\bif\b|\bdef\b|\bNone\b|\bshapes\b|\bself\b|[\w)]\s*=[^ ]|\*|\[\.\.\.|\bnp\.|\w_\w"
)
"""What is in Python and in no formula: helpers with underscores, keywords, conditions, stars."""


@pytest.mark.parametrize("op", OURS, ids=lambda op: op.name)
def test_no_rule_of_ours_is_told_as_code(op):
    found = 0
    for occasion in occasions(op):
        found += 1
        for lang in LANGUAGES:
            assert not CODE.search(text(occasion, lang).replace("g_", "g")), text(occasion, lang)
    assert found


@pytest.mark.parametrize(
    ("op", "formulas"),
    [
        ("tanh", {"g · (1 − y²)"}),
        ("square", {"g · 2 · x"}),
        ("multiply", {"g · b", "g · a"}),
        ("divide", {"g / b", "−g · a / b²"}),
        ("relu", {"g where x > 0, else 0"}),
        ("softmax", {"y · (g − Σ(g · y))"}),
        ("log_softmax", {"g − (Σ g) · exp(y)"}),
        ("matmul", {"g · b", "g · a", "b @ g", "g @ bᵀ", "aᵀ @ g"}),
        ("sqrt", {"g / (2 · y)"}),
        ("erf", {"g · exp(−x²) · 2 / √π"}),
        ("inv", {"−yᵀ @ g @ yᵀ"}),
        ("solve", {"a⁻ᵀ @ g", "−a⁻ᵀ @ g @ yᵀ"}),
        ("p_norm", {"g · sign(x) · (|x| / y)²", "g · sign(x) · (|x| / y)^0.5"}),
        ("sum", {"g"}),
        ("nll", {"−g · one-hot(labels)"}),
        ("maximum", {f"g where {p} > {q}, else g / 2 where {p} = {q}, else 0" for p, q in ("ab", "ba")}),
    ],
)
def test_formulas_read_as_mathematics(op, formulas):
    assert {text(occasion) for occasion in occasions(REGISTRY[op])} == formulas


def test_the_formula_of_cross_entropy_depends_on_its_reduction():
    told = {occasion.params["reduction"]: text(occasion) for occasion in occasions(REGISTRY["cross_entropy"])}
    assert re.fullmatch(r"\(softmax\(logits\) − one-hot\(labels\)\) · g / \d", told["mean"])
    assert told["sum"] == told["none"] == "(softmax(logits) − one-hot(labels)) · g"


_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


def calculated(line):
    """Return both sides of a calculation as numbers; None where it is said in words or cut short."""
    left, equals, right = line.replace("−", "-").rpartition(" = ")
    left = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda match: f"**({match.group().translate(_RAISED)})", left)
    left = re.sub(r"\|([^|]*)\|", r"abs(\1)", left)
    left = re.sub(
        r"√(\(|π|-?[\d.]+)", lambda m: "sqrt(" if m.group(1) == "(" else f"sqrt({m.group(1)})", left
    )
    left = left.replace("·", "*").replace("^", "**").replace("π", "pi")
    if not equals or re.search(r"[^\d\s.*/+()\-a-z,]|\b(?:where|else|terms)\b", left):
        return None
    scope = {name: getattr(np, name) for name in dir(np)}
    try:
        with np.errstate(all="ignore"):
            return float(eval(left, scope)), float(right)
    except (NameError, SyntaxError, TypeError):
        return None


EXACT = {
    "tanh",
    "square",
    "multiply",
    "divide",
    "matmul",
    "exp",
    "log",
    "sqrt",
    "sin",
    "mean",
    "power",
    "vecdot",
}


@pytest.mark.parametrize(
    "name", sorted(EXACT | {"softmax", "log_softmax", "logsumexp", "cross_entropy", "add", "var", "inv"})
)
def test_calculations_give_what_they_say(name):
    op, compared = REGISTRY[name], 0
    for occasion in occasions(op):
        shape = np.shape(occasion.operands[occasion.place])
        gradient = by_rule(occasion)
        for index in chosen(shape):
            line = Numbers(occasion, index, "en").calculation(occasion.tree, shape)
            sides = calculated(f"{line} = {gradient[index]:.6g}")
            if sides is not None:
                # Numbers have four digits; what they add up to may have lost some.
                assert sides[0] == pytest.approx(sides[1], rel=2e-2, abs=2e-2), line
                compared += 1
    assert compared


def test_check_op_refuses_a_formula_that_says_something_else():
    def declared(formula):
        return tn.op(
            lambda x: x * x * x, lambda g, x: g * 3 * x**2, name="cubed_for_formula", reference=lambda x: x**3,
            formula=formula,
        )  # fmt: skip

    assert tn.testing.check_op(declared("3 * x**2 * g"), max_examples=5).checks["formula"]
    with pytest.raises(
        CheckFailed, match=r"cubed_for_formula: formula: operand 0: the formula 2 \* x \* g gives"
    ):
        tn.testing.check_op(declared("2 * x * g"), max_examples=5)
    with pytest.raises(CheckFailed, match="operand 0: '2 x g' is no expression"):
        tn.testing.check_op(declared("2 x g"), max_examples=5)


def test_there_is_a_formula_for_each_rule_or_none():
    with pytest.raises(BadRule, match="two_formulas: 1 rules, 2 formulas"):
        tn.op(lambda x: x, lambda g: g, name="two_formulas", formula=("g", "g"))
